from __future__ import annotations

import json
import lzma
from itertools import islice
from pathlib import Path

import pytest
import tokenizers

from load_tests.generation.inputs import (
    ARTIFACT,
    FIXED,
    SERVED,
    SOURCE_TOKENS,
    THINK_S,
    WRITTEN_TOKENS,
    Crowd,
    Request,
    plan,
    texts,
)

ABSTRACTS = [f"Number {number} says that shoals of herring pass the coast in spring." * 9 for number in range(7)]


def lengths(made: list[str]) -> list[int]:
    tokenizer = tokenizers.Tokenizer.from_file(str(ARTIFACT / "tokenizer.json"))
    tokenizer.no_truncation()
    return [len(tokenizer.encode(text)) for text in made]


@pytest.fixture(params=["none", "plain", "packed"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where real abstracts may lie."""
    lines = "\n".join(json.dumps({"abstract": text}) for text in ABSTRACTS) + "\n"
    if request.param == "plain":
        (tmp_path / "val.jsonl").write_text(lines, encoding="utf-8")
    if request.param == "packed":
        (tmp_path / "val.jsonl.xz").write_bytes(lzma.compress(lines.encode()))
    return tmp_path


def test_texts_are_as_long_as_they_are_said_to_be_and_the_same_each_time(folder: Path) -> None:
    made = texts(24, folder)
    assert made == texts(24, folder)
    assert len(set(made)) == 24
    assert min(lengths(made)) >= SOURCE_TOKENS[0]
    assert max(lengths(made)) <= SOURCE_TOKENS[1]
    assert max(lengths(made)) > 2 * min(lengths(made))


def test_abstracts_are_used_where_there_are_some(folder: Path) -> None:
    real = any(folder.iterdir())
    assert all(("herring" in text) is real for text in texts(24, folder))


def taken(load: str, *, client: int, seed: int = 1, think_s: float = THINK_S) -> list[tuple[float, Request]]:
    pool = [f"text {number}" for number in range(12)]
    return list(islice(plan(pool, Crowd(3, load, think_s), client=client, seed=seed), 40))


def test_a_plan_is_the_same_for_every_system_and_another_for_every_client_and_round() -> None:
    assert taken(FIXED, client=0) == taken(FIXED, client=0)
    assert taken(FIXED, client=0) != taken(FIXED, client=0, seed=2)
    pools = [{request.text for _, request in taken(FIXED, client=client)} for client in range(3)]
    assert all(pools)
    assert not pools[0] & pools[1] | pools[1] & pools[2] | pools[0] & pools[2]


def test_fixed_requests_say_how_much_is_written_and_served_ones_do_not() -> None:
    fixed = [request for _, request in taken(FIXED, client=1)]
    assert {request.num_beams for request in fixed} == {1}
    assert all(WRITTEN_TOKENS[0] <= request.tokens <= WRITTEN_TOKENS[1] for request in fixed)
    assert len({request.tokens for request in fixed}) > 10
    served = [request for _, request in taken(SERVED, client=1)]
    assert {(request.tokens, request.num_beams, request.no_repeat_ngram_size) for request in served} == {(0, 2, 3)}


def test_clients_think_for_random_times_as_long_as_they_are_told() -> None:
    quick, slow = ([think_s for think_s, _ in taken(FIXED, client=1, think_s=mean_s)] for mean_s in (THINK_S, 0.8))
    assert len(set(quick)) == 40
    assert slow == pytest.approx([think_s * 0.8 / THINK_S for think_s in quick])
    assert 0.4 < sum(slow) / 40 < 1.6
