"""Tiny graphs before and after rewrites that keep them in floats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from models.graphs.graph import Graph
from tests.models.tiny import Feed, pad, run_session

Step = Callable[[Graph], None]

SOURCES = [[2, 5, 6, 7, 8, 9, 3], [2, 30, 3], [2, 11, 12, 13, 3]]


def load(path: Path) -> Graph:
    """A graph of the opset that `fuse` wants."""
    model = onnx.load(path)
    for domain in model.opset_import:
        if domain.domain == "":
            domain.version = max(domain.version, 23)
    model.ir_version = 11
    return Graph(model)


def apply(path: Path, steps: Sequence[Step]) -> Graph:
    graph = load(path)
    for step in steps:
        step(graph)
        graph.nodes = graph.needed()
    return graph


def operators(graph: Graph) -> Counter[str]:
    return Counter(node.op_type for node in graph.needed())


def run(graph: Graph, feed: Feed) -> Feed:
    session = onnxruntime.InferenceSession(graph.finish().SerializeToString(), providers=["CPUExecutionProvider"])
    return run_session(session, feed)


def encoder_feed(padding: int = 0) -> Feed:
    return pad(SOURCES, padding)


def decoder_feed(graph: Graph, past: int) -> Feed:
    """One step of three rows over sources of 7, 3 and 5 tokens."""
    numbers = np.random.default_rng(3)
    mask = encoder_feed()["attention_mask"]
    feed: Feed = {"encoder_attention_mask": mask, "input_ids": numbers.integers(4, 40, (3, 1))}
    for value in graph.model.graph.input:
        if value.name.startswith("past_key_values"):
            _, heads, _, width = (dim.dim_value for dim in value.type.tensor_type.shape.dim)
            length = past if ".decoder." in value.name else mask.shape[1]
            feed[value.name] = numbers.normal(size=(3, heads, length, width)).astype(np.float32)
    return feed


def assert_same(before: Feed, after: Feed, mask: Feed) -> None:
    """Equal but for the order of additions, where a row has tokens."""
    assert set(before) == set(after)
    real = mask["attention_mask"].astype(bool) if "attention_mask" in mask else None
    for name, value in before.items():
        axis = 2 if ".encoder." in name else 1 if name.endswith("_logits") else None
        pair = [np.moveaxis(v, axis, 1)[real] if axis and real is not None else v for v in (value, after[name])]
        np.testing.assert_allclose(pair[1], pair[0], rtol=2e-4, atol=2e-4, err_msg=name)
