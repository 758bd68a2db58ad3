"""The protocols of tasks and of the models that the scheduler runs for them, and the results that tasks return."""

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

    The API documentation describes the fields by their attribute docstrings.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # by which type checkers know a dataclass
    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class TaskResult(Generic[ResultT_co]):
    """The result of one input, and the tokens that were read and written for it."""

    result: ResultT_co
    input_tokens: int
    output_tokens: int = 0
    truncated: bool = False
    """Whether the model read less than the whole input."""


Rounds: TypeAlias = Generator[Sequence[ModelInput], Sequence[object], TaskResult[ResultT_co]]
"""The rounds of one input: yields the rows of each, is sent their outputs in the same order, returns the result."""


class Model(Protocol):
    """A loaded model, as the scheduler uses it. `run` is called from several worker threads at once."""

    @property
    def cost(self) -> CostModel:
        """Predicts the seconds of the first pass over a batch."""

    @property
    def max_batch_rows(self) -> float:
        """Most rows in a batch of many passes; inf for a model whose rows take one pass."""

    def remaining_s(self, inputs: object) -> float:
        """Seconds that a row with these inputs (those of its ModelInput) costs after its first pass."""

    def run(self, rows: list[Row], *, exclusive: bool) -> Passes:
        """The passes of a batch; `exclusive` if no other batch is running, so that it may use all cores."""

    def warm_up(self) -> tuple[WarmUps, WarmUps]:
        """Passes by which the cost model is measured: those on one core, and those on all cores."""


class Task(Protocol[ItemT_contra, ParametersT_contra, ResultT_co]):
    """A task served with one model. Safe to use from several threads."""

    name: ClassVar[str]
    """Hugging Face's name of the task."""
    route: ClassVar[str]
    """Its path under /v1/."""
    heads: ClassVar[tuple[str, ...]]
    """Endings of the names of the architectures that it serves (config.json), such as "ForQuestionAnswering"."""
    encoder_decoder: ClassVar[bool]
    """Whether it serves encoder-decoders only: other models have heads of the same names."""
    description: ClassVar[str]
    """A sentence or two for the API documentation."""
    item_type: ClassVar[Any]
    """What pydantic validates one input by."""
    parameters_type: ClassVar[type[BaseModel]]
    """All fields have defaults."""
    result_type: ClassVar[type[Result]]

    @property
    def model(self) -> Model:
        """The model that the scheduler runs."""

    def __init__(self, artifact: Artifact, *, batch_tokens: int, intra_op_threads: int) -> None:
        """Load the model. Raises ArtifactError for a folder that cannot be served."""

    @property
    def labels(self) -> Sequence[str]:
        """Class names by index; empty for a task without classes."""

    def texts(self, item: ItemT_contra) -> Sequence[str]:
        """The texts of an input, whose lengths are limited."""

    def run(self, item: ItemT_contra, parameters: ParametersT_contra) -> Rounds[ResultT_co]:
        """The rounds of one input.

        Raises InvalidInput before the first round for an input that the model cannot read or parameters that it cannot
        follow, and InferenceError for outputs that are not finite.
        """


@runtime_checkable
class StreamingTask(
    Task[ItemT_contra, ParametersT_contra, ResultT_co], Protocol[ItemT_contra, ParametersT_contra, ResultT_co]
):
    """A task whose result can be sent while it is being made."""

    def text_so_far(self, tokens: list[int]) -> str:
        """The text to send of a result that begins with these token ids; with more of them it only grows."""

    def text_of(self, result: Result) -> str:
        """The text of a result; the pieces of its stream add up to it."""


def streams(task: type[AnyTask]) -> bool:
    """Whether the instances of a task class are StreamingTasks."""
    return hasattr(task, "text_so_far")


AnyTask: TypeAlias = Task[Any, Any, Any]
"""A task of any input and result, as the registry holds them; looking a model up by route ensures that they fit."""
