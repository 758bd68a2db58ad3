"""Token classification: the entities of a text, such as persons and places, with their characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from pydantic import BaseModel

from service.artifact import Artifact
from service.errors import InferenceError, InputTooLong
from service.runtime.encoder import TOKENS, EncoderModel, OutputAxes, output_arrays
from service.runtime.session import Array
from service.scheduling.job import ModelInput
from service.tasks.base import Result, Rounds, TaskResult
from service.tasks.entity_groups import EntityLabels, softmax, tagged
from service.tasks.parameters import EntitiesParameters
from service.text.text_tokens import TextTokens, overlapping_windows, read_text, window_parts
from service.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Entity(Result):
    """Neighbouring tokens or words with the same tag."""

    entity_group: str
    """Its tag, without B- and I-."""
    score: float
    """From 0 to 1, the average of its tokens or words."""
    word: str
    """Its text as the tokenizer writes it, such as in lower case; text[start:end] is its text as it was sent."""
    start: int
    """Character offsets into the text; some tokenizers count the space before a word to it."""
    end: int


@dataclass(frozen=True, slots=True)
class TokenTag(Result):
    """A token with its tag, for aggregation_strategy none."""

    entity: str
    """Its label."""
    score: float
    """From 0 to 1."""
    index: int
    """Number of the token, counting the special tokens before the text."""
    word: str
    """The token as it stands in the vocabulary; if it stands there not, as in the text."""
    start: int
    """Character offsets into the text."""
    end: int


@dataclass(frozen=True, slots=True)
class EntitiesResult(Result):
    """The entities of a text, in its order."""

    entities: list[Entity] | list[TokenTag]
    """Tags of tokens if aggregation_strategy is none."""
    windows: int
    """Overlapping windows that the text was read in."""
    truncated: bool
    """Whether the model read less than the whole input."""
    truncated_at: int | None
    """Character where reading stopped, null when all was read."""


class TokenClassification:
    """Finds entities in texts of any length, as transformers' TokenClassificationPipeline does in short ones.

    A longer text is read in overlapping windows, and its entities are grouped as if it had been read at once.
    """

    name: ClassVar[str] = "token-classification"
    route: ClassVar[str] = "entities"
    heads: ClassVar[tuple[str, ...]] = ("ForTokenClassification",)
    encoder_decoder: ClassVar[bool] = False
    outputs: ClassVar[OutputAxes] = {"logits": (TOKENS, "labels")}
    description: ClassVar[str] = "Find entities, such as persons and places, in one text or several, of any length."
    item_type: ClassVar[type] = str
    parameters_type: ClassVar[type[BaseModel]] = EntitiesParameters
    result_type: ClassVar[type[Result]] = EntitiesResult

    def __init__(self, artifact: Artifact, *, batch_tokens: int, intra_op_threads: int) -> None:
        self._tokenizer = Tokenizer(artifact.folder)
        self.model = EncoderModel(
            artifact, outputs=self.outputs, batch_tokens=batch_tokens, intra_op_threads=intra_op_threads
        )
        self.labels = artifact.label_names(self.model.sizes["labels"])
        self._entity_labels = EntityLabels(self.labels)
        self._max_tokens = artifact.max_tokens

    def texts(self, item: str) -> Sequence[str]:
        return (item,)

    def run(self, item: str, parameters: EntitiesParameters) -> Rounds[EntitiesResult]:
        """The entities of one text, in one round.

        Raises InputTooLong for a text that is longer than the model reads and must not be divided.
        """
        tokens, cut_at = self._read(item, parameters)
        windows = overlapping_windows(tokens.begins_word, size=self._room, shared=parameters.stride)
        rows = [self._tokenizer.row_of(tokens.ids[window.start : window.stop].tolist()) for window in windows]
        outputs = yield [ModelInput(row, len(row)) for row in rows]
        parts = window_parts(windows, tokens.begins_word)
        scores = softmax(self._logits([output_arrays(output) for output in outputs], windows, parts))
        find = self._token_tags if parameters.aggregation_strategy == "none" else self._entities
        result = EntitiesResult(find(tokens, scores, parameters), len(windows), cut_at is not None, cut_at)
        return TaskResult(result, sum(map(len, rows)), truncated=result.truncated)

    @property
    def _room(self) -> int:
        return max(1, self._max_tokens - self._tokenizer.special_size)

    def _read(self, text: str, parameters: EntitiesParameters) -> tuple[TextTokens, int | None]:
        """The tokens that are to be read, and the character where they end before the text does, or None."""
        tokens = read_text(self._tokenizer, text)
        if len(tokens) <= self._room or parameters.long_text == "window":
            return tokens, None
        if parameters.long_text == "error":
            raise InputTooLong(
                f"The text has {len(tokens) + self._tokenizer.special_size} tokens and the model reads "
                f'{self._max_tokens}; send a shorter one, or "long_text": "window".'
            )
        tokens = tokens.first(self._room)
        return tokens, int(tokens.ends[-1])

    def _logits(self, outputs: list[Mapping[str, Array]], windows: list[range], parts: list[range]) -> Array:
        """Logits of all tokens, [tokens, labels], each from the window whose part it is in.

        Raises InferenceError for logits that are not finite.
        """
        before = self._tokenizer.special_before
        logits = np.concatenate(
            [
                output["logits"][before + part.start - window.start : before + part.stop - window.start]
                for output, window, part in zip(outputs, windows, parts, strict=True)
            ],
            dtype=np.float32,
        )
        if not np.isfinite(logits).all():
            raise InferenceError("The model gave no finite scores for this input.")
        return logits

    def _token_tags(self, tokens: TextTokens, scores: Array, parameters: EntitiesParameters) -> list[TokenTag]:
        """The tag of each token by its scores, [tokens, labels]."""
        units = tagged(scores, tokens.begins_word, "none")
        found, before = [], self._tokenizer.special_before
        for name, score, token, stop in self._entity_labels.single(units, parameters.ignore_labels):
            (word,) = self._vocabulary_tokens(tokens, token, stop)
            found.append(TokenTag(name, score, before + token, word, *tokens.span(token)))
        return found

    def _entities(self, tokens: TextTokens, scores: Array, parameters: EntitiesParameters) -> list[Entity]:
        """The entities of tokens with these scores, [tokens, labels]."""
        strategy, text_of = parameters.aggregation_strategy, self._tokenizer.vocabulary.text_of
        units = tagged(scores, tokens.begins_word, strategy)
        bounds, found = [*units.firsts.tolist(), len(tokens)], []
        for name, score, first, stop in self._entity_labels.groups(units, parameters.ignore_labels):
            if strategy == "simple":
                word = text_of(self._vocabulary_tokens(tokens, first, stop))
            else:  # the decoder reads again what it wrote, because it does so in transformers
                each = pairwise(bounds[first : stop + 1])
                word = text_of([text_of(self._vocabulary_tokens(tokens, *pair)) for pair in each])
            start, end = tokens.span(bounds[first])[0], tokens.span(bounds[stop] - 1)[1]
            found.append(Entity(name, score, word, start, end))
        return found

    def _vocabulary_tokens(self, tokens: TextTokens, first: int, stop: int) -> list[str]:
        """The tokens from `first` to before `stop` as they stand in the vocabulary, unknown ones as in the text."""
        vocabulary = self._tokenizer.vocabulary
        return [
            vocabulary.token(token_id)
            if token_id != vocabulary.unknown_id
            else tokens.text[slice(*tokens.span(number))]
            for number, token_id in enumerate(tokens.ids[first:stop].tolist(), first)
        ]
