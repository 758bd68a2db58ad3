"""Text classification: a score for each label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import BaseModel

from service.artifact import Artifact
from service.errors import InferenceError
from service.runtime.encoder import EncoderModel, OutputAxes, output_arrays
from service.runtime.session import Array
from service.scheduling.job import ModelInput
from service.tasks.base import Result, Rounds, TaskResult
from service.tasks.parameters import ClassifyParameters
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
class ClassificationResult(Result):
    """The labels of a text."""

    label: str
    """The best label."""
    score: float
    scores: list[LabelScore]
    """The top_k labels, best first."""
    truncated: bool
    """Whether the model read less than the whole input."""
    truncated_at: int | None
    """Character where reading stopped, null when all was read."""


class Classification:
    """Classifies texts. Whether one label holds or several may is read from the model's configuration."""

    name: ClassVar[str] = "text-classification"
    route: ClassVar[str] = "classify"
    heads: ClassVar[tuple[str, ...]] = ("ForSequenceClassification",)
    encoder_decoder: ClassVar[bool] = False
    outputs: ClassVar[OutputAxes] = {"logits": ("labels",)}
    description: ClassVar[str] = "Score the labels of one text or several."
    item_type: ClassVar[type] = str
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

    def texts(self, item: str) -> Sequence[str]:
        return (item,)

    def run(self, item: str, parameters: ClassifyParameters) -> Rounds[ClassificationResult]:
        """The labels of one text, in one round."""
        encoding = self._tokenizer.encode(item, self._max_tokens)
        (output,) = yield [ModelInput(encoding, len(encoding))]
        result = self._result(encoding, output_arrays(output), parameters)
        return TaskResult(result, len(encoding), truncated=result.truncated)

    def _result(
        self, encoding: Encoding, output: Mapping[str, Array], parameters: ClassifyParameters
    ) -> ClassificationResult:
        """The labels with their scores; raises InferenceError for logits that are not finite."""
        # Python's floats: for a few labels numpy's calls cost many times what they compute.
        logits: list[float] = output["logits"].tolist()
        if not all(map(math.isfinite, logits)):
            raise InferenceError("The model gave no finite scores for this input.")
        scores = scores_of(logits, parameters.function_to_apply or self._function)
        order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[: parameters.top_k]
        ranked = [LabelScore(self.labels[index], scores[index]) for index in order]
        cut_at = encoding.truncated_at
        return ClassificationResult(ranked[0].label, ranked[0].score, ranked, cut_at is not None, cut_at)
