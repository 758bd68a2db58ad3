"""Shapes that the exporter lets a graph compute at every call, settled once."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper

from models.graphs.graph import Array, Graph

_FOLDED: dict[str, Callable[..., Array]] = {
    "Sqrt": np.sqrt,
    "Div": np.divide,
    "Mul": np.multiply,
}


def _is_batch_size(graph: Graph, name: str, makers: dict[str, onnx.NodeProto]) -> bool:
    """Whether the tensor is dimension 0 of some activation, as a vector of one."""
    node = makers.get(name)
    if node is None or node.op_type != "Unsqueeze":
        return False
    gather = makers.get(node.input[0])
    if gather is None or gather.op_type != "Gather" or makers.get(gather.input[0], node).op_type != "Shape":
        return False
    index = graph.value(gather.input[1])
    return index is not None and index.size == 1 and int(index.reshape(-1)[0]) == 0


def _keeps_tokens(source: list[int | None], tail: list[int | None]) -> bool:
    """Whether a source reshaped to (batch, tokens, *tail) is [batch, tokens, ...] itself, as far as shapes are known.

    It is not where its rank is another (ConvBERT reshapes [batch * tokens, n] and [batch, n, kernel, 1, tokens, 1]), or
    where the numbers of a token are more or fewer than in the target.
    """
    known = [dim for dim in (*source[2:], *tail) if dim is not None and dim > 0]
    if len(source) not in (3, 4) or len(known) < len(source) - 2 + len(tail):
        return len(source) in (3, 4)
    return math.prod(known[: len(source) - 2]) == math.prod(known[len(source) - 2 :])


def fix_reshapes(graph: Graph) -> None:
    """Give the reshapes around attention heads constant targets: (batch, tokens, ...) becomes (0, 0, ...), "as it was".

    The exporter computes them from the shapes of other tensors, which costs a dozen nodes a layer and ties the
    cross-attention caches to the decoder's input. Zeros stand for dimensions of the source, which must be the
    target's too.
    """
    makers = graph.makers()
    shapes = known_shapes(graph)
    for node in graph.nodes:
        target = makers.get(node.input[1]) if node.op_type == "Reshape" else None
        if target is None or target.op_type != "Concat" or not _is_batch_size(graph, target.input[0], makers):
            continue
        tail = [graph.value(name) for name in target.input[1:]]
        # Only the second number, tokens, may be computed, and each input is one number, or it is not what we think.
        if any(value is None for value in tail[1:]) or any(value is not None and value.size != 1 for value in tail):
            continue
        dimensions = [0] + [0 if value is None else int(value.reshape(-1)[0]) for value in tail]
        if not _keeps_tokens(shapes.get(node.input[0], []), [*dimensions[2:]]):
            continue
        node.input[1] = graph.constant(np.array(dimensions, np.int64), "shape_" + "_".join(map(str, dimensions)))


def fold_scalars(graph: Graph) -> None:
    """Compute at export what the exporter computes at every call: the attention's scale, from the width of a head."""
    shapes = known_shapes(graph)
    makers = graph.makers()
    for node in graph.needed():
        inputs = [graph.value(name) for name in node.input]
        result: Array | None = None
        if node.op_type == "Slice" and makers.get(node.input[0], node).op_type == "Shape":
            width = shapes.get(makers[node.input[0]].input[0], [None])[-1]
            if width and inputs[1] is not None and inputs[1].tolist() == [-1] and len(inputs) == 3:
                result = np.array([width], np.int64)
        elif inputs and all(value is not None and value.size == 1 for value in inputs):
            if node.op_type == "Cast":
                assert inputs[0] is not None
                result = inputs[0].astype(helper.tensor_dtype_to_np_dtype(node.attribute[0].i))
            elif node.op_type in _FOLDED:
                result = _FOLDED[node.op_type](*inputs)
        if result is not None and node.output[0] not in graph.outputs:
            graph.constant(result, node.output[0])
            graph.drop([node])


def known_shapes(graph: Graph) -> dict[str, list[int | None]]:
    """What shape inference can tell; None for a dimension that depends on the input."""
    inferred = onnx.shape_inference.infer_shapes(graph.finish()).graph
    return {
        value.name: [dim.dim_value or None for dim in value.type.tensor_type.shape.dim] or [None]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }


def settle_shapes(graph: Graph) -> None:
    """Make constant what the exporter left to be computed at every call; the outputs stay the same."""
    fix_reshapes(graph)
    fold_scalars(graph)
