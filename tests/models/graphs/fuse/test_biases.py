"""Biases that another one can do the work of disappear, and the outputs stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.graphs.fuse.attention import fuse_attention
from models.graphs.fuse.biases import drop_attention_biases, move_residual_biases
from models.graphs.fuse.gelu import fuse_gelus
from models.graphs.graph import Graph
from tests.models.fused import apply, assert_same, decoder_feed, encoder_feed, load, run
from tests.models.tiny import Exported

Export = Callable[[str], Exported]


def biases(graph: Graph) -> int:
    """Adds of a vector."""
    values = (graph.value(name) for node in graph.needed() if node.op_type == "Add" for name in node.input)
    return sum(value is not None and value.ndim == 1 for value in values)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_two_layers_lose_six_biases(exported: Export, kind: str) -> None:
    path = exported(kind).fp32 / "model.onnx"
    before = apply(path, [fuse_gelus, fuse_attention])
    after = apply(path, [fuse_gelus, fuse_attention, drop_attention_biases, move_residual_biases])
    # Of each layer: keys', values' and the feed-forward layer's.
    assert biases(before) - biases(after) == 6
    assert_same(run(load(path), encoder_feed()), run(after, encoder_feed()), encoder_feed())


def test_caches_keep_their_biases(exported: Export) -> None:
    path = exported("bart").fp32 / "decoder.onnx"
    graph = apply(path, [fuse_attention, drop_attention_biases, move_residual_biases])
    feed = decoder_feed(load(path), 4)
    assert_same(run(load(path), feed), run(graph, feed), {})


def test_a_normalization_that_somebody_else_reads_keeps_its_bias(exported: Export) -> None:
    path = exported("bert").fp32 / "model.onnx"
    graph = apply(path, [fuse_gelus])
    norms = [node for node in graph.nodes if node.op_type == "LayerNormalization"]
    first = norms[1]  # after the embeddings' comes the first attention's
    graph.add("Neg", [first.output[0]], "reader")
    before = graph.value(first.input[2])
    move_residual_biases(graph)
    assert before is not None
    np.testing.assert_array_equal(graph.value(first.input[2]), before)
