"""The table says what metrics.json, the recipe and the clock say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models.commands.measure import report
from models.errors import Missing
from tests.models.tiny import Exported

Export = Callable[[str], Exported]


def _copy(source: Path, to: Path, **metrics: object) -> None:
    shutil.copytree(source, to)
    (to / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


def test_every_artifact_has_a_line(exported: Export, tmp_path: Path) -> None:
    served = tmp_path / "served"
    # A name that a recipe has, whose bars are then those of the recipe.
    _copy(exported("bert").fp32, served / "sentiment", score={"accuracy": 1.5}, fp32={"accuracy": 2.25})
    _copy(exported("bert-qa").fp32, served / "mine")
    report(artifacts=served, to=tmp_path / "models.md")
    mine, sentiment = (tmp_path / "models.md").read_text(encoding="utf-8").splitlines()[-2:]
    cells = [cell.strip() for cell in sentiment.split("|")[1:-1]]
    assert cells[:4] == ["`sentiment`", "text-classification", "0.1", "0.0"]
    assert float(cells[4].replace(",", "")) > 0
    assert cells[5:7] == ["accuracy 1.50", "accuracy 2.25"]
    assert cells[7].startswith("accuracy ")
    assert cells[7].endswith(": missed")
    assert [cell.strip() for cell in mine.split("|")[6:-1]] == ["not measured", "not measured", "none"]
    with pytest.raises(Missing, match="no folder"):
        report(artifacts=tmp_path / "nothing", to=None)
