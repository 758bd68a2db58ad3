"""Decoder and Seq2SeqGraphs on real graphs, against the same search fed by the toy's formula."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact import Artifact
from service.encoding import Encoding
from service.generation.decoding import ROWS_A_STEP, Decoder, Prompt, Reading
from service.generation.names import Names, Pieces
from service.generation.options import GenerationOptions, SpecialTokens
from service.generation.search import log_softmax, new_search
from service.generation.seq2seq import Seq2SeqGraphs
from service.job import Job, Pass, Row, Running
from tests.service import toys

SPECIAL = SpecialTokens(start=toys.CLS, ends=frozenset([toys.SEP]))
PIECES = Pieces(lambda ids: str(toys.word_piece().decode(ids)), len(toys.VOCABULARY))
TEXT = "7 of 12"
COPY = 3.0
NOISE = np.random.default_rng(7).integers(-4, 5, (7, len(toys.VOCABULARY))).astype(np.float32)


FORMS: dict[str, Callable[..., Path]] = {
    "static caches": toys.summarizer,
    "growing caches": partial(toys.summarizer, static=False),
    "Optimum's graphs": toys.optimum_summarizer,
    "Optimum's graphs in float16": partial(toys.optimum_summarizer, half=True),
}


@pytest.fixture(scope="module", params=list(FORMS))
def graphs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seq2SeqGraphs:
    folder = tmp_path_factory.mktemp("model") / "noisy"
    FORMS[request.param](folder, copy=COPY, noise=NOISE)
    return Seq2SeqGraphs(Artifact(folder), batch_tokens=256, wide_threads=1)


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Seq2SeqGraphs:
    folder = toys.summarizer(tmp_path_factory.mktemp("model") / "noisy", copy=COPY, noise=NOISE)
    return Seq2SeqGraphs(Artifact(folder), batch_tokens=256, wide_threads=1)


def prompt(source: list[int], **chosen: Any) -> Prompt:
    ids = array("q", [toys.CLS, *source, toys.SEP])
    defaults = {
        "max_new_tokens": 8, "min_new_tokens": 0, "num_beams": 1, "length_penalty": 1.0, "no_repeat_ngram_size": 0,
    }  # fmt: skip
    return Prompt(Encoding(ids, array("q", [0] * len(ids))), GenerationOptions(**(defaults | chosen)), source=TEXT)


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
            names_from_source=index % 2 == 0,
        )
        for index, size in enumerate([1, 9, 4, 17, 2, 30, 5, 12, 6, 8, 3, 21])
    ]


def expected(wanted: Prompt) -> list[int]:
    """What the toy's formula makes the search write, without any graph, cache or batch."""
    names = Names(PIECES, wanted.source) if wanted.options.names_from_source else None
    search = new_search(wanted.options, SPECIAL, names)
    source = wanted.encoding.ids
    while not search.finished:
        logits = np.array([NOISE[sum(beam) % len(NOISE)] for beam in search.beams])
        place = len(search.beams[0])
        if place < len(source):
            logits[:, source[place]] += COPY
        search.advance(logits if wanted.options.num_beams == 1 else log_softmax(logits))
    return search.written


def job_of(wanted: list[Prompt]) -> Job:
    return Job([(each, len(each.encoding)) for each in wanted])


def run(decoder: Decoder, rows: list[Row]) -> tuple[dict[int, Any], list[Pass]]:
    passes = list(decoder.run(rows, alone=True))
    finished = [(id(row), result) for done in passes for row, result in done.finished]
    assert len(finished) == len(dict(finished)), "a row was finished twice"
    return dict(finished), passes


def test_a_text_alone_is_what_the_formula_says(graphs: Seq2SeqGraphs) -> None:
    decoder = Decoder(graphs, SPECIAL, PIECES)
    for wanted in prompts():
        rows = job_of([wanted]).rows
        assert run(decoder, rows)[0][id(rows[0])] == expected(wanted)


def test_logits_are_float32_whatever_the_graphs_have(graphs: Seq2SeqGraphs) -> None:
    sources = graphs.encoder.run([prompts()[0].encoding], alone=True)
    logits = graphs.steps(sources, 1).run([toys.CLS], [0])
    assert logits.dtype == np.dtype(np.float32)
    assert logits.shape == (1, graphs.vocabulary)


def test_the_rule_for_names_makes_a_difference() -> None:
    free = [replace(each, options=replace(each.options, names_from_source=False)) for each in prompts()]
    assert sum(expected(each) != expected(other) for each, other in zip(free, prompts(), strict=True)) > 2


def test_a_warm_up_makes_the_table_of_pieces(static: Seq2SeqGraphs) -> None:
    pieces = Pieces(lambda ids: str(toys.word_piece().decode(ids)), len(toys.VOCABULARY))
    first = Decoder(static, SPECIAL, pieces).warm_up()[0][0]
    assert "texts" not in vars(pieces)
    first()
    assert {"texts", "tails", "plain", "ids"} <= vars(pieces).keys()
    assert len(Decoder(static, SPECIAL).warm_up()[0]) == len(Decoder(static, SPECIAL, pieces).warm_up()[0]) - 1


def test_texts_written_together_are_the_texts_written_alone(graphs: Seq2SeqGraphs) -> None:
    wanted = prompts()
    rows = job_of(wanted).rows
    results, _ = run(Decoder(graphs, SPECIAL, PIECES), rows)
    assert [results[id(row)] for row in rows] == [expected(each) for each in wanted]


@settings(deadline=None, max_examples=60)
@given(order=st.permutations(range(12)), passes=st.lists(st.integers(0, 4), min_size=12, max_size=12))
def test_texts_that_join_midway_are_the_texts_written_alone(
    graphs: Seq2SeqGraphs, order: list[int], passes: list[int]
) -> None:
    """Each text has its encoder pass alone and joins after some passes of those that are there already."""
    decoder, wanted = Decoder(graphs, SPECIAL, PIECES), prompts()
    rows = [job_of([wanted[index]]).rows[0] for index in order]
    finished: list[tuple[Row, Any]] = []
    host = decoder.run(rows[:1], alone=False)
    finished += next(host).finished
    for row, count in zip(rows[1:], passes[1:], strict=True):
        for _ in range(count):
            finished += next(host, Pass([], 0, 0, 0)).finished
        guest = decoder.run([row], alone=False)
        finished += next(guest).finished
        assert isinstance(host, Running)
        assert isinstance(guest, Running)
        host.absorb(guest)
        assert list(guest) == []
    finished += [each for done in host for each in done.finished]
    assert len(finished) == len(rows)
    results = {id(row): result for row, result in finished}
    assert [results[id(row)] for row in rows] == [expected(wanted[index]) for index in order]


def test_texts_at_different_places_share_a_pass(static: Seq2SeqGraphs) -> None:
    decoder = Decoder(static, SPECIAL, PIECES)
    first, second = (job_of([prompt([10] * 8, max_new_tokens=6, min_new_tokens=6)]).rows for _ in range(2))
    host, guest = decoder.run(first, alone=False), decoder.run(second, alone=False)
    for _ in range(4):
        next(host)  # the encoder and three steps
    next(guest)
    assert isinstance(host, Running)
    assert isinstance(guest, Running)
    assert host.strain(guest) < math.inf
    host.absorb(guest)
    assert [done.rows for done in host] == [2, 2, 2, 1, 1, 1]


def test_the_size_of_a_batch_is_its_decoder_rows(static: Seq2SeqGraphs) -> None:
    decoder = Decoder(static, SPECIAL, PIECES)
    many = decoder.run(job_of([prompt([10, 11], num_beams=4)] * 4).rows, alone=False)
    one = decoder.run(job_of([prompt([10, 11])]).rows, alone=False)
    next(many)
    next(one)
    assert isinstance(many, Running)
    assert isinstance(one, Running)
    assert (many.size, one.size) == (ROWS_A_STEP, 2)


def test_a_longer_source_strains_more_and_so_do_more_rows(static: Seq2SeqGraphs) -> None:
    decoder = Decoder(static, SPECIAL, PIECES)

    def begun(size: int, count: int) -> Running:
        running = decoder.run(job_of([prompt([10] * size)] * count).rows, alone=False)
        next(running)
        assert isinstance(running, Running)
        return running

    guest = begun(5, 1)
    assert begun(5, 2).strain(guest) < begun(50, 2).strain(guest)
    assert begun(5, 2).strain(guest) < begun(5, 3).strain(guest)


def test_the_encoder_runs_once(graphs: Seq2SeqGraphs) -> None:
    rows = job_of([prompt([10] * 8, max_new_tokens=3, min_new_tokens=3) for _ in range(5)]).rows
    _, passes = run(Decoder(graphs, SPECIAL, PIECES), rows)
    assert [(done.rows, done.padded_tokens) for done in passes] == [(5, 50), (5, 5), (5, 5), (5, 5)]
    assert [len(done.finished) for done in passes] == [0, 0, 0, 5]


def test_a_text_that_is_only_read_gives_its_hidden_states(static: Seq2SeqGraphs) -> None:
    read = Reading(prompt([10, 11, 12]).encoding)
    rows = Job([(read, 5), (prompts()[1], len(prompts()[1].encoding))]).rows
    results, passes = run(Decoder(static, SPECIAL, PIECES), rows)
    assert results[id(rows[0])].argmax(axis=-1).tolist() == [toys.CLS, 10, 11, 12, toys.SEP]
    assert results[id(rows[1])] == expected(prompts()[1])
    assert [row for row, _ in passes[0].finished] == rows[:1]


def test_a_row_leaves_when_its_text_is_done(graphs: Seq2SeqGraphs) -> None:
    lengths = [2, 6, 4]
    rows = job_of([prompt([10, 11], max_new_tokens=size, min_new_tokens=size) for size in lengths]).rows
    results, passes = run(Decoder(graphs, SPECIAL, PIECES), rows)
    assert [len(results[id(row)]) for row in rows] == lengths
    assert [done.rows for done in passes] == [3, 3, 3, 2, 2, 1, 1]


def test_a_row_that_nobody_waits_for_leaves_at_the_next_step(graphs: Seq2SeqGraphs) -> None:
    left, stays = job_of([prompt([10], max_new_tokens=30, min_new_tokens=30)]), job_of([prompts()[8]])
    passes = Decoder(graphs, SPECIAL, PIECES).run([*left.rows, *stays.rows], alone=True)
    finished: list[Row] = []
    for _ in range(3):
        finished += [row for row, _ in next(passes).finished]
    assert not finished
    left.cancel()
    gone = next(passes)
    assert gone.finished == [(left.rows[0], None)]
    assert gone.saved == 28
    rest = [(row, result) for done in passes for row, result in done.finished]
    assert rest == [(stays.rows[0], expected(prompts()[8]))]


def test_beams_are_rows_of_a_pass(graphs: Seq2SeqGraphs) -> None:
    rows = job_of([prompt([10, 11, 12], num_beams=4, max_new_tokens=3, min_new_tokens=3)]).rows
    _, passes = run(Decoder(graphs, SPECIAL, PIECES), rows)
    assert [done.rows for done in passes] == [1, 4, 4, 4]


@pytest.mark.parametrize("num_beams", [1, 3])
def test_what_a_watched_row_shows_is_never_taken_back(graphs: Seq2SeqGraphs, num_beams: int) -> None:
    wanted = prompt([10, 11, 12, 30, 31, 8, 9], num_beams=num_beams, max_new_tokens=8)
    watched, other = job_of([wanted]).rows[0], job_of([wanted]).rows[0]
    watched.watched = True
    shown: list[list[int]] = []
    for done in Decoder(graphs, SPECIAL, PIECES).run([watched, other], alone=True):
        assert all(row is watched for row, _ in done.written)
        shown += [tokens for _, tokens in done.written]
    whole = expected(wanted)
    assert len(shown) >= len(whole) - 1
    assert all(tokens == whole[: len(tokens)] for tokens in shown)
    assert [len(tokens) for tokens in shown] == sorted(len(tokens) for tokens in shown)
    assert shown[-1]
