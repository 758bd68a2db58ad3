"""The threshold and the temperature that rows ask for are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from models.training.abstention import SpanPrediction, fit_no_answer, fit_span_temperature, predict_spans
from tests.models.tiny import SENTENCES, make_model


def prediction(margin: float, *, answerable: bool, f1: float = 1.0) -> SpanPrediction:
    spans = np.array([margin, -np.inf])
    return SpanPrediction(spans, 0.0, f1 if answerable else 0.0, right=answerable and f1 == 1.0, answerable=answerable)


def test_the_bias_parts_those_with_an_answer_from_those_without() -> None:
    predictions = [prediction(margin, answerable=True) for margin in (3.0, 4.0, 5.0)]
    predictions += [prediction(margin, answerable=False) for margin in (1.0, 1.5, 2.0)]
    bias, f1 = fit_no_answer(predictions)
    assert 2.0 < bias < 3.0
    assert f1 == pytest.approx(1.0)


def test_a_wrong_answer_is_no_loss_to_decline() -> None:
    predictions = [
        prediction(3.0, answerable=True, f1=0.0),
        prediction(5.0, answerable=True),
        prediction(4.0, answerable=False),
    ]
    bias, f1 = fit_no_answer(predictions)
    assert 4.0 < bias < 5.0
    assert f1 == pytest.approx(0.75)


def test_both_kinds_weigh_the_same_however_many_there_are() -> None:
    """Six without an answer below two with one: by number alone all would be declined."""
    predictions = [prediction(1.0, answerable=True)] * 2 + [prediction(1.5, answerable=False)] * 6 + [
        prediction(0.5, answerable=False)
    ] * 10  # fmt: skip
    bias, f1 = fit_no_answer(predictions)
    assert 0.5 < bias < 1.0
    assert f1 == pytest.approx(0.5 + 0.5 * 10 / 16)


def test_the_temperature_makes_scores_say_how_often_they_are_right() -> None:
    """A best span two logits above one rival, right in 70 of 100: its score has to become 0.7."""
    spans = np.array([2.0, 0.0])
    rows = [SpanPrediction(spans, -np.inf, float(n < 70), right=n < 70, answerable=True) for n in range(100)]
    temperature = fit_span_temperature(rows, 0.0)
    assert 1 / (1 + np.exp(-2 / temperature)) == pytest.approx(0.7, abs=0.03)


def test_what_is_read_is_what_the_service_would_compare(tmp_path: Path) -> None:
    make_model("bert-qa", tmp_path / "reader")
    model: Any = transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path / "reader")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "reader")
    context = " ".join(SENTENCES)
    row = {"question": SENTENCES[2], "context": context, "answers": {"text": ["the coast"], "answer_start": [0]}}
    short = {**row, "context": "herring", "answers": {"text": [], "answer_start": []}}
    long, one = predict_spans(model, tokenizer, [row, short], max_length=32, stride=4)
    assert np.isfinite(long.spans).sum() > np.isfinite(one.spans).sum() == 1
    assert (long.answerable, one.answerable, one.right) == (True, False, False)
    with torch.no_grad():
        out = model.eval()(**tokenizer(short["question"], short["context"], return_tensors="pt"))
    assert one.no_answer_logit == pytest.approx(float(out.start_logits[0, 0] + out.end_logits[0, 0]), abs=1e-4)
    assert one.spans.max() == pytest.approx(float(out.start_logits[0, -2] + out.end_logits[0, -2]), abs=1e-4)
