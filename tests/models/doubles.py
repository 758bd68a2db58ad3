"""Small recipes, rows, results and word vectors, for tests of what is made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.data.recipe import Evaluation, Recipe, Source, Stage, Training
from models.data.word_neighbours import WordNeighbours
from tests.models.tiny import SENTENCES, make_model

NONE_ALIKE = WordNeighbours({"nothing": 0, "other": 1}, np.eye(2))
TRAINING = Training(epochs=6, batch_size=4, learning_rate=5e-3, max_length=32, seed=3, warmup_ratio=0.0)
NO_BARS = Evaluation(files=(), home="", tolerance={})
RECIPE = """
name = "tiny"
task = "{task}"
description = "Is it good?"
base = "nothing"
labels = ["bad", "good"]
[[stages]]
name = "only"
[[stages.sources]]
files = ["rows.jsonl"]
home = "at home"
licence = "none"
[stages.training]
epochs = 5
batch_size = 4
learning_rate = 3e-3
max_length = 32
seed = 3
attention = "eager"
hidden_dropout = 0.0
extra = {{ stride = 8 }}
[evaluation]
files = ["rows.jsonl"]
home = "rows of a test"
tolerance = {{ accuracy = 100.0 }}
"""


def recipe(task: str, training: Training = TRAINING, **more: object) -> Recipe:
    stage = Stage(name="only", sources=(Source(files=("rows.jsonl",), home="", licence=""),), training=training)
    return Recipe.model_validate(
        {"name": "tiny", "task": task, "description": "", "base": "", "stages": (stage,), "evaluation": NO_BARS, **more}
    )


def write_rows(data: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    data.mkdir(exist_ok=True)
    (data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return data


def write_plan(folder: Path, kind: str, task: str, rows: Sequence[Mapping[str, object]]) -> list[str]:
    """A recipe, its data and its trained model; what a command is told of them."""
    (folder / "tiny.toml").write_text(RECIPE.format(task=task), encoding="utf-8")
    (folder / "data").mkdir()
    (folder / "data" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    make_model(kind, folder / "runs" / "tiny" / "only" / "final")
    return [str(folder / "tiny.toml"), "--data", str(folder / "data"), "--runs", str(folder / "runs")]


def question_rows(count: int) -> list[dict[str, Any]]:
    rows = []
    for n in range(count):
        before = f"{SENTENCES[n % 5]} Letter {n} was written by "
        context = f"{before}Author{n} of Town{n} in {1900 + n}. {SENTENCES[0]}"
        answers = {"text": [f"Author{n}"], "answer_start": [len(before)]}
        rows.append({"question": f"who wrote letter {n} in {1900 + n}?", "context": context, "answers": answers})
    return rows


def answer_row(text: str | None, file: str = "v1") -> dict[str, Any]:
    answers = {"text": [] if text is None else [text], "answer_start": [] if text is None else [0]}
    return {"question": f"{text}?", "context": "Paris is big", "answers": answers, "file": file}


def answer_result(*answers: tuple[str, float]) -> dict[str, Any]:
    return {"answers": [{"answer": text, "score": score} for text, score in answers]}


def like_words(*groups: dict[str, float]) -> WordNeighbours:
    """Each group's words have these cosines to its first, whose own is 1; words of two groups have none.

    A word's rest goes a way of its own, and each vector's opposite is there too, so that their mean is nothing.
    """
    words = [(number, word, cosine) for number, group in enumerate(groups) for word, cosine in group.items()]
    vectors = np.zeros((2 * len(words), len(groups) + len(words)))
    for place, (number, _, cosine) in enumerate(words):
        vectors[place, number], vectors[place, len(groups) + place] = cosine, (1 - cosine**2) ** 0.5
        vectors[place + len(words)] = -vectors[place]
    return WordNeighbours({word: place for place, (_, word, _) in enumerate(words)}, vectors)
