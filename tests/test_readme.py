"""The README says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from service.artifact import find_artifacts
from service.config import ARTIFACTS, Settings
from service.tasks import task_of

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _shown(default: object) -> str:
    if default == "":
        return "empty"
    return f"`{default.relative_to(ROOT).as_posix()}`" if isinstance(default, Path) else f"`{default}`"


def test_settings_table_is_the_settings_class() -> None:
    rows = re.findall(r"^\| `(SHOAL_\w+)` \| (.*?) \| (.*?) \|$", README, re.MULTILINE)
    assert rows == [
        (f"SHOAL_{name.upper()}", _shown(field.default), field.description)
        for name, field in Settings.model_fields.items()
    ]


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)", README)) - {"nothing"}
    assert named, "the README names no command"
    assert named <= targets


def _scores(scores: dict[str, float]) -> str:
    """The first three: the cards have all."""
    return ", ".join(f"{name} {value:.2f}" for name, value in list(scores.items())[:3])


def test_every_default_model_is_listed_with_the_scores_of_its_metrics() -> None:
    artifacts = find_artifacts(ARTIFACTS, ("qa", "sentiment", "summarizer"))  # one's own may lie beside them
    assert re.findall(r"^\| `[a-z-]+` \| [a-z-]+ \|.*$", README, re.MULTILINE) == [
        f"| `{each.name}` | {task_of(each).name} | {_scores(each.metrics['score'])} | {_scores(each.metrics['fp32'])} |"
        for each in artifacts
    ]
