"""Requests and answers of our own dialect, as pydantic models: what is validated is what /openapi.json says."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]


class _Strict(BaseModel):
    """Unknown fields are refused: a misspelt parameter that is silently ignored helps nobody."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _one_or_many(value: Any) -> str:
    return "many" if isinstance(value, list) else "one"


class Question(_Strict):
    """A question and the text that holds its answer."""

    question: Text
    context: Text


# The discriminator makes one error of a wrong input, instead of one for each member of the union; the first is told.
Texts = Annotated[
    Annotated[Text, Tag("one")] | Annotated[list[Text], Field(min_length=1, fail_fast=True), Tag("many")],
    Discriminator(_one_or_many),
]
Questions = Annotated[
    Annotated[Question, Tag("one")] | Annotated[list[Question], Field(min_length=1, fail_fast=True), Tag("many")],
    Discriminator(_one_or_many),
]
ModelName = Annotated[
    str | None,
    Field(min_length=1, max_length=255, description="Name from /v1/models; the task's first model if left out."),
]


class ClassifyParameters(_Strict):
    top_k: int | None = Field(None, ge=1, description="Labels to give, best first; all if left out.")
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = Field(
        None,
        description="From logits to scores; if left out softmax, sigmoid where several labels may hold or there is "
        "only one, and none for a regression model, which answers its number.",
    )


class AnswerParameters(_Strict):
    top_k: int = Field(1, ge=1, le=100, description="Answers to give, best first.")
    max_answer_len: int = Field(30, ge=1, le=512, description="Tokens in an answer at most.")
    doc_stride: int = Field(
        128, ge=0, description="Tokens that neighbouring windows of a long context share, half a window at most."
    )
    handle_impossible_answer: bool = Field(False, description='Allow "" where the context holds no answer.')


Strategy = Literal["truncate", "map_reduce", "extractive"]
RequestedStrategy = Literal["auto", "truncate", "map_reduce", "extractive"]


class SummarizeParameters(_Strict):
    """What is left out is the model's own default."""

    max_new_tokens: int | None = Field(None, ge=1, description="Tokens to write at most.")
    min_new_tokens: int | None = Field(None, ge=0, description="Tokens to write at least.")
    num_beams: int | None = Field(None, ge=1, le=4, description="Texts followed side by side; 1 is greedy.")
    length_penalty: float | None = Field(None, ge=-10, le=10, description="Above 0 favours long texts (beams only).")
    no_repeat_ngram_size: int | None = Field(None, ge=0, le=64, description="Write no n-gram of this size twice.")
    names_from_source: bool | None = Field(
        None, description="Write numbers and acronyms only as they stand in what is summarized."
    )
    strategy: RequestedStrategy | None = Field(
        "auto",
        description="truncate: read what the model can and leave the rest; map_reduce: summarize the text in pieces, "
        "then the summaries; extractive: choose sentences, write nothing; auto: extractive for a text that is not like "
        "those the model was trained on, if the model can tell, else map_reduce for one longer than the model reads, "
        "else truncate.",
    )
    num_sentences: int | None = Field(
        None,
        ge=1,
        le=100,
        description="Sentences to choose (extractive only); if left out half of the text's, and 3 at most.",
    )
    sources: bool = Field(
        False, description="Say for each sentence of the summary which sentences of the text support it."
    )

    @model_validator(mode="after")
    def _ordered(self) -> SummarizeParameters:
        if self.min_new_tokens and self.max_new_tokens and self.min_new_tokens > self.max_new_tokens:
            raise ValueError("min_new_tokens must not be above max_new_tokens")
        return self


class InferenceRequest(_Strict):
    """What the requests of all tasks have."""

    inputs: Any
    parameters: Any
    model: ModelName = None


class ClassifyRequest(InferenceRequest):
    inputs: Texts
    parameters: ClassifyParameters = ClassifyParameters()


class AnswerRequest(InferenceRequest):
    inputs: Questions
    parameters: AnswerParameters = AnswerParameters()


class SummarizeRequest(InferenceRequest):
    inputs: Texts
    parameters: SummarizeParameters = SummarizeParameters()
    stream: bool = Field(
        False, description="Send the summary as server-sent events while it is written (one input at a time)."
    )


class _Result(BaseModel):
    truncated: bool = Field(description="Whether the model read less than the whole input.")
    truncated_at: int | None = Field(description="Character where reading stopped, null when all was read.")


class LabelScore(BaseModel):
    label: str
    score: float = Field(description="From 0 to 1; any number from a regression model or with function_to_apply none.")


class Classification(_Result):
    label: str = Field(description="The best label.")
    score: float
    scores: list[LabelScore] = Field(description="The top_k labels, best first.")


class Span(BaseModel):
    answer: str
    score: float
    start: int = Field(description="Character offsets into the context: context[start:end] is the answer.")
    end: int


class Answer(_Result, Span):
    truncated_at: int | None = Field(description="Character where the question was cut; contexts never are.")
    answers: list[Span] = Field(description="The top_k answers, best first.")
    windows: int = Field(description="Overlapping windows that the context was read in.")


class Sentence(BaseModel):
    """A sentence of the text: text[start:end]."""

    start: int
    end: int
    score: float


class SupportedSentence(BaseModel):
    """A sentence of the summary: summary[start:end]."""

    start: int
    end: int
    sources: list[Sentence] = Field(
        description="What supports it, best first; scores from 0 to 1, below 0.2 it should be doubted."
    )


class Summary(_Result):
    summary: str
    strategy: Strategy = Field(description="How it was made.")
    reason: str | None = Field(description="Why auto chose sentences instead of writing; null where it did not.")
    pieces: int = Field(description="Parts that the text was read in.")
    sentences: list[Sentence] | None = Field(description="The chosen sentences of the text (extractive), else null.")
    sources: list[SupportedSentence] | None = Field(description="Null unless asked for.")
    finish_reason: Literal["stop", "length"] = Field(description="Why writing ended: by itself, or max_new_tokens.")


class Usage(BaseModel):
    input_tokens: int
    output_tokens: int


class ClassifyResponse(BaseModel):
    model: str
    results: list[Classification]
    usage: Usage


class AnswerResponse(BaseModel):
    model: str
    results: list[Answer]
    usage: Usage


class SummarizeResponse(BaseModel):
    model: str
    results: list[Summary]
    usage: Usage


class ErrorBody(BaseModel):
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
