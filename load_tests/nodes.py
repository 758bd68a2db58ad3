"""Where a pass's time goes inside onnxruntime, by operator, and how fast its products are: one thread.

    python -m load_tests.nodes models/artifacts/summarizer/encoder.onnx [--tokens 232]

A multiplication and an addition count as two operations. Last come bare products of a feed-forward layer's size: what
this core can do.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from array import array
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from service.runtime.session import pad
from service.text.tokenizer import Encoding

_PASSES = 40
_WIDTH, _INNER = 384, 1536
_SEED = 7


@dataclass
class Cost:
    """What all nodes of an operator take in a pass."""

    nodes: int = 0
    seconds: float = 0.0
    operations: float = 0.0

    @property
    def rate(self) -> float:
        """Billion operations a second; 0 for what is no product."""
        return self.operations / self.seconds / 1e9


def _session(graph: str | bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _events(graph: Path, feeds: dict[str, Any]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, f"{folder}/profile"
        session = _session(str(graph), options)
        names = {each.name for each in session.get_inputs()}
        for _ in range(_PASSES):
            session.run(None, {name: values for name, values in feeds.items() if name in names})
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return [each for each in events if each.get("cat") == "Node" and each["name"].endswith("kernel_time")]


def _operations(operator: str, inputs: list[list[int]], output: list[int]) -> float:
    """Of a product of [..., width] with weights, or of an attention over queries and keys [rows, tokens, width]."""
    if "MatMul" in operator:
        return 2.0 * math.prod(inputs[0]) * output[-1]
    return 4.0 * math.prod(inputs[0]) * inputs[1][1] if operator == "Attention" else 0.0


def _shapes(of: list[dict[str, list[int]]]) -> list[list[int]]:
    return [shape for each in of for shape in each.values()]


def costs(graph: Path, tokens: int) -> dict[str, Cost]:
    """By operator, the dearest first: a pass over a text of so many tokens, each node's time the median of its runs."""
    ids = array("q", range(1, tokens + 1))
    times_us: dict[str, list[float]] = defaultdict(list)
    told: dict[str, dict[str, Any]] = {}
    for event in _events(graph, pad([Encoding(ids, array("q", [0]) * tokens)], 0)):
        times_us[event["name"]].append(event["dur"])
        told[event["name"]] = event["args"]
    found: dict[str, Cost] = defaultdict(Cost)
    for name, args in told.items():
        cost = found[args["op_name"]]
        cost.nodes += 1
        cost.seconds += median(times_us[name]) / 1e6
        inputs, (output, *_) = _shapes(args["input_type_shape"]), _shapes(args["output_type_shape"])
        cost.operations += _operations(args["op_name"], inputs, output)
    return dict(sorted(found.items(), key=lambda item: -item[1].seconds))


def bare_rate(tokens: int, *, int8: bool) -> float:
    """Billion operations a second of a product [tokens, 384] x [384, 1536] alone, in 8-bit integers or in floats."""
    chance = np.random.default_rng(_SEED)
    if int8:
        weights: Any = chance.integers(-100, 100, (_WIDTH, _INNER)).astype(np.int8)
        given: Any = chance.integers(0, 200, (tokens, _WIDTH)).astype(np.uint8)
        operator, before, after = "MatMulInteger", TensorProto.UINT8, TensorProto.INT32
    else:
        weights, given = (chance.random(shape, np.float32) for shape in ((_WIDTH, _INNER), (tokens, _WIDTH)))
        operator, before, after = "MatMul", TensorProto.FLOAT, TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node(operator, ["given", "weights"], ["made"])],
        "product",
        [helper.make_tensor_value_info("given", before, [tokens, _WIDTH])],
        [helper.make_tensor_value_info("made", after, [tokens, _INNER])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    session = _session(model.SerializeToString(), onnxruntime.SessionOptions())
    times_s = []
    for _ in range(_PASSES):
        began_s = time.perf_counter()
        session.run(None, {"given": given})
        times_s.append(time.perf_counter() - began_s)
    return 2 * tokens * _WIDTH * _INNER / median(times_s) / 1e9


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.nodes")
    parser.add_argument("graph", type=Path, help="an encoder's .onnx file")
    parser.add_argument("--tokens", type=int, default=232, help="of the one text that it reads")
    given = parser.parse_args()
    found = costs(given.graph, given.tokens)
    total_s = sum(each.seconds for each in found.values())
    print(f"{given.tokens} tokens, {1000 * total_s:.1f} ms in nodes\n")
    print("| operator | nodes | ms | share | billion operations/s |\n| --- | --- | --- | --- | --- |")
    for operator, each in found.items():
        if each.seconds >= total_s / 100:
            rate = f"{each.rate:.0f}" if each.operations else ""
            share = f"{each.seconds / total_s:.0%}"
            print(f"| {operator} | {each.nodes} | {1000 * each.seconds:.2f} | {share} | {rate} |")
    bare = [
        f"{bare_rate(given.tokens, int8=int8):.0f} in {what}" for int8, what in ((True, "int8"), (False, "float32"))
    ]
    print(f"\nBare products, billion operations/s: {', '.join(bare)}")


if __name__ == "__main__":
    main()
