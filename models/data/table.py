"""A user's file, .csv or .jsonl, as rows of text and labels: which column is which is guessed, and said."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.data.rows import Row, read_rows
from models.errors import WorkshopError

_TEXT_NAMES = ("text", "sentence", "content", "message", "review", "utterance", "comment", "body", "query", "question")
_LABEL_NAMES = ("labels", "label", "category", "class", "intent", "target", "sentiment", "topic", "tags", "emotion")
_SEPARATORS = ("|", ";", ",")
_SNIFFED_CHARS = 65_536


class UnclearTable(WorkshopError, ValueError):
    """Which column holds what cannot be told from the file."""


@dataclass(frozen=True)
class Columns:
    """What a table's columns are."""

    text: str
    label: str
    separator: str | None = None
    """Between the labels of one row; "" where the file holds lists, None where a row has one label."""

    def __str__(self) -> str:
        kinds = {None: "one a row", "": "a list a row"}
        return (
            f"texts: {self.text!r}; labels: {self.label!r}, {kinds.get(self.separator, f'split at {self.separator!r}')}"
        )


def read_table(path: Path) -> list[Row]:
    """The rows of a .csv or .tsv (first line: names; comma, semicolon or tab), .jsonl or .jsonl.xz file.

    Raises UnclearTable for what is no such file.
    """
    if not path.is_file():
        raise UnclearTable(f"{path} is no file; --data names one with texts and labels, .csv or .jsonl")
    if path.suffix.lower() not in (".csv", ".tsv"):
        return list(read_rows(path))
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            try:
                dialect = csv.Sniffer().sniff(file.read(_SNIFFED_CHARS).partition("\n")[0], delimiters=",;\t")
            except csv.Error as error:
                raise UnclearTable(f"{path}: the first line must name the columns: {error}") from error
            file.seek(0)
            return list(csv.DictReader(file, delimiter=dialect.delimiter))
    except UnicodeDecodeError as error:
        raise UnclearTable(f'{path}: not UTF-8; save it as UTF-8 (spreadsheets: "CSV UTF-8")') from error
    except csv.Error as error:
        raise UnclearTable(f"{path}: {error}") from error


def _named(names: Sequence[str], known: Sequence[str]) -> str | None:
    lower = {name.lower(): name for name in names}
    return next((lower[name] for name in known if name in lower), None)


def _text_column(rows: list[Row]) -> str | None:
    names = [name for name, value in rows[0].items() if isinstance(value, str)]
    named = _named(names, _TEXT_NAMES)
    return named or max(names, key=lambda name: sum(len(str(row.get(name))) for row in rows), default=None)


def _label_column(rows: list[Row], text: str) -> str | None:
    names = [name for name in rows[0] if name != text]
    named = _named(names, _LABEL_NAMES)
    if named:
        return named
    kinds = {name: len({str(row.get(name)) for row in rows}) for name in names}
    repeated = [name for name, count in kinds.items() if 1 < count <= len(rows) / 2]
    return min(repeated, key=kinds.__getitem__, default=None)


def _separator(values: list[Any]) -> str | None:
    """A separator is one whose parts are fewer than the values that they make up."""
    if isinstance(values[0], list):
        return ""
    texts = {str(value) for value in values}
    for separator in _SEPARATORS:
        parts = {part.strip() for text in texts for part in text.split(separator)}
        if len(parts) < len(texts):
            return separator
    return None


def guess_columns(rows: list[Row], *, text: str | None = None, label: str | None = None) -> Columns:
    """Which column holds texts and which labels, by name, else by content; `text` and `label` say it instead.

    Raises UnclearTable for a table without rows, without such a column, or with one of other names.
    """
    if not rows:
        raise UnclearTable("the file holds no rows")
    for name in (text, label):
        if name is not None and name not in rows[0]:
            raise UnclearTable(f"no column {name!r}; there are {', '.join(map(repr, rows[0]))}")
    found_text = text or _text_column(rows)
    found_label = label or (_label_column(rows, found_text) if found_text else None)
    if found_text is None or found_label is None:
        raise UnclearTable(f"which of {', '.join(map(repr, rows[0]))} hold texts and labels? Say --text and --label")
    return Columns(found_text, found_label, _separator([row[found_label] for row in rows]))


def _parts(value: Any, separator: str) -> list[str]:
    given = value if isinstance(value, list) else str(value).split(separator)
    return [text for part in given if (text := str(part).strip())]


def labelled_rows(rows: list[Row], columns: Columns) -> list[Row]:
    """Rows as the recipes have them: {"text", "label"}, or {"text", "labels"}. Empty texts and labels are left out."""
    made: list[Row] = []
    for row in rows:
        text, value = str(row.get(columns.text) or "").strip(), row.get(columns.label)
        if not text or value is None or value == "":
            continue
        if columns.separator is None:
            made.append({"text": text, "label": str(value).strip()})
        else:
            made.append({"text": text, "labels": _parts(value, columns.separator)})
    return made
