"""Requests and answers of our own dialect as pydantic models, and those of the operations routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, create_model

from service.engine.engine import ItemError
from service.tasks.base import AnyTask, streams
from service.tasks.parameters import Strict, Text

ResultT = TypeVar("ResultT")


class InferenceRequest(Strict):
    """What the requests of all tasks have; `request_schema` adds inputs and parameters."""

    inputs: object
    parameters: BaseModel
    model: str | None = Field(
        None, min_length=1, max_length=255, description="Name from /v1/models; the task's default model if left out."
    )

    on_error: Literal["request", "item"] = Field(
        "request",
        description="What an input that cannot be answered fails: the whole request, or with item only itself. Its "
        "place among the results then holds an object of error and error_type; if all fail, so does the request.",
    )

    @property
    def items(self) -> Sequence[object]:
        """The inputs, one or many, as a sequence."""
        return self.inputs if isinstance(self.inputs, list) else (self.inputs,)


class StreamingRequest(InferenceRequest):
    """A request whose answer may be sent while it is made."""

    stream: bool = Field(
        False, description="Send the answer as server-sent events while it is made (one input at a time)."
    )


class Usage(BaseModel):
    """What a request took."""

    input_tokens: int
    output_tokens: int


class InferenceResponse(BaseModel, Generic[ResultT]):
    """What the responses of all tasks have."""

    # Of the classes that response_schema makes only the last is used, and that for /openapi.json alone.
    model_config = ConfigDict(defer_build=True)

    model: str
    results: list[ResultT | ItemError] = Field(description="By input, in their order.")
    usage: Usage


def item_type(task: type[AnyTask]) -> Any:
    """The type that pydantic validates one input of a task by."""
    return Text if task.item_type is str else task.item_type


def _one_or_many(value: object) -> str:
    return "(many)" if isinstance(value, list) else "(one)"


def request_schema(task: type[AnyTask]) -> type[InferenceRequest]:
    """The request body of a task, named after its route."""
    item: Any = item_type(task)  # a type made at run time
    inputs = Annotated[
        Annotated[item, Tag("(one)")] | Annotated[list[item], Field(min_length=1, fail_fast=True), Tag("(many)")],
        # One error of a wrong input, instead of one for each member of the union.
        Discriminator(_one_or_many),
    ]
    return create_model(
        f"{task.route.title()}Request",
        __base__=StreamingRequest if streams(task) else InferenceRequest,
        inputs=(inputs, ...),
        parameters=(task.parameters_type, task.parameters_type()),
    )


def response_schema(task: type[AnyTask]) -> type[InferenceResponse[Any]]:
    """The response body of a task, named after its route."""
    base = InferenceResponse[task.result_type]  # type: ignore[name-defined]  # a type made at run time
    return create_model(f"{task.route.title()}Response", __base__=base)


class ErrorBody(BaseModel):
    """Every error of our own dialect."""

    error: str = Field(description="A sentence that says what was wrong and what to do.")
    error_type: str = Field(description="A word for programs.")


class ModelCard(BaseModel):
    name: str
    task: str
    route: str
    labels: list[str]
    multi_label: bool
    precision: str
    size_bytes: int
    limits: dict[str, int]
    score: dict[str, float] = Field(description="From the artifact's metrics.json, in points.")
    default: bool = Field(description="Whether requests of its task without a model's name get it.")


class MissingModel(BaseModel):
    name: str = Field(description="Of its folder.")
    reason: str = Field(description="Why it could not be loaded.")


class ModelList(BaseModel):
    models: list[ModelCard]
    missing: list[MissingModel] = Field(description="Folders that could not be loaded.")


class Health(BaseModel):
    status: Literal["ok", "unhealthy"]


class Readiness(Health):
    missing: list[MissingModel] = Field(description="Models that could not be loaded; the others are served.")
