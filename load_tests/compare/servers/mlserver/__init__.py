"""MLServer with a custom runtime: adaptive batching in the server's process, inference in its pool of processes."""

from collections.abc import Mapping
from typing import Any

from load_tests.compare.contender import BATCHES, CPUS, DELAYS_MS, RUNTIME, Contender


def body(text: str) -> dict[str, Any]:
    """The Open Inference Protocol: a tensor of one string."""
    return {"inputs": [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [text]}]}


def answer(found: Any) -> Mapping[str, Any]:
    """Its outputs, label and score, by name."""
    return {output["name"]: output["data"][0] for output in found["outputs"]}


CONTENDER = Contender(
    name="mlserver",
    title="MLServer, custom runtime",
    requirements=("mlserver==1.7.1", "uvloop==0.21.0", *RUNTIME),
    command=("{python}", "-m", "load_tests.compare.servers.mlserver.start"),
    axes={"cpus": (*CPUS, f"0x{CPUS[0].partition('x')[0]}"), "batch": BATCHES, "delay_ms": DELAYS_MS},
    path="/v2/models/sentiment/infer",
    body=body,
    answer=answer,
    note="0 workers: inference in the server's own process",
)
