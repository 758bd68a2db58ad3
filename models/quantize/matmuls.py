"""Products with weights, in int8."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from models.graph import Array, Graph
from models.quantize.embeddings import Int8Table
from models.quantize.tokens import ZERO_POINT, quantize_tokens
from models.quantize.weights import quantize_rows


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


def _product(graph: Graph, tokens: tuple[str, str], weight: tuple[str, str], output: str) -> None:
    """Add uint8 tokens x int8 weight -> float `output`; each pair is (values, scale)."""
    one = graph.constant(np.array(1, np.float32), "int8/one")
    zero = graph.constant(np.array(ZERO_POINT, np.uint8), "int8/zero_point")
    inputs = [tokens[0], weight[0], one, weight[1], zero]
    product = graph.add("MatMulIntegerToFloat", inputs, graph.fresh(output), domain="com.microsoft")
    graph.add("Mul", [product, tokens[1]], output)


def _quantize_group(graph: Graph, tokens: tuple[str, str], nodes: list[onnx.NodeProto], *, reduce_range: bool) -> None:
    """Replace products of one activation by one: queries, keys and values share theirs."""
    weights = [graph.value(node.input[1]) for node in nodes]
    joined = np.concatenate([weight for weight in weights if weight is not None], axis=1)
    quantized = quantize_rows(joined.T.astype(np.float32), reduce_range=reduce_range)
    name = "+".join(dict.fromkeys(node.input[1] for node in nodes))
    matrix = graph.constant(quantized.rows.T, f"{name}/int8")
    scale = graph.constant(quantized.scale, f"{name}/scale")
    outputs = [node.output[0] for node in nodes]
    graph.drop(nodes)
    if len(nodes) == 1:
        _product(graph, tokens, (matrix, scale), outputs[0])
        return
    together = graph.fresh(outputs[0])
    _product(graph, tokens, (matrix, scale), together)
    widths = np.array([weight.shape[1] for weight in weights if weight is not None], np.int64)
    sizes = graph.constant(widths, "int8/widths_" + "_".join(map(str, widths)))
    graph.nodes.append(helper.make_node("Split", [together, sizes], outputs, name=f"{together}/split", axis=-1))


def _part_gelu_biases(graph: Graph) -> None:
    """Keep biases out of onnxruntime's BiasGelu by giving them three dimensions.

    On a CPU it takes 1.5 times as long as Add and Gelu apart (onnxruntime 1.32).
    """
    users = graph.users()
    for node in graph.nodes:
        if node.op_type == "Add" and {user.op_type for user in users[node.output[0]]} == {"Div", "Mul"}:
            for position, name in enumerate(node.input):
                bias = graph.value(name)
                if bias is not None and bias.ndim == 1:
                    node.input[position] = graph.constant(bias.reshape(1, 1, -1), f"{name}/3d")


def quantize_matmuls(graph: Graph, tables: Mapping[str, Int8Table], *, reduce_range: bool) -> None:
    """Replace every product with a float32 matrix; one that is tied to a table of `tables` reads its int8 values.

    A float product left behind would break the promise: with one row onnxruntime takes another kernel (a matrix times a
    vector) than with two.
    """
    _split_gemms(graph)
    _fold_transposes(graph)
    _part_gelu_biases(graph)
    for name, nodes in _by_input(graph).items():
        width = max(value.shape[0] for node in nodes if (value := graph.value(node.input[1])) is not None)
        quantized = quantize_tokens(graph, name, width)
        tokens = (quantized.values, quantized.scale)
        loose = []
        for node in nodes:
            weight = graph.value(node.input[1])
            table = _tied(weight, tables) if weight is not None else None
            if table is None:
                loose.append(node)
                continue
            graph.drop([node])
            # onnxruntime folds the Transpose when it loads the graph; the file keeps one copy.
            matrix = graph.add("Transpose", [table.values], graph.fresh(table.values), perm=[1, 0])
            _product(graph, tokens, (matrix, table.scale), node.output[0])
        if loose:
            _quantize_group(graph, tokens, loose, reduce_range=reduce_range)
