"""A student's loss is how far it is from its teacher, whatever it is padded to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from models.compression.distillation_loss import DistillationLoss
from models.compression.layers import keep_layers
from models.compression.student import LossWeights
from tests.models.tiny import SENTENCES, make_model

NOTHING = LossWeights(temperature=2.0, logits=0.0, states=0.0, labels=0.0)
HEADS = {
    "bert": transformers.AutoModelForSequenceClassification,
    "bert-qa": transformers.AutoModelForQuestionAnswering,
}


def _load(folder: Path, kind: str) -> Any:
    return HEADS[kind].from_pretrained(folder).eval()


def _batch(folder: Path, kind: str, *, to: int = 32, several: bool = False) -> dict[str, Tensor]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = dict(tokenizer(SENTENCES[:2], return_tensors="pt", padding="max_length", max_length=to))
    batch.pop("token_type_ids", None)
    if kind == "bert-qa":
        return {**batch, "start_positions": torch.tensor([1, 2]), "end_positions": torch.tensor([3, 3])}
    return {**batch, "labels": torch.tensor([[1.0, 0.0], [1.0, 1.0]] if several else [0, 1])}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("part", ["logits", "states"])
def test_a_copy_has_nothing_to_learn_and_a_half_has(tmp_path: Path, kind: str, part: str) -> None:
    make_model(kind, tmp_path / "m")
    batch, loss_weights = _batch(tmp_path / "m", kind), replace(NOTHING, **{part: 1.0})
    whole = DistillationLoss(_load(tmp_path / "m", kind), (0, 1), loss_weights)
    assert whole(_load(tmp_path / "m", kind), batch).item() == pytest.approx(0, abs=1e-5)
    half = _load(tmp_path / "m", kind)
    keep_layers(half, (1,))
    loss = DistillationLoss(_load(tmp_path / "m", kind), (1,), loss_weights)(half, batch)
    assert loss.item() > 1e-3
    loss.backward()
    assert all(value.grad is not None for name, value in half.named_parameters() if "encoder.layer.0.output" in name)


@pytest.mark.parametrize("kind", HEADS)
def test_padding_teaches_nothing(tmp_path: Path, kind: str) -> None:
    make_model(kind, tmp_path / "m")
    half = _load(tmp_path / "m", kind)
    keep_layers(half, (1,))
    teacher = DistillationLoss(_load(tmp_path / "m", kind), (1,), replace(NOTHING, logits=1.0, states=1.0))
    short, long = (teacher(half, _batch(tmp_path / "m", kind, to=to)).item() for to in (24, 48))
    assert short == pytest.approx(long, rel=1e-4)


def test_logits_are_taught_as_hinton_has_it(tmp_path: Path) -> None:
    make_model("bert", tmp_path / "m")
    teacher, half, batch = _load(tmp_path / "m", "bert"), _load(tmp_path / "m", "bert"), _batch(tmp_path / "m", "bert")
    keep_layers(half, (1,))
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    with torch.no_grad():
        wanted, found = teacher(**inputs).logits / 3, half(**inputs).logits / 3
    divergence = (wanted.softmax(-1) * (wanted.log_softmax(-1) - found.log_softmax(-1))).sum(-1).mean()
    loss = DistillationLoss(teacher, (1,), replace(NOTHING, temperature=3.0, logits=1.0))(half, batch)
    assert loss.item() == pytest.approx(9 * float(divergence), rel=1e-4)


def test_several_labels_are_each_taught_alone_and_rows_labels_count(tmp_path: Path) -> None:
    make_model("bert", tmp_path / "m")
    half = _load(tmp_path / "m", "bert")
    half.config.problem_type = "multi_label_classification"
    keep_layers(half, (1,))
    batch = _batch(tmp_path / "m", "bert", several=True)
    teacher = _load(tmp_path / "m", "bert")
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    with torch.no_grad():
        wanted, found = teacher(**inputs).logits.sigmoid(), half(**inputs).logits
    cross = torch.nn.functional.binary_cross_entropy_with_logits
    soft = DistillationLoss(teacher, (1,), replace(NOTHING, temperature=1.0, logits=1.0))(half, batch)
    assert soft.item() == pytest.approx(float(cross(found, wanted)), rel=1e-4)
    hard = DistillationLoss(teacher, (1,), replace(NOTHING, labels=1.0))(half, batch)
    assert hard.item() == pytest.approx(float(cross(found, batch["labels"])), rel=1e-4)
