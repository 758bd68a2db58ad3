"""A start: infinity takes a model's folder, and the file whose name says quantized."""

import os

from load_tests.compare.chosen import BATCH, PORT, WORK
from load_tests.compare.hub_folder import hub_folder

if __name__ == "__main__":
    model = hub_folder(WORK / "model", graph="model_quantized.onnx")
    options = {
        "model-id": ".",  # its search for the file fails with any other folder
        "served-model-name": "sentiment",
        "engine": "optimum",
        "device": "cpu",
        "batch-size": BATCH,
        "host": "127.0.0.1",
        "port": PORT,
        "log-level": "warning",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    # It cannot optimize an int8 graph, and warms up on texts longer than the model reads.
    flags = ["--no-bettertransformer", "--no-compile", "--onnx-disable-optimize", "--no-model-warmup"]
    os.chdir(model)
    os.execvp("infinity_emb", ["infinity_emb", "v2", *arguments, *flags])
