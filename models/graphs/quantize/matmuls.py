"""Products with weights, in int8."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from models.graphs.graph import Array, Graph
from models.graphs.quantize.embeddings import Int8Table
from models.graphs.quantize.tokens import Int8Tokens, quantize_tokens
from models.graphs.quantize.weights import quantize_rows


def _split_gemms(graph: Graph) -> None:
    """Turn each Gemm with plain factors into MatMul and Add, the one form that the rest knows."""
    for node in list(graph.nodes):
        if node.op_type != "Gemm":
            continue
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        weight = graph.value(node.input[1])
        plain = attributes.get("alpha", 1.0) == 1.0 and attributes.get("beta", 1.0) == 1.0
        if weight is None or not plain or attributes.get("transA"):
            continue
        name = node.input[1]
        if attributes.get("transB"):
            name = graph.constant(weight.T, f"{name}/transposed")
        graph.drop([node])
        biased = len(node.input) > 2 and bool(node.input[2])
        product = graph.add("MatMul", [node.input[0], name], graph.fresh(node.output[0]) if biased else node.output[0])
        if biased:
            graph.add("Add", [product, node.input[2]], node.output[0])


def _fold_transposes(graph: Graph) -> None:
    """Compute Transpose(weight) here: a head that is tied to the embeddings is exported so."""
    for node in list(graph.nodes):
        value = graph.value(node.input[0]) if node.op_type == "Transpose" else None
        if value is not None and value.ndim == 2:
            graph.constant(value.T, node.output[0])
            graph.drop([node])


def _by_input(graph: Graph) -> dict[str, list[onnx.NodeProto]]:
    """The products with a constant matrix, by the activation that they read."""
    groups: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.nodes:
        weight = graph.value(node.input[1]) if node.op_type == "MatMul" else None
        if weight is not None and weight.ndim == 2 and weight.dtype == np.float32:
            groups[node.input[0]].append(node)
    return groups


def _tied(weight: Array, tables: Mapping[str, Int8Table]) -> Int8Table | None:
    """The embedding table that the weight is the transpose of."""
    for table in tables.values():
        if table.floats.shape == weight.shape[::-1] and np.array_equal(table.floats, weight.T):
            return table
    return None


def _product(graph: Graph, tokens: Int8Tokens, weight: tuple[str, str], output: str) -> None:
    """Add uint8 tokens x int8 weight -> float `output`; `weight` is (values, scale).

    The kernel takes a scale a token too, though its documentation knows only scalars: it has a last dimension of 1, by
    which the kernel tells it from a scale a column.
    """
    inputs = [tokens.values, weight[0], tokens.scale, weight[1], tokens.zero_point]
    graph.add("MatMulIntegerToFloat", inputs, output, domain="com.microsoft")


def _quantize(graph: Graph, tokens: Int8Tokens, node: onnx.NodeProto, *, reduce_range: bool) -> None:
    """Replace a product of an activation and a matrix."""
    name = node.input[1]
    weight = graph.value(name)
    assert weight is not None
    quantized = quantize_rows(weight.T.astype(np.float32), reduce_range=reduce_range)
    matrix = graph.constant(quantized.rows.T, f"{name}/int8")
    scale = graph.constant(quantized.scale, f"{name}/scale")
    graph.drop([node])
    _product(graph, tokens, (matrix, scale), node.output[0])


def _part_gelu_biases(graph: Graph) -> None:
    """Keep biases out of onnxruntime's BiasGelu by giving them two dimensions.

    Two, not three: a head's activation may be [batch, n], and its rank must stay.

    On a CPU it takes 1.5 times as long as Add and Gelu apart (onnxruntime 1.32).
    """
    users = graph.users()
    for node in graph.nodes:
        if node.op_type == "Add" and {user.op_type for user in users[node.output[0]]} in ({"Gelu"}, {"Div", "Mul"}):
            for position, name in enumerate(node.input):
                bias = graph.value(name)
                if bias is not None and bias.ndim == 1:
                    node.input[position] = graph.constant(bias.reshape(1, -1), f"{name}/2d")


def quantize_matmuls(graph: Graph, tables: Mapping[str, Int8Table], *, reduce_range: bool) -> None:
    """Replace every product with a float32 matrix; one that is tied to a table of `tables` reads its int8 values.

    Products of one activation share its quantized form, and stay apart: joined, as queries, keys and values could be,
    their result would have to be split again, which takes longer than the kernel gains.

    A float product left behind would break the promise: with one row onnxruntime takes another kernel (a matrix times a
    vector) than with two.
    """
    _split_gemms(graph)
    _fold_transposes(graph)
    _part_gelu_biases(graph)
    for name, nodes in _by_input(graph).items():
        weights = [weight for node in nodes if (weight := graph.value(node.input[1])) is not None]
        tokens = quantize_tokens(graph, name, weights[0].shape[0])
        for node, weight in zip(nodes, weights, strict=True):
            table = _tied(weight, tables)
            if table is None:
                _quantize(graph, tokens, node, reduce_range=reduce_range)
                continue
            graph.drop([node])
            # onnxruntime folds the Transpose when it loads the graph; the file keeps one copy.
            matrix = graph.add("Transpose", [table.values], graph.fresh(table.values), perm=[1, 0])
            scale = graph.constant(table.scale, f"{table.values}/columns")
            _product(graph, tokens, (matrix, scale), node.output[0])
