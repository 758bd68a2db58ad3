"""Text to token ids and back, with character offsets and without shared state."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from service.errors import ArtifactError
from service.frame import Frame
from service.marian import marian_tokenizer
from service.sentences import Span, fit, pack, sentence_spans
from service.words import Words, reads_by_words

_CHARS_UNDER_GIL = 1000  # half a millisecond
_CHARS_BY_WORDS = 10_000  # a longer text would drive all others' words from memory
_SAMPLE = "a"


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
class Tokens:
    """A text's tokens, special ones left out."""

    ids: list[int]
    span: Callable[[int], Span]
    """Characters of the token with this number."""


@dataclass(frozen=True, slots=True)
class Window:
    """A question with a stretch of its context."""

    encoding: Encoding
    first: int
    """Position in the row of the stretch's first token."""
    size: int
    """Tokens of the stretch."""
    begin: int
    """Number of its first token in the whole context."""
    context: Tokens

    def span(self, token: int) -> Span:
        """Characters, in the whole context, of a token of the stretch."""
        return self.context.span(self.begin + token)


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
    if not path.is_file():
        command = "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        raise ArtifactError(f"{path}: there is none; transformers makes it with {command}")
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
        self._single = Frame(self._tokenizer.encode(_SAMPLE))
        self._pair = Frame(self._tokenizer.encode(_SAMPLE, _SAMPLE))
        self._words = Words(self._tokens_of_each) if reads_by_words(self._tokenizer) else None

    def _tokens_of(self, text: str) -> tokenizers.Encoding:
        # encode_batch() drops the GIL: 200,000 characters in a thread stalled the event loop for 230 ms with encode(),
        # 7 ms with it. But whoever takes the GIL then has to be waited for, which costs more than a short text.
        if len(text) <= _CHARS_UNDER_GIL:
            return self._tokenizer.encode(text, add_special_tokens=False)
        return self._tokenizer.encode_batch([text], add_special_tokens=False)[0]

    def _tokens_of_each(self, texts: list[str]) -> list[tokenizers.Encoding]:
        return list(self._tokenizer.encode_batch(texts, add_special_tokens=False))

    def _tokens(self, text: str) -> Tokens:
        if self._words is not None and len(text) <= _CHARS_BY_WORDS:
            ids, places = self._words.read(text)
            return Tokens(ids, places.span)
        encoding = self._tokens_of(text)
        return Tokens(encoding.ids, encoding.token_to_chars)

    def encode(self, text: str, max_tokens: int) -> Encoding:
        """One text, cut at `max_tokens` (special tokens included)."""
        tokens = self._tokens(text)
        room = max_tokens - self._single.size
        if len(tokens.ids) <= room:
            return Encoding(*self._single.row(tokens.ids))
        return Encoding(*self._single.row(tokens.ids[:room]), truncated_at=tokens.span(room - 1)[1])

    def sentences(self, text: str, max_tokens: int) -> Sentences:
        """The text by sentences, each tokenized by itself, in as few rows of at most `max_tokens` as there can be."""
        room = max_tokens - self._single.size
        spans, lengths = self._fitted(text, room)
        encodings = self._tokens_of_all([text[start:end] for start, end in spans])
        passages = []
        for chosen in pack(lengths, room):
            ids = [number for index in chosen for number in encodings[index].ids]
            passages.append(Passage(Encoding(*self._single.row(ids)), chosen, self._single.first))
        return Sentences(spans, lengths, passages)

    def _fitted(self, text: str, room: int) -> tuple[list[Span], list[int]]:
        """The text's sentences and their tokens, those of more than `room` cut up."""
        return fit(text, sentence_spans(text), room, lambda texts: list(map(len, self._tokens_of_all(texts))))

    def _tokens_of_all(self, texts: list[str]) -> list[tokenizers.Encoding]:
        """Of each, its runs of space as single ones."""
        return self._tokens_of_each([" ".join(text.split()) for text in texts])

    def pieces(self, text: str, max_tokens: int, *, prefix: str = "") -> list[Encoding]:
        """All of a text in rows of whole sentences, `prefix` before each."""
        room = max_tokens - self._single.size - len(self._tokens_of(prefix))
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
        asked, text = self._tokens(question), self._tokens(context)
        room = max_tokens - self._pair.size
        ids, cut_at = asked.ids, None
        if len(ids) > room // 2:
            ids = ids[: room // 2]
            cut_at = asked.span(len(ids) - 1)[1]
        room -= len(ids)
        shared = min(stride, room // 2)
        begins = range(0, max(1, len(text.ids) - shared), room - shared)
        return [self._window(ids, text, begin, room) for begin in begins], cut_at

    def _window(self, asked: list[int], text: Tokens, begin: int, room: int) -> Window:
        stretch = text.ids[begin : begin + room]
        row = Encoding(*self._pair.row(asked, stretch))
        return Window(row, self._pair.second(asked), len(stretch), begin, text)

    def decode(self, ids: list[int]) -> str:
        """Text of `ids`, special tokens left out, no space at either end."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()
