"""Weights that graphs have in common are stored once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from models.graphs.quantize.sharing import share_weights
from tests.models.tiny import Feed, open_session, run_session


def write_graph(path: Path, matrix: np.ndarray, name: str) -> Path:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", name], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, len(matrix)])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, matrix.shape[1]])],
        [onnx.numpy_helper.from_array(matrix, name)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def test_common_weights_move_to_one_file(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).normal(size=(160, 160)).astype(np.float32)
    graphs = [write_graph(tmp_path / f"{name}.onnx", matrix, name) for name in ("a", "b")]
    feed: Feed = {"x": np.ones((1, 160), np.float32)}
    wanted = run_session(open_session(graphs[0]), feed)["y"]
    share_weights(graphs)
    assert (tmp_path / "shared.bin").stat().st_size == matrix.nbytes
    for graph in graphs:
        assert graph.stat().st_size < 1000
        np.testing.assert_array_equal(run_session(open_session(graph), feed)["y"], wanted)


def test_graphs_with_nothing_in_common_are_left_alone(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    graphs = [write_graph(tmp_path / n, numbers.random((160, 160), np.float32), "w") for n in ("a.onnx", "b.onnx")]
    before = [graph.read_bytes() for graph in graphs]
    share_weights(graphs)
    assert [graph.read_bytes() for graph in graphs] == before
    assert not (tmp_path / "shared.bin").exists()
