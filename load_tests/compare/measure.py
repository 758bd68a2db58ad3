"""A contender under load."""

from __future__ import annotations

from load_tests.compare.agreement import largest_difference
from load_tests.compare.contender import Contender, Setting
from load_tests.compare.results import LOADS, Sample, Visit, load_name
from load_tests.compare.running import running
from load_tests.generator import measured
from load_tests.server import Server
from load_tests.texts import SETS


def sample(contender: Contender, server: Server, texts: str, clients: int, seconds: int) -> Sample:
    """So many clients on a set of texts."""
    bodies = [contender.body(text) for text in SETS[texts][1]()]
    load, cpu_ms = measured(server, contender.path, bodies, clients=clients, seconds=seconds)
    return Sample(load.per_s, load.p50_ms, load.p99_ms, cpu_ms, load.refused + load.broken)


def visit(contender: Contender, setting: Setting, seconds: int) -> Visit:
    """Start it, check its answers, put every load on it, stop it. Raises RuntimeError if it cannot be."""
    with running(contender, setting) as server:
        largest_difference(contender, server.url)
        loads = {load_name(*load): sample(contender, server, *load, seconds) for load in LOADS}
        return Visit(server.start_s, server.rss_mb(), loads)
