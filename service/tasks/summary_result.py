"""The result of a summarization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from service.tasks.base import Result
from service.tasks.parameters import Strategy


@dataclass(frozen=True, slots=True)
class Sentence(Result):
    """A sentence of the text: text[start:end]."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class SupportedSentence(Result):
    """A sentence of the summary: summary[start:end]."""

    start: int
    end: int
    sources: list[Sentence]
    """The sentences of the text that support it, best first; scores from 0 to 1, below 0.2 it should be doubted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryResult(Result):
    """A summary, and how it was made."""

    summary: str
    strategy: Strategy
    """How it was made."""
    reason: str | None = None
    """Why auto chose sentences instead of writing; null where it did not."""
    pieces: int
    """Parts that the text was read in."""
    sentences: list[Sentence] | None = None
    """The chosen sentences of the text (extractive), else null."""
    sources: list[SupportedSentence] | None = None
    """Null unless requested."""
    finish_reason: Literal["stop", "length"] = "stop"
    """Why writing ended: by itself, or max_new_tokens."""
    truncated: bool = False
    """Whether the model read less than the whole input."""
    truncated_at: int | None = None
    """Character where reading stopped, null when all was read."""
