"""A classifier's last layer runs for one token; what reads more runs for all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from models.graphs.fuse.attention import fuse_attention
from models.graphs.fuse.first_token import keep_first_token
from models.graphs.fuse.gelu import fuse_gelus
from models.graphs.graph import Graph
from tests.models.fused import apply, assert_same, encoder_feed, load, operators, run
from tests.models.tiny import Exported

Export = Callable[[str], Exported]


def tokens_after_the_last_attention(path: Path, graph: Graph) -> int:
    """Of the last activation of a feed-forward layer."""
    gelu = [node for node in graph.needed() if node.op_type == "Gelu"][-1]
    graph.model.graph.output.append(onnx.ValueInfoProto(name=gelu.output[0]))
    graph.outputs.append(gelu.output[0])
    return int(run(graph, encoder_feed())[gelu.output[0]].shape[1])


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_a_classifier_needs_one_token(exported: Export, kind: str) -> None:
    path = exported(kind).fp32 / "model.onnx"
    graph = apply(path, [fuse_gelus, fuse_attention, keep_first_token])
    assert_same(run(load(path), encoder_feed()), run(graph, encoder_feed()), encoder_feed())
    assert tokens_after_the_last_attention(path, graph) == 1


def test_spans_need_all(exported: Export) -> None:
    path = exported("bert-qa").fp32 / "model.onnx"
    before, after = (apply(path, [fuse_attention, *steps]) for steps in ([], [keep_first_token]))
    assert operators(before) == operators(after)


def test_a_hidden_state_that_is_asked_for_is_whole(exported: Export) -> None:
    path = exported("bert").fp32 / "model.onnx"
    graph = apply(path, [fuse_gelus, fuse_attention])
    hidden = [node for node in graph.nodes if node.op_type == "LayerNormalization"][-1].output[0]
    graph.model.graph.output.append(onnx.ValueInfoProto(name=hidden))
    graph.outputs.append(hidden)
    before = run(graph, encoder_feed())
    keep_first_token(graph)
    after = run(graph, encoder_feed())
    np.testing.assert_array_equal(before[hidden], after[hidden])
