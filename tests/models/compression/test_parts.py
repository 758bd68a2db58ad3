"""Heads and columns are really gone, and those that said nothing are not missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from models.compression.importance import importances, least_important
from models.compression.parts import UnknownArchitecture, parts_of, remove_parts
from tests.models.tiny import SENTENCES, make_model

WIDTH = 8
# By layer: heads of 4, and columns of 64.
HEADS = [[0], [2]]
COLUMNS = [list(range(32)), list(range(10, 42))]


def _load(folder: Path) -> Any:
    return transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()


def _batch(folder: Path) -> dict[str, Any]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = dict(tokenizer(SENTENCES, return_tensors="pt", padding=True))
    batch.pop("token_type_ids", None)
    return {**batch, "labels": torch.tensor([0, 1, 1, 0, 1])}


def _silence(model: Any) -> None:
    """Let the heads and columns of the tests write nothing."""
    with torch.no_grad():
        for part, heads, columns in zip(parts_of(model), HEADS, COLUMNS, strict=True):
            for head in heads:
                part.mixed.weight[:, head * WIDTH : (head + 1) * WIDTH] = 0
            part.down.weight[:, columns] = 0


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_silent_parts_are_worth_nothing_and_their_removal_changes_nothing(tmp_path: Path, kind: str) -> None:
    make_model(kind, tmp_path / "whole")
    model, batch = _load(tmp_path / "whole"), _batch(tmp_path / "whole")
    _silence(model)
    worths = importances(model, [batch])
    assert [least_important(worth.heads, 1) for worth in worths] == HEADS
    assert [least_important(worth.columns, 32) for worth in worths] == COLUMNS
    assert all(worth.heads.count_nonzero() == 3 for worth in worths)
    with torch.no_grad():
        before = model(**batch).logits
    remove_parts(model, HEADS, COLUMNS)
    model.save_pretrained(tmp_path / "pruned")
    again = _load(tmp_path / "pruned")
    assert [(part.mixed.in_features, part.down.in_features) for part in parts_of(again)] == [(24, 32)] * 2
    with torch.no_grad():
        torch.testing.assert_close(again(**batch).logits, before, atol=1e-5, rtol=1e-5)


def test_a_parts_worth_is_what_the_loss_loses_at_first_order(tmp_path: Path) -> None:
    """Of a single row: the slope of the loss along a factor on the head's output, found by making it smaller."""
    make_model("bert", tmp_path / "m")
    model, batch = _load(tmp_path / "m").double(), _batch(tmp_path / "m")
    row = {name: value[:1] for name, value in batch.items()}
    worth = importances(model, [row])[0].heads
    step = 1e-5
    with torch.no_grad():
        before = float(model(**row).loss)
        parts_of(model)[0].mixed.weight[:, WIDTH : 2 * WIDTH] *= 1 - step
        slope = (before - float(model(**row).loss)) / step
    assert float(worth[1]) == pytest.approx(abs(slope), rel=1e-3)


def test_what_nobody_described_is_refused(tmp_path: Path) -> None:
    config = transformers.AlbertConfig(
        hidden_size=16, num_attention_heads=2, intermediate_size=16, embedding_size=8, vocab_size=20
    )
    with pytest.raises(UnknownArchitecture, match="albert"):
        parts_of(transformers.AlbertForSequenceClassification(config))
