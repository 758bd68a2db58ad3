"""A start that writes MLServer's two files."""

import json
import os
from typing import Any

from load_tests.compare.chosen import BATCH, DELAY_MS, PORT, WORK, WORKERS


def start(model: dict[str, Any]) -> None:
    """Become MLServer with this model."""
    folder = WORK / "sentiment"
    folder.mkdir(parents=True, exist_ok=True)
    server = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": PORT,
        "grpc_port": PORT + 1,
        "metrics_port": PORT + 2,
        "metrics_dir": str(WORK),
        "parallel_workers": WORKERS,
    }
    (WORK / "settings.json").write_text(json.dumps(server), encoding="utf-8")
    batching = {"max_batch_size": BATCH, "max_batch_time": DELAY_MS / 1000}
    settings = {"name": "sentiment", **batching, **model}
    (folder / "model-settings.json").write_text(json.dumps(settings), encoding="utf-8")
    os.execvp("mlserver", ["mlserver", "start", str(WORK)])


if __name__ == "__main__":
    start({"implementation": "load_tests.compare.servers.mlserver.app.Sentiment"})
