"""A start that packs the model's archive, writes TorchServe's configuration and becomes TorchServe."""

import json
import os
import subprocess
from pathlib import Path

from load_tests.compare.chosen import BATCH, DELAY_MS, PORT, WORK, WORKERS

_ARCHIVE = ["torch-model-archiver", "--model-name", "sentiment", "--version", "1.0", "--force"]
# By default every request is a line in three logs.
_LOGGING = """<Configuration><Loggers><Root level="warn"/></Loggers></Configuration>"""


def main() -> None:
    store = WORK / "store"
    store.mkdir(parents=True, exist_ok=True)
    handler = Path(__file__).with_name("handler.py")
    subprocess.run([*_ARCHIVE, "--handler", str(handler), "--export-path", str(store)], check=True)
    model = {
        "defaultVersion": True,
        "marName": "sentiment.mar",
        "minWorkers": WORKERS,
        "maxWorkers": WORKERS,
        "batchSize": BATCH,
        "maxBatchDelay": int(DELAY_MS),
        "responseTimeout": 120,
    }
    address = "http://127.0.0.1"
    lines = [
        *(
            f"{name}_address={address}:{PORT + each}"
            for each, name in enumerate(("inference", "management", "metrics"))
        ),
        *(f"grpc_{name}_port={PORT + each}" for each, name in enumerate(("inference", "management"), 3)),
        f"model_store={store}",
        "load_models=all",
        "job_queue_size=1000",
        "metrics_mode=prometheus",
        "disable_system_metrics=true",
        "disable_token_authorization=true",
        "models=" + json.dumps({"sentiment": {"1.0": model}}),
    ]
    (WORK / "config.properties").write_text("\n".join(lines), encoding="utf-8")
    (WORK / "log4j2.xml").write_text(_LOGGING, encoding="utf-8")
    os.environ["LOG_LOCATION"] = os.environ["METRICS_LOCATION"] = str(WORK / "logs")
    os.chdir(WORK)
    options = ["--start", "--foreground", "--no-config-snapshots", "--disable-token-auth"]
    files = ["--ts-config", str(WORK / "config.properties"), "--log-config", str(WORK / "log4j2.xml")]
    os.execvp("torchserve", ["torchserve", *options, *files])


if __name__ == "__main__":
    main()
