"""Reading a graph backwards and forwards, to tell what an exporter meant."""

from __future__ import annotations

import onnx

from models.graphs.graph import Graph


def permutation(node: onnx.NodeProto) -> list[int]:
    """Of a Transpose."""
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), [])


class Matcher:
    """A graph as it was when the matcher was made."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.makers = graph.makers()
        self.users = graph.users()

    def maker(self, name: str, *ops: str) -> onnx.NodeProto | None:
        """The node that makes the tensor, if it is one of `ops`."""
        node = self.makers.get(name)
        return node if node is not None and node.op_type in ops else None

    def user(self, name: str, op: str) -> onnx.NodeProto | None:
        """The only reader of the tensor, if it is an `op`."""
        users = self.users[name]
        return users[0] if len(users) == 1 and users[0].op_type == op and name not in self.graph.outputs else None

    def scalar(self, name: str) -> float | None:
        value = self.graph.value(name)
        return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None

    def uncast(self, name: str) -> str:
        """Look through a cast to float: T5 has one before the softmax, for other precisions."""
        node = self.maker(name, "Cast")
        return node.input[0] if node is not None and node.attribute[0].i == onnx.TensorProto.FLOAT else name

    def scaled(self, name: str) -> tuple[str, float]:
        """A tensor and the factor that it is multiplied by to make `name`."""
        node = self.maker(name, "Mul", "Div")
        factor = self.scalar(node.input[1]) if node is not None else None
        if node is None or not factor:
            return name, 1.0
        return node.input[0], factor if node.op_type == "Mul" else 1 / factor

    def summands(self, name: str) -> tuple[onnx.NodeProto | None, str]:
        """A product of two activations, and what is added to it if anything is."""
        added = self.maker(name, "Add")
        if added is None:
            return self.maker(name, "MatMul"), ""
        for one, other in (added.input, reversed(added.input)):
            product = self.maker(one, "MatMul")
            if product is not None:
                return product, other
        return None, ""

    def projection(self, name: str) -> list[tuple[onnx.NodeProto, int]]:
        """The nodes that make `name`, x @ matrix or x @ matrix + bias, last first, and which input is the constant."""
        found = []
        for op in ("Add", "MatMul"):
            node = self.maker(name, op)
            position = (
                next((i for i, n in enumerate(node.input) if self.graph.value(n) is not None), -1) if node else -1
            )
            if node is not None and position >= 0:
                found.append((node, position))
                name = node.input[1 - position]
        return found if found and found[-1][0].op_type == "MatMul" and found[-1][1] == 1 else []

    def depends(self, name: str, on: str) -> bool:
        """Whether tensor `name` cannot be computed before tensor `on`."""
        waiting, seen = [name], {name}
        while waiting:
            node = self.makers.get(waiting.pop())
            fresh = set(node.input) - seen if node is not None else set()
            seen |= fresh
            waiting.extend(fresh)
        return on in seen
