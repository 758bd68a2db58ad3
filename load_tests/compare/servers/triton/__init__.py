"""Triton through PyTriton: Triton's HTTP front end and dynamic batcher, inference in Python."""

import sysconfig

from load_tests.compare.contender import CPUS, RUNTIME, Contender, app
from load_tests.compare.servers.mlserver import answer, body

CONTENDER = Contender(
    name="triton",
    title="Triton (PyTriton)",
    requirements=("nvidia-pytriton==0.7.0", *RUNTIME),
    command=("{python}", "-m", app("triton")),
    # Its Python back end loads libpython by itself, and must not find another patch release's.
    environment={"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))},
    axes={"cpus": CPUS, "batch": (16, 8, 4, 32), "delay_ms": (5, 2, 1, 0)},
    path="/v2/models/sentiment/infer",
    body=body,
    answer=answer,
    note="its own ONNX back end comes only in its container image",
)
