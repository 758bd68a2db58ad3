"""Settled shapes leave the outputs as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from models.graphs.graph import Graph
from models.graphs.shapes import settle_shapes
from tests.models.tiny import Feed, heads_graph, open_session, run_session


@pytest.mark.parametrize("tokens", ["computed", "-1"])
def test_only_the_arithmetic_is_left(tmp_path: Path, tokens: str) -> None:
    onnx.save(heads_graph(tokens), tmp_path / "before.onnx")
    graph = Graph.load(tmp_path / "before.onnx")
    settle_shapes(graph)
    graph.save(tmp_path / "after.onnx")
    assert [node.op_type for node in graph.nodes] == ["Reshape", "Div", "Identity"]
    for shape in ((1, 1, 8), (3, 5, 8)):
        feed: Feed = {"x": np.random.default_rng(0).normal(size=shape).astype(np.float32)}
        before, after = (run_session(open_session(tmp_path / f"{n}.onnx"), feed)["y"] for n in ("before", "after"))
        np.testing.assert_array_equal(before, after)


def test_a_reshape_that_does_not_begin_with_the_batch_is_left_alone() -> None:
    model = heads_graph("-1")
    for node in model.graph.node:
        if node.output[0] == "batch":
            node.input[1] = "one"
    graph = Graph(model)
    settle_shapes(graph)
    assert "Concat" in [node.op_type for node in graph.needed()]
