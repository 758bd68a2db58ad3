"""The special tokens around texts, as a tokenizer sets them."""

from __future__ import annotations

from array import array
from typing import TypeAlias

import tokenizers

Row: TypeAlias = "tuple[array[int], array[int]]"
"""Token ids and token types."""


class SpecialTokensTemplate:
    """The special tokens before, between and after one text or two, and the type of each text's tokens."""

    def __init__(self, sample: tokenizers.Encoding) -> None:
        """`sample` is a row of texts none of which is empty; its padding is left out."""
        self._before: Row = (array("q"), array("q"))
        self._texts: list[tuple[array[int], Row]] = []
        """For each its type, and what comes after it."""
        last = None
        tokens = zip(sample.sequence_ids, sample.ids, sample.type_ids, sample.attention_mask, strict=True)
        for text, number, kind, seen in tokens:
            if not seen:
                continue
            if text is None:
                ids, types = self._texts[-1][1] if self._texts else self._before
                ids.append(number)
                types.append(kind)
            elif text != last:
                self._texts.append((array("q", [kind]), (array("q"), array("q"))))
                last = text
        self.first = len(self._before[0])
        """Position of the first text's first token."""
        self.size = self.first + sum(len(ids) for _, (ids, _) in self._texts)
        """Special tokens in all."""

    def second(self, first: list[int]) -> int:
        """Position of the second text's first token."""
        return self.first + len(first) + len(self._texts[0][1][0])

    def row(self, *texts: list[int]) -> Row:
        """The texts' tokens with all that belongs around them."""
        ids, types = self._before[0][:], self._before[1][:]
        for text, (kind, (after, after_types)) in zip(texts, self._texts, strict=True):
            ids.fromlist(text)
            ids += after
            types += kind * len(text)
            types += after_types
        return ids, types
