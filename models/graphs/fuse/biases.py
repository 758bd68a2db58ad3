"""Biases that cost no pass over the activations, because another bias does their work."""

from __future__ import annotations

import numpy as np
import onnx

from models.graphs.graph import Array, Graph


class _Biases:
    """A graph's biased products: Add(MatMul(x, weight), bias)."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.makers = graph.makers()
        self.users = graph.users()

    def only_user(self, name: str) -> onnx.NodeProto | None:
        users = self.users[name]
        return users[0] if len(users) == 1 and name not in self.graph.outputs else None

    def _position(self, node: onnx.NodeProto) -> int | None:
        for position, name in enumerate(node.input):
            value = self.graph.value(name)
            if node.op_type == "Add" and value is not None and value.ndim == 1 and value.dtype == np.float32:
                return position
        return None

    def bias(self, node: onnx.NodeProto | None) -> Array | None:
        """What an Add of a bias adds, in double precision; None for any other node."""
        position = self._position(node) if node is not None else None
        value = self.graph.value(node.input[position]) if node is not None and position is not None else None
        return None if value is None else value.astype(np.float64)

    def weight(self, node: onnx.NodeProto | None) -> Array | None:
        value = self.graph.value(node.input[1]) if node is not None and node.op_type == "MatMul" else None
        return value.astype(np.float64) if value is not None and value.ndim == 2 else None

    def unbiased(self, node: onnx.NodeProto) -> str:
        """What the bias is added to."""
        return str(node.input[1 - (self._position(node) or 0)])

    def change(self, node: onnx.NodeProto, value: Array) -> None:
        position = self._position(node)
        assert position is not None
        node.input[position] = self.graph.constant(value.astype(np.float32), self.graph.fresh(node.input[position]))


def drop_attention_biases(graph: Graph) -> None:
    """Take the biases off keys and values.

    A key's bias adds the same to all scores of a query, which the softmax takes away again. A value's bias goes through
    the softmax unchanged, since its weights sum to one: it joins the bias of the output projection. What goes into a
    cache keeps its bias, since others read the cache too.
    """
    biases = _Biases(graph)
    for attention in [node for node in graph.nodes if node.op_type == "Attention" and len(node.output) == 1]:
        key, value = (biases.makers.get(attention.input[i]) for i in (1, 2))
        if key is not None and biases.bias(key) is not None:
            attention.input[1] = biases.unbiased(key)
        projection = biases.only_user(attention.output[0])
        added = biases.only_user(projection.output[0]) if projection is not None else None
        through, bias, own = biases.weight(projection), biases.bias(value), biases.bias(added)
        if value is not None and added is not None and through is not None and bias is not None and own is not None:
            biases.change(added, own + bias @ through)
            attention.input[2] = biases.unbiased(value)


def move_residual_biases(graph: Graph) -> None:
    """Let a LayerNormalization add the bias of the feed-forward layer that its output by-passes.

    In y + (f(y @ w + a) @ v + b), where y = LayerNormalization(...): y + b comes from the normalization's own bias, and
    a becomes a - b @ w. An attention's bias stays: its values would have to take the difference back, through its
    projection, and solving for that gave biases up to 130 times as long, for which the int8 range has no room.
    """
    biases = _Biases(graph)
    for norm in [node for node in graph.nodes if node.op_type == "LayerNormalization" and len(node.input) == 3]:
        users, output = biases.users[norm.output[0]], norm.output[0]
        sums = [user for user in users if user.op_type == "Add" and biases.bias(user) is None]
        products = [user for user in users if biases.weight(user) is not None]
        following = [biases.only_user(product.output[0]) for product in products]
        beta = graph.value(norm.input[2])
        if beta is None or output in graph.outputs or len(sums) != 1 or len(users) != 1 + len(products):
            continue
        sublayer = biases.makers.get(next((name for name in sums[0].input if name != output), ""))
        moved = biases.bias(sublayer)
        if sublayer is None or moved is None or biases.only_user(sublayer.output[0]) is None:
            continue
        if any(biases.bias(node) is None for node in following):
            continue
        norm.input[2] = graph.constant((beta + moved).astype(np.float32), graph.fresh(norm.input[2]))
        for product, added in zip(products, following, strict=True):
            own, weight = biases.bias(added), biases.weight(product)
            if added is not None and own is not None and weight is not None:
                biases.change(added, own - moved @ weight)
        sums[0].input[list(sums[0].input).index(sublayer.output[0])] = biases.unbiased(sublayer)
