"""What a task is to the rest of the service: how one input becomes rows of a model, and their outputs a result."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import Field, dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict

from service.artifact import Artifact
from service.scheduling.cost_model import CostModel
from service.scheduling.job import ModelInput, Passes, Row, WarmUps

ItemT_contra = TypeVar("ItemT_contra", contravariant=True)
ParametersT_contra = TypeVar("ParametersT_contra", contravariant=True, bound=BaseModel)
ResultT_co = TypeVar("ResultT_co", bound="Result", covariant=True)


class Result:
    """Base of the tasks' results: frozen dataclasses with plain fields, which know nothing of JSON, paths or statuses.

    Their attribute docstrings are what the API documentation says of their fields.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # what makes a dataclass one to a type checker
    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class TaskResult(Generic[ResultT_co]):
    """The result of one input, and what it took."""

    result: ResultT_co
    input_tokens: int
    output_tokens: int = 0
    truncated: bool = False
    """Whether the model read less than the whole input."""


Rounds: TypeAlias = Generator[Sequence[ModelInput], Sequence[object], TaskResult[ResultT_co]]
"""Yields the rows of a round, is sent their outputs in the same order, and so on; returns the result."""


class Model(Protocol):
    """A loaded model, to the scheduler. Its methods are called from worker threads, `run` from several at once."""

    @property
    def cost(self) -> CostModel:
        """Seconds of its first pass over rows."""

    @property
    def max_batch_rows(self) -> float:
        """Rows of a batch of many passes; inf for a model whose rows take one pass."""

    def remaining_s(self, inputs: object) -> float:
        """Seconds that a row with these inputs costs after its first pass."""

    def run(self, rows: list[Row], *, exclusive: bool) -> Passes:
        """The passes of a batch, on all cores if `exclusive`."""

    def warm_up(self) -> tuple[WarmUps, WarmUps]:
        """Passes that measure the cost model: those on one core, and those on all cores."""


class Task(Protocol[ItemT_contra, ParametersT_contra, ResultT_co]):
    """A task served with one model. Safe to use from several threads."""

    name: ClassVar[str]
    """Hugging Face's name of the task."""
    route: ClassVar[str]
    """Its path under /v1/."""
    heads: ClassVar[tuple[str, ...]]
    """Endings of the architecture names (config.json) that it serves."""
    description: ClassVar[str]
    """A sentence or two for /docs."""
    item_type: ClassVar[type]
    parameters_type: ClassVar[type[BaseModel]]
    result_type: ClassVar[type[Result]]

    @property
    def model(self) -> Model:
        """What the scheduler runs for it."""

    def __init__(self, artifact: Artifact, *, batch_tokens: int, wide_threads: int) -> None:
        """Load the model. Raises ArtifactError for a folder that cannot be served."""

    @property
    def labels(self) -> Sequence[str]:
        """Class names by index; empty for a task without classes."""

    def texts(self, item: ItemT_contra) -> Sequence[str]:
        """The texts of an input, whose length limits apply to."""

    def run(self, item: ItemT_contra, parameters: ParametersT_contra) -> Rounds[ResultT_co]:
        """The rounds of one input.

        Raises InvalidInput before the first round for what the model cannot read, and InferenceError for outputs that
        are not finite.
        """


@runtime_checkable
class StreamingTask(
    Task[ItemT_contra, ParametersT_contra, ResultT_co], Protocol[ItemT_contra, ParametersT_contra, ResultT_co]
):
    """A task whose result can be sent while it is being made."""

    def text_so_far(self, tokens: list[int]) -> str:
        """The text that a reader may see of a result that begins with these token ids."""

    def text_of(self, result: Result) -> str:
        """The whole text, which the pieces of a stream add up to."""


def streams(task: type[AnyTask]) -> bool:
    """Whether the instances of a task class are StreamingTasks."""
    return hasattr(task, "text_so_far")


# Tasks of different inputs and results stand side by side in the registry. That a model is given inputs of its own
# task is checked where it is looked up by route.
AnyTask: TypeAlias = Task[Any, Any, Any]
