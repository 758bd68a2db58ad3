"""Masks and positions, which depend on the inputs alone, in fewer nodes.

Exporters spell them in dozens of nodes, never quite the same. So a short form is not matched against those: the graph
is run on samples, and the short form is taken where it gives the same.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
import onnxruntime

from models.graphs.graph import Array, Graph

_MASK, _IDS, _PAST = "attention_mask", "input_ids", "past_key_values"
_LOWEST = float(np.finfo(np.float32).min)


def _has_caches(graph: Graph) -> bool:
    return any(name.startswith(_PAST) for name in graph.inputs)


def _past_length(sample: dict[str, Array]) -> int:
    return next(value.shape[2] for name, value in sample.items() if ".decoder." in name)


def end_token(graph: Graph) -> int | None:
    """The id that the graph looks for among its input ids: BART's classifier reads the state of the last such token."""
    sought = [node.input[1] for node in graph.nodes if node.op_type == "Equal" and node.input[0] == _IDS]
    values = [value for name in sought if (value := graph.value(name)) is not None]
    return int(values[0].item()) if values and values[0].size == 1 else None


def _samples(graph: Graph) -> list[dict[str, Array]]:
    """Inputs of several shapes; a graph with caches gets one token a step."""
    numbers, end = np.random.default_rng(0), end_token(graph)
    samples = []
    for rows, tokens in ((1, 1), (1, 7), (3, 12)):
        sample: dict[str, Array] = {}
        for value in graph.model.graph.input:
            if value.name.startswith(_PAST):
                _, heads, _, width = (dim.dim_value for dim in value.type.tensor_type.shape.dim)
                length = tokens - 1 if ".decoder." in value.name else tokens
                sample[value.name] = numbers.random((rows, heads, length, width), np.float32)
            elif value.name == _IDS:
                sample[_IDS] = numbers.integers(0, 40, (rows, 1 if _has_caches(graph) else tokens))
                if end is not None:  # once in each row, at its end
                    sample[_IDS][sample[_IDS] == end] += 1
                    sample[_IDS][:, -1] = end
            else:
                sample[value.name] = numbers.integers(0, 2, (rows, tokens))
        samples.append(sample)
    return samples


def _independent(graph: Graph, name: str, makers: dict[str, onnx.NodeProto]) -> bool:
    """Whether the tensor is computed from the ids, masks and shapes alone, without weights or caches."""
    if name not in makers:
        return False
    waiting, seen = [name], {name}
    while waiting:
        tensor = waiting.pop()
        node, value = makers.get(tensor), graph.value(tensor)
        if value is not None and value.dtype == np.float32 and value.ndim > 1:
            return False
        if node is None and (tensor == "token_type_ids" or tensor.startswith(_PAST)):
            return False
        if node is not None and node.op_type != "Shape":
            fresh = {source for source in node.input if source} - seen
            seen |= fresh
            waiting.extend(fresh)
    return True


def _values(graph: Graph, names: Iterable[str]) -> dict[str, list[Array]]:
    """What those of the tensors that only depend on the inputs are for each of the samples."""
    makers = graph.makers()
    chosen = sorted({name for name in names if _independent(graph, name, makers)})
    if not chosen or "positions" in graph.inputs:  # a static cache: nothing is left of what exporters spell out
        return {}
    model = onnx.ModelProto()
    model.CopyFrom(graph.finish())
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in chosen)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    runs = [session.run(chosen, sample) for sample in _samples(graph)]
    return {name: [run[position] for run in runs] for position, name in enumerate(chosen)}


def _same(ours: list[Array], theirs: list[Array]) -> bool:
    return all(a.shape == b.shape and np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def drop_zeros(graph: Graph) -> None:
    """Add nothing where exporters add zeros: the causal mask of a decoder that gets one token a step."""
    if not _has_caches(graph):
        return
    sums = [node for node in graph.nodes if node.op_type == "Add"]
    values = _values(graph, (name for node in sums for name in node.input))
    for node in sums:
        for name, other in ((node.input[0], node.input[1]), (node.input[1], node.input[0])):
            if name in values and all(v.dtype == np.float32 and not v.any() for v in values[name]):
                graph.replace(node.output[0], other)
                break


def shorten_masks(graph: Graph) -> None:
    """Make the attention's mask, [batch, 1, queries, keys], from the inputs' mask directly."""
    names = [node.input[3] for node in graph.nodes if node.op_type == "Attention" and len(node.input) > 3]
    for name, values in _values(graph, names).items():
        given = next(given for given in graph.inputs if given.endswith(_MASK))
        kept = [sample[given][:, None, None].astype(np.float32) for sample in _samples(graph)]
        queries = [value.shape[2] for value in values]
        shapes = [(len(m), 1, count, m.shape[-1]) for m, count in zip(kept, queries, strict=True)]
        wanted = [np.broadcast_to((m - 1) * -_LOWEST, shape) for m, shape in zip(kept, shapes, strict=True)]
        if _same(wanted, values):
            graph.replace(name, _mask(graph, given, one=max(queries) == 1))


def _mask(graph: Graph, given: str, *, one: bool) -> str:
    """The mask of one query, or of as many as there are keys."""
    if "mask/full" in graph.makers():
        return "mask/full"

    def number(value: float) -> str:
        return graph.constant(np.array(value, np.float32), f"mask/{value:g}")

    def axes(*values: int) -> str:
        return graph.constant(np.array(values, np.int64), "mask/axes_" + "_".join(map(str, values)))

    kept = graph.add("Cast", [given], "mask/kept", to=onnx.TensorProto.FLOAT)
    missing = graph.add("Sub", [kept, number(1)], "mask/missing")
    low = graph.add("Mul", [missing, number(-_LOWEST)], "mask/low")
    if one:
        return graph.add("Unsqueeze", [low, axes(1, 2)], "mask/full")
    keys = graph.add("Unsqueeze", [low, axes(1, 2)], "mask/keys")
    zeros = graph.add("Mul", [missing, number(0)], "mask/zeros")
    queries = graph.add("Unsqueeze", [zeros, axes(1, 3)], "mask/queries")
    return graph.add("Add", [keys, queries], "mask/full")


def find_positions(graph: Graph) -> list[tuple[onnx.NodeProto, int]]:
    """Where a one-token decoder reads a table at the place of its token, and the table's row for place 0."""
    lookups = [node for node in graph.nodes if node.op_type == "Gather" and _is_table(graph, node.input[0])]
    values = _values(graph, (node.input[1] for node in lookups))
    found = []
    for node in lookups:
        indices = values.get(node.input[1])
        if indices is None or any(each.size != 1 for each in indices):
            continue
        lengths = [_past_length(sample) for sample in _samples(graph)]
        offsets = {int(each.item()) - length for each, length in zip(indices, lengths, strict=True)}
        if len(offsets) == 1:
            found.append((node, offsets.pop()))
    return found


def slice_positions(graph: Graph) -> None:
    """Read the first rows of the position table as they lie, without looking each of them up."""
    lookups = [node for node in graph.nodes if node.op_type == "Gather" and _is_table(graph, node.input[0])]
    values = _values(graph, (node.input[1] for node in lookups))
    for node in lookups:
        indices = values.get(node.input[1])
        if indices is None or indices[0].ndim != 2:
            continue
        first = int(indices[0][0, 0])
        wanted = [np.broadcast_to(np.arange(first, first + found.shape[1]), found.shape) for found in indices]
        lengths = [sample[_IDS].shape[1] for sample in _samples(graph)]
        if not _same(wanted, indices) or [found.shape[1] for found in indices] != lengths:
            continue
        table = graph.value(node.input[0])
        assert table is not None
        rows = graph.constant(table[None, first:], f"{node.input[0]}/from_{first}")
        zero, one = (graph.constant(np.array([n], np.int64), f"positions/{n}") for n in (0, 1))
        if "positions/length" not in graph.makers():
            graph.add("Shape", [_IDS], "positions/length", start=1, end=2)
        graph.drop([node])
        graph.add("Slice", [rows, zero, "positions/length", one], node.output[0])


def _is_table(graph: Graph, name: str) -> bool:
    table = graph.value(name)
    return table is not None and table.ndim == 2 and table.dtype == np.float32
