"""ONNX graphs as sessions, and their padded inputs. The only importer of onnxruntime."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from service.errors import ArtifactError
from service.scheduling.job import Pass
from service.text.tokenizer import Encoding

Array: TypeAlias = npt.NDArray[Any]
"""An array of a graph. The element type is Any, because only the graph's file determines it."""
Tensor: TypeAlias = ort.OrtValue
"""An array in onnxruntime's memory; Any to type checkers, because onnxruntime has no types."""

_DTYPES: dict[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
}
_LFS_POINTER = b"version https://git-lfs"


def tensor(array: Array) -> Tensor:
    """An array as onnxruntime's tensor, without a copy if it is contiguous."""
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


@cache
def _share_arena() -> None:
    """Make all sessions allocate from one arena. Otherwise each has its own, which grows to its largest pass.

    With two models, of two sessions each, that saves a quarter of the memory (docs/performance.md).
    """
    cpu = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(cpu, ort.OrtArenaCfg({}))


class Session:
    """One ONNX file as a session. `run` may be called from several threads at once, and drops the GIL."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """`threads` work on one pass, 0 being all cores. Passes of one thread each, side by side, answer most rows.

        Raises ArtifactError if the file cannot be loaded, or has inputs of an unsupported type.
        """
        _share_arena()
        options = ort.SessionOptions()
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A spinning pool takes the cores from the event loop and from the other workers.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the binding's exceptions have no common base
            raise ArtifactError(f"{path}: {_load_failure(path, error)}") from error
        unknown = [f"{node.name} ({node.type})" for node in self._session.get_inputs() if node.type not in _DTYPES]
        if unknown:
            raise ArtifactError(f"{path}: it has inputs of a type that is not supported: {', '.join(unknown)}")
        self.path = path
        self.inputs = {node.name: _DTYPES[node.type] for node in self._session.get_inputs()}
        outputs = self._session.get_outputs()
        self.outputs = [node.name for node in outputs]
        self.shapes = {node.name: node.shape for node in (*self._session.get_inputs(), *outputs)}

    def run(self, feeds: Mapping[str, Array | Tensor], outputs: Iterable[str] | None = None) -> dict[str, Tensor]:
        """One pass over inputs by name; returns all `outputs`, or those named, as tensors.

        Inputs that the graph does not declare are ignored, because DistilBERT and RoBERTa have no token types.
        """
        names = list(outputs) if outputs is not None else self.outputs
        given = {
            name: tensor(value.astype(self.inputs[name], copy=False)) if isinstance(value, np.ndarray) else value
            for name, value in feeds.items()
            if name in self.inputs
        }
        return dict(zip(names, self._session.run_with_ort_values(names, given), strict=True))

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> BoundSession:
        """Bind contiguous arrays of the graph's types, which passes then read and write, as often as wanted."""
        return BoundSession(self._session, {name: inputs[name] for name in self.inputs}, outputs)

    def run_arrays(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """One pass from arrays to arrays; returns all `outputs`, or those named.

        It has half the overhead of `run`, but copies inputs and outputs.
        """
        names = self.outputs if outputs is None else outputs
        given: dict[str, Array] = {
            name: array.astype(self.inputs[name], copy=False) for name, array in feeds.items() if name in self.inputs
        }
        return dict(zip(names, self._session.run(names, given), strict=True))


def _load_failure(path: Path, error: Exception) -> str:
    with suppress(OSError), path.open("rb") as file:
        if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
            return "it is a pointer of Git LFS, not the file itself; fetch that with `git lfs pull`"
    return f"onnxruntime cannot load it ({error})"


class BoundSession:
    """A session bound to arrays of the caller, which a pass reads and writes in place. Not thread-safe."""

    def __init__(
        self, session: ort.InferenceSession, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
    ) -> None:
        self._session = session
        self._binding = session.io_binding()
        # An array that is both input and output, a cache that is written in place, is bound as one tensor.
        tensors = {id(each): ort.OrtValue.ortvalue_from_numpy(each) for each in (*inputs.values(), *outputs.values())}
        for name, given in inputs.items():
            self._binding.bind_ortvalue_input(name, tensors[id(given)])
        for name, made in outputs.items():
            self._binding.bind_ortvalue_output(name, tensors[id(made)])
        self._bound = (tensors, inputs, outputs)  # onnxruntime keeps none of them alive

    def run(self) -> None:
        """Run one pass."""
        self._session.run_with_iobinding(self._binding)


def pad(encodings: list[Encoding], pad_id: int, *, multiple: int = 1) -> dict[str, Array]:
    """Right-padded inputs of a graph, each [rows, tokens] int64; the number of tokens is rounded up to a multiple."""
    width = max(len(encoding) for encoding in encodings)
    width += -width % multiple
    # Three flat buffers: at a few rows a pass, numpy's calls row by row would cost more than the copying.
    ids, types, mask = array("q"), array("q"), array("q")
    padding, zeros, ones = array("q", [pad_id]) * width, array("q", [0]) * width, array("q", [1]) * width
    for encoding in encodings:
        size = len(encoding)
        missing = width - size
        ids.extend(encoding.ids)
        ids.extend(padding[:missing])
        types.extend(encoding.type_ids)
        types.extend(zeros[:missing])
        mask.extend(ones[:size])
        mask.extend(zeros[:missing])
    shape = (len(encodings), width)
    named = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    return {name: np.frombuffer(values, np.int64).reshape(shape) for name, values in named.items()}


def padded_pass(encodings: list[Encoding]) -> Pass:
    """A Pass with the sizes of a padded batch, and no finished rows yet."""
    width = max(len(encoding) for encoding in encodings)
    return Pass([], len(encodings), sum(len(encoding) for encoding in encodings), width * len(encodings))
