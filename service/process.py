"""What concerns the whole process: the CPUs it may use, its scheduling policy, its garbage collector."""

from __future__ import annotations

import gc
import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

_CGROUP = Path("/sys/fs/cgroup")


def _quota(cgroup: Path) -> float | None:
    """CPUs that the cgroup's bandwidth limit allows, None for no limit (v2 cpu.max, then v1 cfs)."""
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            limit = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        quota = int(limit) / int(period)
    except (ValueError, ZeroDivisionError):  # "max" is no limit, and so is what nobody can read
        return None
    return quota if quota > 0 else None


@dataclass(frozen=True)
class Cpus:
    """What this process may use, and why."""

    affinity: int
    """Cores that its threads may run on."""
    quota: float | None
    """Cores' worth of time that its control group gets, None for no limit."""

    @property
    def usable(self) -> int:
        """At least 1. Pools sized from the host's cores are throttled in containers (onnxruntime#8313, #10113)."""
        return self.affinity if self.quota is None else max(1, min(self.affinity, math.ceil(self.quota)))

    def __str__(self) -> str:
        return f"{self.usable} CPUs (affinity {self.affinity}, quota {'none' if self.quota is None else self.quota})"


def cpus(cgroup: Path = _CGROUP) -> Cpus:
    """By affinity and cgroup quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return Cpus(allowed, _quota(cgroup))


def run_as_batch() -> None:
    """Let threads of this process, and of those that they start, wait for a core instead of interrupting each other.

    A thread that wakes up, for a byte on a socket, otherwise takes the core from a forward pass at once, and each time
    finds its caches cold; SCHED_BATCH lets it wait out the pass's time slice, and work off what has come meanwhile.
    """
    if hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) == os.SCHED_OTHER:
        try:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        except OSError:  # a sandbox may forbid it: slower under load, and nothing else
            log.debug("SCHED_BATCH is not allowed here")


def spare_garbage_collector() -> None:
    """Keep the collector away from what exists now, and let it run rarely. Call once, when everything is loaded.

    Loaded models and modules stay for good, and requests leave nothing that only the collector could free. Looking for
    it all the same took a tenth of the event loop's time, in pauses of up to 50 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
