"""Which layers stay, and that those are the model's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from models.compression.layers import keep_layers, kept_layers, layers_of
from tests.models.tiny import make_model


@pytest.mark.parametrize(
    ("total", "wanted", "kept"), [(6, 3, (1, 3, 5)), (12, 4, (2, 5, 8, 11)), (6, 4, (0, 2, 3, 5)), (2, 1, (1,))]
)
def test_layers_are_kept_evenly_and_the_last_always(total: int, wanted: int, kept: tuple[int, ...]) -> None:
    assert kept_layers(total, wanted) == kept


@pytest.mark.parametrize("wanted", [0, 6, 7])
def test_fewer_must_stay_than_there_are(wanted: int) -> None:
    with pytest.raises(ValueError, match="layers of 6"):
        kept_layers(6, wanted)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_what_stays_is_loaded_again_weight_for_weight(tmp_path: Path, kind: str) -> None:
    make_model(kind, tmp_path / "whole")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "whole")
    last = {name: value.clone() for name, value in layers_of(model)[1].state_dict().items()}
    keep_layers(model, (1,))
    model.save_pretrained(tmp_path / "half")
    again = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "half")
    assert len(layers_of(again)) == again.config.num_hidden_layers == 1
    for name, value in layers_of(again)[0].state_dict().items():
        torch.testing.assert_close(value, last[name], rtol=0, atol=0)
