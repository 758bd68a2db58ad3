"""Text to token ids and back, with character offsets and without shared state."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from service.errors import ArtifactError
from service.marian import marian_tokenizer
from service.sentences import Span, fit, pack, sentence_spans

_CHARS_UNDER_GIL = 1000  # half a millisecond


@dataclass(frozen=True, slots=True)
class Encoding:
    """One row as a model reads it; 64-bit whole numbers."""

    ids: array[int]
    type_ids: array[int]
    truncated_at: int | None = None
    """Character where reading stopped, None when all of it was read."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Window:
    """A question with a stretch of its context."""

    encoding: Encoding
    first: int
    """Position in the row of the context's first token."""
    offsets: list[tuple[int, int]]
    """Character span in the whole context of each context token, from position `first` on."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive sentences of a text in one row."""

    encoding: Encoding
    sentences: range
    first: int
    """Position in the row of the first sentence's first token; the others follow without a gap."""


@dataclass(frozen=True, slots=True)
class Sentences:
    """A text by sentences, and the rows that all of it is read in."""

    spans: list[Span]
    """Character offsets of each sentence; one that no row could hold is in parts."""
    lengths: list[int]
    """Tokens of each."""
    passages: list[Passage]


def _load(folder: Path) -> tokenizers.Tokenizer:
    path = folder / "tokenizer.json"
    if not path.is_file() and (folder / "source.spm").is_file():
        return marian_tokenizer(folder)
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the binding raises bare Exception
        raise ArtifactError(f"{path}: no tokenizer ({error})") from error


class Tokenizer:
    """A model's tokenizer. Safe to use from several threads: truncation is done on encodings, not set on it."""

    def __init__(self, folder: Path) -> None:
        """Raises ArtifactError if the folder has no tokenizer.json, nor Marian's files, or one cannot be read."""
        self._tokenizer = _load(folder)
        # MiniLM's file pads everything to 128 and cuts there; both are decided here, a row at a time.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def _tokens_of(self, text: str) -> tokenizers.Encoding:
        # encode_batch() drops the GIL: 200,000 characters in a thread stalled the event loop for 230 ms with encode(),
        # 7 ms with it. But whoever takes the GIL then has to be waited for, which costs more than a short text.
        if len(text) <= _CHARS_UNDER_GIL:
            return self._tokenizer.encode(text, add_special_tokens=False)
        return self._tokenizer.encode_batch([text], add_special_tokens=False)[0]

    def _row(self, encoding: tokenizers.Encoding, truncated_at: int | None = None) -> Encoding:
        return Encoding(array("q", encoding.ids), array("q", encoding.type_ids), truncated_at)

    def encode(self, text: str, max_tokens: int) -> Encoding:
        """One text, cut at `max_tokens` (special tokens included)."""
        if len(text) <= _CHARS_UNDER_GIL:
            whole = self._tokenizer.encode(text)
            if len(whole) <= max_tokens:
                return self._row(whole)
        encoding = self._tokens_of(text)
        room = max_tokens - self._tokenizer.num_special_tokens_to_add(False)
        truncated_at = None
        if len(encoding) > room:
            encoding.truncate(room)
            truncated_at = encoding.offsets[-1][1]
        return self._row(self._tokenizer.post_process(encoding), truncated_at)

    def sentences(self, text: str, max_tokens: int) -> Sentences:
        """The text by sentences, each tokenized by itself, in as few rows of at most `max_tokens` as there can be."""
        room = max_tokens - self._tokenizer.num_special_tokens_to_add(False)
        spans, lengths = self._fitted(text, room)
        encodings = self._tokens_of_all([text[start:end] for start, end in spans])
        passages = []
        for chosen in pack(lengths, room):
            merged = tokenizers.Encoding.merge([encodings[index] for index in chosen], growing_offsets=True)
            row = self._tokenizer.post_process(merged)
            passages.append(Passage(self._row(row), chosen, row.special_tokens_mask.index(0)))
        return Sentences(spans, lengths, passages)

    def _fitted(self, text: str, room: int) -> tuple[list[Span], list[int]]:
        """The text's sentences and their tokens, those of more than `room` cut up."""
        return fit(text, sentence_spans(text), room, lambda texts: list(map(len, self._tokens_of_all(texts))))

    def _tokens_of_all(self, texts: list[str]) -> list[tokenizers.Encoding]:
        """Of each, its runs of space as single ones."""
        cleaned = [" ".join(text.split()) for text in texts]
        return list(self._tokenizer.encode_batch(cleaned, add_special_tokens=False))

    def pieces(self, text: str, max_tokens: int, *, prefix: str = "") -> list[Encoding]:
        """All of a text in rows of whole sentences, `prefix` before each."""
        room = max_tokens - self._tokenizer.num_special_tokens_to_add(False) - len(self._tokens_of(prefix))
        spans, lengths = self._fitted(text, room)
        waiting = list(reversed(pack(lengths, room)))
        found: list[Encoding] = []
        while waiting:
            chosen = waiting.pop()
            # Runs of space are single ones here too, as they were counted.
            piece = " ".join(text[spans[chosen.start][0] : spans[chosen.stop - 1][1]].split())
            encoding = self.encode(prefix + piece, max_tokens)
            if encoding.truncated_at is not None and len(chosen) > 1:
                # Together they have a few tokens more than each by itself.
                middle = chosen.start + len(chosen) // 2
                waiting += [range(middle, chosen.stop), range(chosen.start, middle)]
            else:
                found.append(encoding)
        return found

    def windows(self, question: str, context: str, *, max_tokens: int, stride: int) -> tuple[list[Window], int | None]:
        """The question beside overlapping stretches of the context; neighbours share `stride` tokens.

        They share half a stretch at most, so that a huge stride cannot make a window of each token. A question that
        leaves less than half of a row for the context is cut. Returns the windows and the character where the question
        was cut, None if it was not.
        """
        asked = self._tokens_of(question)
        text = self._tokens_of(context)
        room = max_tokens - self._tokenizer.num_special_tokens_to_add(True)
        cut_at = None
        if len(asked) > room // 2:
            asked.truncate(room // 2)
            cut_at = asked.offsets[-1][1]
        room -= len(asked)
        if len(text) > room:
            text.truncate(room, stride=min(stride, room // 2))
        return [self._window(asked, stretch) for stretch in (text, *text.overflowing)], cut_at

    def _window(self, asked: tokenizers.Encoding, stretch: tokenizers.Encoding) -> Window:
        row = self._tokenizer.post_process(asked, stretch)
        first = row.sequence_ids.index(1) if len(stretch) else len(row)
        return Window(self._row(row), first, stretch.offsets)

    def decode(self, ids: list[int]) -> str:
        """Text of `ids`, special tokens left out, no space at either end."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()
