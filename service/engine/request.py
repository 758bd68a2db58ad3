"""A request on its way through the engine: what it asks, and what it waits for."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from service.config import Settings
from service.engine.in_flight import InputState, Outcome, Wait
from service.engine.loaded_model import LoadedModel
from service.errors import DeadlineExceeded, InputTooLong, InvalidInput, ServiceError, Unavailable
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
    per_item: bool = False
    """Whether an input that cannot be answered has its error for a result, instead of failing the request."""
    found: list[Outcome | Wait] = field(default_factory=list)
    """By input, in their order: a result from the cache, a computation to wait for, or why there is neither."""
    new: dict[Hashable, InputState] = field(default_factory=dict)
    """Inputs that nobody computed when this request came."""

    def index_of(self, state: InputState) -> int:
        """The place of the first input that waits for a computation."""
        return next(at for at, found in enumerate(self.found) if isinstance(found, Wait) and found.state is state)


def check_count(count: int, max_inputs: int) -> None:
    """Raise InvalidInput for too many inputs."""
    if count > max_inputs:
        raise InvalidInput(f"{count} inputs in one request; the limit is {max_inputs}. Send several requests.")


@dataclass(slots=True)
class Sizes:
    """What a request's texts come to."""

    inputs: list[object]
    """With an error in the place of each that has a text over the limit."""
    chars: int = 0
    size_bytes: int = 0
    """In UTF-8."""


def checked_sizes(model: LoadedModel, inputs: Sequence[object], settings: Settings, *, per_item: bool) -> Sizes:
    """Raises InvalidInput for too many inputs, InputTooLong for a text over the limit, unless `per_item`."""
    check_count(len(inputs), settings.max_inputs_per_request)
    sizes = Sizes(list(inputs))
    for index, item in enumerate(inputs):
        for text in () if isinstance(item, ServiceError) else model.task.texts(item):
            if len(text) > settings.max_input_chars:
                error = InputTooLong(
                    f"A text of {len(text)} characters; the limit is {settings.max_input_chars}. Send it in parts."
                )
                if not per_item:
                    raise of_item(error, index, len(inputs))
                sizes.inputs[index] = error
                break
            sizes.chars += len(text)
            sizes.size_bytes += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return sizes


def of_item(error: ServiceError, index: int, count: int) -> ServiceError:
    """An error to raise for a request of `count` inputs because of one of them, which it names.

    A copy: the traceback of a raised error holds its frames, which hold the request, which holds the error.
    """
    raised = copy.copy(error)
    if count > 1 and not isinstance(error, DeadlineExceeded | Unavailable):  # which say nothing of this input
        raised.args = (f"inputs[{index}]: {error}",)
    return raised


def first_rounds(states: Sequence[InputState], *, per_item: bool) -> list[Sequence[ModelInput] | ServiceError]:
    """Tokenize: the rows of each input's first round, or why there are none; such ends it, unless `per_item`."""
    rounds: list[Sequence[ModelInput] | ServiceError] = []
    for state in states:
        try:
            rounds.append(next(state.rounds))
        except ServiceError as error:
            rounds.append(error.with_traceback(None))
            if not per_item:
                break
    return rounds


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
