"""Which sentences of a text sum it up, by what a summarizer's encoder makes of them."""

from __future__ import annotations

import numpy as np

from service.artifact import Artifact
from service.runtime.session import Array, Session
from service.text.extractive import features, pooled
from service.text.tokenizer import Sentences


class SentenceScorer:
    """Scores sentences by sentences.onnx, or by how central they are where an artifact has none."""

    def __init__(self, artifact: Artifact) -> None:
        path = artifact.sentence_scorer
        self._graph = Session(path) if path is not None else None

    def weigh(self, text: Sentences, states: list[Array]) -> tuple[Array, Array]:
        """Scores [sentences] and unit vectors [sentences, width], from each passage's hidden states."""
        parts = []
        for passage, given in zip(text.passages, states, strict=True):
            lengths = text.lengths[passage.sentences.start : passage.sentences.stop]
            parts.append(pooled(given[passage.first : passage.first + sum(lengths)], lengths))
        vectors = np.concatenate(parts)
        if self._graph is not None:
            outputs = self._graph.run_arrays({"vectors": vectors, "features": features(text.lengths)})
            return outputs["scores"], outputs["units"]
        centred = vectors - vectors.mean(axis=0)
        units = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
        whole = vectors.mean(axis=0)
        central = vectors @ whole / np.maximum(np.linalg.norm(vectors, axis=1) * np.linalg.norm(whole), 1e-6)
        return central, units
