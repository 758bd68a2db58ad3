"""MLServer with its own Hugging Face runtime: Optimum's pipeline on the int8 graph."""

import json
from typing import Any

from load_tests.compare.contender import BATCHES, CORES, DELAYS_MS, TORCH, Contender, app


def _body(text: str) -> dict[str, Any]:
    """A list for the pipeline: the one form of its argument that batching may lengthen."""
    return {"inputs": [{"name": "array_inputs", "shape": [1], "datatype": "BYTES", "data": [text]}]}


CONTENDER = Contender(
    name="mlserver_hf",
    title="MLServer, Hugging Face runtime",
    requirements=(
        "mlserver-huggingface==1.7.1",
        "mlserver==1.7.1",
        "uvloop==0.21.0",
        "transformers==4.41.2",
        "optimum==1.27.0",
        TORCH,
    ),
    command=("{python}", "-m", app("mlserver_hf")),
    environment={"TOKENIZERS_PARALLELISM": "false"},
    axes={
        "cpus": tuple(f"{workers}x{CORES}" for workers in (1, 0, 2)),
        "batch": BATCHES,
        "delay_ms": DELAYS_MS,
    },
    path="/v2/models/sentiment/infer",
    body=_body,
    answer=lambda found: json.loads(found["outputs"][0]["data"][0]),
    note="the runtime cannot set onnxruntime's threads: all cores for each worker",
)
