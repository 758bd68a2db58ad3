"""Inputs and parameters of the tasks, as pydantic models: what is validated is what the documentation says."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from service.seq2seq.options import MAX_BEAMS

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
"""Text that is not empty and not only white space."""


class Strict(BaseModel):
    """Refuses unknown fields, so that a misspelt parameter is not silently ignored. A null is a field left out."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        if not isinstance(given, dict) or None not in given.values():
            return given
        return {name: value for name, value in given.items() if value is not None or name not in cls.model_fields}


class Question(Strict):
    """A question and the text that holds its answer."""

    question: Text
    context: Text


class ClassifyParameters(Strict):
    top_k: int | None = Field(None, ge=1, description="Labels to give, best first; all if left out.")
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = Field(
        None,
        description="From logits to scores; if left out softmax, sigmoid where several labels may hold or there is "
        "only one, and none for a regression model, which answers its number.",
    )


class AnswerParameters(Strict):
    top_k: int = Field(1, ge=1, le=100, description="Answers to give, best first.")
    max_answer_len: int = Field(30, ge=1, le=512, description="Tokens in an answer at most.")
    doc_stride: int = Field(
        128, ge=0, description="Tokens that neighbouring windows of a long context share, half a window at most."
    )
    handle_impossible_answer: bool = Field(False, description='Allow "" where the context holds no answer.')


Strategy = Literal["truncate", "map_reduce", "extractive"]
RequestedStrategy = Literal["auto", "truncate", "map_reduce", "extractive"]


class SummarizeParameters(Strict):
    """Parameters that are left out take the model's own defaults."""

    max_new_tokens: int | None = Field(None, ge=1, description="Tokens to write at most.")
    min_new_tokens: int | None = Field(None, ge=0, description="Tokens to write at least.")
    num_beams: int | None = Field(None, ge=1, le=MAX_BEAMS, description="Beams of the search; 1 is greedy.")
    length_penalty: float | None = Field(None, ge=-10, le=10, description="Above 0 favours long texts (beams only).")
    no_repeat_ngram_size: int | None = Field(None, ge=0, le=64, description="Write no n-gram of this size twice.")
    names_from_source: bool | None = Field(
        None, description="Write numbers and acronyms only as they stand in what is summarized."
    )
    strategy: RequestedStrategy = Field(
        "auto",
        description="truncate: read what the model can and leave the rest; map_reduce: summarize the text in pieces, "
        "then the summaries; extractive: choose sentences, so that parameters of writing have no effect; auto: "
        "extractive for a text that is not like those the model was trained on, if the model can tell, else map_reduce "
        "for one longer than the model reads, else truncate.",
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
