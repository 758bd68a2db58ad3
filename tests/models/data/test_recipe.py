"""Recipes and rows are read as they are written."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from models.data.recipe import RECIPES, BadRecipe, Source, load_recipe
from models.data.rows import pick_rows, read_rows


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_named_like_its_file(path: Path) -> None:
    assert load_recipe(path.stem).name == path.stem


def test_a_misspelt_key_is_refused(tmp_path: Path) -> None:
    text = (RECIPES / "sentiment.toml").read_text(encoding="utf-8").replace("learning_rate", "learnig_rate", 1)
    (tmp_path / "wrong.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadRecipe, match="learnig_rate"):
        load_recipe(str(tmp_path / "wrong.toml"))


def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    with lzma.open(tmp_path / "rows.jsonl.xz", "wt", encoding="utf-8") as file:
        file.write('{"text": "one\u2028line"}\n\n{"text": "two"}\n')
    assert [row["text"] for row in read_rows(tmp_path / "rows.jsonl.xz")] == ["one\u2028line", "two"]


def test_sources_are_selected_capped_and_repeated(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        "".join(f'{{"src": "{"ab"[n % 2]}", "n": {n}}}\n' for n in range(20)), encoding="utf-8"
    )
    source = Source(files=("rows.jsonl",), home="", licence="", select={"src": "a"}, cap=3, repeat=2)
    rows = pick_rows((source,), tmp_path, seed=1)
    assert len(rows) == 6
    assert rows[:3] == rows[3:]
    assert {row["src"] for row in rows} == {"a"}
    assert rows == pick_rows((source,), tmp_path, seed=1)
    assert rows != pick_rows((source,), tmp_path, seed=2)


def test_relabelled_rows_have_one_meaning(tmp_path: Path) -> None:
    labels = [["joy"], ["joy", "relief"], ["joy", "anger"], ["neutral"], ["joy", "neutral"], ["anger"]]
    rows = "".join(f'{{"text": "{n}", "labels": {json.dumps(each)}}}\n' for n, each in enumerate(labels))
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    meanings = {"joy": "positive", "relief": "positive", "anger": "negative"}
    source = Source(files=("rows.jsonl",), home="", licence="", relabel=meanings)
    assert pick_rows((source,), tmp_path, seed=1) == [
        {"text": "0", "label": "positive"},
        {"text": "1", "label": "positive"},
        {"text": "5", "label": "negative"},
    ]
