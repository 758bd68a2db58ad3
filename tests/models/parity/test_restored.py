"""The benchmark's other engines get the weights of the summarizer that is served."""

from __future__ import annotations

import pytest
import torch

from load_tests.generation.weights import check, restored

TEXTS = ["Shoals of herring pass the coast in early spring, and 12 boats wait for them.", "We introduce GPT-4. " * 20]


def test_the_restored_model_computes_what_the_artifact_does() -> None:
    torch.set_num_threads(1)
    model = restored()
    assert "differ from the artifact's by" in check(model, TEXTS)
    with torch.no_grad():
        model.model.decoder.layers[0].encoder_attn.v_proj.weight.neg_()
    with pytest.raises(RuntimeError, match="Restored wrongly"):
        check(model, TEXTS)
