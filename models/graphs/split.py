"""The split of an encoder-decoder for serving: encoder.onnx and decoder.onnx, every weight stored once.

Optimum writes three graphs: the encoder, the decoder's first step (which also projects the encoder's output into the
cross-attention caches) and its later steps (which take those caches). The later steps accept an empty past, so the
first step is needed only for its projections; these go to the end of the encoder.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from models.errors import WorkshopError
from models.graphs.graph import Array, Graph
from models.graphs.shapes import settle_shapes
from models.graphs.static_cache import POSITIONS, SOURCE_LENGTHS, use_static_cache

_CROSS = re.compile(r"present\.\d+\.encoder\.(key|value)")
_STATES = "encoder_hidden_states"


class SplitError(WorkshopError, RuntimeError):
    """The graphs cannot be split, or the split computes something else."""


def _projections(path: Path) -> onnx.ModelProto:
    """The part of decoder_model.onnx that makes the cross-attention caches from the encoder's output."""
    graph = Graph.load(path)
    settle_shapes(graph)
    graph.outputs = [name for name in graph.outputs if _CROSS.fullmatch(name)]
    model = graph.finish()
    read = {name for node in model.graph.node for name in node.input}
    strangers = read & set(graph.inputs) - {_STATES}
    if not graph.outputs or strangers:
        raise SplitError(f"{path.name}: the cross-attention caches depend on {sorted(strangers) or 'nothing'}")
    for field in (model.graph.input, model.graph.output):
        kept = [value for value in field if value.name == _STATES or value.name in graph.outputs]
        del field[:]
        field.extend(kept)
    return model


def _encoder(encoder: Path, decoder: Path) -> onnx.ModelProto:
    graph = Graph.load(encoder)
    settle_shapes(graph)
    # A prefix, so that no tensor of one graph takes the name of another in the other.
    projections = onnx.compose.add_prefix(_projections(decoder), "cross/", rename_inputs=False, rename_outputs=False)
    first = graph.finish()
    projections.ir_version = first.ir_version
    merged = onnx.compose.merge_models(first, projections, io_map=[("last_hidden_state", _STATES)])
    # What sentences are scored by; merging took it for used up.
    merged.graph.output.extend(value for value in first.graph.output if value.name == "last_hidden_state")
    opsets = {opset.domain: opset.version for opset in merged.opset_import}  # onnx lists those of both
    del merged.opset_import[:]
    merged.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items())
    return merged


def _run(path: Path, feed: dict[str, Array]) -> dict[str, Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it warns of static caches that are not written in place
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {i.name: feed[i.name] for i in session.get_inputs()}), strict=True))


def _room(cache: Array, columns: int) -> Array:
    rows, heads, _, width = cache.shape
    return np.zeros((rows, heads, columns, width), np.float32)


def _check(optimum: Path, out: Path, *, static: bool) -> None:
    """Compare two tokens in one pass of Optimum's first step with two steps of ours; two rows, one source padded.

    Raises SplitError. Two steps, because from an empty past a query has one key to look at and cannot be wrong.
    """
    feed: dict[str, Array] = {
        "input_ids": np.arange(4, 16, dtype=np.int64).reshape(2, 6),
        "attention_mask": np.array([[1] * 6, [1] * 4 + [0] * 2], np.int64),
    }
    states = _run(optimum / "encoder_model.onnx", feed)["last_hidden_state"]
    tokens = {"input_ids": np.array([[3, 8], [5, 4]], np.int64), "encoder_attention_mask": feed["attention_mask"]}
    wanted = _run(optimum / "decoder_model.onnx", {**tokens, _STATES: states})
    found = _run(out / "encoder.onnx", feed)
    # A static cache has room for both tokens from the start, one that grows has none.
    room = 2 if static else 0
    past = {
        name: found[name] if _CROSS.fullmatch(name) else _room(value, room)
        for name, value in wanted.items()
        if name.startswith("present")
    }
    for position in (0, 1):
        step = {name.replace("present", "past_key_values"): value for name, value in past.items()}
        step |= {**tokens, "input_ids": tokens["input_ids"][:, position : position + 1]}
        step |= {POSITIONS: np.full(2, position), SOURCE_LENGTHS: feed["attention_mask"].sum(axis=1)}
        past |= _run(out / "decoder.onnx", step)
    wanted["logits"] = wanted["logits"][:, 1:]
    for name, value in wanted.items():
        if past[name].shape != value.shape or not np.allclose(past[name], value, rtol=1e-3, atol=1e-4):
            raise SplitError(f"{name} differs between Optimum's graphs and the split ones")


def split_seq2seq(optimum: Path, out: Path) -> None:
    """Write encoder.onnx and decoder.onnx into `out` from the three graphs in `optimum`.

    encoder.onnx: input_ids, attention_mask -> present.{i}.encoder.key|value, each [rows, heads, source, head_dim], and
    last_hidden_state [rows, source, hidden].
    decoder.onnx: as `use_static_cache` says; of an architecture that it does not understand (T5, so far), input_ids
    [rows, 1], encoder_attention_mask, past_key_values.{i}.{decoder,encoder}.key|value (the decoder's may have length 0)
    -> logits [rows, 1, vocabulary], present.{i}.decoder.key|value.

    Raises SplitError when both forms do not compute the same.
    """
    onnx.save(_encoder(optimum / "encoder_model.onnx", optimum / "decoder_model.onnx"), out / "encoder.onnx")
    decoder = Graph.load(optimum / "decoder_with_past_model.onnx")
    settle_shapes(decoder)
    static = use_static_cache(decoder.finish())
    onnx.save(static or decoder.finish(), out / "decoder.onnx")
    _check(optimum, out, static=static is not None)
