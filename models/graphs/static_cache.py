"""A decoder whose rows stand at different places, over caches of fixed size that it writes in place.

Exporters give a decoder caches that grow by a copy at each step, and count the place of its tokens by their length: all
rows of a pass must have come equally far. Here each row says its own place, so that texts may join and leave a running
batch between any two steps.
"""

from __future__ import annotations

import re

import numpy as np
import onnx
from onnx import TensorProto, helper

from models.graphs.fuse.attention import fuse_attention
from models.graphs.fuse.inputs import drop_zeros, find_positions
from models.graphs.graph import Graph

POSITIONS, SOURCE_LENGTHS, _MASK = "positions", "source_lengths", "encoder_attention_mask"
_LENGTHS = {POSITIONS: "rows", SOURCE_LENGTHS: "texts"}
OPSET = 24
"""TensorScatter, and an Attention that is told how many of its keys count."""
_CACHE = re.compile(r"past_key_values\.\d+\.(decoder|encoder)\.(key|value)")


def use_static_cache(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The one-token decoder `model` (opset 18 or newer) over static caches; None where its attention is not understood.

    input_ids and positions (the place of each token, from 0): [rows, 1] and [rows]; past_key_values.{i}.decoder.*:
    [rows, heads, room, head_dim], of which a row's first positions[row] columns count, and present.{i}.decoder.*: the
    same with the row's token at its place. Bound to one buffer they are written in place. source_lengths [texts] and
    past_key_values.{i}.encoder.* [texts, heads, source, head_dim]: rows are grouped by text, equally many beams each.
    """
    graph = Graph(_copy(model))
    drop_zeros(graph)
    fuse_attention(graph)
    positions = find_positions(graph)
    attentions = [node for node in graph.nodes if node.op_type == "Attention"]
    if not positions or not attentions or not all(map(_over_caches, attentions)):
        return None
    for lookup, first in positions:
        _look_up(graph, lookup, first)
    _declare(graph)
    graph.add("Unsqueeze", [POSITIONS, graph.constant(np.array([1]), "positions/axis")], "positions/column")
    graph.add("Add", [POSITIONS, graph.constant(np.array([1]), "positions/1")], "positions/keys")
    for node in attentions:
        (_self_attention if len(node.input) > 5 else _cross_attention)(graph, node)
    graph.nodes = graph.needed()
    strangers = [n for n in graph.nodes if n.op_type not in ("TensorScatter", "Attention") and _reads_caches(n)]
    return None if strangers else graph.finish()


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for domain in copy.opset_import:
        if domain.domain == "":
            domain.version = OPSET
    copy.ir_version = max(copy.ir_version, 11)
    return copy


def _reads_caches(node: onnx.NodeProto) -> bool:
    return any(_CACHE.fullmatch(name) for name in node.input)


def _over_caches(attention: onnx.NodeProto) -> bool:
    """Whether it appends to caches and sees all of them, or reads those of the source."""
    grows = len(attention.input) > 5 and not attention.input[3]
    return grows or _CACHE.fullmatch(attention.input[1]) is not None


def _look_up(graph: Graph, lookup: onnx.NodeProto, first: int) -> None:
    """Read the row of the position table that each row of the pass asks for; place 0 is the table's row `first`."""
    table = graph.value(lookup.input[0])
    assert table is not None
    graph.drop([lookup])
    rows = graph.constant(table[first:], f"{lookup.input[0]}/from_{first}") if first else lookup.input[0]
    graph.add("Gather", [rows, "positions/column"], lookup.output[0])


def _self_attention(graph: Graph, node: onnx.NodeProto) -> None:
    heads = next(attribute.i for attribute in node.attribute if attribute.name == "q_num_heads")
    apart = graph.constant(np.array([0, heads, 1, -1]), f"heads/{heads}")
    query, *token = (
        graph.add("Reshape", [name, apart], f"{node.output[0]}/{part}")
        for name, part in zip(node.input[:3], ("query", "key", "value"), strict=True)
    )
    present = [
        graph.add("TensorScatter", [cache, new, POSITIONS], name, axis=2)
        for cache, new, name in zip(node.input[4:6], token, node.output[1:3], strict=True)
    ]
    inputs = [query, *present, "", "", "", "positions/keys"]
    _replace(graph, node, inputs, helper.make_node("Reshape", ["", _joined(graph)], [node.output[0]]))


def _cross_attention(graph: Graph, node: onnx.NodeProto) -> None:
    """Beams of one text are queries of one pass over its source, so that its caches are read and kept once."""
    cut = graph.makers()[node.input[0]]
    joined = graph.users()[node.output[0]][0]
    _, heads, _, width = _dimensions(graph, node.input[1])
    sizes = graph.constant(np.array([-1, heads, width]), f"heads/of_{heads}_{width}")
    if "texts/beams" not in graph.makers():
        graph.add("Shape", [SOURCE_LENGTHS], "texts/count")
        graph.add("Concat", ["texts/count", sizes], "texts/beams", axis=0)
    apart = graph.add("Reshape", [cut.input[0], "texts/beams"], f"{node.output[0]}/beams")
    query = graph.add("Transpose", [apart], f"{node.output[0]}/query", perm=[0, 2, 1, 3])
    inputs = [query, node.input[1], node.input[2], "", "", "", SOURCE_LENGTHS]
    back = graph.constant(np.array([-1, 1, heads * width]), f"heads/joined_{heads * width}")
    turned = f"{node.output[0]}/turned"
    _replace(graph, node, inputs, helper.make_node("Transpose", [""], [turned], perm=[0, 2, 1, 3]))
    graph.drop([joined])
    graph.add("Reshape", [turned, back], joined.output[0])


def _replace(graph: Graph, old: onnx.NodeProto, inputs: list[str], after: onnx.NodeProto) -> None:
    """An attention over `inputs` with heads first, and `after` to bring its output into the old one's form."""
    scale = next(attribute.f for attribute in old.attribute if attribute.name == "scale")
    graph.drop([old])
    after.input[0] = graph.add("Attention", inputs, f"{old.output[0]}/heads", scale=scale)
    after.name = after.output[0]
    graph.nodes.append(after)


def _joined(graph: Graph) -> str:
    return graph.constant(np.array([0, 1, -1]), "heads/joined")


def _dimensions(graph: Graph, name: str) -> list[int]:
    value = next(each for each in graph.model.graph.input if each.name == name)
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


def _declare(graph: Graph) -> None:
    """Inputs and outputs as they are now."""
    inputs, outputs = graph.model.graph.input, graph.model.graph.output
    kept = [value for value in inputs if value.name != _MASK]
    del inputs[:]
    inputs.extend(kept)
    inputs.extend(helper.make_tensor_value_info(name, TensorProto.INT64, [size]) for name, size in _LENGTHS.items())
    for value in (*inputs, *outputs):
        match = _CACHE.fullmatch(value.name.replace("present", "past_key_values"))
        if match is not None:
            rows, _, columns, _ = value.type.tensor_type.shape.dim
            rows.dim_param, columns.dim_param = ("rows", "room") if match[1] == "decoder" else ("texts", "source")
    graph.inputs = [value.name for value in inputs]
