"""All servers that are compared, and those that cannot be."""

from __future__ import annotations

from importlib import import_module

from load_tests.compare.contender import Contender

_NAMES = (
    *("shoal", "fastapi_fp32", "fastapi_int8", "litserve", "bentoml", "ray"),
    *("mlserver", "mlserver_hf", "torchserve", "triton", "infinity"),
)
_MODULES = {name: import_module(f"load_tests.compare.servers.{name}") for name in _NAMES}
LINEUP: dict[str, Contender] = {name: module.CONTENDER for name, module in _MODULES.items()}
ABSENT = {
    "Triton with its own ONNX back end": "published only as a container image of several gigabytes, not as a package; "
    "PyTriton's wheel holds the server and the Python back end",
    "text-embeddings-inference": "its onnxruntime back end runs float32 only and opens no int8 file; and it is "
    "published as container images, not as a package",
}
"""Names to reasons."""
