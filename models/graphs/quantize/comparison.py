"""An int8 graph beside its float32 source: size, speed, largest error."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime

from models.errors import WorkshopError
from models.graphs.fuse.inputs import end_token
from models.graphs.graph import Array, Graph

Feed = dict[str, Array]

_ROWS, _TOKENS, _PAST, _ROOM, _REPEATS = 8, 32, 8, 16, 7


class OtherShape(WorkshopError, RuntimeError):
    """The int8 graph computes something else: an output has another shape."""


@dataclass(frozen=True)
class Comparison:
    """What one file of an artifact gained and lost."""

    file: str
    fp32_bytes: int
    int8_bytes: int
    fp32_tokens_per_s: float
    """One thread, 8 rows: of 32 tokens in an encoder, of one new token in a decoder."""
    int8_tokens_per_s: float
    largest_error: float
    """Over all outputs, on random tokens."""
    spread: float
    """Standard deviation of the fp32 outputs, to judge the error by."""


def open_graph(path: Path) -> onnxruntime.InferenceSession:
    """A session of one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def vocabulary_size(folder: Path) -> int:
    """From the artifact's config.json."""
    return int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"])


def random_feed(
    session: onnxruntime.InferenceSession, vocabulary: int, rows: int, tokens: int, *, end: int | None = None
) -> Feed:
    """Random inputs of the shapes that the graph declares; for a decoder, one step over sources of `tokens`.

    `end` is the token that ends each row, for heads that look for it.
    """
    numbers = np.random.default_rng(0)
    feed: Feed = {}
    names = {value.name for value in session.get_inputs()}
    for value in session.get_inputs():
        if value.name.startswith("past_key_values"):
            _, heads, _, width = value.shape
            past = _ROOM if "positions" in names else _PAST  # a static cache has room for more than there is
            length = past if ".decoder." in value.name else tokens
            feed[value.name] = numbers.normal(size=(rows, heads, length, width)).astype(np.float32)
        elif value.name.endswith("attention_mask"):
            feed[value.name] = np.ones((rows, tokens), np.int64)
        elif value.name in ("positions", "source_lengths"):
            feed[value.name] = np.full(rows, _PAST if value.name == "positions" else tokens)
        elif value.name == "token_type_ids":
            feed[value.name] = np.zeros((rows, tokens), np.int64)
        else:
            # Above the special tokens: RoBERTa counts its positions by which ids are padding.
            feed[value.name] = numbers.integers(vocabulary // 4, vocabulary, (rows, tokens))
            if end is not None:
                feed[value.name][:, -1] = end
    if any(name.startswith("past_key_values") for name in feed):
        feed["input_ids"] = feed["input_ids"][:, :1]
    return feed


def seconds(session: onnxruntime.InferenceSession, feed: Feed) -> float:
    """How long one run takes."""
    start = perf_counter()
    session.run(None, feed)
    return perf_counter() - start


def compare_graphs(fp32: Path, int8: Path) -> Comparison:
    """Run both graphs on the same inputs, in turns. Reads the vocabulary's size from fp32's config.json.

    Raises OtherShape when an output of one has another shape than the other's.
    """
    sessions = (open_graph(fp32), open_graph(int8))
    end = end_token(Graph.load(fp32))
    feed = random_feed(sessions[0], vocabulary_size(fp32.parent), _ROWS, _TOKENS, end=end)
    wanted, found = (session.run(None, feed) for session in sessions)
    for output, a, b in zip(sessions[0].get_outputs(), wanted, found, strict=True):
        if a.shape != b.shape:
            raise OtherShape(f"{int8.name}: {output.name} is {list(b.shape)} in int8 and {list(a.shape)} in fp32")
    times = [[seconds(session, feed) for session in sessions] for _ in range(_REPEATS)]
    fp32_s, int8_s = np.min(times, axis=0)
    tokens = feed["input_ids"].size
    return Comparison(
        file=int8.name,
        fp32_bytes=fp32.stat().st_size,
        int8_bytes=int8.stat().st_size,
        fp32_tokens_per_s=tokens / fp32_s,
        int8_tokens_per_s=tokens / int8_s,
        largest_error=max(float(np.abs(a - b).max()) for a, b in zip(wanted, found, strict=True)),
        spread=float(np.std(np.concatenate([output.ravel() for output in wanted]))),
    )


def table(comparisons: list[Comparison]) -> str:
    """The comparisons as lines of text, a file a line."""
    lines = [f"{'file':14}{'MB':>16}{'tokens/s':>20}{'largest error':>15}{'spread':>9}"]
    for row in comparisons:
        megabytes = f"{row.fp32_bytes / 1e6:.1f} -> {row.int8_bytes / 1e6:.1f}"
        speed = f"{row.fp32_tokens_per_s:.0f} -> {row.int8_tokens_per_s:.0f}"
        lines.append(f"{row.file:14}{megabytes:>16}{speed:>20}{row.largest_error:>15.4f}{row.spread:>9.3f}")
    return "\n".join(lines)
