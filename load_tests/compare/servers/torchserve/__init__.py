"""TorchServe: a Java front end with the queue, Python worker processes."""

from load_tests.compare.contender import CPUS, DELAYS_MS, RUNTIME, TORCH, Contender, app

CONTENDER = Contender(
    name="torchserve",
    title="TorchServe",
    requirements=(
        "torchserve==0.12.0",
        "torch-model-archiver==0.12.0",
        "pyyaml==6.0.3",
        "setuptools==80.9.0",
        TORCH,
        *RUNTIME,
    ),
    command=("{python}", "-m", app("torchserve")),
    axes={"cpus": CPUS, "batch": (16, 8, 4, 32), "delay_ms": DELAYS_MS},
    path="/predictions/sentiment",
    note="needs Java; its project ended in 2025",
)
