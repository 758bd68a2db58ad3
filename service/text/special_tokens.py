"""The special tokens that a tokenizer puts around texts."""

from __future__ import annotations

from array import array
from typing import TypeAlias

import tokenizers

IdsAndTypes: TypeAlias = "tuple[array[int], array[int]]"
"""Token ids and token type ids, of equal length."""


class SpecialTokensTemplate:
    """Special tokens before, between and after one text or two, and the type id of each text's tokens."""

    def __init__(self, sample: tokenizers.Encoding) -> None:
        """`sample` is an encoding with special tokens of as many texts, none of them empty. Its padding is ignored."""
        self._before: IdsAndTypes = (array("q"), array("q"))
        self._texts: list[tuple[array[int], IdsAndTypes]] = []
        """For each text its type id, and the special tokens after it."""
        last = None
        tokens = zip(sample.sequence_ids, sample.ids, sample.type_ids, sample.attention_mask, strict=True)
        for text, token, type_id, attended in tokens:
            if not attended:
                continue
            if text is None:
                ids, types = self._texts[-1][1] if self._texts else self._before
                ids.append(token)
                types.append(type_id)
            elif text != last:
                self._texts.append((array("q", [type_id]), (array("q"), array("q"))))
                last = text
        self.first = len(self._before[0])
        """Position of the first text's first token."""
        self.size = self.first + sum(len(ids) for _, (ids, _) in self._texts)
        """Number of special tokens."""

    def second_start(self, first: list[int]) -> int:
        """Position of the second text's first token behind a first text of these tokens."""
        return self.first + len(first) + len(self._texts[0][1][0])

    def apply(self, *texts: list[int]) -> IdsAndTypes:
        """Put the special tokens around the texts' token ids; as many texts as the sample had."""
        ids, types = self._before[0][:], self._before[1][:]
        for text, (type_id, (after, after_types)) in zip(texts, self._texts, strict=True):
            ids.fromlist(text)
            ids += after
            types += type_id * len(text)
            types += after_types
        return ids, types
