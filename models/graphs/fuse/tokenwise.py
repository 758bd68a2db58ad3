"""Operations that treat each token by itself."""

from __future__ import annotations

import onnx

from models.graphs.graph import Graph

_ACTIVATIONS = {"Gelu", "Relu", "Tanh", "Erf", "Sigmoid", "Abs"}
_ELEMENTWISE = {"Add", "Mul", "Sub", "Div"}


def data_inputs(graph: Graph, node: onnx.NodeProto) -> list[int]:
    """Positions of the activations [..., tokens, width] that a token-wise node reads; empty for any other node."""
    if node.op_type in _ACTIVATIONS or node.op_type == "LayerNormalization":
        return [0]
    if node.op_type == "MatMul":
        weight = graph.value(node.input[1])
        return [0] if weight is not None and weight.ndim == 2 else []
    if node.op_type in _ELEMENTWISE:
        values = [graph.value(name) for name in node.input]
        if all(value is None or value.size == (value.shape[-1] if value.ndim else 1) for value in values):
            return [position for position, value in enumerate(values) if value is None]
    return []
