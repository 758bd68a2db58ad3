"""A server under load: started, watched from outside, stopped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PATIENCE_S = 120
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_READS = 5
_SETTLE_S, _LOOK_S = 2, 0.1
_IDLE = 0.1
"""Cores that an idle server may take."""


def descendants(pid: int) -> list[int]:
    """The process, first, and all that it started and that still runs."""
    found, left = [], [pid]
    while left:
        each = left.pop()
        found.append(each)
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            with suppress(OSError):
                left += map(int, task.read_text().split())
    return found


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@dataclass(frozen=True)
class Server:
    """Something that answers HTTP, known by its process."""

    url: str
    pid: int
    start_s: float
    """From the start of the process to the first healthy answer."""

    def cpu_s(self) -> float:
        """Processor time used so far, by the process and all that it started.

        Raises RuntimeError if they come and go faster than they can be read.
        """
        for _ in range(_READS):
            with suppress(OSError):
                return sum(map(_ticks, descendants(self.pid))) / _TICKS_PER_S
        raise RuntimeError("its processes come and go")

    def settle(self) -> None:
        """Wait until it no longer works on what an earlier load left behind; two seconds at most."""
        give_up_s, before_s = time.monotonic() + _SETTLE_S, self.cpu_s()
        while time.monotonic() < give_up_s:
            time.sleep(_LOOK_S)
            if (now_s := self.cpu_s()) - before_s <= _IDLE * _LOOK_S:
                return
            before_s = now_s

    def rss_mb(self) -> float:
        """Resident memory of all of them; pages that they share count once a process."""
        sizes = [
            int(found[1])
            for pid in descendants(self.pid)
            if (found := re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()))
        ]
        return sum(sizes) / 1024


def wait_ready(url: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Until `url` answers 200; raises RuntimeError if the process ends or it takes too long."""
    give_up_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up_s and (process is None or process.poll() is None):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.01)
    raise RuntimeError(f"{url} did not come up")


@contextmanager
def shoal(port: int = 8123, **settings: object) -> Iterator[Server]:
    """Our server, as `make serve` starts it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
    environment |= {f"SHOAL_{name.upper()}": str(value) for name, value in {"port": port, **settings}.items()}
    environment |= {"SHOAL_LOG_LEVEL": "warning"}
    began_s = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "service"], cwd=ROOT, env=environment) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_ready(f"{url}/health/ready", process)
            yield Server(url, process.pid, time.perf_counter() - began_s)
        finally:
            process.terminate()
