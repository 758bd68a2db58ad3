from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.process import Cpus, cpus

ALLOWED = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def cgroup(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / {"max": "cpu.max", "quota": "cpu/cpu.cfs_quota_us", "period": "cpu/cpu.cfs_period_us"}[name]
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


def test_without_a_quota_all_that_affinity_allows(tmp_path: Path) -> None:
    assert cpus(tmp_path).usable == ALLOWED
    assert cpus(cgroup(tmp_path, max="max 100000\n")).usable == ALLOWED


@pytest.mark.parametrize(("limit", "usable"), [(10_000, 1), (50_000, 1), (100_000, 1), (150_000, 2), (9_900_000, 99)])
def test_a_quota_of_version_2_rounds_up(tmp_path: Path, limit: int, usable: int) -> None:
    assert cpus(cgroup(tmp_path, max=f"{limit} 100000\n")).usable == min(usable, ALLOWED)


@pytest.mark.parametrize(("quota", "usable"), [("-1", 99), ("50000", 1), ("150000", 2)])
def test_a_quota_of_version_1(tmp_path: Path, quota: str, usable: int) -> None:
    assert cpus(cgroup(tmp_path, quota=f"{quota}\n", period="100000\n")).usable == min(usable, ALLOWED)


def test_here_it_is_at_least_one() -> None:
    assert 1 <= cpus().usable <= ALLOWED


@pytest.mark.parametrize(
    ("affinity", "quota", "usable", "told"),
    [
        (4, None, 4, "4 CPUs (affinity 4, quota none)"),
        (4, 1.5, 2, "2 CPUs (affinity 4, quota 1.5)"),
        (2, 8.0, 2, "2 CPUs (affinity 2, quota 8.0)"),
        (4, 0.1, 1, "1 CPUs (affinity 4, quota 0.1)"),
    ],
)
def test_the_less_of_affinity_and_quota_is_usable_and_told(
    affinity: int, quota: float | None, usable: int, told: str
) -> None:
    assert Cpus(affinity, quota).usable == usable
    assert str(Cpus(affinity, quota)) == told


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux only")
def test_the_process_runs_as_a_batch_where_it_may() -> None:
    """In a process of its own: there is no way back."""
    script = (
        "import logging, os\n"
        "from service.process import run_as_batch\n"
        "logging.basicConfig(level='DEBUG')\n"
        "run_as_batch()\n"
        "run_as_batch()\n"
        "print(os.sched_getscheduler(0) == os.SCHED_BATCH)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n" or "not allowed here" in done.stderr


def test_the_collector_leaves_what_exists_alone_and_runs_rarely() -> None:
    code = (
        "import gc; from service.process import spare_garbage_collector; spare_garbage_collector(); "
        "print(gc.get_freeze_count(), *gc.get_threshold())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    frozen, *threshold = map(int, done.stdout.split())
    assert frozen > 1000
    assert threshold == [50_000, 20, 100]
