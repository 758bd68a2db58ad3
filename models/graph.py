"""An ONNX graph under edit: what makes and uses each tensor, constants by value, dead parts removed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[np.generic]


def _drop_constant_nodes(graph: onnx.GraphProto) -> None:
    """Turn Constant nodes into initializers, and read through Identity, so that a constant has one form and one name."""
    renamed: dict[str, str] = {}
    outputs = {value.name for value in graph.output}
    kept = []
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = onnx.TensorProto()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
        elif node.op_type == "Identity" and node.output[0] not in outputs:
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
        else:
            kept.append(node)
    for node in kept:
        for position, name in enumerate(node.input):
            node.input[position] = renamed.get(name, name)
    del graph.node[:]
    graph.node.extend(kept)


class Graph:
    """A model whose nodes can be added, rewired and dropped in any order; `save` sorts and prunes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        _drop_constant_nodes(model.graph)
        self.nodes: list[onnx.NodeProto] = list(model.graph.node)
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.inputs = [value.name for value in model.graph.input]
        self.outputs = [value.name for value in model.graph.output]
        self._values: dict[str, Array] = {}
        self._count = 0

    @classmethod
    def load(cls, path: Path) -> Graph:
        return cls(onnx.load(path))

    def makers(self) -> dict[str, onnx.NodeProto]:
        """The node that makes each tensor."""
        return {name: node for node in self.nodes for name in node.output}

    def users(self) -> dict[str, list[onnx.NodeProto]]:
        """The nodes that read each tensor."""
        users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                users[name].append(node)
        return users

    def value(self, name: str) -> Array | None:
        """The value of an initializer, None for anything that is computed."""
        if name not in self._values and name in self.initializers:
            self._values[name] = numpy_helper.to_array(self.initializers[name])
        return self._values.get(name)

    def fresh(self, stem: str) -> str:
        """A tensor name that no other tensor has."""
        self._count += 1
        return f"{stem}/shoal_{self._count}"

    def constant(self, value: Array, name: str) -> str:
        """Store `value` under `name` (once); return the name."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
            self._values[name] = value
        return name

    def add(self, op: str, inputs: Iterable[str], output: str, *, domain: str = "", **attributes: object) -> str:
        """Append a node with one output; return the output's name."""
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, domain=domain, **attributes))
        return output

    def replace(self, old: str, new: str) -> None:
        """Let every reader of tensor `old` read `new` instead."""
        for node in self.nodes:
            for position, name in enumerate(node.input):
                if name == old:
                    node.input[position] = new

    def drop(self, nodes: Iterable[onnx.NodeProto]) -> None:
        gone = {id(node) for node in nodes}
        self.nodes = [node for node in self.nodes if id(node) not in gone]

    def needed(self) -> list[onnx.NodeProto]:
        """The nodes that the outputs depend on, makers before users (depth first, without recursion)."""
        makers = self.makers()
        ordered: list[onnx.NodeProto] = []
        state: dict[int, bool] = {}
        stack = [makers[name] for name in reversed(self.outputs) if name in makers]
        while stack:
            node = stack[-1]
            waiting = [makers[name] for name in node.input if name in makers and id(makers[name]) not in state]
            state[id(node)] = True
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            if not state.get(-id(node)):
                state[-id(node)] = True
                ordered.append(node)
        return ordered

    def finish(self) -> onnx.ModelProto:
        """Write the edits into the model: sorted, without what no output needs."""
        self.nodes = self.needed()
        used = {name for node in self.nodes for name in node.input} | set(self.outputs)
        graph = self.model.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self.nodes)
        graph.initializer.extend(tensor for name, tensor in self.initializers.items() if name in used)
        return self.model

    def save(self, path: Path) -> None:
        onnx.save(self.finish(), path)


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


def fix_reshapes(graph: Graph) -> None:
    """Give the reshapes around attention heads constant targets: (batch, tokens, ...) becomes (0, 0, ...), "as it was".

    The exporter computes them from the shapes of other tensors, which costs a dozen nodes a layer and ties the
    cross-attention caches to the decoder's input.
    """
    makers = graph.makers()
    for node in graph.nodes:
        target = makers.get(node.input[1]) if node.op_type == "Reshape" else None
        if target is None or target.op_type != "Concat" or not _is_batch_size(graph, target.input[0], makers):
            continue
        tail = [graph.value(name) for name in target.input[1:]]
        # Only the second number, tokens, may be computed, and each input is one number, or it is not what we think.
        if any(value is None for value in tail[1:]) or any(value is not None and value.size != 1 for value in tail):
            continue
        dimensions = [0] + [0 if value is None else int(value.reshape(-1)[0]) for value in tail]
        node.input[1] = graph.constant(np.array(dimensions, np.int64), "shape_" + "_".join(map(str, dimensions)))


def fold_scalars(graph: Graph) -> None:
    """Compute at export what the exporter computes at every call: the attention's scale, from the width of a head."""
    shapes = _known_shapes(graph)
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


def _known_shapes(graph: Graph) -> dict[str, list[int | None]]:
    """What shape inference can tell; None for a dimension that depends on the input."""
    inferred = onnx.shape_inference.infer_shapes(graph.finish()).graph
    return {
        value.name: [dim.dim_value or None for dim in value.type.tensor_type.shape.dim] or [None]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }


def tidy(graph: Graph) -> None:
    """Drop what only the exporter needed; the graph computes the same."""
    fix_reshapes(graph)
    fold_scalars(graph)
