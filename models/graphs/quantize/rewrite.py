"""The rewrite of one ONNX graph from float32 to int8."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import helper

from models.graphs.fuse import fuse
from models.graphs.graph import Graph
from models.graphs.quantize.embeddings import quantize_embeddings
from models.graphs.quantize.matmuls import quantize_matmuls
from models.graphs.shapes import settle_shapes

_OPSET = 23  # Attention; QuantizeLinear in blocks is of 21
_IR_VERSION = 11  # that goes with opset 23


def _raise_opset(model: onnx.ModelProto) -> None:
    """Declare opset 23; of the operators that transformers are exported with, none changed its meaning from 18 on."""
    for domain in model.opset_import:
        if domain.domain == "":
            if domain.version < 18:
                raise ValueError(f"opset {domain.version}: export with opset 18 or newer")
            domain.version = max(domain.version, _OPSET)
    if not any(domain.domain == "com.microsoft" for domain in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.ir_version = max(model.ir_version, _IR_VERSION)


def quantize_graph(source: Path, target: Path, *, reduce_range: bool = False) -> None:
    """Write `source` with int8 weights (per channel) and activations (uint8, per token) to `target`.

    A row's outputs are the same bits alone, in any batch, under any right padding that the mask tells of, and with any
    number of threads. For a decoder, sources must come padded to a multiple of 8, alone too: with one query onnxruntime
    multiplies by its vector kernel, which adds the keys up in fours and the rest in another order.

    `reduce_range` is for CPUs without VNNI (`quantize_rows`). Checked with onnxruntime 1.32.

    Raises ValueError for an opset below 18.
    """
    model = onnx.load(source)
    _raise_opset(model)
    graph = Graph(model)
    settle_shapes(graph)
    fuse(graph)
    tables = quantize_embeddings(graph, reduce_range=reduce_range)
    quantize_matmuls(graph, tables, reduce_range=reduce_range)
    graph.save(target)
