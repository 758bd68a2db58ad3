"""Which sentences of a text sum it up, and how alike they are, by the states of a summarizer's encoder."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeAlias, cast

import numpy as np

from service.artifact import Artifact
from service.runtime.session import Array, Session
from service.scheduling.job import ModelInput
from service.seq2seq.model import EncodeInput
from service.text.extractive import features, pooled
from service.text.tokenizer import Sentences

SentenceScores: TypeAlias = tuple[Array, Array]
"""Scores [sentences], and unit vectors [sentences, width] whose products say how alike two sentences are."""


class SentenceScorer:
    """Scores sentences with sentences.onnx, or where an artifact has none by how central they are to the text."""

    def __init__(self, artifact: Artifact) -> None:
        path = artifact.sentence_scorer
        self._session = Session(path) if path is not None else None

    def run(self, sentences: Sentences) -> Generator[list[ModelInput], Sequence[object], SentenceScores]:
        """The scores of a text's sentences, in one round of a Seq2SeqModel whose encoder gives its states."""
        passages = [passage.encoding for passage in sentences.passages]
        states = yield [ModelInput(EncodeInput(encoding), len(encoding)) for encoding in passages]
        return self.score(sentences, cast("list[Array]", states))

    def score(self, sentences: Sentences, states: list[Array]) -> SentenceScores:
        """The scores of a text's sentences by the hidden states of each passage, [tokens, hidden]."""
        parts = []
        for passage, hidden in zip(sentences.passages, states, strict=True):
            lengths = sentences.lengths[passage.sentences.start : passage.sentences.stop]
            parts.append(pooled(hidden[passage.first : passage.first + sum(lengths)], lengths))
        vectors = np.concatenate(parts)
        if self._session is not None:
            outputs = self._session.run_arrays({"vectors": vectors, "features": features(sentences.lengths)})
            return outputs["scores"], outputs["units"]
        centred = vectors - vectors.mean(axis=0)
        units = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
        mean = vectors.mean(axis=0)
        centrality = vectors @ mean / np.maximum(np.linalg.norm(vectors, axis=1) * np.linalg.norm(mean), 1e-6)
        return centrality, units
