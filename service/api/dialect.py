"""What a dialect is: the shapes in which one kind of client sends requests and reads answers and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from service.engine.engine import Inference
from service.errors import ServiceError

Header = tuple[bytes, bytes]

JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A request as it came from the socket."""

    content_type: str
    """Media type in lower case without parameters; empty if the client named none."""
    body: bytes | bytearray


@dataclass(frozen=True, slots=True)
class InferenceCall:
    """What a request asks of the engine."""

    route: str
    """The task's route; see tasks.base.Task."""
    model: str | None
    """None for the default model of the task."""
    inputs: Sequence[object]
    """An input that could not be read is the error itself, if `per_item`."""
    parameters: BaseModel
    stream: bool = False
    per_item: bool = False
    """Whether an input that cannot be answered has its error for a result, instead of failing the request."""


@dataclass(frozen=True, slots=True)
class EncodedResponse:
    """A whole response, ready for the socket; Content-Length is added when it is sent."""

    status: int
    body: bytes
    headers: Sequence[Header] = ()
    content_type: bytes = JSON


class Dialect(Protocol):
    """One dialect on one path. Stateless: called on the event loop, for many requests at once."""

    @property
    def path(self) -> str:
        """Template of the path that it is spoken at."""

    @property
    def watches_client(self) -> bool:
        """Whether work is cancelled as soon as its client leaves; it costs a task a request, so not for short work."""

    def decode(self, request: EncodedRequest) -> InferenceCall:
        """What a request asks. Raises InvalidInput and its kinds for what cannot be read."""

    def encode(self, call: InferenceCall, inference: Inference) -> EncodedResponse:
        """The response to a call."""

    def encode_event(self, call: InferenceCall, event: str | Inference) -> bytes:
        """The data of a server-sent event: a piece of text, or the whole answer at the end."""

    def encode_error(self, error: ServiceError) -> EncodedResponse:
        """An error in the shape that the dialect's clients read."""
