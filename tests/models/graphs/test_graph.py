"""Edits of a graph: order and names."""

from __future__ import annotations

from models.graphs.graph import Graph
from tests.models.tiny import heads_graph


def test_nodes_are_sorted_and_names_are_fresh() -> None:
    graph = Graph(heads_graph("-1"))
    late = graph.add("Abs", ["x"], graph.fresh("x"))
    assert late != graph.fresh("x")
    graph.replace("heads", late)
    graph.nodes.reverse()
    order = [node.output[0] for node in graph.finish().graph.node]
    assert order.index(late) < order.index("scaled")
    assert "unused" not in order
