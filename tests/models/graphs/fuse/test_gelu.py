"""GELU is recognised by its numbers, not only by its operators."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.graphs.fuse.gelu import fuse_gelus
from tests.models.fused import apply, assert_same, encoder_feed, load, operators, run
from tests.models.tiny import Exported

Export = Callable[[str], Exported]


def test_gelu_is_one_node(exported: Export) -> None:
    path = exported("bert").fp32 / "model.onnx"
    graph = apply(path, [fuse_gelus])
    assert operators(graph)["Gelu"] == 2
    assert operators(graph)["Erf"] == 0
    assert_same(run(load(path), encoder_feed()), run(graph, encoder_feed()), encoder_feed())


def test_something_like_it_stays(exported: Export) -> None:
    graph = load(exported("bert").fp32 / "model.onnx")
    erf = next(node for node in graph.nodes if node.op_type == "Erf")
    divided = next(node for node in graph.nodes if erf.input[0] in node.output)
    divided.input[1] = graph.constant(np.array(1.5, np.float32), "another")
    fuse_gelus(graph)
    assert operators(graph)["Erf"] == 1
    assert operators(graph)["Gelu"] == 1
