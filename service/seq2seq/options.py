"""Options of generation: those that a request may choose, and the token ids that the model's folder fixes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MAX_BEAMS = 4
"""Beams that a request may ask for, or a model have by default."""


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """What a request may choose, with transformers' names and meanings."""

    max_new_tokens: int
    min_new_tokens: int
    num_beams: int
    length_penalty: float
    """Exponent of the length that a beam's log-probability is divided by: values above 0 favour long texts."""
    no_repeat_ngram_size: int
    """No n-gram of this size is written twice, except inside a name with `names_from_source`; 0 allows all."""
    names_from_source: bool = False
    """Numbers and acronyms are written only as the source has them (source_names.py); not one of transformers'."""
    early_stopping: bool = False
    """Stop as soon as `num_beams` texts are complete, instead of when none can get better."""


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Token ids that control a decoder, from generation_config.json and config.json."""

    start: int
    ends: frozenset[int]
    banned: tuple[int, ...] = ()
    """Token ids that are never written, such as Marian's padding."""
    forced_first: int | None = None
    forced_last: int | None = None


# The configurations are JSON: any value may stand in them.
def special_tokens(config: dict[str, Any]) -> SpecialTokens:
    """The special tokens of a generation config, as transformers' `generate` reads it."""
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
    """A model's default options: `serving["generation"]` first, then transformers' generation config."""
    own = {**config, **serving.get("generation", {})}
    longest = own.get("max_new_tokens") or (own.get("max_length") or 64) - 1
    shortest = own.get("min_new_tokens") or max(0, (own.get("min_length") or 0) - 1)
    return GenerationOptions(
        max_new_tokens=int(longest),
        min_new_tokens=int(min(shortest, longest)),
        num_beams=int(min(own.get("num_beams") or 1, MAX_BEAMS)),
        length_penalty=float(own.get("length_penalty", 1.0)),
        no_repeat_ngram_size=int(own.get("no_repeat_ngram_size") or 0),
        names_from_source=own.get("names_from_source") is True,
        early_stopping=own.get("early_stopping") is True,
    )
