"""An ONNX graph under edit: what makes and uses each tensor, constants by value, dead parts removed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]


def read_names(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads, those that the branches of an If or a Loop read from outside included."""
    names = list(node.input)
    for attribute in node.attribute:
        for branch in (attribute.g, *attribute.graphs):
            made = {name for inner in branch.node for name in inner.output}
            made |= {value.name for value in (*branch.input, *branch.initializer)}
            read = [name for inner in branch.node for name in read_names(inner)]
            names += [name for name in (*read, *(value.name for value in branch.output)) if name not in made]
    return names


def _rename(node: onnx.NodeProto, renamed: Mapping[str, str]) -> None:
    """Let a node, and what is in its branches, read other tensors."""
    for position, name in enumerate(node.input):
        node.input[position] = renamed.get(name, name)
    for attribute in node.attribute:
        for branch in (attribute.g, *attribute.graphs):
            for inner in branch.node:
                _rename(inner, renamed)


def _drop_constant_nodes(graph: onnx.GraphProto) -> None:
    """Turn Constant nodes into initializers and read through Identity: a constant has one form and one name."""
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
        _rename(node, renamed)
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
            for name in read_names(node):
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

    def add(self, op: str, inputs: Iterable[str], output: str, *, domain: str = "", **attributes: Any) -> str:
        """Append a node with one output; return the output's name."""
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, domain=domain, **attributes))
        return output

    def replace(self, old: str, new: str) -> None:
        """Let every reader of tensor `old` read `new` instead."""
        for node in self.nodes:
            _rename(node, {old: new})

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
            waiting = [makers[name] for name in read_names(node) if name in makers and id(makers[name]) not in state]
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
        used = {name for node in self.nodes for name in read_names(node)} | set(self.outputs)
        graph = self.model.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self.nodes)
        graph.initializer.extend(tensor for name, tensor in self.initializers.items() if name in used)
        return self.model

    def save(self, path: Path) -> None:
        onnx.save(self.finish(), path)
