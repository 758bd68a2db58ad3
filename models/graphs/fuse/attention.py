"""Attention as one node: no transposes between the projections and the products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from models.graphs.fuse.matching import Matcher, permutation
from models.graphs.graph import Graph

_ROWS = [0, 2, 1, 3]  # [batch, tokens, heads, width] <-> [batch, heads, tokens, width]
_COLUMNS = [0, 2, 3, 1]  # [batch, tokens, heads, width] -> [batch, heads, width, tokens]
_TURNED = [0, 1, 3, 2]  # [batch, heads, tokens, width] -> [batch, heads, width, tokens]


@dataclass(frozen=True)
class _Heads:
    """Queries, keys or values: where they come from."""

    source: str
    """[batch, tokens, heads * width], or a cache [batch, heads, tokens, width]"""
    width: int = 0
    """0 for a cache"""
    past: str = ""
    """The cache that the tokens of `source` are appended to."""
    present: str = ""
    """The cache then."""


def _cut(match: Matcher, name: str, perm: list[int]) -> _Heads | None:
    """An activation that is cut into heads and turned."""
    transpose = match.maker(name, "Transpose")
    reshape = match.maker(transpose.input[0], "Reshape") if transpose is not None else None
    if transpose is None or reshape is None or permutation(transpose) != perm:
        return None
    shape = match.graph.value(reshape.input[1])
    # The number of heads may be left open, and batch and tokens are kept as they were.
    if shape is None or shape.size != 4 or shape[0] != 0 or shape[3] < 1 or list(shape[1:3]).count(-1) > 1:
        return None
    return _Heads(reshape.input[0], int(shape[3]))


def _cached(match: Matcher, name: str) -> _Heads | None:
    """A cache that comes in, or one with this step's token appended."""
    if name in match.graph.inputs:
        return _Heads(name)
    appended = match.maker(name, "Concat")
    if appended is None or len(appended.input) != 2 or appended.input[0] not in match.graph.inputs:
        return None
    token = _cut(match, appended.input[1], _ROWS)
    return _Heads(token.source, token.width, appended.input[0], name) if token is not None else None


def _keys(match: Matcher, name: str) -> _Heads | None:
    transpose = match.maker(name, "Transpose")
    if transpose is not None and permutation(transpose) == _TURNED:
        return _cached(match, transpose.input[0])
    return _cut(match, name, _COLUMNS)


def _joined(match: Matcher, name: str) -> str | None:
    """The tensor in which the heads of product `name` lie side by side again."""
    transpose = match.user(name, "Transpose")
    reshape = match.user(transpose.output[0], "Reshape") if transpose is not None else None
    shape = match.graph.value(reshape.input[1]) if reshape is not None else None
    if transpose is None or permutation(transpose) != _ROWS or reshape is None or shape is None:
        return None
    return str(reshape.output[0]) if shape.size == 3 and shape[0] == 0 else None


def _attend(match: Matcher, softmax: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The nodes that do what the softmax and the products around it do; none when they are not attention."""
    scores, mask = match.summands(match.uncast(softmax.input[0]))
    weighted = match.user(softmax.output[0], "MatMul")
    if scores is None or weighted is None or weighted.input[0] != softmax.output[0]:
        return []
    (query_name, one), (key_name, two) = (match.scaled(name) for name in scores.input)
    query, key = _cut(match, query_name, _ROWS), _keys(match, key_name)
    value = _cut(match, weighted.input[1], _ROWS) or _cached(match, weighted.input[1])
    output = _joined(match, weighted.output[0])
    if query is None or key is None or value is None or output is None or bool(key.width) != bool(value.width):
        return []
    if key.present and mask and match.depends(mask, on=key.present):
        return []  # T5 reads the number of keys off the first layer's cache.
    # The reshape may leave the number of heads open; the projection's matrix tells it.
    projection = match.projection(query.source)
    matrix = match.graph.value(projection[-1][0].input[1]) if projection else None
    if matrix is None:
        return []
    count = matrix.shape[-1] // query.width
    if not key.width:
        return _over_cache(match.graph, (query.source, key.source, value.source, mask), output, count, one * two)
    caches = [mask, key.past, value.past] if key.past else [mask] if mask else []
    return [
        helper.make_node(
            "Attention", [query.source, key.source, value.source, *caches],
            [output, key.present, value.present] if key.past else [output],
            name=f"{output}/attention", q_num_heads=count, kv_num_heads=count, scale=one * two,
        )
    ]  # fmt: skip


def _over_cache(
    graph: Graph, inputs: tuple[str, str, str, str], output: str, count: int, scale: float
) -> list[onnx.NodeProto]:
    """Attention of one query over caches. They have their heads first, so must it; one token lies alike in both."""
    query, key, value, mask = inputs
    apart = graph.constant(np.array([0, count, 1, -1], np.int64), f"heads/{count}")
    aside = graph.constant(np.array([0, 1, -1], np.int64), "heads/joined")
    cut, heads = f"{output}/query", f"{output}/heads"
    return [
        helper.make_node("Reshape", [query, apart], [cut], name=cut),
        helper.make_node("Attention", [cut, key, value, *([mask] if mask else [])], [heads], name=heads, scale=scale),
        helper.make_node("Reshape", [heads, aside], [output], name=f"{output}/joined"),
    ]


def fuse_attention(graph: Graph) -> None:
    """Replace each attention by opset 23's Attention.

    It reads queries, keys and values as the projections wrote them, [batch, tokens, heads * width], adds the mask
    inside the product and does the softmax while the scores of a head are still in the processor's cache. The mask must
    have a row for each query, [batch or 1, heads or 1, queries, keys], as exporters make it. A graph that reads caches
    gets one token a step.
    """
    match = Matcher(graph)
    for softmax in [node for node in graph.nodes if node.op_type == "Softmax"]:
        nodes = _attend(match, softmax)
        if nodes:
            made = {name for node in nodes for name in node.output}
            graph.nodes = [node for node in graph.nodes if not made & set(node.output)] + nodes
    graph.nodes = graph.needed()
    _fold_scales(graph)


def _fold_scales(graph: Graph) -> None:
    """Let the projection of the queries do the scaling: with a factor of one, a single query takes a faster kernel."""
    match = Matcher(graph)
    for attention in [node for node in graph.nodes if node.op_type == "Attention"]:
        scale = next(attribute for attribute in attention.attribute if attribute.name == "scale")
        reshape = match.maker(attention.input[0], "Reshape")
        parts = match.projection(reshape.input[0] if reshape is not None else attention.input[0])
        makers = [*([reshape] if reshape is not None else []), *(node for node, _ in parts)]
        if not parts or any(len(match.users[node.output[0]]) != 1 for node in makers):
            continue
        for node, position in parts:
            value = graph.value(node.input[position])
            assert value is not None
            scaled = (value.astype(np.float64) * scale.f).astype(np.float32)
            node.input[position] = graph.constant(scaled, graph.fresh(node.input[position]))
        scale.f = 1.0
