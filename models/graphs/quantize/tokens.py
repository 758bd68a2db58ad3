"""uint8 activations: one scale a token, so that no token's value depends on its neighbours or on padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.graphs.fuse.tokenwise import data_inputs
from models.graphs.graph import Graph

_SAME_TOKENS = {"Attention", "MatMulIntegerToFloat", "QuantizeLinear", "Split"}
_HALF, _GELU_ZERO, _LEAST_GELU = 128, 32, -0.17
"""What stands for zero in an activation of both signs, and in a GELU's, none of which is below -0.16998."""


@dataclass(frozen=True)
class Int8Tokens:
    """Names of a quantized activation's tensors."""

    values: str
    """uint8, the activation's shape"""
    scale: str
    """float, [..., 1]"""
    zero_point: str
    """uint8, the number that stands for zero in all tokens"""


def quantize_tokens(graph: Graph, name: str, width: int) -> Int8Tokens:
    """Add the nodes that quantize activation `name` [..., width] by each token's largest magnitude.

    A token of nothing but zeros gets scale 0: its values are then arbitrary, and its products zero.
    """
    makers = graph.makers()
    maker = makers.get(name)
    kind = maker.op_type if maker is not None else ""
    if maker is not None and kind == "Slice":  # the queries that a classifier needs: their tokens are quantized already
        return _part(graph, quantize_tokens(graph, maker.input[0], width), list(maker.input[1:]))
    last_axis = graph.constant(np.array([-1], np.int64), "int8/last_axis")
    zero = {"Relu": 0, "Gelu": _GELU_ZERO}.get(kind, _HALF)
    point = graph.constant(np.array(zero, np.uint8), f"int8/zero_{zero}")
    if f"{name}/uint8" in makers:
        return Int8Tokens(f"{name}/uint8", f"{name}/scale", point)
    # Symmetric, 128 to 255; one that is bounded below has no need of levels for what it never is, or of magnitudes.
    read = name if zero != _HALF else graph.add("Abs", [name], f"{name}/magnitude")
    largest = graph.add("ReduceMax", [read, last_axis], f"{name}/largest", keepdims=1)
    if kind == "Gelu":
        # The levels below zero must reach down to its bound.
        least = graph.constant(np.array(-_LEAST_GELU / zero * (255 - zero), np.float32), "int8/least_gelu")
        largest = graph.add("Max", [largest, least], f"{name}/range")
    step = graph.constant(np.array(1 / (255 - zero), np.float32), f"int8/step_{zero}")
    scale = graph.add("Mul", [largest, step], f"{name}/scale")
    zeros = [_zero_points(graph, name, scale, point)] if zero else []
    # A block as wide as the token (opset 21) gives each token its scale without flattening to two dimensions.
    values = graph.add("QuantizeLinear", [name, scale, *zeros], f"{name}/uint8", axis=-1, block_size=width)
    return Int8Tokens(values, scale, point)


def _part(graph: Graph, tokens: Int8Tokens, bounds: list[str]) -> Int8Tokens:
    """Some of the tokens."""
    values, scale = (graph.add("Slice", [part, *bounds], graph.fresh(part)) for part in (tokens.values, tokens.scale))
    return Int8Tokens(values, scale, tokens.zero_point)


def _zero_points(graph: Graph, name: str, scale: str, point: str) -> str:
    """The zero point for each token, as QuantizeLinear wants it; made once for all activations of the same tokens."""
    makers = graph.makers()
    root = name
    while (node := makers.get(root)) is not None:
        positions = [0] if node.op_type in _SAME_TOKENS else data_inputs(graph, node)
        if not positions:
            break
        root = node.input[positions[0]]
    zeros = f"{root}/{point}"
    if zeros not in makers:
        # Dividing by a huge number rounds every scale to zero: one small node, where Shape and Expand would be two.
        huge = graph.constant(np.array(3e38, np.float32), "int8/huge")
        graph.add("QuantizeLinear", [scale, huge, point], zeros)
    return zeros
