"""Shoal: an inference server for fine-tuned transformers on CPUs."""

import os

__version__ = "0.1.0"

# Both are read when the library is first imported, so they are set before any module of ours can do that:
# onnxruntime's telemetry (on by default on Linux since 1.29) writes to the home folder and keeps a thread;
# tokenizers' own pool of threads would compete with the workers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
