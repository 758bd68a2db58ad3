"""GELU as one node."""

from __future__ import annotations

from itertools import pairwise

from models.graphs.graph import Graph


def _near(graph: Graph, name: str, number: float) -> bool:
    value = graph.value(name)
    return value is not None and value.size == 1 and abs(float(value.reshape(-1)[0]) - number) < 1e-4


def fuse_gelus(graph: Graph) -> None:
    """Replace x * (erf(x / sqrt 2) + 1) * 0.5, as exporters write it, by Gelu (opset 20).

    onnxruntime would do so when it loads the graph; here the quantizer sees what bounds its output.
    """
    users = graph.users()
    makers = graph.makers()
    for erf in [node for node in graph.nodes if node.op_type == "Erf"]:
        divided = makers.get(erf.input[0])
        if divided is None or divided.op_type != "Div" or not _near(graph, divided.input[1], 2**0.5):
            continue
        x = divided.input[0]
        chain = [erf]
        for op in ("Add", "Mul", "Mul"):
            following = users[chain[-1].output[0]]
            if len(following) != 1 or following[0].op_type != op:
                break
            chain.append(following[0])
        if len(chain) != 4:
            continue
        one, product, half = ([name for name in node.input if name != last.output[0]] for last, node in pairwise(chain))
        if _near(graph, one[0], 1) and product == [x] and _near(graph, half[0], 0.5):
            graph.drop([chain[-1]])
            graph.add("Gelu", [x], chain[-1].output[0])
