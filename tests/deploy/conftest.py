from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture
def promtool() -> Callable[..., None]:
    """Run promtool in the repository; a complaint of it fails the test."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool: make tools")

    def run(*arguments: str | Path) -> None:
        done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run
