from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.cpus import usable_cpus

ALLOWED = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def cgroup(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / {"max": "cpu.max", "quota": "cpu/cpu.cfs_quota_us", "period": "cpu/cpu.cfs_period_us"}[name]
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


def test_without_a_quota_all_that_affinity_allows(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == ALLOWED
    assert usable_cpus(cgroup(tmp_path, max="max 100000\n")) == ALLOWED


@pytest.mark.parametrize(("limit", "cpus"), [(10_000, 1), (50_000, 1), (100_000, 1), (150_000, 2), (9_900_000, 99)])
def test_a_quota_of_version_2_rounds_up(tmp_path: Path, limit: int, cpus: int) -> None:
    assert usable_cpus(cgroup(tmp_path, max=f"{limit} 100000\n")) == min(cpus, ALLOWED)


@pytest.mark.parametrize(("quota", "cpus"), [("-1", 99), ("50000", 1), ("150000", 2)])
def test_a_quota_of_version_1(tmp_path: Path, quota: str, cpus: int) -> None:
    assert usable_cpus(cgroup(tmp_path, quota=f"{quota}\n", period="100000\n")) == min(cpus, ALLOWED)


def test_here_it_is_at_least_one() -> None:
    assert 1 <= usable_cpus() <= ALLOWED
