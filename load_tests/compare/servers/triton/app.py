"""The app."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from load_tests.compare.chosen import BATCH, DELAY_MS, PORT, THREADS, WORK, WORKERS
from load_tests.compare.classifier import Classifier


def _instance() -> Any:
    classifier = Classifier(THREADS)

    @batch
    def infer(text: Any) -> dict[str, Any]:
        found = classifier([row[0].decode() for row in text])
        return {
            "label": np.array([[each["label"].encode()] for each in found], dtype=object),
            "score": np.array([[each["score"]] for each in found], dtype=np.float32),
        }

    return infer


def _forget_old_memory() -> None:
    """PyTriton told to end leaves shared memory behind, named by a process that is no more."""
    for segment in Path("/dev/shm").glob("pytrtion*"):
        owner = re.match(r"pytrtion(\d+)-", segment.name)
        if owner and not Path("/proc", owner[1]).exists():
            segment.unlink(missing_ok=True)


if __name__ == "__main__":
    _forget_old_memory()
    config = TritonConfig(
        http_address="127.0.0.1", http_port=PORT, grpc_port=PORT + 1, metrics_port=PORT + 2, allow_grpc=False
    )
    shutil.rmtree(WORK / "workspace", ignore_errors=True)  # of a run before: Triton wants it new
    with Triton(config=config, workspace=WORK / "workspace") as triton:
        triton.bind(
            model_name="sentiment",
            infer_func=[_instance() for _ in range(WORKERS)],
            inputs=[Tensor(name="text", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="label", dtype=bytes, shape=(1,)), Tensor(name="score", dtype=np.float32, shape=(1,))],
            config=ModelConfig(
                max_batch_size=BATCH, batcher=DynamicBatcher(max_queue_delay_microseconds=int(DELAY_MS * 1000))
            ),
        )
        triton.serve()
