"""A head that reads only the first token: what follows the last attention is computed for that token alone."""

from __future__ import annotations

import numpy as np
import onnx

from models.graphs.fuse.matching import Matcher
from models.graphs.fuse.tokenwise import data_inputs
from models.graphs.graph import Graph
from models.graphs.shapes import known_shapes

_QUERIES = 2
"""Queries kept in the last attention. With a single one onnxruntime takes its vector kernel, whose sums depend on
padding."""


def _first_token_readers(graph: Graph) -> list[onnx.NodeProto]:
    """Gather(x, 0, axis=1)"""
    found = []
    for node in graph.nodes:
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        index = graph.value(node.input[1]) if node.op_type == "Gather" else None
        if index is not None and index.ndim == 0 and int(index) == 0 and axis == 1:
            found.append(node)
    return found


def _last_layer(graph: Graph, reader: onnx.NodeProto) -> tuple[list[onnx.NodeProto], onnx.NodeProto | None]:
    """The token-wise nodes that only `reader` needs, users before makers, and the attention before them."""
    users = graph.users()
    members = {id(reader)}
    nodes: list[onnx.NodeProto] = []
    for node in reversed(graph.needed()):
        readers = [user for name in node.output for user in users[name]]
        if set(node.output) & set(graph.outputs) or any(id(user) not in members for user in readers) or not readers:
            continue
        if node.op_type == "Attention":
            return nodes, node
        if data_inputs(graph, node):
            members.add(id(node))
            nodes.append(node)
    return nodes, None


def keep_first_token(graph: Graph) -> None:
    """Compute a classifier's last layer for the one token that its head reads.

    Keys and values still come from all tokens, so the answer is the same to the last bit.
    """
    readers = _first_token_readers(graph)
    nodes, attention = _last_layer(graph, readers[0]) if len(readers) == 1 else ([], None)
    if attention is None:
        return
    made = {name for node in nodes for name in node.output}
    places = [(node, position) for node in nodes for position in data_inputs(graph, node)]
    entering = {node.input[position] for node, position in places} - made
    shapes = known_shapes(graph)
    if any(len(shapes.get(name, [])) != 3 for name in entering):
        return
    index = graph.constant(np.array([0], np.int64), "first_token")
    first = {name: graph.add("Gather", [name, index], f"{name}/first", axis=1) for name in sorted(entering)}
    for node, position in places:
        node.input[position] = first.get(node.input[position], node.input[position])
    _cut_queries(graph, attention)


def _cut_queries(graph: Graph, attention: onnx.NodeProto) -> None:
    """Let the attention answer the first queries only, which are then all that is projected."""
    parts = Matcher(graph).projection(attention.input[0])
    if not parts:
        return
    bounds = [graph.constant(np.array([n], np.int64), f"queries/{n}") for n in (0, _QUERIES)]

    def cut(name: str, axis: int) -> str:
        along = graph.constant(np.array([axis], np.int64), f"queries/axis_{axis}")
        return graph.add("Slice", [name, *bounds, along], f"{name}/queries")

    source = cut(parts[-1][0].input[0], 1)
    for node, position in reversed(parts):
        source = graph.add(node.op_type, [source, node.input[position]], f"{node.output[0]}/queries")
    attention.input[0] = source
    if len(attention.input) > 3 and attention.input[3]:
        attention.input[3] = cut(attention.input[3], 2)
