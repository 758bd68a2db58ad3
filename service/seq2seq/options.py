"""How a text is to be written: what a request may choose, and what the model's folder fixes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """A request's choices, in transformers' names and meanings."""

    max_new_tokens: int
    min_new_tokens: int
    num_beams: int
    length_penalty: float
    """Exponent of the length by which a beam's log-probability is divided: above 0 favours long texts."""
    no_repeat_ngram_size: int
    """No n-gram of this size is written twice; 0 allows all. `names_from_source` ends names though one repeats."""
    names_from_source: bool = False
    """Numbers and acronyms are written only as they stand in the source; see names.py. Not one of transformers'."""
    early_stopping: bool = False
    """Stop as soon as `num_beams` texts are complete, instead of when none can get better."""


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Token ids that steer a decoder, from generation_config.json and config.json."""

    start: int
    ends: frozenset[int]
    banned: tuple[int, ...] = ()
    """Never written, such as Marian's padding."""
    forced_first: int | None = None
    forced_last: int | None = None


def special_tokens(config: dict[str, Any]) -> SpecialTokens:
    """Read them as transformers' `generate` does."""
    end = config.get("eos_token_id")
    start = config.get("decoder_start_token_id")
    if start is None:
        start = config.get("bos_token_id")
    banned = tuple(words[0] for words in config.get("bad_words_ids") or [] if len(words) == 1)
    return SpecialTokens(
        start=int(start or 0),
        ends=frozenset([end] if isinstance(end, int) else end or []),
        banned=banned + tuple(config.get("suppress_tokens") or ()),
        forced_first=config.get("forced_bos_token_id"),
        forced_last=config.get("forced_eos_token_id"),
    )


def default_options(config: dict[str, Any], serving: dict[str, Any]) -> GenerationOptions:
    """The model's own defaults: `serving["generation"]` first, then transformers' generation config."""
    own = {**config, **serving.get("generation", {})}
    longest = own.get("max_new_tokens") or (own.get("max_length") or 64) - 1
    shortest = own.get("min_new_tokens") or max(0, (own.get("min_length") or 0) - 1)
    return GenerationOptions(
        max_new_tokens=int(longest),
        min_new_tokens=int(min(shortest, longest)),
        num_beams=int(min(own.get("num_beams") or 1, 4)),
        length_penalty=float(own.get("length_penalty", 1.0)),
        no_repeat_ngram_size=int(own.get("no_repeat_ngram_size") or 0),
        names_from_source=own.get("names_from_source") is True,
        early_stopping=own.get("early_stopping") is True,
    )
