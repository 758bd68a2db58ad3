"""The load: wrk, a generator that costs the machine little (Debian's package wrk), told what to post."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from load_tests.server import Server
from load_tests.texts import Body

_WARM_S = 1
_SCRIPT = Path(__file__).with_name("bodies.lua")


@dataclass(frozen=True)
class Load:
    """What the clients of one run saw."""

    requests: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    refused: int
    """Answers that are no 2xx."""
    broken: int
    """Requests without an answer: connection lost, or not within wrk's timeout."""

    @property
    def per_s(self) -> float:
        """Good answers a second."""
        return (self.requests - self.refused) / self.seconds


@contextmanager
def lines(bodies: Sequence[Body]) -> Iterator[Path]:
    """The bodies in a file, a line each."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps(body) + "\n" for body in bodies)
        file.flush()
        yield Path(file.name)


def start(url: str, path: str, file: Path, *, clients: int, seconds: int, first: int = 0) -> subprocess.Popen[str]:
    """wrk at work: `clients` connections, kept alive, each with one request on its way at a time."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("No wrk here. On Debian and Ubuntu: apt-get install wrk")
    command = [wrk, "--threads=1", f"--connections={clients}", f"--duration={seconds}s", "--timeout=60s"]
    command += [f"--script={_SCRIPT}", url, "--", path, str(file), str(first)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> Load:
    """What it saw, when it is over. Raises RuntimeError if it failed."""
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"wrk ended with {process.returncode}: {output}")
    return Load(**json.loads(output.splitlines()[-1]))


def run(url: str, path: str, file: Path, *, clients: int, seconds: int, first: int = 0) -> Load:
    """One run from start to end."""
    return result(start(url, path, file, clients=clients, seconds=seconds, first=first))


def measured(server: Server, path: str, bodies: Sequence[Body], *, clients: int, seconds: int) -> tuple[Load, float]:
    """A load after a second to warm up, on a server that is idle by then; and its CPU milliseconds a request."""
    with lines(bodies) as file:
        run(server.url, path, file, clients=clients, seconds=_WARM_S)
        server.settle()
        before_s = server.cpu_s()
        load = run(server.url, path, file, clients=clients, seconds=seconds, first=clients)
        return load, 1000 * (server.cpu_s() - before_s) / max(1, load.requests)
