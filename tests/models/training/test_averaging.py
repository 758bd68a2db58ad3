"""The mean of the late weights is what a training leaves, also when it was cut off."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from models.training.averaging import WeightAverage
from tests.models.tiny import make_model


def _fill(model: Any, value: float) -> None:
    with torch.no_grad():
        for weights in model.parameters():
            weights.fill_(value)


def _steps(average: WeightAverage, model: Any, first: int, last: int) -> None:
    """Every step's weights are its number."""
    for step in range(first, last + 1):
        _fill(model, step)
        average.on_step_end(SimpleNamespace(), SimpleNamespace(global_step=step, max_steps=100), model=model)


def _value(model: Any) -> float:
    values = {float(weights.detach().flatten()[0]) for weights in model.parameters()}
    assert len(values) == 1
    return values.pop()


def test_the_mean_is_of_the_late_steps_and_survives_a_cut(tmp_path: Path) -> None:
    make_model("bert", tmp_path / "model")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    whole = WeightAverage(model, 0.5)
    _steps(whole, model, 1, 100)
    whole.put_into(model)
    assert _value(model) == pytest.approx((60 + 80 + 100) / 3)

    arguments = SimpleNamespace(output_dir=str(tmp_path / "run"))
    (tmp_path / "run" / "checkpoint-70").mkdir(parents=True)
    cut = WeightAverage(model, 0.5)
    _steps(cut, model, 1, 70)
    cut.on_save(arguments, SimpleNamespace(global_step=70))
    again = WeightAverage(model, 0.5)
    again.on_train_begin(arguments, SimpleNamespace(global_step=70))
    _steps(again, model, 71, 100)
    again.put_into(model)
    assert _value(model) == pytest.approx(80)


def test_without_late_steps_the_weights_stay(tmp_path: Path) -> None:
    make_model("bert", tmp_path / "model")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    average = WeightAverage(model, 0.5)
    _steps(average, model, 1, 40)
    average.put_into(model)
    assert _value(model) == 40
