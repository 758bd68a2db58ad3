"""ONNX graphs: load, pad, run, split. The only importer of onnxruntime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnxruntime as ort

from service.artifact import Artifact
from service.encoding import Encoding
from service.errors import ArtifactError
from service.job import Pass, Passes, Row

Array = np.ndarray[Any, np.dtype[Any]]
Tensor: TypeAlias = ort.OrtValue

_DTYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float)": np.float32, "tensor(bool)": np.bool_}


def tensor(array: Array) -> Tensor:
    """Lend an array to onnxruntime without a copy."""
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def take_rows(value: Tensor, rows: Array) -> Tensor:
    """The given rows of a tensor, in that order."""
    return tensor(value.numpy()[rows])


class Graph:
    """One ONNX file as a session. `run` may be called from several threads at once, and drops the GIL."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """`threads` work on one pass: 1, because N narrow passes side by side beat one wide one (docs/design.md)."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A spinning pool takes the cores from the event loop and from the other workers.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the binding's exceptions have no common base
            raise ArtifactError(f"{path}: onnxruntime cannot load it ({error})") from error
        self.inputs = {node.name: _DTYPES[node.type] for node in self._session.get_inputs()}
        self.shapes = {node.name: node.shape for node in self._session.get_inputs()}
        self.outputs = [node.name for node in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, Array | Tensor], outputs: Iterable[str] | None = None) -> dict[str, Tensor]:
        """One pass. Feeds that the graph does not declare are left out (DistilBERT and RoBERTa have no token types)."""
        names = list(outputs) if outputs is not None else self.outputs
        given = {
            name: tensor(value.astype(self.inputs[name], copy=False)) if isinstance(value, np.ndarray) else value
            for name, value in feeds.items()
            if name in self.inputs
        }
        return dict(zip(names, self._session.run_with_ort_values(names, given), strict=True))


def pad(encodings: list[Encoding], pad_id: int, *, multiple: int = 1) -> dict[str, Array]:
    """Right-padded int64 inputs, each [rows, tokens]; the width is rounded up to a multiple."""
    width = max(len(encoding) for encoding in encodings)
    width += -width % multiple
    ids = np.full((len(encodings), width), pad_id, dtype=np.int64)
    type_ids = np.zeros_like(ids)
    mask = np.zeros_like(ids)
    for index, encoding in enumerate(encodings):
        size = len(encoding)
        ids[index, :size] = encoding.ids
        type_ids[index, :size] = encoding.type_ids
        mask[index, :size] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": type_ids}


def padded_pass(encodings: list[Encoding]) -> Pass:
    """The size of a padded batch, nothing finished."""
    width = max(len(encoding) for encoding in encodings)
    return Pass([], len(encodings), sum(len(encoding) for encoding in encodings), width * len(encodings))


class EncoderModel:
    """An encoder with a head: one pass answers every row. Rows' inputs are Encodings."""

    def __init__(self, artifact: Artifact) -> None:
        self._graph = Graph(artifact.graphs[0])
        self._pad_id = int(artifact.config.get("pad_token_id") or 0)

    def run(self, rows: list[Row]) -> Passes:
        """One pass; each row's result is its outputs by name: logits [labels], or [tokens] for spans, padding cut."""
        encodings = [row.inputs for row in rows]
        outputs = self._graph.run(pad(encodings, self._pad_id))
        done = padded_pass(encodings)
        arrays = {name: value.numpy() for name, value in outputs.items()}
        spans = "start_logits" in arrays
        for index, row in enumerate(rows):
            size = row.tokens if spans else None
            done.finished.append((row, {name: array[index, :size] for name, array in arrays.items()}))
        yield done
