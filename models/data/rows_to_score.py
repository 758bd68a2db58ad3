"""Rows that somebody wants their own model scored on: read, and checked before anything is exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.data.rows import Row
from models.data.table import guess_columns, labelled_rows, read_table
from models.errors import WorkshopError

_FIELDS = {
    "question-answering": ({"question", "context", "answers"},),
    "summarization": ({"abstract", "tldr"}, {"source", "target"}),
}


class WrongRows(WorkshopError, ValueError):
    """Rows that a model cannot be scored on; says which and why."""


def rows_to_score(data: Path, task: str, config: dict[str, Any]) -> list[Row]:
    """The rows of a .jsonl or .jsonl.xz file in the recipes' fields, or for a classifier of a .csv; all can be scored.

    `config` is the model's config.json. Raises WrongRows, UnreadableRows, UnclearTable.
    """
    if task != "text-classification" and task not in _FIELDS:
        raise WrongRows(f"models for {task} are not scored; add this one without --data")
    rows = read_table(data)
    if not rows:
        raise WrongRows(f"{data}: no rows to score on")
    if task == "text-classification":
        return _labelled(data, rows, config)
    for number, row in enumerate(rows, 1):
        _check_fields(f"{data}, row {number}", row, _FIELDS[task], task)
    return rows


def _check_fields(place: str, row: Row, wanted: tuple[set[str], ...], task: str) -> None:
    if not any(fields <= set(row) for fields in wanted):
        choices = " or ".join(", ".join(sorted(fields)) for fields in wanted)
        raise WrongRows(f"{place} has the fields {', '.join(row)}; wanted for {task} are {choices}")


def _labelled(data: Path, rows: list[Row], config: dict[str, Any]) -> list[Row]:
    if config.get("problem_type") == "regression":
        raise WrongRows("a regression model has no labels to score; add it without --data")
    names = [str(name) for name in (config.get("id2label") or {}).values()]
    names = names or [f"LABEL_{index}" for index in range(int(config.get("num_labels") or 2))]
    field = "labels" if config.get("problem_type") == "multi_label_classification" else "label"
    if data.suffix.lower() in (".csv", ".tsv"):
        rows = [_numbered(row, names) for row in labelled_rows(rows, guess_columns(rows))]
    for number, row in enumerate(rows, 1):
        place = f"{data}, row {number}"
        _check_fields(place, row, ({"text", field},), "this model")
        for label in row[field] if field == "labels" else [row[field]]:
            if label not in names and not (isinstance(label, int) and 0 <= label < len(names)):
                raise WrongRows(f"{place}: the model has no label {label!r}; it has {', '.join(names)}")
    return rows


def _numbered(row: Row, names: list[str]) -> Row:
    """A table's row, whose label may be the number of a label rather than its name."""
    label = row.get("label", "")
    return {**row, "label": int(label)} if label not in names and label.isdecimal() else row
