"""A recipe's data is put in place only if it is the data that the shipped models were made with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.__main__ import app
from models.data.prepare import DataFile, digest_of, files_of, known_files, prepare_file
from models.data.recipe import RECIPES, load_recipe
from models.data.rows import Row, read_rows

FIELDS = ("question", "context", "answers")
SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Rhine",
            "paragraphs": [
                {
                    "context": "The Rhine is 1,230 km long.\u2028It rises in the Alps.",
                    "qas": [
                        {
                            "id": "1",
                            "question": "How long is it?",
                            "answers": [{"text": "1,230 km", "answer_start": 13}],
                            "is_impossible": False,
                        },
                        {
                            "id": "2",
                            "question": "How deep is it?",
                            "answers": [],
                            "plausible_answers": [{"text": "1,230 km", "answer_start": 13}],
                            "is_impossible": True,
                        },
                    ],
                }
            ],
        }
    ],
}
CONTEXT = "The Rhine is 1,230 km long.\u2028It rises in the Alps."
ROWS: list[Row] = [
    {"id": "2", "title": "Rhine", "context": CONTEXT, "question": "How deep is it?",
     "answers": {"text": [], "answer_start": []}},
    {"id": "1", "title": "Rhine", "context": CONTEXT, "question": "How long is it?",
     "answers": {"text": ["1,230 km"], "answer_start": [13]}},
]  # fmt: skip


def _file(rows: list[Row], **more: str) -> DataFile:
    count, digest = digest_of(rows, FIELDS)
    return DataFile(
        path="qa/dev.jsonl.xz", home="h", licence="l", how="w", fields=FIELDS, rows=count, digest=digest, **more
    )


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_every_file_of_every_recipe_is_known(name: str) -> None:
    assert set(files_of(load_recipe(name))) <= set(known_files())


def test_a_teachers_files_are_its_students_too() -> None:
    assert set(files_of(load_recipe("qa-teacher"))) <= set(files_of(load_recipe("qa")))


def test_the_digest_is_of_the_rows_and_not_of_their_order() -> None:
    assert digest_of(ROWS, FIELDS) == digest_of(ROWS[::-1], FIELDS)
    assert digest_of([{**ROWS[0], "id": "other"}, ROWS[1]], FIELDS) == digest_of(ROWS, FIELDS)
    assert digest_of([{**ROWS[0], "question": "?"}, ROWS[1]], FIELDS) != digest_of(ROWS, FIELDS)
    assert digest_of([*ROWS, ROWS[0]], FIELDS) != digest_of(ROWS, FIELDS)


def test_squads_own_json_becomes_rows(tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text(json.dumps(SQUAD), encoding="utf-8")
    file = _file(ROWS, url="https://nowhere.invalid/dev.json")
    assert prepare_file(file, tmp_path / "data", tmp_path, download=False).problem is None
    assert list(read_rows(tmp_path / "data" / file.path)) == ROWS[::-1]
    assert prepare_file(file, tmp_path / "data", None, download=False).problem is None


def test_wrong_and_missing_files_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text(json.dumps(SQUAD), encoding="utf-8")
    file = _file(ROWS[:1], url="https://nowhere.invalid/dev.json")
    problem = prepare_file(file, tmp_path / "data", tmp_path, download=False).problem
    assert problem is not None
    assert "2 rows" in problem
    assert "made with 1 rows" in problem
    assert prepare_file(file, tmp_path / "data", None, download=False).problem == "is missing"
    unreachable = file.model_copy(update={"url": (tmp_path / "gone.json").as_uri()})
    assert "gone.json" in str(prepare_file(unreachable, tmp_path / "data", None, download=True).problem)
    assert not (tmp_path / "data").exists()


def test_the_command_says_where_what_is_missing_is_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app(["prepare", "sentiment", "--data", str(tmp_path)])
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert "sst2/dev.jsonl: is missing" in lines
    assert "  from: https://huggingface.co/datasets/stanfordnlp/sst2" in lines
