"""Tokens a second: the float graph, onnxruntime's own dynamic int8, and ours, side by side."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from models.errors import Missing
from models.graphs.quantize.comparison import open_graph, random_feed, seconds, vocabulary_size
from models.graphs.quantize.rewrite import quantize_graph

_ENCODER_SHAPES = ((1, 16), (8, 32), (8, 128))
_DECODER_SHAPES = ((1, 128), (4, 128), (8, 128), (32, 128))
"""Rows, and tokens: of an encoder's rows, of the sources that a decoder's rows look at."""


@dataclass(frozen=True)
class Speed:
    """One thread, medians of runs in turns, so that what else the machine does slows all three alike."""

    file: str
    rows: int
    tokens: int
    fp32_tokens_per_s: float
    stock_tokens_per_s: float
    """int8 by onnxruntime's `quantize_dynamic`, per channel: an activation has one scale for the whole batch."""
    ours_tokens_per_s: float


def measure_speed(fp32: Path, *, repeats: int = 30, longest: int = 128) -> list[Speed]:
    """Quantize each graph of the fp32 artifact in both ways, and time the three at several shapes.

    `longest` cuts the shapes for a model that takes fewer than 128 tokens.

    Raises Missing when the folder holds no graph.
    """
    graphs = sorted(fp32.glob("*.onnx"), reverse=True)
    if not graphs:
        raise Missing(f"{fp32} holds no .onnx file: export the model first")
    return [speed for graph in graphs for speed in _measure(graph, repeats, longest)]


def _measure(graph: Path, repeats: int, longest: int) -> list[Speed]:
    speeds = []
    with TemporaryDirectory() as scratch:
        stock, ours = Path(scratch) / "stock.onnx", Path(scratch) / "ours.onnx"
        logging.disable(logging.WARNING)  # It recommends a preparation that changes nothing here.
        # It takes ONNX's Attention for onnxruntime's older one of that name, and the graph would be invalid.
        attentions = [node.name for node in onnx.load(graph).graph.node if node.op_type == "Attention"]
        quantize_dynamic(graph, stock, per_channel=True, weight_type=QuantType.QInt8, nodes_to_exclude=attentions)
        logging.disable(logging.NOTSET)
        quantize_graph(graph, ours)
        sessions = [open_graph(path) for path in (graph, stock, ours)]
    for rows, tokens in _DECODER_SHAPES if graph.stem == "decoder" else _ENCODER_SHAPES:
        tokens = min(tokens, longest)
        feed = random_feed(sessions[0], vocabulary_size(graph.parent), rows, tokens)
        for session in sessions:
            session.run(None, feed)
        times = [[seconds(session, feed) for session in sessions] for _ in range(repeats)]
        count = feed["input_ids"].size
        speeds.append(Speed(graph.name, rows, tokens, *(count / float(s) for s in np.median(times, axis=0))))
    return speeds


def speed_table(speeds: list[Speed]) -> str:
    """The speeds as lines of text, in tokens a second."""
    lines = [f"{'file':14}{'rows x tokens':>15}{'fp32':>9}{'stock int8':>12}{'ours':>9}{'ours / stock':>14}"]
    for row in speeds:
        three = f"{row.fp32_tokens_per_s:>9.0f}{row.stock_tokens_per_s:>12.0f}{row.ours_tokens_per_s:>9.0f}"
        gain = f"{row.ours_tokens_per_s / row.stock_tokens_per_s:>14.2f}"
        lines.append(f"{row.file:14}{f'{row.rows} x {row.tokens}':>15}{three}{gain}")
    return "\n".join(lines)
