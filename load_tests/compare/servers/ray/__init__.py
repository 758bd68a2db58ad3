"""Ray Serve: an HTTP proxy, replicas as actors, batches by size and time."""

from load_tests.compare.contender import CPUS, DELAYS_MS, RUNTIME, Contender, app

CONTENDER = Contender(
    name="ray",
    title="Ray Serve",
    requirements=("ray[serve]==2.60.0", *RUNTIME),
    command=("{python}", "-m", app("ray")),
    environment={"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "{throughput_optimized}"},
    axes={"cpus": CPUS, "batch": (16, 8, 4, 32), "delay_ms": DELAYS_MS, "throughput_optimized": (1, 0)},
    path="/",
)
