"""From somebody's file to a served classifier."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from models.custom.card import confusion_table, given_labels, score_table, wanted_labels
from models.custom.finetune import make_classifier
from models.custom.recipe import ClassifierOptions, TooFewRows, balance_table, read_split, split_rows
from models.data.rows import Row
from models.data.table import Columns, UnclearTable, guess_columns, labelled_rows, read_table
from models.training.run_folder import OtherRun
from service.artifact import Artifact
from tests.models.tiny import SENTENCES, make_model

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("DeprecationWarning", "torch.jit.TracerWarning", "UserWarning")
]


@pytest.mark.parametrize(
    ("lines", "columns"),
    [
        ("id,message,intent\n1,hello there,greet\n2,bye for now,part\n", Columns("message", "intent")),
        ("\ufeffText;Label\nhello, you;greet\nbye;part\n", Columns("Text", "Label")),
        ("a\tb\tc\n1\tlong words here\tx\n2\tlong words too\ty\n3\tmore\tx\n4\teven more\tx\n", Columns("b", "c")),
        ("text,tags\none,red|blue\ntwo,blue\nthree,red\nfour,blue|red\n", Columns("text", "tags", "|")),
    ],
)
def test_columns_are_guessed_from_names_and_content(tmp_path: Path, lines: str, columns: Columns) -> None:
    (tmp_path / "rows.csv").write_text(lines, encoding="utf-8")
    assert guess_columns(read_table(tmp_path / "rows.csv")) == columns


def test_columns_can_be_said_and_must_be_there() -> None:
    rows = [{"title": "a", "body": "a long text", "kind": "x", "label": "y"}] * 4
    assert guess_columns(rows, text="title", label="kind") == Columns("title", "kind")
    with pytest.raises(UnclearTable, match="'body', 'kind'"):
        guess_columns(rows, text="headline")
    with pytest.raises(UnclearTable, match="no file"):
        read_table(Path("nowhere.csv"))
    with pytest.raises(UnclearTable, match="no rows"):
        guess_columns([])
    with pytest.raises(UnclearTable, match="--label"):
        guess_columns([{"text": str(n), "n": n} for n in range(4)])


def test_rows_come_out_as_recipes_have_them() -> None:
    table: list[Row] = [{"t": " a film ", "l": 1}, {"t": "", "l": 0}, {"t": "b", "l": None}, {"t": "c", "l": 0}]
    assert labelled_rows(table, Columns("t", "l")) == [{"text": "a film", "label": "1"}, {"text": "c", "label": "0"}]
    lists: list[Row] = [{"t": "a", "l": ["x", "y"]}, {"t": "b", "l": []}]
    wanted = [{"text": "a", "labels": ["x", "y"]}, {"text": "b", "labels": []}]
    assert labelled_rows(lists, Columns("t", "l", "")) == wanted
    assert labelled_rows([{"t": "a", "l": "x; y"}], Columns("t", "l", ";")) == [{"text": "a", "labels": ["x", "y"]}]


def _rows(count: int) -> list[Row]:
    return [{"text": f"{SENTENCES[n % 2]} {n}", "label": ("10", "9")[n % 2]} for n in range(count)]


def test_the_split_takes_a_tenth_and_orders_labels() -> None:
    split = split_rows(_rows(200), None, 1)
    assert (len(split.train), len(split.test)) == (180, 20)
    assert split.labels == ("9", "10")
    assert "   90  50.0%     10" in balance_table(split)
    assert "rare" not in balance_table(split)
    few = split_rows([*_rows(100), *({"text": f"odd {n}", "label": "odd"} for n in range(3))], None, 1)
    assert "rare" in next(line for line in balance_table(few).splitlines() if line.startswith("odd"))


def test_test_rows_of_ones_own_are_never_trained_on() -> None:
    rows = _rows(60)
    split = split_rows(rows, rows[:7], 1)
    assert split.test == rows[:7]
    assert split.train == rows[7:]
    with pytest.raises(TooFewRows, match="strange"):
        split_rows(rows, [{"text": "x", "label": "strange"}], 1)
    with pytest.raises(TooFewRows, match="1 labels"):
        split_rows(rows[::2] * 3, None, 1)


def test_the_score_table_counts_what_was_given() -> None:
    rows = [{"text": "", "label": name} for name in ("a", "a", "a", "b")]
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    wanted, given = wanted_labels(rows, ["a", "b"]), given_labels(scores, multi_label=False)
    table = score_table(["a", "b"], wanted, given).splitlines()
    assert table[2:] == ["| a | 100.0 | 66.7 | 80.0 | 3 |", "| b | 50.0 | 100.0 | 66.7 | 1 |"]
    assert given_labels(torch.tensor([[0.9, 0.6], [0.1, 0.2]]), multi_label=True).tolist() == [[1, 1], [0, 0]]


def test_confusions_are_labels_that_rows_do_not_have_by_frequency() -> None:
    names = ["a", "b", "c"]
    rows = [{"label": right} for right in "aaabbbc"]
    given = wanted_labels([{"label": label} for label in "aabaabc"], names)
    table = confusion_table(names, wanted_labels(rows, names), given).splitlines()
    assert table[2:] == ["| b | a | 2 | 3 |", "| a | b | 1 | 3 |"]
    both, extra = torch.tensor([[1, 1, 0]]), torch.tensor([[1, 1, 1]])
    assert confusion_table(names, both, both).startswith("None")
    assert confusion_table(names, both, extra).splitlines()[2:] == ["| a | c | 1 | 1 |", "| b | c | 1 | 1 |"]
    many = torch.eye(6, dtype=torch.long)
    assert len(confusion_table("abcdef", many, 1 - many).splitlines()) == 2 + 20


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_one_command_makes_a_classifier_that_is_served(tmp_path: Path, several: bool) -> None:
    make_model("bert", tmp_path / "base")
    labels = {"labels": [["bad"], ["good", "new"]]} if several else {"label": ["bad", "good"]}
    [(field, kinds)] = labels.items()
    rows = [{"text": f"{SENTENCES[n % 2]} {n}", field: kinds[n % 2]} for n in range(90)]
    data = _write(tmp_path / "mine.jsonl", rows[:80])
    own = ClassifierOptions(data=data, base=str(tmp_path / "base"), serve_as="mine", epochs=6, learning_rate=5e-3)
    target = make_classifier(own, read_split(own), runs=tmp_path / "runs", target=tmp_path / "served" / "mine")
    artifact = Artifact(target)
    artifact.verify()
    assert (artifact.precision, artifact.multi_label) == ("int8", several)
    assert artifact.label_names() == (["bad", "good", "new"] if several else ["bad", "good"])
    assert artifact.metrics["score"] == {("macro_f1" if several else "accuracy"): 100.0}
    card = (target / "README.md").read_text(encoding="utf-8")
    assert "| bad | 100.0 | 100.0 | 100.0 | 4 |" in card
    assert "no test row was given a label that it does not have" in card
    with pytest.raises(FileExistsError, match="--serve-as"):
        make_classifier(own, read_split(own), runs=tmp_path / "runs", target=target)
    _write(data, rows)
    with pytest.raises(OtherRun):
        make_classifier(own, read_split(own), runs=tmp_path / "runs", target=tmp_path / "served" / "other")
