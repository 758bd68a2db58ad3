"""Embedding tables in int8: one scale a row, read back to float for the rows that are looked up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.graphs.graph import Array, Graph
from models.graphs.quantize.weights import quantize_rows

_LEAST = 2**14
"""Numbers in a table worth the two more nodes a look-up."""


@dataclass(frozen=True)
class Int8Table:
    """A table in both forms, and the names of its int8 tensors."""

    floats: Array
    """[rows, width]"""
    values: str
    """int8, [rows, width]"""
    scale: NDArray[np.float32]
    """[rows]"""


def quantize_embeddings(graph: Graph, *, reduce_range: bool) -> dict[str, Int8Table]:
    """Replace look-ups in large float tables; return the tables by their old names."""
    tables: dict[str, Int8Table] = {}
    for node in list(graph.nodes):
        if node.op_type != "Gather" or any(attribute.i for attribute in node.attribute if attribute.name == "axis"):
            continue
        name, index = node.input
        table = graph.value(name)
        if table is None or table.ndim != 2 or table.dtype != np.float32 or table.size < _LEAST:
            continue
        if name not in tables:
            quantized = quantize_rows(table.astype(np.float32), reduce_range=reduce_range)
            values = graph.constant(quantized.rows, f"{name}/int8")
            tables[name] = Int8Table(table, values, quantized.scale)
        output = node.output[0]
        graph.drop([node])
        rows = graph.add("Gather", [tables[name].values, index], f"{output}/row", axis=0)
        floats = graph.add("Cast", [rows], f"{output}/row_float", to=1)
        column = graph.constant(tables[name].scale[:, None], f"{name}/scale_column")
        scales = graph.add("Gather", [column, index], f"{output}/row_scale", axis=0)
        graph.add("Mul", [floats, scales], output)
    return tables
