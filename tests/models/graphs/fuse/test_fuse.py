"""All rewrites together leave every kind of graph with the outputs that it had."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from models.graphs.fuse import fuse
from tests.models.fused import apply, assert_same, decoder_feed, encoder_feed, load, operators, run
from tests.models.tiny import ENCODERS, SEQ2SEQ, Exported

Export = Callable[[str], Exported]


@pytest.mark.parametrize("kind", [*ENCODERS, *SEQ2SEQ])
def test_an_encoder_computes_what_it_did(exported: Export, kind: str) -> None:
    path = exported(kind).fp32 / ("encoder.onnx" if kind in SEQ2SEQ else "model.onnx")
    feed = encoder_feed(5 if kind == "marian" else 0)
    graph = apply(path, [fuse])
    assert_same(run(load(path), feed), run(graph, feed), feed)
    assert operators(graph)["Attention"] == 2
    assert not operators(graph).keys() & {"Softmax", "Erf"}


@pytest.mark.parametrize("kind", SEQ2SEQ)
@pytest.mark.parametrize("past", [0, 1, 6])
def test_a_decoder_computes_what_it_did(exported: Export, kind: str, past: int) -> None:
    path = exported(kind).fp32 / "decoder.onnx"
    feed = decoder_feed(load(path), past)
    graph = apply(path, [fuse])
    assert_same(run(load(path), feed), run(graph, feed), {})
    # T5's first layer tells the others how far the tokens are apart, and reads that off its own cache.
    assert operators(graph)["Softmax"] == (1 if kind.startswith("t5") else 0)
    assert operators(graph)["Attention"] == (3 if kind.startswith("t5") else 4)
    assert operators(graph)["ScatterND"] == 0
