"""How many numbers of an artifact were learnt."""

from __future__ import annotations

from math import prod

import onnx

from service.artifact import Artifact

_LEARNT = (onnx.TensorProto.FLOAT, onnx.TensorProto.INT8)


def count_parameters(artifact: Artifact) -> int:
    """Weights of all graphs, those that graphs share counted once; the scales of int8 and shapes are no weights.

    A few thousand fewer than transformers counts: fusing leaves out biases that change nothing.
    """
    scorer = [artifact.sentence_scorer] if artifact.sentence_scorer else []
    sizes: dict[tuple[str, ...], int] = {}
    for path in (*artifact.graphs, *scorer):
        for tensor in onnx.load(path, load_external_data=False).graph.initializer:
            if tensor.data_type in _LEARNT and tensor.dims and not _is_scale(tensor.name):
                shared = tuple(f"{each.key}={each.value}" for each in tensor.external_data)
                sizes[shared or (path.name, tensor.name)] = prod(tensor.dims)
    return sum(sizes.values())


def _is_scale(name: str) -> bool:
    return name.rpartition("/")[2] in ("scale", "scale_column", "columns")
