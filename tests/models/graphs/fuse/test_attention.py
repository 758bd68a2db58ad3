"""Attention becomes one node where it is understood, and stays as it was elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from models.graphs.fuse.attention import fuse_attention
from tests.models.fused import apply, assert_same, encoder_feed, load, operators, run
from tests.models.tiny import Exported

Export = Callable[[str], Exported]


@pytest.mark.parametrize("kind", ["bert", "distilbert", "t5"])
def test_scores_are_scaled_by_the_projection(exported: Export, kind: str) -> None:
    path = exported(kind).fp32 / ("encoder.onnx" if kind == "t5" else "model.onnx")
    graph = apply(path, [fuse_attention])
    attentions = [node for node in graph.nodes if node.op_type == "Attention"]
    assert len(attentions) == 2
    for node in attentions:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        assert attributes == {"q_num_heads": 4, "kv_num_heads": 4, "scale": 1.0}
    assert_same(run(load(path), encoder_feed()), run(graph, encoder_feed()), encoder_feed())


def test_a_transpose_that_is_not_of_heads_is_left_alone(exported: Export) -> None:
    path = exported("bert").fp32 / "model.onnx"
    graph = load(path)
    weighted = next(node for node in graph.nodes if node.op_type == "Softmax").output[0]
    last = next(node for node in graph.nodes if node.op_type == "MatMul" and node.input[0] == weighted)
    turned = next(node for node in graph.nodes if node.op_type == "Transpose" and node.input[0] == last.output[0])
    turned.attribute[0].ints[:] = [0, 1, 2, 3]
    fuse_attention(graph)
    assert operators(graph)["Softmax"] == 1
    assert operators(graph)["Attention"] == 1


def test_queries_that_others_read_keep_their_scale(exported: Export) -> None:
    path = exported("bert").fp32 / "model.onnx"
    graph = load(path)
    query = next(node for node in graph.nodes if "query" in node.name and node.op_type == "Add")
    graph.model.graph.output.append(onnx.ValueInfoProto(name="also"))
    graph.outputs.append("also")
    graph.add("Neg", [query.output[0]], "also")
    fuse_attention(graph)
    scales = [a.f for node in graph.nodes if node.op_type == "Attention" for a in node.attribute if a.name == "scale"]
    assert sorted(scales) == pytest.approx([8**-0.5, 1.0])
    before, after = run(load(path), encoder_feed()), run(graph, encoder_feed())
    np.testing.assert_allclose(after["logits"], before["logits"], rtol=1e-4, atol=1e-5)
