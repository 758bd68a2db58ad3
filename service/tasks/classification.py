"""Text classification: a score for each label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from service.artifact import Artifact
from service.errors import InferenceError
from service.runtime.encoder import EncoderModel, OutputAxes, output_arrays
from service.runtime.session import Array
from service.scheduling.job import ModelInput
from service.tasks.base import Result, Rounds, TaskResult
from service.tasks.parameters import ClassifyParameters, TextOrPair, TextPair
from service.text.tokenizer import Encoding, Tokenizer

Function = Literal["softmax", "sigmoid", "none"]


def scores_of(logits: list[float], function: Function) -> list[float]:
    """Scores of the labels: a distribution (softmax), each on its own (sigmoid), or the logits as they are."""
    if function == "softmax":
        highest = max(logits)
        exponents = [math.exp(logit - highest) for logit in logits]
        total = math.fsum(exponents)
        return [exponent / total for exponent in exponents]
    if function == "sigmoid":
        return [_sigmoid(logit) for logit in logits]
    return logits


def _sigmoid(logit: float) -> float:
    # exp() of a large number would overflow.
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


@dataclass(frozen=True, slots=True)
class LabelScore(Result):
    """A label and its score."""

    label: str
    score: float
    """From 0 to 1; any number from a regression model or with function_to_apply none."""


@dataclass(frozen=True, slots=True)
class PairCut(Result):
    """Characters of two texts where reading stopped, null for one that was read to its end."""

    text: int | None
    text_pair: int | None


@dataclass(frozen=True, slots=True)
class ClassificationResult(Result):
    """The labels of a text or of two."""

    label: str
    """The best label."""
    score: float
    scores: list[LabelScore]
    """The top_k labels that reach the threshold, best first."""
    truncated: bool
    """Whether the model read less than the whole input."""
    truncated_at: int | PairCut | None
    """Character where reading stopped, null when all was read; of two texts, that of each."""


class Classification:
    """Classifies texts. Whether one label holds or several may is read from the model's configuration."""

    name: ClassVar[str] = "text-classification"
    route: ClassVar[str] = "classify"
    heads: ClassVar[tuple[str, ...]] = ("ForSequenceClassification",)
    encoder_decoder: ClassVar[bool] = False
    outputs: ClassVar[OutputAxes] = {"logits": ("labels",)}
    description: ClassVar[str] = "Score the labels of one text or several, or of pairs of texts that are read together."
    item_type: ClassVar[Any] = TextOrPair
    parameters_type: ClassVar[type[BaseModel]] = ClassifyParameters
    result_type: ClassVar[type[Result]] = ClassificationResult

    def __init__(self, artifact: Artifact, *, batch_tokens: int, intra_op_threads: int) -> None:
        self._tokenizer = Tokenizer(artifact.folder)
        self.model = EncoderModel(
            artifact, outputs=self.outputs, batch_tokens=batch_tokens, intra_op_threads=intra_op_threads
        )
        self.labels = artifact.label_names(self.model.sizes["labels"])
        self._max_tokens = artifact.max_tokens
        self._function = default_function(artifact, len(self.labels))

    def texts(self, item: str | TextPair) -> Sequence[str]:
        return (item,) if isinstance(item, str) else (item.text, item.text_pair)

    def run(self, item: str | TextPair, parameters: ClassifyParameters) -> Rounds[ClassificationResult]:
        """The labels of one text or of a pair, in one round."""
        encoding, cut_at = self._encode(item)
        (output,) = yield [ModelInput(encoding, len(encoding))]
        result = self._result(output_arrays(output), parameters, cut_at)
        return TaskResult(result, len(encoding), truncated=result.truncated)

    def _encode(self, item: str | TextPair) -> tuple[Encoding, int | PairCut | None]:
        """The row, and where reading stops; of two texts the longer is cut first."""
        if isinstance(item, str):
            encoding = self._tokenizer.encode(item, self._max_tokens)
            return encoding, encoding.truncated_at
        first, second = self._tokenizer.tokens(item.text), self._tokenizer.tokens(item.text_pair)
        row = self._tokenizer.pair(first, second, self._max_tokens)
        return row.encoding, PairCut(*row.truncated_at) if row.truncated else None

    def _result(
        self, output: Mapping[str, Array], parameters: ClassifyParameters, cut_at: int | PairCut | None
    ) -> ClassificationResult:
        """The labels with their scores; raises InferenceError for logits that are not finite."""
        # Python's floats: for a few labels numpy's calls cost many times what they compute.
        logits: list[float] = output["logits"].tolist()
        if not all(map(math.isfinite, logits)):
            raise InferenceError("The model gave no finite scores for this input.")
        scores = scores_of(logits, parameters.function_to_apply or self._function)
        order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[: parameters.top_k]
        best = order[0]
        if parameters.threshold is not None:
            order = [index for index in order if scores[index] >= parameters.threshold]
        ranked = [LabelScore(self.labels[index], scores[index]) for index in order]
        return ClassificationResult(self.labels[best], scores[best], ranked, cut_at is not None, cut_at)
