"""Text classification: a score for each label."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from service.artifact import Artifact
from service.encoding import Encoding, Tokenizer
from service.errors import InferenceError
from service.job import Passes, Row
from service.model import Array, EncoderModel
from service.schemas import ClassifyParameters

Function = Literal["softmax", "sigmoid", "none"]


def scores_of(logits: Array, function: Function) -> Array:
    """Logits [labels] to scores: a distribution (softmax), one decision a label (sigmoid), or as they are."""
    values = logits.astype(np.float64)
    if function == "softmax":
        exponents = np.exp(values - values.max())
        return np.asarray(exponents / exponents.sum())
    if function == "sigmoid":
        return np.asarray(np.exp(-np.logaddexp(0, -values)))
    return values


class Classification:
    """Classifies texts with one model; the head's kind (one label or several) comes from its configuration."""

    route = "classify"

    def __init__(self, artifact: Artifact, *, batch_tokens: int) -> None:
        del batch_tokens  # a row is one pass
        self._tokenizer = Tokenizer(artifact.folder)
        self._model = EncoderModel(artifact)
        self._labels = artifact.labels
        self._max_tokens = artifact.max_tokens
        several = artifact.multi_label or len(self._labels) == 1
        self._function: Function = "sigmoid" if several else "softmax"

    def run(self, rows: list[Row]) -> Passes:
        """The scheduler's callable."""
        return self._model.run(rows)

    def prepare(self, text: str, parameters: ClassifyParameters) -> tuple[Encoding, list[tuple[Encoding, int]]]:
        """What `finish` wants back, and the rows to run."""
        del parameters
        encoding = self._tokenizer.encode(text, self._max_tokens)
        return encoding, [(encoding, len(encoding))]

    def finish(
        self, encoding: Encoding, outputs: list[dict[str, Array]], parameters: ClassifyParameters
    ) -> dict[str, Any]:
        """Labels with scores, best first; raises InferenceError for logits that are no numbers."""
        logits = outputs[0]["logits"]
        if not np.isfinite(logits).all():
            raise InferenceError("The model gave no finite scores for this input.")
        scores = scores_of(logits, parameters.function_to_apply or self._function)
        order = np.argsort(-scores, kind="stable")[: parameters.top_k]
        ranked = [{"label": self._labels[index], "score": float(scores[index])} for index in order]
        return {
            **ranked[0],
            "scores": ranked,
            "truncated": encoding.truncated_at is not None,
            "truncated_at": encoding.truncated_at,
        }

    def usage(self, encoding: Encoding, outputs: list[dict[str, Array]]) -> tuple[int, int]:
        """Input and output tokens."""
        del outputs
        return len(encoding), 0
