"""Weights that an artifact's graphs have in common, stored once beside them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx

SHARED = "shared.bin"

_LEAST_BYTES = 2**16
_ALIGNMENT = 4096  # A page, so that onnxruntime can map the file into memory.


def _large(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [tensor for tensor in model.graph.initializer if len(tensor.raw_data) >= _LEAST_BYTES]


def share_weights(graphs: list[Path]) -> None:
    """Move large weights that several of the graphs hold to SHARED in their folder, as ONNX external data.

    An encoder-decoder looks its source and its target up in the same embeddings. A session must then be made from the
    graph's path, not from its bytes. Without common weights nothing is written.
    """
    models = [onnx.load(path) for path in graphs]
    holders = Counter(data for model in models for data in {bytes(tensor.raw_data) for tensor in _large(model)})
    offsets: dict[bytes, int] = {}
    content = bytearray()
    for data, count in holders.items():
        if count > 1:
            content.extend(bytes(-len(content) % _ALIGNMENT))
            offsets[data] = len(content)
            content.extend(data)
    if not offsets:
        return
    (graphs[0].parent / SHARED).write_bytes(content)
    for path, model in zip(graphs, models, strict=True):
        for tensor in _large(model):
            offset = offsets.get(bytes(tensor.raw_data))
            if offset is not None:
                length = len(tensor.raw_data)
                # Fills in location, offset and length; the data itself leaves the graph with ClearField.
                onnx.external_data_helper.set_external_data(tensor, SHARED, offset=offset, length=length)
                tensor.ClearField("raw_data")
        path.write_bytes(model.SerializeToString())
