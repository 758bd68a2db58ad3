"""Decoder and Seq2SeqGraphs on real graphs, against the same search fed by the toy's formula."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import pytest

from service.artifact import Artifact
from service.encoding import Encoding
from service.generation.decoding import Decoder, Prompt
from service.generation.options import GenerationOptions, SpecialTokens
from service.generation.search import new_search
from service.generation.seq2seq import Seq2SeqGraphs
from service.job import Job, Pass, Row
from tests.service import toys

SPECIAL = SpecialTokens(start=toys.CLS, ends=frozenset([toys.SEP]))
COPY = 3.0
NOISE = np.random.default_rng(7).integers(-4, 5, (7, len(toys.VOCABULARY))).astype(np.float32)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Seq2SeqGraphs:
    folder = toys.summarizer(tmp_path_factory.mktemp("model") / "noisy", copy=COPY, noise=NOISE)
    return Seq2SeqGraphs(Artifact(folder))


def prompt(source: list[int], **chosen: Any) -> Prompt:
    ids = array("q", [toys.CLS, *source, toys.SEP])
    defaults = {
        "max_new_tokens": 8, "min_new_tokens": 0, "num_beams": 1, "length_penalty": 1.0, "no_repeat_ngram_size": 0,
    }  # fmt: skip
    return Prompt(Encoding(ids, array("q", [0] * len(ids))), GenerationOptions(**(defaults | chosen)))


def prompts() -> list[Prompt]:
    """Of all lengths, widths and limits."""
    chance = np.random.default_rng(3)
    return [
        prompt(
            chance.integers(4, 60, size).tolist(),
            num_beams=1 + index % 4,
            max_new_tokens=3 + index % 7,
            min_new_tokens=index % 3,
            no_repeat_ngram_size=index % 3,
        )
        for index, size in enumerate([1, 9, 4, 17, 2, 30, 5, 12, 6, 8, 3, 21])
    ]


def expected(wanted: Prompt) -> list[int]:
    """What the toy's formula makes the search write, without any graph, cache or batch."""
    search = new_search(wanted.options, SPECIAL)
    source = wanted.encoding.ids
    while not search.finished:
        logits = np.array([NOISE[sum(beam) % len(NOISE)] for beam in search.beams])
        place = len(search.beams[0])
        if place < len(source):
            logits[:, source[place]] += COPY
        search.advance(logits)
    return search.written


def job_of(wanted: list[Prompt]) -> Job:
    return Job([(each, len(each.encoding)) for each in wanted])


def run(decoder: Decoder, rows: list[Row]) -> tuple[dict[int, list[int]], list[Pass]]:
    passes = list(decoder.run(rows, alone=True))
    finished = [(id(row), result) for done in passes for row, result in done.finished]
    assert len(finished) == len(dict(finished)), "a row was finished twice"
    return dict(finished), passes


def test_a_text_alone_is_what_the_formula_says(graphs: Seq2SeqGraphs) -> None:
    decoder = Decoder(graphs, SPECIAL, max_tokens=64, batch_tokens=256)
    for wanted in prompts():
        rows = job_of([wanted]).rows
        assert run(decoder, rows)[0][id(rows[0])] == expected(wanted)


@pytest.mark.parametrize("batch_tokens", [1, 40, 256, 4096])
def test_texts_written_together_are_the_texts_written_alone(graphs: Seq2SeqGraphs, batch_tokens: int) -> None:
    decoder = Decoder(graphs, SPECIAL, max_tokens=64, batch_tokens=batch_tokens)
    wanted = prompts()
    rows = job_of(wanted).rows
    results, _ = run(decoder, rows)
    assert [results[id(row)] for row in rows] == [expected(each) for each in wanted]


def test_the_encoder_runs_once_and_within_the_budget(graphs: Seq2SeqGraphs) -> None:
    rows = job_of([prompt([10] * 8, max_new_tokens=3, min_new_tokens=3) for _ in range(5)]).rows
    _, passes = run(Decoder(graphs, SPECIAL, max_tokens=64, batch_tokens=20), rows)
    assert [done.rows for done in passes] == [2, 2, 1, 5, 5, 5]
    assert [done.padded_tokens for done in passes] == [20, 20, 10, 5, 5, 5]
    assert [len(done.finished) for done in passes] == [0, 0, 0, 0, 0, 5]


def test_a_row_leaves_when_its_text_is_done(graphs: Seq2SeqGraphs) -> None:
    lengths = [2, 6, 4]
    rows = job_of([prompt([10, 11], max_new_tokens=size, min_new_tokens=size) for size in lengths]).rows
    results, passes = run(Decoder(graphs, SPECIAL, max_tokens=64, batch_tokens=256), rows)
    assert [len(results[id(row)]) for row in rows] == lengths
    assert [done.rows for done in passes] == [3, 3, 3, 2, 2, 1, 1]


def test_a_row_that_nobody_waits_for_leaves_at_the_next_step(graphs: Seq2SeqGraphs) -> None:
    left, stays = job_of([prompt([10], max_new_tokens=30, min_new_tokens=30)]), job_of([prompts()[5]])
    passes = Decoder(graphs, SPECIAL, max_tokens=64, batch_tokens=256).run([*left.rows, *stays.rows], alone=True)
    finished: list[Row] = []
    for _ in range(3):
        finished += [row for row, _ in next(passes).finished]
    assert not finished
    left.cancel()
    assert [row for row, _ in next(passes).finished] == left.rows
    rest = [(row, result) for done in passes for row, result in done.finished]
    assert rest == [(stays.rows[0], expected(prompts()[5]))]


def test_beams_are_rows_of_a_pass(graphs: Seq2SeqGraphs) -> None:
    rows = job_of([prompt([10, 11, 12], num_beams=4, max_new_tokens=3, min_new_tokens=3)]).rows
    _, passes = run(Decoder(graphs, SPECIAL, max_tokens=64, batch_tokens=256), rows)
    assert [done.rows for done in passes] == [1, 1, 4, 4]
