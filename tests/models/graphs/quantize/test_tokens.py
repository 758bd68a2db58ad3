"""uint8 tokens: a scale each, levels only for what the activation can be."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper

from models.graphs.graph import Graph
from models.graphs.quantize.tokens import quantize_tokens

_WIDTH = 64


def quantized(op: str, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The activation op(x), and what is left of it after uint8."""
    shape: list[str | int | None] = ["batch", "tokens", _WIDTH]
    x_info, y_info = (helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in ("x", "y"))
    body = helper.make_graph([helper.make_node(op, ["x"], ["y"], name="y")], "one", [x_info], [y_info])
    graph = Graph(helper.make_model(body, opset_imports=[helper.make_opsetid("", 23)], ir_version=11))
    tokens = quantize_tokens(graph, "y", _WIDTH)
    for name in (tokens.values, tokens.scale):
        graph.outputs.append(name)
        graph.model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = onnxruntime.InferenceSession(graph.finish().SerializeToString(), providers=["CPUExecutionProvider"])
    y, values, scale = session.run(["y", tokens.values, tokens.scale], {"x": x})
    zero = graph.value(tokens.zero_point)
    assert zero is not None
    return y, (values.astype(np.float32) - float(zero)) * scale


@pytest.mark.parametrize(("op", "levels"), [("Identity", 127), ("Relu", 255), ("Gelu", 223)])
def test_a_value_is_off_by_half_a_step_at_most(op: str, levels: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, 5, _WIDTH)).astype(np.float32)
    x[1] *= 4
    y, restored = quantized(op, x)
    step = np.abs(y).max(axis=-1, keepdims=True) / levels
    assert (np.abs(restored - y) <= 0.501 * step).all()


def test_a_weak_gelu_keeps_its_negative_side() -> None:
    x = np.full((1, 1, _WIDTH), -0.75, np.float32)
    y, restored = quantized("Gelu", x)
    assert y.max() < -0.16
    np.testing.assert_allclose(restored, y, atol=0.003)


def test_a_token_does_not_see_its_neighbours() -> None:
    x = np.random.default_rng(1).normal(size=(1, 3, _WIDTH)).astype(np.float32)
    loud = x.copy()
    loud[0, 1] *= 100
    np.testing.assert_array_equal(quantized("Identity", x)[1][0, 0], quantized("Identity", loud)[1][0, 0])


@pytest.mark.parametrize("op", ["Identity", "Relu", "Gelu"])
def test_a_token_of_zeros_stays_zero(op: str) -> None:
    x = np.ones((1, 2, _WIDTH), np.float32)
    x[0, 1] = 0
    assert not quantized(op, x)[1][0, 1].any()
