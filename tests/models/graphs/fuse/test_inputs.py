"""Masks and positions are short where they are what they seem, and untouched where they are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.graphs.fuse.attention import fuse_attention
from models.graphs.fuse.inputs import drop_zeros, shorten_masks, slice_positions
from tests.models.fused import apply, assert_same, decoder_feed, encoder_feed, load, operators, run
from tests.models.tiny import Exported

Export = Callable[[str], Exported]


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "bart", "marian"])
def test_a_mask_is_made_in_a_few_nodes(exported: Export, kind: str) -> None:
    path = exported(kind).fp32 / ("model.onnx" if "bert" in kind else "encoder.onnx")
    graph = apply(path, [fuse_attention, shorten_masks])
    masks = {node.input[3] for node in graph.nodes if node.op_type == "Attention"}
    assert masks == {"mask/full"}
    feed = encoder_feed(5 if kind == "marian" else 0)
    feed["attention_mask"][0, 1] = 0  # a hole, which no service makes, but a mask may have
    assert_same(run(load(path), feed), run(graph, feed), feed)


def test_a_mask_with_other_numbers_stays(exported: Export) -> None:
    graph = apply(exported("bert").fp32 / "model.onnx", [fuse_attention])
    attention = next(node for node in graph.nodes if node.op_type == "Attention")
    where = next(node for node in graph.nodes if attention.input[3] in node.output)
    where.input[1] = graph.constant(np.array(-1.0, np.float32), "soft")
    before = run(graph, encoder_feed())
    shorten_masks(graph)
    np.testing.assert_array_equal(run(graph, encoder_feed())["logits"], before["logits"])


@pytest.mark.parametrize(("kind", "sliced"), [("bert", True), ("distilbert", True), ("bart", True), ("roberta", False)])
def test_positions_are_sliced_unless_they_depend_on_the_tokens(exported: Export, kind: str, sliced: bool) -> None:
    path = exported(kind).fp32 / ("encoder.onnx" if kind == "bart" else "model.onnx")
    graph = apply(path, [slice_positions])
    assert ("positions/length" in graph.makers()) == sliced
    assert_same(run(load(path), encoder_feed()), run(graph, encoder_feed()), encoder_feed())


@pytest.mark.parametrize("kind", ["t5", "t5-gated"])
def test_a_decoder_of_single_tokens_has_no_causal_mask(exported: Export, kind: str) -> None:
    path = exported(kind).fp32 / "decoder.onnx"
    graph = apply(path, [drop_zeros])
    assert operators(load(path))["ScatterND"] == 1
    assert operators(graph)["ScatterND"] == 0
    feed = decoder_feed(load(path), 5)
    assert_same(run(load(path), feed), run(graph, feed), {})


def test_an_encoder_keeps_its_sums(exported: Export) -> None:
    path = exported("bert").fp32 / "model.onnx"
    assert operators(apply(path, [drop_zeros])) == operators(load(path))
