"""Text classification: a score for each label."""

from __future__ import annotations

import math
from typing import Any, Literal

from service.answers import Answer
from service.artifact import Artifact
from service.encoder import EncoderModel
from service.encoding import Encoding, Tokenizer
from service.errors import InferenceError
from service.model import Array
from service.schemas import ClassifyParameters
from service.tasks.rounds import Rounds

Function = Literal["softmax", "sigmoid", "none"]


def scores_of(logits: list[float], function: Function) -> list[float]:
    """A distribution (softmax), one decision a label (sigmoid), or the logits as they are."""
    if function == "softmax":
        highest = max(logits)
        exponents = [math.exp(logit - highest) for logit in logits]
        total = math.fsum(exponents)
        return [exponent / total for exponent in exponents]
    if function == "sigmoid":
        return [_sigmoid(logit) for logit in logits]
    return logits


def _sigmoid(logit: float) -> float:
    """Without overflow on either side."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    exponent = math.exp(logit)
    return exponent / (1 + exponent)


def default_function(artifact: Artifact, labels: int) -> Function:
    """What turns the logits of a head with so many labels into scores when a request does not say.

    As transformers' pipeline chooses it: a regression head's logits are its numbers already, one or several.
    """
    if artifact.regression:
        return "none"
    return "sigmoid" if artifact.multi_label or labels == 1 else "softmax"


class Classification:
    """Classifies texts with one model; what its scores are comes from its configuration."""

    route = "classify"

    def __init__(self, artifact: Artifact, *, batch_tokens: int, wide_threads: int) -> None:
        self._tokenizer = Tokenizer(artifact.folder)
        self.model = EncoderModel(artifact, batch_tokens=batch_tokens, wide_threads=wide_threads)
        self.labels = artifact.label_names(self.model.labels)
        self._max_tokens = artifact.max_tokens
        self._function = default_function(artifact, len(self.labels))

    def prepare(self, text: str, parameters: ClassifyParameters) -> tuple[Encoding, list[tuple[Encoding, int]]]:
        """What `finish` wants back, and the rows to run."""
        del parameters
        encoding = self._tokenizer.encode(text, self._max_tokens)
        return encoding, [(encoding, len(encoding))]

    def finish(
        self, encoding: Encoding, outputs: list[dict[str, Array]], parameters: ClassifyParameters
    ) -> dict[str, Any]:
        """Labels with scores, best first; raises InferenceError for logits that are no numbers."""
        # Plain floats: for a few labels numpy's calls cost many times what they compute.
        logits: list[float] = outputs[0]["logits"].tolist()
        if not all(map(math.isfinite, logits)):
            raise InferenceError("The model gave no finite scores for this input.")
        scores = scores_of(logits, parameters.function_to_apply or self._function)
        order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[: parameters.top_k]
        ranked = [{"label": self.labels[index], "score": scores[index]} for index in order]
        return {
            **ranked[0],
            "scores": ranked,
            "truncated": encoding.truncated_at is not None,
            "truncated_at": encoding.truncated_at,
        }

    def run(self, text: str, parameters: ClassifyParameters) -> Rounds:
        """The answer to one text, in one round."""
        encoding, rows = self.prepare(text, parameters)
        outputs = yield rows
        return Answer(self.finish(encoding, outputs, parameters), len(encoding), 0)
