"""Scores that mean what they say."""

from __future__ import annotations

import math

import pytest
import torch
import transformers

from models.training.calibration import fit_temperature, fit_thresholds, fold
from tests.models.tiny import make_model


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_the_temperature_undoes_what_the_logits_were_multiplied_by(factor: float) -> None:
    """Logits whose softmax is the share that is right: three of four."""
    logits = torch.tensor([[math.log(3), 0.0]] * 400)
    targets = torch.tensor([0, 0, 0, 1] * 100)
    assert fit_temperature(logits * factor, targets) == pytest.approx(factor, rel=1e-3)


def test_several_labels_share_one_temperature() -> None:
    logits = torch.tensor([[math.log(3), -math.log(3)]] * 4)
    targets = torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]])
    assert fit_temperature(logits * 2, targets) == pytest.approx(2.0, rel=1e-3)


def test_a_threshold_is_where_f1_is_highest() -> None:
    """The first label's rows lie above -0.9, the second's are too few to tell."""
    logits = torch.stack([torch.linspace(-4, 4, 41), torch.linspace(4, -4, 41)], dim=1)
    targets = torch.zeros(41, 2)
    targets[logits[:, 0] > -0.9, 0] = 1
    targets[:3, 1] = 1
    assert fit_thresholds(logits, targets).tolist() == pytest.approx([-0.9, 0.0], abs=1e-5)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_temperature_and_thresholds_go_into_the_last_layer(kind: str, tmp_path: object) -> None:
    folder = tmp_path / kind  # type: ignore[operator]
    make_model(kind, folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids = torch.tensor([[2, 7, 9, 3]])
    thresholds = torch.linspace(-1, 1, model.config.num_labels)
    with torch.no_grad():
        before = model(input_ids=ids).logits
        fold(model, 2.5, thresholds)
        torch.testing.assert_close(model(input_ids=ids).logits, (before - thresholds) / 2.5)
