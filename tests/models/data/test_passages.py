"""Contexts change; the answer stays where its row says."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.passages import crop_rows, join_rows, sentences

SENTENCES = ["Paris is big.", "It lies on the Seine.", "Who knew?", "Dr. No came in 1962.", "Nobody answered!"]


def row_of(context: str, answer: str) -> dict[str, Any]:
    return {
        "question": "what?",
        "context": context,
        "answers": {"text": [answer], "answer_start": [context.index(answer)]},
    }


def stands(row: dict[str, Any]) -> bool:
    begin, text = row["answers"]["answer_start"][0], row["answers"]["text"][0]
    return bool(row["context"][begin : begin + len(text)] == text)


@given(st.text(st.sampled_from("aA. !?\n")))
def test_sentences_are_all_of_the_context(context: str) -> None:
    assert "".join(context[start:end] for start, end in sentences(context)) == context


@settings(max_examples=50)
@given(st.permutations(SENTENCES), st.sampled_from(["Seine", "1962", "big. It", "came in"]), st.integers(0, 99))
def test_a_cropped_context_is_a_stretch_of_it_that_holds_the_answer(order: list[str], answer: str, seed: int) -> None:
    context = " ".join(order)
    if answer not in context:
        return
    row = row_of(context, answer)
    (made,) = crop_rows([row], 1.0, seed)
    assert made["context"] in context
    assert stands(made)


def test_only_its_share_is_cropped() -> None:
    row = row_of(" ".join(SENTENCES * 5), "1962")
    lengths = [len(made["context"]) for made in crop_rows([row] * 400, 0.5, 1)]
    assert 140 < sum(length < len(row["context"]) for length in lengths) < 260
    assert crop_rows([row], 0.0, 1) == [row]
    nobody = {**row, "answers": {"text": [], "answer_start": []}}
    assert crop_rows([nobody], 1.0, 1) == [nobody]


def test_short_contexts_get_neighbours_without_the_answer() -> None:
    rows = [row_of(text, text.split()[0]) for text in SENTENCES]
    long = row_of("Long " * 100, "Long")
    made = join_rows([*rows, long], 2, 3)
    assert all(stands(row) for row in made)
    assert any(len(new["context"]) > len(old["context"]) for new, old in zip(made, rows, strict=False))
    for new, old in zip(made, rows, strict=False):
        assert old["context"] in new["context"]
        assert new["context"].lower().count(old["answers"]["text"][0].lower()) == 1
    assert made[-1] == long
