"""Embeddings: one vector for a text, as sentence-transformers makes it."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from service.artifact import Artifact
from service.errors import InferenceError, InputTooLong, InvalidInput
from service.runtime.encoder import TOKENS, EncoderModel, OutputAxes, output_arrays
from service.runtime.session import Array
from service.scheduling.job import ModelInput
from service.tasks.base import Result, Rounds, TaskResult
from service.tasks.dense import load_dense
from service.tasks.parameters import EmbedParameters, TextOrIds, TokenIds
from service.tasks.sentence_modules import sentence_modules, unit
from service.text.tokenizer import Encoding, Tokenizer, Tokens

_SENTENCE = "sentence_embedding"
_POOLED: OutputAxes = {_SENTENCE: ("dimensions",)}
"""Of a graph that holds what sentence-transformers does behind the encoder too."""
_STATES: tuple[OutputAxes, ...] = (
    {"token_embeddings": (TOKENS, "dimensions")},
    {"last_hidden_state": (TOKENS, "dimensions")},
)
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class EmbeddingResult(Result):
    """The vector of a text."""

    embedding: list[float] | str
    """The numbers; with encoding_format base64 their bytes, as little-endian float32."""
    windows: int
    """Parts of the text that were read; the vector is their mean, weighted by tokens."""
    truncated: bool
    """Whether the model read less than the whole input."""
    truncated_at: int | None
    """Character where reading stopped, of token ids how many were read; null when all was read."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of one text."""

    encodings: list[Encoding]
    weights: list[int]
    """Tokens of the text in each, special tokens and those of a prompt left out."""
    prompt_tokens: int
    """Tokens before the text's in each row, where pooling leaves the prompt out."""
    truncated_at: int | None = None


class Embedding:
    """Embeds texts. Pooling, normalization and prompts are read from sentence-transformers' files in the folder."""

    name: ClassVar[str] = "feature-extraction"
    route: ClassVar[str] = "embed"
    heads: ClassVar[tuple[str, ...]] = ()  # encoders without a head
    encoder_decoder: ClassVar[bool] = False
    description: ClassVar[str] = "Turn one text or several into vectors, by which they can be compared and searched."
    item_type: ClassVar[Any] = TextOrIds
    parameters_type: ClassVar[type[BaseModel]] = EmbedParameters
    result_type: ClassVar[type[Result]] = EmbeddingResult
    labels: ClassVar[Sequence[str]] = ()

    def __init__(self, artifact: Artifact, *, batch_tokens: int, intra_op_threads: int) -> None:
        self._tokenizer = Tokenizer(artifact.folder)
        self._modules = sentence_modules(artifact)
        # A graph that pools counts the tokens of prompts too.
        outputs = (_POOLED, *_STATES) if self._modules.pooling.include_prompt else _STATES
        self.model = EncoderModel(
            artifact, outputs=outputs, batch_tokens=batch_tokens, intra_op_threads=intra_op_threads
        )
        (self._output,) = self.model.outputs
        self.dimensions = self.model.sizes["dimensions"]
        """Numbers in a vector."""
        self._layers = [] if self._output == _SENTENCE else [load_dense(folder) for folder in self._modules.dense]
        if self._layers:
            self.dimensions = len(self._layers[-1].weight)
        elif self._output != _SENTENCE:
            self.dimensions *= len(self._modules.pooling.modes)
        self._max_tokens = artifact.max_tokens
        self._vocabulary = int(artifact.config.get("vocab_size") or 0)
        self._lower_case = bool(artifact.sentence_config.get("do_lower_case"))

    def texts(self, item: str | TokenIds) -> Sequence[str]:
        return (item,) if isinstance(item, str) else ()

    def run(self, item: str | TokenIds, parameters: EmbedParameters) -> Rounds[EmbeddingResult]:
        """The vector of one text, in one round.

        Raises InvalidInput for token ids, a prompt or dimensions that the model does not have, and InputTooLong for a
        text that does not fit where that is asked for.
        """
        if parameters.dimensions is not None and parameters.dimensions > self.dimensions:
            raise InvalidInput(f"dimensions is {parameters.dimensions}; this model's vectors have {self.dimensions}.")
        rows = self._rows(item, parameters)
        outputs = yield [ModelInput(encoding, len(encoding)) for encoding in rows.encodings]
        vector = self._vector(rows, [output_arrays(output) for output in outputs], parameters)
        embedding: list[float] | str = vector.tolist()
        if parameters.encoding_format == "base64":
            embedding = base64.b64encode(vector.astype("<f4").tobytes()).decode()
        cut_at = rows.truncated_at
        result = EmbeddingResult(embedding, len(rows.encodings), cut_at is not None, cut_at)
        return TaskResult(result, sum(map(len, rows.encodings)), truncated=result.truncated)

    def _rows(self, item: str | TokenIds, parameters: EmbedParameters) -> _Rows:
        prompt = self._prompt(parameters)
        tokens, prompt_length = self._tokens(item, prompt)
        prompt_tokens = 0
        if prompt and not self._modules.pooling.include_prompt:
            prompt_tokens = self._tokenizer.prompt_size(prompt)
            if prompt_tokens >= self._max_tokens - 1:
                raise InvalidInput("The prompt leaves no room for the text; send a shorter one.")
        encoding = self._tokenizer.row(tokens, self._max_tokens)
        if encoding.truncated_at is None or parameters.long_text == "truncate":
            cut_at = None if encoding.truncated_at is None else max(0, encoding.truncated_at - prompt_length)
            return _Rows([encoding], [1], prompt_tokens, cut_at)
        if parameters.long_text == "error":
            raise InputTooLong(
                f"A text of {self._tokenizer.row_tokens(tokens)} tokens; this model reads {self._max_tokens}. Send it "
                'in parts, or with long_text "truncate" or "window".'
            )
        parts = self._tokenizer.split(tokens, self._max_tokens, prefix=prompt_length)
        return _Rows([row for row, _ in parts], [weight for _, weight in parts], prompt_tokens)

    def _prompt(self, parameters: EmbedParameters) -> str:
        if parameters.prompt is not None:
            return parameters.prompt
        if parameters.prompt_name is None:
            return self._modules.default_prompt
        prompt = self._modules.prompts.get(parameters.prompt_name)
        if prompt is None:
            names = ", ".join(self._modules.prompts)
            raise InvalidInput(f"This model has no prompt named {parameters.prompt_name!r}; it has: {names}.")
        return prompt

    def _tokens(self, item: str | TokenIds, prompt: str) -> tuple[Tokens, int]:
        """The tokens of a prompt and a text, and the prompt's length in what the tokens' spans count."""
        if isinstance(item, str):
            text = prompt + item
            return self._tokenizer.tokens(text.lower() if self._lower_case else text), len(prompt)
        unknown = next((number for number in item.root if number >= self._vocabulary), None)
        if unknown is not None:
            raise InvalidInput(f"The token id {unknown} is not of this model, whose vocabulary is {self._vocabulary}.")
        before = self._tokenizer.tokens(prompt).ids if prompt else []
        return Tokens([*before, *item.root], lambda number: (number, number + 1)), len(before)

    def _vector(self, rows: _Rows, outputs: Sequence[Mapping[str, Array]], parameters: EmbedParameters) -> Array:
        """The vector of a text in float32; raises InferenceError for numbers that are not finite.

        It is as long as the vector of a short text would be: 1 where the model normalizes or the request says so, also
        after a mean or a cut.
        """
        modules = self._modules
        vectors = [self._pooled(output[self._output], rows.prompt_tokens) for output in outputs]
        normalize = modules.normalize if parameters.normalize is None else parameters.normalize
        if normalize:
            vectors = [unit(vector) for vector in vectors]
        if not all(math.isfinite(vector @ vector) for vector in vectors):
            raise InferenceError("The model gave no finite vector for this input.")
        if len(vectors) == 1 and parameters.dimensions is None:
            return vectors[0]
        if parameters.normalize is None and not normalize:  # a graph may normalize by itself
            normalize = all(abs(vector @ vector - 1) < _UNIT_TOLERANCE for vector in vectors)
        vector = np.average(vectors, axis=0, weights=rows.weights).astype(np.float32)[: parameters.dimensions]
        return unit(vector) if normalize else vector

    def _pooled(self, output: Array, prompt_tokens: int) -> Array:
        """The vector of one row, before normalization."""
        vector = output.astype(np.float32, copy=False)
        if self._output == _SENTENCE:
            return vector
        vector = self._modules.pooling(vector, prompt_tokens)
        for layer in self._layers:
            vector = layer(vector)
        return vector
