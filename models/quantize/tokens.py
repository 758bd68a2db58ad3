"""uint8 activations: one scale a token, so that no token's value depends on its neighbours or on padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.graph import Graph

ZERO_POINT = 128
_FLOOR = 1e-12
"""The least scale: a row of zeros must not divide by zero."""


@dataclass(frozen=True)
class Int8Tokens:
    """Names of a quantized activation's tensors."""

    values: str
    """uint8, the activation's shape; 128 stands for zero."""
    scale: str
    """float, [..., 1]"""


def quantize_tokens(graph: Graph, name: str, width: int) -> Int8Tokens:
    """Add the nodes that quantize activation `name` [..., width] by each token's largest magnitude."""
    magnitude = graph.add("Abs", [name], f"{name}/magnitude")
    last_axis = graph.constant(np.array([-1], np.int64), "int8/last_axis")
    largest = graph.add("ReduceMax", [magnitude, last_axis], f"{name}/largest", keepdims=1)
    step = graph.constant(np.array(1 / 127, np.float32), "int8/step")
    floor = graph.constant(np.array(_FLOOR, np.float32), "int8/floor")
    scale = graph.add("Max", [graph.add("Mul", [largest, step], f"{name}/step"), floor], f"{name}/scale")
    # The zero points must have the scale's shape. Dividing by a huge number rounds every scale to zero, which is 128
    # in uint8: one small node, where Shape and Expand would be two.
    huge = graph.constant(np.array(3e38, np.float32), "int8/huge")
    zero = graph.constant(np.array(ZERO_POINT, np.uint8), "int8/zero_point")
    zeros = graph.add("QuantizeLinear", [scale, huge, zero], f"{name}/zero_points")
    # A block as wide as the token (opset 21) gives each token its scale without flattening to two dimensions.
    values = graph.add("QuantizeLinear", [name, scale, zeros], f"{name}/uint8", axis=-1, block_size=width)
    return Int8Tokens(values, scale)
