"""What a decoder step costs by rows, and what the memory that it reads would cost alone: one thread.

python -m load_tests.generation.steps [--source 200]
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
import onnx

from load_tests.generation.inputs import ARTIFACT
from load_tests.generation.logits import graphs, source, started
from service.artifact import Artifact

_ROWS = (1, 4, 16, 32)
_STEPS, _ROUNDS = 40, 5
_CHUNK, _STREAM = 2**17, 2**28


def weight_bytes() -> int:
    """Of the decoder's int8 products, output projection included, each of which a step reads whole."""
    graph = onnx.load(str(ARTIFACT / "decoder.onnx"), load_external_data=False).graph
    sizes = {
        each.name: int(np.prod(each.dims)) for each in graph.initializer if each.data_type == onnx.TensorProto.INT8
    }
    # Positions are looked up, a row a token.
    return sum(size for name, size in sizes.items() if "embed_positions" not in name)


def bytes_per_s(size: int) -> float:
    """How fast one thread reads so many bytes again and again; what is small stays in the core's caches."""
    stream, chunk = np.ones(size, np.uint8), np.empty(min(size, _CHUNK), np.uint8)
    times_s = []
    for _ in range(_ROUNDS):
        began_s = time.perf_counter()
        for first in range(0, size - len(chunk) + 1, len(chunk)):
            np.copyto(chunk, stream[first : first + len(chunk)])
        times_s.append(time.perf_counter() - began_s)
    return size / min(times_s)


def step_ms(rows: int, tokens: int) -> float:
    """The median over a text's steps, of the best of a few texts each."""
    loaded = graphs()
    start = int(Artifact(ARTIFACT).generation_config["decoder_start_token_id"])
    found = []
    for _ in range(_ROUNDS):
        steps = started(loaded, [source(tokens, number) for number in range(rows)])
        times_ms = []
        for place in range(_STEPS):
            began_s = time.perf_counter()
            steps.run([start] * rows, [place] * rows)
            times_ms.append(1000 * (time.perf_counter() - began_s))
        found.append(median(times_ms))
    return min(found)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--source", type=int, default=200, help="tokens of each row's text")
    given = arguments.parse_args()
    artifact = Artifact(ARTIFACT)
    weights = weight_bytes()
    cross = given.source * 2 * int(artifact.config["d_model"]) * int(artifact.config["decoder_layers"]) * 4
    far, near = bytes_per_s(_STREAM), bytes_per_s(weights)
    print(f"weights {weights / 1e6:.1f} MB; a row's cross-attention caches {cross / 1e6:.2f} MB")
    print(
        f"one thread reads {far / 1e9:.1f} GB/s of {_STREAM >> 20} MiB, {near / 1e9:.1f} GB/s of as much as the weights"
    )
    print("rows   step ms   ms a row   weights alone ms   cross-attention caches alone ms")
    for rows in _ROWS:
        found = step_ms(rows, given.source)
        caches_ms = 1000 * rows * cross / bytes_per_s(rows * cross)
        print(f"{rows:4}{found:10.2f}{found / rows:11.3f}{1000 * weights / near:19.2f}{caches_ms:34.2f}", flush=True)


if __name__ == "__main__":
    main()
