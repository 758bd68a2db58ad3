"""A run goes on from its own plan only."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.training.run_folder import OtherRun, keep_plan


def test_a_run_keeps_to_its_plan(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "mine"
    keep_plan(run, {"epochs": 2})
    keep_plan(run, {"epochs": 2})
    with pytest.raises(OtherRun, match="mine was begun"):
        keep_plan(run, {"epochs": 3})
