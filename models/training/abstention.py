"""Calibration of question answering on held-out rows: when to decline, and how sure to be of an answer.

A bias is added to the logit of "no answer": the one with the best F1 when half of the questions are unanswerable. A
temperature divides all logits: the one with the best log-likelihood of the best spans (Guo et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorWithPadding

from models.data.rows import Row
from models.evaluation.answer_scores import answer_exact, answer_f1
from models.training.batches import run_by_length
from service.tasks.answer_spans import best_place, span_logits
from service.tasks.parameters import AnswerParameters

_TEMPERATURES = np.geomspace(0.4, 4.0, 60)
_LONGEST = AnswerParameters().max_answer_len


@dataclass(frozen=True)
class SpanPrediction:
    """The model's prediction for one question."""

    spans: Any
    """Logits of all spans in all windows, [spans]; -inf where a span would leave its window."""
    no_answer_logit: float
    """Logit of "no answer": the smallest over the windows."""
    f1: float
    """F1 of the best span; 0 for an unanswerable question."""
    right: bool
    """Whether the best span is an answer."""
    answerable: bool


@torch.no_grad()
def _logits(model: Any, tokenizer: Any, windows: Any) -> list[Any]:
    """Start and end logits of each window, [tokens, 2]."""
    collate = DataCollatorWithPadding(tokenizer)
    names = [name for name in ("input_ids", "token_type_ids", "attention_mask") if name in windows]
    sizes = [len(ids) for ids in windows["input_ids"]]

    def run(part: list[int]) -> list[Any]:
        batch = collate([{name: windows[name][index] for name in names} for index in part])
        out = model(**batch.to(model.device))
        both = torch.stack([out.start_logits, out.end_logits], dim=-1).double().cpu().numpy()
        return [logits[: sizes[index]] for index, logits in zip(part, both, strict=True)]

    return run_by_length(sizes, run)


def predict_spans(model: Any, tokenizer: Any, rows: list[Row], *, max_length: int, stride: int) -> list[SpanPrediction]:
    """Predict every row, over windows that are cut and compared as the service does it."""
    model.eval()
    windows = tokenizer(
        [row["question"].strip() for row in rows],
        [row["context"] for row in rows],
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    logits = _logits(model, tokenizer, windows)
    owners: list[list[int]] = [[] for _ in rows]
    for index, owner in enumerate(windows["overflow_to_sample_mapping"]):
        owners[owner].append(index)
    predictions = []
    for row, mine in zip(rows, owners, strict=True):
        tables, best = [], (-np.inf, "")
        for index in mine:
            inside = [place for place, part in enumerate(windows.sequence_ids(index)) if part == 1]
            chosen = logits[index][inside]
            tables.append(span_logits(chosen[:, 0], chosen[:, 1], _LONGEST))
            extra, first = best_place(tables[-1])
            offsets = windows["offset_mapping"][index]
            text = row["context"][offsets[inside[first]][0] : offsets[inside[first + extra]][1]]
            best = max(best, (float(tables[-1].max()), text))
        answerable = bool(row["answers"]["text"])
        predictions.append(
            SpanPrediction(
                spans=np.concatenate([table.ravel() for table in tables]),
                no_answer_logit=min(float(logits[index][0].sum()) for index in mine),
                f1=answer_f1(best[1], row["answers"]) if answerable else 0.0,
                right=answerable and answer_exact(best[1], row["answers"]),
                answerable=answerable,
            )
        )
    return predictions


def fit_no_answer(predictions: list[SpanPrediction]) -> tuple[float, float]:
    """The bias of "no answer" with the best F1, and that F1 (0 to 1); answerable and other rows have equal weight."""
    margins = np.array([prediction.spans.max() - prediction.no_answer_logit for prediction in predictions])
    answerable = np.array([prediction.answerable for prediction in predictions])
    weights = np.where(answerable, 0.5 / max(answerable.sum(), 1), 0.5 / max((~answerable).sum(), 1))
    order = np.argsort(margins, kind="stable")
    # Up to and with each of them, in order of margin, the answer is "none": what that gains, and what it loses.
    gains = weights[order] * np.where(answerable[order], -np.array([predictions[index].f1 for index in order]), 1.0)
    totals = np.concatenate([[0.0], np.cumsum(gains)]) + (weights * [prediction.f1 for prediction in predictions]).sum()
    edges = np.concatenate([[margins.min() - 1], margins[order], [margins.max() + 1]])
    best = int(totals.argmax())
    return float((edges[best] + edges[best + 1]) / 2), float(totals[best])


def fit_span_temperature(predictions: list[SpanPrediction], bias: float) -> float:
    """The temperature under which the scores of the best spans have the highest likelihood."""
    answered = [prediction for prediction in predictions if prediction.answerable]
    right = np.array([prediction.right for prediction in answered])
    losses = []
    for temperature in _TEMPERATURES:
        scores = np.array([_best_score(prediction, bias, temperature) for prediction in answered]).clip(1e-6, 1 - 1e-6)
        losses.append(-np.where(right, np.log(scores), np.log1p(-scores)).mean())
    return float(_TEMPERATURES[int(np.argmin(losses))])


def _best_score(prediction: SpanPrediction, bias: float, temperature: float) -> float:
    best = prediction.spans.max()
    total = np.exp((prediction.spans - best) / temperature).sum() + np.exp(
        (prediction.no_answer_logit + bias - best) / temperature
    )
    return float(1 / total)
