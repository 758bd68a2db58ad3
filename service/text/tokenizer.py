"""Text to token ids and back, with character offsets and without shared state."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from service.errors import ArtifactError, InvalidInput
from service.text.marian import marian_tokenizer
from service.text.sentences import Span, fit, pack, sentence_spans
from service.text.special_tokens import SpecialTokensTemplate
from service.text.vocabulary import Vocabulary
from service.text.word_cache import WordCache, reads_by_words

REPLACEMENT_CHARACTER = "\ufffd"
"""What `Tokenizer.decode` makes of tokens that hold some of the bytes of a character only."""
_CHARS_UNDER_GIL = 1000  # half a millisecond
_CHARS_BY_WORDS = 10_000  # a longer text would drive the words of all others from the cache
_SAMPLE = "a"
_NO_TOKENS = "The text holds nothing that the model can read; send text."


@dataclass(frozen=True, slots=True)
class Encoding:
    """One row of a model's input: token ids and token type ids as 64-bit integers, special tokens included."""

    ids: array[int]
    type_ids: array[int]
    truncated_at: int | None = None
    """Character of the text where the row ends; None if the row holds all of it."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text's tokens, without special tokens."""

    ids: list[int]
    span: Callable[[int], Span]
    """Gives the characters of the token with a number."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A row with two texts."""

    encoding: Encoding
    truncated_at: tuple[int | None, int | None]
    """Character of each text where the row ends; None if the row holds all of it."""

    @property
    def truncated(self) -> bool:
        """Whether the row lacks an end of one of the texts."""
        return self.truncated_at != (None, None)


@dataclass(frozen=True, slots=True)
class Window:
    """A row with a question and a part of its context."""

    encoding: Encoding
    first: int
    """Position in the row of the part's first token."""
    size: int
    """Number of the part's tokens."""
    begin: int
    """Number of the part's first token in the whole context."""
    context: Tokens

    def span(self, token: int) -> Span:
        """Characters of the whole context for a token of the part, counted from the part's first token."""
        return self.context.span(self.begin + token)


@dataclass(frozen=True, slots=True)
class Passage:
    """A row with consecutive sentences of a text."""

    encoding: Encoding
    sentences: range
    first: int
    """Position in the row of the first sentence's first token; the other sentences follow without a gap."""


@dataclass(frozen=True, slots=True)
class Sentences:
    """A text's sentences, and the rows that hold all of them."""

    spans: list[Span]
    """Character offsets of each sentence; a sentence that no row can hold stands here as several parts."""
    lengths: list[int]
    """Number of tokens of each sentence."""
    passages: list[Passage]


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens remain of two texts of so many, which are more than `room` together."""
    shorter, longer = sorted((first, second))
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room - room // 2
    return (shorter, longer) if first <= second else (longer, shorter)


def _cut_at(tokens: Tokens, size: int) -> int | None:
    """Character where a text's first `size` tokens end, None if that is all of them."""
    if size == len(tokens.ids):
        return None
    return tokens.span(size - 1)[1] if size else 0


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
    """A model's tokenizer. Thread-safe: rows are cut after tokenizing, by no setting of the library's tokenizer."""

    def __init__(self, folder: Path) -> None:
        """Raises ArtifactError if the folder has neither tokenizer.json nor Marian's files, or one cannot be read."""
        self._tokenizer = _load(folder)
        # MiniLM's file pads everything to 128 and cuts there; both are decided here, a row at a time.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._single = SpecialTokensTemplate(self._tokenizer.encode(_SAMPLE))
        self._pair = SpecialTokensTemplate(self._tokenizer.encode(_SAMPLE, _SAMPLE))
        self._words = WordCache(self._tokens_of_each) if reads_by_words(self._tokenizer) else None
        self.vocabulary = Vocabulary(self._tokenizer, folder)

    def _tokens_of(self, text: str) -> tokenizers.Encoding:
        # encode_batch() drops the GIL: 200,000 characters in a thread stalled the event loop for 230 ms with encode(),
        # 7 ms with it. But getting the GIL back from another thread takes longer than tokenizing a short text.
        if len(text) <= _CHARS_UNDER_GIL:
            return self._tokenizer.encode(text, add_special_tokens=False)
        return self._tokenizer.encode_batch([text], add_special_tokens=False)[0]

    def _tokens_of_each(self, texts: list[str]) -> list[tokenizers.Encoding]:
        return list(self._tokenizer.encode_batch(texts, add_special_tokens=False))

    def tokens(self, text: str) -> Tokens:
        """All tokens of a text, without special tokens."""
        if self._words is not None and len(text) <= _CHARS_BY_WORDS:
            ids, offsets = self._words.encode(text)
            return Tokens(ids, offsets.span)
        encoding = self._tokens_of(text)
        return Tokens(encoding.ids, encoding.token_to_chars)

    def encode(self, text: str, max_tokens: int) -> Encoding:
        """One text in one row, cut at `max_tokens`, special tokens included. Raises InvalidInput for no tokens."""
        tokens = self.tokens(text)
        if not tokens.ids:
            raise InvalidInput(_NO_TOKENS)
        return self.row(tokens, max_tokens)

    def row(self, tokens: Tokens, max_tokens: int) -> Encoding:
        """One text's tokens in one row, cut at `max_tokens`, special tokens included."""
        room = max_tokens - self._single.size
        if len(tokens.ids) <= room:
            return Encoding(*self._single.apply(tokens.ids))
        return Encoding(*self._single.apply(tokens.ids[:room]), truncated_at=tokens.span(room - 1)[1])

    def tokens_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        """A whole text's token ids, without special tokens, and the characters of each token."""
        encoding = self._tokens_of(text)
        return encoding.ids, encoding.offsets

    def row_of(self, ids: list[int]) -> Encoding:
        """A row with these token ids and the special tokens of one text."""
        return Encoding(*self._single.apply(ids))

    @property
    def special_before(self) -> int:
        """Number of special tokens before a text."""
        return self._single.first

    @property
    def special_size(self) -> int:
        """Number of special tokens before and after a text."""
        return self._single.size

    def row_tokens(self, tokens: Tokens) -> int:
        """Length of the row that holds all of a text's tokens, special tokens included."""
        return len(tokens.ids) + self._single.size

    def split(self, tokens: Tokens, max_tokens: int, *, prefix: int = 0) -> list[tuple[Encoding, int]]:
        """All of a text's tokens in as few rows as possible, equally long, each with the number of tokens it adds.

        Rows are of at most `max_tokens`, special tokens included. Every row begins with the tokens that end within the
        first `prefix` characters; a prefix that leaves less than half of a row for the rest is cut.
        """
        room = max_tokens - self._single.size
        first = 0
        while first < min(len(tokens.ids), room // 2) and tokens.span(first)[1] <= prefix:
            first += 1
        head, ids = tokens.ids[:first], tokens.ids[first:]
        rows = max(1, -(-len(ids) // (room - first)))
        size = max(1, -(-len(ids) // rows))
        parts = [ids[begin : begin + size] for begin in range(0, max(1, len(ids)), size)]
        return [(Encoding(*self._single.apply(head + part)), len(part)) for part in parts]

    def prompt_size(self, prompt: str) -> int:
        """Number of tokens at the beginning of a row that are of this prompt, special tokens before it included."""
        return self._single.first + len(self.tokens(prompt).ids)

    def pair(self, first: Tokens, second: Tokens, max_tokens: int, *, keep_second: bool = False) -> Pair:
        """Two texts in one row, cut at `max_tokens`, special tokens included.

        The longer text is cut first, then both alike (transformers' longest_first); with `keep_second` only the first
        is (only_first). Raises InvalidInput if that leaves no token of it.
        """
        room = max_tokens - self._pair.size
        sizes = len(first.ids), len(second.ids)
        if sum(sizes) > room:
            sizes = (room - sizes[1], sizes[1]) if keep_second else _longest_first(*sizes, room)
            if sizes[0] <= 0:
                raise InvalidInput(
                    f"The second text is {sizes[1]} tokens and a row of this model holds {room}; shorten it."
                )
        return Pair(
            Encoding(*self._pair.apply(first.ids[: sizes[0]], second.ids[: sizes[1]])),
            (_cut_at(first, sizes[0]), _cut_at(second, sizes[1])),
        )

    def sentences(self, text: str, max_tokens: int) -> Sentences:
        """A text's sentences, each tokenized by itself, in as few rows of at most `max_tokens` as possible.

        `max_tokens` includes special tokens. Runs of white space inside a sentence are read as one space. Raises
        InvalidInput for a text of no tokens.
        """
        room = max_tokens - self._single.size
        spans, lengths = self._fitted(text, room)
        if not any(lengths):
            raise InvalidInput(_NO_TOKENS)
        encodings = self._tokens_of_all([text[start:end] for start, end in spans])
        passages = []
        for chosen in pack(lengths, room):
            ids = [number for index in chosen for number in encodings[index].ids]
            passages.append(Passage(Encoding(*self._single.apply(ids)), chosen, self._single.first))
        return Sentences(spans, lengths, passages)

    def _fitted(self, text: str, room: int) -> tuple[list[Span], list[int]]:
        """The text's sentences, those of more than `room` tokens cut into parts, and the tokens of each."""
        return fit(text, sentence_spans(text), room, lambda texts: list(map(len, self._tokens_of_all(texts))))

    def _tokens_of_all(self, texts: list[str]) -> list[tokenizers.Encoding]:
        """Each text's tokens, runs of white space read as one space."""
        return self._tokens_of_each([" ".join(text.split()) for text in texts])

    def chunks(self, text: str, max_tokens: int, *, prefix: str = "") -> list[Encoding]:
        """A whole text in rows of whole sentences, at most `max_tokens` each, with `prefix` before each chunk.

        `max_tokens` includes special tokens. A sentence that does not fit is divided.
        """
        room = max_tokens - self._single.size - len(self._tokens_of(prefix))
        spans, lengths = self._fitted(text, room)
        waiting = list(reversed(pack(lengths, room)))
        found: list[Encoding] = []
        while waiting:
            chosen = waiting.pop()
            # Runs of white space are one space, as they were when the tokens were counted.
            chunk = " ".join(text[spans[chosen.start][0] : spans[chosen.stop - 1][1]].split())
            encoding = self.encode(prefix + chunk, max_tokens)
            if encoding.truncated_at is not None and len(chosen) > 1:
                # Sentences may have a few tokens more together than each by itself.
                middle = chosen.start + len(chosen) // 2
                waiting += [range(middle, chosen.stop), range(chosen.start, middle)]
            else:
                found.append(encoding)
        return found

    def windows(self, question: str, context: str, *, max_tokens: int, stride: int) -> tuple[list[Window], int | None]:
        """The question beside overlapping parts of the context, in rows of `max_tokens`; neighbours share `stride`.

        They share half a part at most, so that a huge stride cannot make a window of each token. A question that
        leaves less than half of a row for the context is cut. Returns the windows, and the character where the question
        was cut or None.
        """
        query, text = self.tokens(question), self.tokens(context)
        room = max_tokens - self._pair.size
        ids, cut_at = query.ids, None
        if len(ids) > room // 2:
            ids = ids[: room // 2]
            cut_at = query.span(len(ids) - 1)[1]
        room -= len(ids)
        shared = min(stride, room // 2)
        begins = range(0, max(1, len(text.ids) - shared), room - shared)
        return [self._window(ids, text, begin, room) for begin in begins], cut_at

    def _window(self, question: list[int], context: Tokens, begin: int, room: int) -> Window:
        part = context.ids[begin : begin + room]
        row = Encoding(*self._pair.apply(question, part))
        return Window(row, self._pair.second_start(question), len(part), begin, context)

    def decode(self, ids: list[int]) -> str:
        """The text of token ids, without special tokens and without white space at either end."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()
