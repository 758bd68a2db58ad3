"""A run's folder belongs to one plan: what is begun there goes on from the same data and settings, or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from models.errors import WorkshopError

_PLAN = "plan.json"


class OtherRun(WorkshopError, ValueError):
    """The run's folder was made from other data or other settings."""


def keep_plan(run: Path, plan: Mapping[str, object]) -> None:
    """Write down what this run is made from; raises OtherRun where it was begun from something else."""
    said = json.dumps(plan, indent=2)
    path = run / _PLAN
    if path.is_file() and path.read_text(encoding="utf-8") != said:
        raise OtherRun(f"{run} was begun with other data or settings; take another name or remove it")
    run.mkdir(parents=True, exist_ok=True)
    path.write_text(said, encoding="utf-8")
