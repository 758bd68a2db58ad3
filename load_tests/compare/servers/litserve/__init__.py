"""LitServe: an API process, worker processes behind queues, batches by size and time."""

from load_tests.compare.contender import BATCHES, CPUS, DELAYS_MS, RUNTIME, Contender, app

CONTENDER = Contender(
    name="litserve",
    title="LitServe",
    requirements=("litserve==0.2.19", *RUNTIME),
    command=("{python}", "-m", app("litserve")),
    axes={"cpus": CPUS, "batch": BATCHES, "delay_ms": DELAYS_MS, "api_servers": (2, 1), "fast_queue": (1, 0)},
    path="/predict",
)
