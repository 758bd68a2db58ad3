"""How many CPUs this process may really use."""

from __future__ import annotations

import math
import os
from pathlib import Path

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


def usable_cpus(cgroup: Path = _CGROUP) -> int:
    """CPUs by affinity and cgroup quota, at least 1.

    Pools sized from the host's cores are throttled in containers (onnxruntime#8313, #10113).
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = _quota(cgroup)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))
