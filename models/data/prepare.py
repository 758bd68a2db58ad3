"""The recipes' data: which files a recipe needs, where each is from, and whether a file is the one that was used.

Most sets may not be redistributed or have no address that stays as it is. What sources.toml has an address for is made
from it; the rest is taken from a folder of the user's, and checked.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

from pydantic import BaseModel, ConfigDict

from models.data.recipe import Recipe, load_recipe
from models.data.rows import Row, read_rows
from models.errors import WorkshopError

_SOURCES = Path(__file__).with_name("sources.toml")
_TIMEOUT_S = 60.0
# What `python -m models sentences` learns from, beside the evaluation files.
_SENTENCE_SCORER = ("arxiv_tldr/train-0.jsonl.xz", "scitldr/train.jsonl", "wikinews/2019.jsonl")


class WrongData(WorkshopError, ValueError):
    """A file does not hold the rows that the shipped models were trained or scored on."""


class DataFile(BaseModel):
    """A file of the recipes' data, as sources.toml describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """Below the data folder."""
    home: str
    licence: str
    how: str
    """How the file is made from what its home offers."""
    fields: tuple[str, ...]
    """The fields that are read, and that the digest covers."""
    rows: int
    digest: str
    url: str | None = None
    """What the file can be made from by `read_squad`."""


@dataclass(frozen=True)
class Prepared:
    """What became of a file: it is ready, or its problem in a sentence."""

    file: DataFile
    problem: str | None = None


def known_files() -> dict[str, DataFile]:
    """The entries of sources.toml by path."""
    entries = tomllib.loads(_SOURCES.read_text(encoding="utf-8"))["files"]
    return {entry["path"]: DataFile.model_validate(entry) for entry in entries}


def files_of(recipe: Recipe) -> list[str]:
    """Paths of all files that training and scoring a recipe read, those of its teachers included."""
    paths = [path for stage in recipe.stages for source in stage.sources for path in source.files]
    for stage in recipe.stages:
        if stage.teacher is not None and stage.teacher.recipe is not None:
            paths += files_of(load_recipe(stage.teacher.recipe))
    paths += recipe.evaluation.files
    if recipe.task == "summarization":
        paths += _SENTENCE_SCORER
    return list(dict.fromkeys(paths))


def digest_of(rows: Iterable[Row], fields: tuple[str, ...]) -> tuple[int, str]:
    """How many rows there are, and a SHA-256 of their `fields` that does not depend on the order of the rows."""
    hashes = sorted(
        hashlib.sha256(
            json.dumps([row.get(field) for field in fields], ensure_ascii=False, sort_keys=True).encode()
        ).digest()
        for row in rows
    )
    return len(hashes), hashlib.sha256(b"".join(hashes)).hexdigest()


def read_squad(file: IO[bytes]) -> Iterator[Row]:
    """The rows of SQuAD's own JSON, of version 1.1 or 2.0; a question without an answer has empty lists."""
    for article in json.load(file)["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers = question["answers"]
                yield {
                    "id": question["id"],
                    "title": article["title"],
                    "context": paragraph["context"],
                    "question": question["question"],
                    "answers": {
                        "text": [answer["text"] for answer in answers],
                        "answer_start": [answer["answer_start"] for answer in answers],
                    },
                }


def _rows_from(file: DataFile, source: Path | None, *, download: bool) -> list[Row] | None:
    """The file's rows from `source`, as they stand there or in their home's own form, or from its address."""
    if source is not None and (source / file.path).is_file():
        return list(read_rows(source / file.path))
    if file.url is None:
        return None
    original = source / file.url.rpartition("/")[2] if source is not None else None
    if original is not None and original.is_file():
        with original.open("rb") as opened:
            return list(read_squad(opened))
    if download:
        with urlopen(file.url, timeout=_TIMEOUT_S) as response:
            return list(read_squad(response))
    return None


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a .jsonl or .jsonl.xz file; it appears when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    opener: Callable[..., IO[str]] = lzma.open if path.suffix == ".xz" else open
    with opener(part, "wt", encoding="utf-8", newline="\n") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    part.replace(path)


def check_rows(file: DataFile, rows: Iterable[Row]) -> None:
    """Raises WrongData unless the rows are those that sources.toml has the digest of."""
    count, digest = digest_of(rows, file.fields)
    if (count, digest) != (file.rows, file.digest):
        found: Any = f"{count:,} rows with digest {digest}"
        raise WrongData(f"{found}; the models were made with {file.rows:,} rows with digest {file.digest}")


def prepare_file(file: DataFile, data: Path, source: Path | None, *, download: bool) -> Prepared:
    """Put the file into `data` unless it is there, and check it; what is wrong is said, not written."""
    target = data / file.path
    try:
        if target.is_file():
            check_rows(file, read_rows(target))
            return Prepared(file)
        rows = _rows_from(file, source, download=download)
        if rows is None:
            return Prepared(file, "is missing")
        check_rows(file, rows)
    except (WorkshopError, OSError) as error:
        return Prepared(file, str(error))
    write_rows(target, rows)
    return Prepared(file)


def prepare(recipe: Recipe, data: Path, source: Path | None = None, *, download: bool = False) -> list[Prepared]:
    """Prepare every file that the recipe reads; `source` is a folder of the user's, `download` allows the network.

    Raises KeyError for a recipe whose files sources.toml does not know.
    """
    known = known_files()
    return [prepare_file(known[path], data, source, download=download) for path in files_of(recipe)]
