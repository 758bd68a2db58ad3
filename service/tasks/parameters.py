"""Inputs and parameters of the tasks, as pydantic models: what is validated is what the documentation says."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    StringConstraints,
    Tag,
    model_validator,
)

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


class TextPair(Strict):
    """Two texts that are read together, such as a premise and a hypothesis."""

    text: Text
    text_pair: Text


def _text_or_pair(value: object) -> str | None:
    if isinstance(value, str):
        return "(text)"
    return "(pair)" if isinstance(value, dict | TextPair) else None


TextOrPair: TypeAlias = Annotated[
    Annotated[Text, Tag("(text)")] | Annotated[TextPair, Tag("(pair)")],
    Discriminator(
        _text_or_pair,
        custom_error_type="text_or_pair",
        custom_error_message='Input should be a text, or two as {"text": ..., "text_pair": ...}',
    ),
]
"""One text, or two that are read together."""


class ClassifyParameters(Strict):
    top_k: int | None = Field(None, ge=1, description="Labels to give, best first; all if left out.")
    threshold: float | None = Field(
        None,
        description="Leave labels below this score out of `scores`; `label` and `score` are always the best one's.",
    )
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


AggregationStrategy = Literal["none", "simple", "first", "average", "max"]


class EntitiesParameters(Strict):
    aggregation_strategy: AggregationStrategy = Field(
        "simple",
        description="none: a tag for each token; simple: neighbouring tokens with the same tag are an entity, which "
        "may be a part of a word; first, average, max: entities of whole words, whose tag is that of the first token, "
        "of the tokens' average scores, or of the token with the highest score.",
    )
    ignore_labels: tuple[str, ...] = Field(
        ("O",),
        max_length=1000,
        description="Labels to leave out, without B- and I- unless aggregation_strategy is none.",
    )
    stride: int = Field(
        128, ge=0, description="Tokens that neighbouring windows of a long text share, half a window at most."
    )
    long_text: Literal["truncate", "window", "error"] = Field(
        "window",
        description="For a text that is longer than the model reads. window: read it in overlapping windows; truncate: "
        "read its beginning; error: refuse it.",
    )


LongText = Literal["truncate", "window", "error"]


TokenId = Annotated[int, Field(ge=0, strict=True)]


class TokenIds(RootModel[Annotated[tuple[TokenId, ...], Field(min_length=1)]]):
    """Token ids of the model's own vocabulary, without special tokens."""

    model_config = ConfigDict(frozen=True)


def _text_or_ids(value: object) -> str:
    return "(ids)" if isinstance(value, list | TokenIds) else "(text)"


TextOrIds: TypeAlias = Annotated[
    Annotated[Text, Tag("(text)")] | Annotated[TokenIds, Tag("(ids)")],
    Discriminator(_text_or_ids),
]
"""A text, or its token ids."""


class EmbedParameters(Strict):
    normalize: bool | None = Field(None, description="Scale the vector to length 1; as the model says if left out.")
    prompt_name: str | None = Field(
        None,
        description='Prompt to put before the text, by its name, such as "query" or "document"; the model\'s default '
        "prompt, if it has one, if left out.",
    )
    prompt: str | None = Field(None, description='Text to put before the text, instead of a named prompt; "" for none.')
    dimensions: int | None = Field(
        None,
        ge=1,
        description="Leading numbers of the vector to give, for models trained for it (Matryoshka); the shorter vector "
        "is normalized again.",
    )
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="base64 gives the numbers' bytes, as little-endian float32."
    )
    long_text: LongText = Field(
        "truncate",
        description="What is done with a text longer than the model reads: truncate reads its beginning, window "
        "averages the vectors of its parts, weighted by tokens, and error refuses it.",
    )

    @model_validator(mode="after")
    def _one_prompt(self) -> EmbedParameters:
        if self.prompt is not None and self.prompt_name is not None:
            raise ValueError("send prompt or prompt_name, not both")
        return self
