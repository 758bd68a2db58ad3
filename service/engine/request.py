"""A request on its way through the engine: what it asks, and what it waits for."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from service.config import Settings
from service.engine.in_flight import InputState, Outcome, Wait
from service.engine.loaded_model import LoadedModel
from service.errors import InputTooLong, InvalidInput, ServiceError, Unavailable
from service.scheduling.job import ModelInput
from service.tasks.base import Result, TaskResult


@dataclass(slots=True, eq=False)
class RequestState:
    """One request. Lives on the event loop."""

    model: LoadedModel
    parameters: BaseModel
    expires_s: float
    """When it must be answered, by the event loop's clock."""
    streaming: bool
    chars: int
    """Characters of its texts in all."""
    off_loop: bool
    """Whether it is too long to be tokenized on the event loop."""
    found: list[TaskResult[Result] | Wait] = field(default_factory=list)
    """By input, in their order: a result from the cache, or a computation to wait for."""
    new: dict[Hashable, InputState] = field(default_factory=dict)
    """Inputs that nobody computed when this request came."""


def check_count(count: int, max_inputs: int) -> None:
    """Raise InvalidInput for too many inputs."""
    if count > max_inputs:
        raise InvalidInput(f"{count} inputs in one request; the limit is {max_inputs}. Send several requests.")


def checked_size(model: LoadedModel, inputs: Sequence[object], settings: Settings) -> tuple[int, int]:
    """Characters and bytes of UTF-8 in all.

    Raises InvalidInput for too many inputs, InputTooLong for a text over the limit.
    """
    check_count(len(inputs), settings.max_inputs_per_request)
    chars = size_bytes = 0
    for item in inputs:
        for text in model.task.texts(item):
            chars += len(text)
            size_bytes += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
            if len(text) > settings.max_input_chars:
                raise InputTooLong(
                    f"A text of {len(text)} characters; the limit is {settings.max_input_chars}. Send it in parts."
                )
    return chars, size_bytes


def first_rounds(states: Sequence[InputState]) -> list[Sequence[ModelInput]]:
    """Tokenize: the rows of each input's first round. Raises InvalidInput."""
    return [next(state.rounds) for state in states]


def advance(state: InputState) -> Outcome | Sequence[ModelInput]:
    """Go on with an input whose round is done: its result or error, or the rows of its next round.

    Raises what a fault in the task raises.
    """
    assert state.job is not None, "a round is done"
    try:
        outputs = state.job.results()
        if any(output is None for output in outputs):
            raise Unavailable("This was given up, because nobody waited for it any more.")
        return state.rounds.send(outputs)
    except StopIteration as end:
        result: TaskResult[Result] = end.value
        return result
    except ServiceError as error:
        # Without its traceback, whose frames hold the error in turn.
        return error.with_traceback(None)
