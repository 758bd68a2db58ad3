"""Rows of data: JSON lines, plain or xz, picked as a recipe's sources say."""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from models.data.recipe import Recipe, Source
from models.errors import Missing, WorkshopError

Row = dict[str, Any]


class UnreadableRows(WorkshopError, ValueError):
    """A file that does not hold JSON lines; says which and where."""


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the objects of a .jsonl or .jsonl.xz file.

    Splits on "\\n" only: some texts hold U+2028, which str.splitlines would split at. Raises UnreadableRows, Missing.
    """
    if not path.is_file():
        raise Missing(f"{path}: no such file of rows; --data says where it is")
    opener: Callable[..., IO[str]] = lzma.open if path.suffix == ".xz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _object(line, f"{path}, line {number}")
    except UnicodeDecodeError as error:
        raise UnreadableRows(f"{path}: not UTF-8; save it as UTF-8") from error
    except (lzma.LZMAError, EOFError) as error:
        raise UnreadableRows(f"{path}: {error}") from error


def _object(line: str, place: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UnreadableRows(f"{place}: not JSON ({error})") from error
    if not isinstance(row, dict):
        raise UnreadableRows(f"{place}: not a JSON object, which a row of .jsonl is")
    return row


def source_of(row: Row) -> str:
    """What a row of a summarization set asks to summarize: an abstract, or a source in sentences."""
    return str(row["abstract"]) if "abstract" in row else " ".join(row["source"])


def references_of(row: Row) -> list[str]:
    """The summaries that a row of a summarization set offers, one or several."""
    return list(row["target"]) if "target" in row else [row["tldr"]]


def _relabelled(row: Row, meanings: dict[str, str]) -> Row | None:
    found = {meanings.get(label) for label in row["labels"]}
    label = found.pop() if len(found) == 1 else None
    return None if label is None else {"text": row["text"], "label": label}


def pick_rows(sources: tuple[Source, ...], data: Path, seed: int) -> list[Row]:
    """Read every source under `data`, filtered, capped and repeated as it says. Deterministic by `seed`."""
    chooser = random.Random(seed)
    picked: list[Row] = []
    for source in sources:
        rows = [
            row
            for file in source.files
            for row in read_rows(data / file)
            if all(row.get(field) == value for field, value in source.select.items())
        ]
        if source.relabel:
            rows = [made for row in rows if (made := _relabelled(row, source.relabel)) is not None]
        if source.cap is not None and len(rows) > source.cap:
            rows = chooser.sample(rows, source.cap)
        picked.extend(rows * source.repeat)
    return picked


def evaluation_rows(recipe: Recipe, data: Path, limit: int | None) -> list[Row]:
    """The rows that a recipe is scored on, each with its `file`; `limit` of them, evenly spread, if that is given."""
    rows = [{**row, "file": file} for file in recipe.evaluation.files for row in read_rows(data / file)]
    return rows if limit is None else rows[:: max(1, len(rows) // limit)][:limit]
