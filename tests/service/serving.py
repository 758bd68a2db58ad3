"""A server as its users have it: `python -m service` in a process of its own, spoken to over a socket."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

import httpx2
from prometheus_client.parser import text_string_to_metric_families

ARTIFACTS = Path(__file__).resolve().parents[2] / "models" / "artifacts"
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30
_RUNNING = re.compile(r"running on (http://\S+:\d+)")


class Server:
    """A process that listens, and its log."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[str] = []
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self._told_url()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            self._lines.put(line)

    def _told_url(self) -> str:
        deadline_s = time.monotonic() + PATIENCE_S
        while (left_s := deadline_s - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=min(left_s, 0.5))
            except Empty:
                if self.process.poll() is not None:
                    break
                continue
            if match := _RUNNING.search(line):
                return match[1]
        raise AssertionError(f"the server did not start: {''.join(self.log)}")

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=2 * PATIENCE_S, trust_env=False)

    def terminate(self) -> int:
        """SIGTERM, then wait; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return status


def start(**settings: object) -> subprocess.Popen[str]:
    """`python -m service` on a free port, told these settings and none of this environment's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
    # No models of whoever runs the tests, unless a test says so.
    environment |= {"SHOAL_PORT": "0", "SHOAL_MODELS_DIR": str(ARTIFACTS)} | {
        f"SHOAL_{name.upper()}": str(value) for name, value in settings.items()
    }
    return subprocess.Popen(
        [sys.executable, "-m", "service"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


@contextmanager
def served(**settings: object) -> Iterator[Server]:
    """A server that is ready; stopped in the end, and killed if it does not stop."""
    with start(**settings) as process:
        try:
            server = Server(process)
            with server.client() as client:
                eventually(lambda: client.get("/health/ready").status_code == 200)
            yield server
            if process.poll() is None:
                server.terminate()
        finally:
            if process.poll() is None:
                process.kill()


def eventually(condition: Callable[[], bool]) -> None:
    """Ask until it is so; fails after PATIENCE_S."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it never came to be"
        time.sleep(0.005)


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    """What /metrics says, by name and sorted labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(found: Samples, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    return sum(value for (own, given), value in found.items() if own == name and labels.items() <= dict(given).items())
