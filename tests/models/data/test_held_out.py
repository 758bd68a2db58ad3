"""What is held out is not trained on, in no spelling and in no part."""

from __future__ import annotations

from models.data.held_out import balance, held_out_rows, without
from models.data.recipe import HeldOut
from models.data.rows import Row

SENTENCES = [f"the story of number {n} is told with a great deal of care and wit ." for n in range(30)]


def _with_parts() -> list[Row]:
    rows: list[Row] = []
    for sentence in SENTENCES:
        words = sentence.split()
        parts = [sentence, " ".join(words[:5]), " ".join(words[3:12]), "a great", " ".join(words[-6:])]
        rows += [{"text": part, "label": 1} for part in parts]
    return rows


def test_whole_texts_are_held_out_with_their_parts() -> None:
    plan = HeldOut(rows=6, whole_texts=True, min_words=9)
    rows = _with_parts()
    held = held_out_rows(rows, plan)
    texts = [row["text"] for row in held]
    assert len(texts) == 6
    assert set(texts) <= set(SENTENCES)
    left = [row["text"] for row in without(rows, held, plan)]
    assert not [text for text in left if len(text.split()) > 2 and any(text in sentence for sentence in texts)]
    assert left.count("a great") == 30
    assert len([text for text in left if text in SENTENCES]) == 24
    assert held == held_out_rows(rows, plan)


def test_every_label_gives_its_share_and_doubles_go() -> None:
    rows: list[Row] = [{"text": f"text {n}", "label": "often" if n % 4 else "seldom"} for n in range(200)]
    rows += [{"text": f"TEXT  {n}", "label": "often"} for n in range(1, 4)]
    rows.append({"text": "alone", "label": "once"})
    plan = HeldOut(rows=40)
    held = held_out_rows(rows, plan)
    assert 8 <= balance(held)["seldom"] <= 12
    assert 28 <= balance(held)["often"] <= 32
    assert balance(held)["once"] == 0
    left = without(rows, held, plan)
    texts = {row["text"].lower().replace("  ", " ") for row in held}
    assert not [row for row in left if row["text"].lower().replace("  ", " ") in texts]


def test_rows_of_several_labels_are_counted_by_label() -> None:
    rows: list[Row] = [{"text": str(n), "labels": ["a", "b"] if n % 2 else ["b"]} for n in range(20)]
    assert balance(rows) == {"b": 20, "a": 10}
    assert balance(held_out_rows(rows, HeldOut(rows=10))) == {"b": 10, "a": 5}
