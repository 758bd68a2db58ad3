"""Errors as clients read them: translated here, once, for every way that a request can take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from service.errors import InvalidInput, ServiceError
from service.metrics import REFUSALS

_LONGEST_PATH = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error's status, extra headers and body."""

    status: int
    headers: Mapping[str, str]
    content: bytes


def refusal(error: ServiceError) -> Refusal:
    """The one error body, which Hugging Face's, TEI's and Triton's clients all read."""
    REFUSALS.labels(error.code).inc()
    return Refusal(error.status, error.headers, orjson.dumps({"error": str(error), "error_type": error.code}))


def fault(method: str, path: str) -> ServiceError:
    """What is told of an error that nobody expected."""
    return ServiceError(f"A fault of the server in {method} {path}; its log says more.")


def invalid(errors: Sequence[Mapping[str, Any]]) -> InvalidInput:
    """What pydantic found wrong with a body."""
    return InvalidInput(_sentence(errors[0], len(errors)))


def _sentence(first: Mapping[str, Any], count: int) -> str:
    """With the field's path: `inputs.0.question: Field required.`"""
    path = ".".join(str(part) for part in first["loc"] if part not in ("one", "many"))
    path = path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}…"  # a field's name is the client's own text
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "string_pattern_mismatch":
        message = "The text is empty or blank"
    if first["type"] == "model_type":
        message = "Input should be an object"
    if first["type"] == "extra_forbidden":
        message = "There is no such field; see /docs for those there are"
    more = f" ({count - 1} more like it.)" if count > 1 else ""
    return f"{path}: {message}.{more}" if path else f"{message}.{more}"
