"""Seq2SeqModel and Seq2SeqGraphs on real graphs, against the same search fed by the toy's formula."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact import Artifact
from service.scheduling.job import Pass, Row, RunningPasses
from service.seq2seq.graphs import Seq2SeqGraphs
from service.seq2seq.model import ROWS_A_STEP, EncodeInput, GenerateInput, RunningBatch, Seq2SeqModel
from service.seq2seq.options import GenerationOptions, SpecialTokens
from service.seq2seq.search import log_softmax, new_search
from service.seq2seq.source_names import SourceNameConstraint, TokenTexts
from service.text.tokenizer import Encoding
from tests.service import doubles
from tests.service.scheduling.doubles import SubmittedJob

SPECIAL = SpecialTokens(start=doubles.CLS, ends=frozenset([doubles.SEP]))
TOKEN_TEXTS = TokenTexts(lambda ids: str(doubles.word_piece().decode(ids)), len(doubles.VOCABULARY))
TEXT = "7 of 12"
COPY = 3.0
NOISE = np.random.default_rng(7).integers(-4, 5, (7, len(doubles.VOCABULARY))).astype(np.float32)


FORMS: dict[str, Callable[..., Path]] = {
    "static caches": doubles.summarizer,
    "growing caches": partial(doubles.summarizer, static=False),
    "Optimum's graphs": doubles.optimum_summarizer,
    "Optimum's graphs in float16": partial(doubles.optimum_summarizer, half=True),
}


@pytest.fixture(scope="module", params=list(FORMS))
def graphs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seq2SeqGraphs:
    folder = tmp_path_factory.mktemp("model") / "noisy"
    FORMS[request.param](folder, copy=COPY, noise=NOISE)
    return Seq2SeqGraphs(Artifact(folder), batch_tokens=256, intra_op_threads=1)


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Seq2SeqGraphs:
    folder = doubles.summarizer(tmp_path_factory.mktemp("model") / "noisy", copy=COPY, noise=NOISE)
    return Seq2SeqGraphs(Artifact(folder), batch_tokens=256, intra_op_threads=1)


def generate_input(source: list[int], **chosen: Any) -> GenerateInput:
    ids = array("q", [doubles.CLS, *source, doubles.SEP])
    defaults = {
        "max_new_tokens": 8, "min_new_tokens": 0, "num_beams": 1, "length_penalty": 1.0, "no_repeat_ngram_size": 0,
    }  # fmt: skip
    return GenerateInput(
        Encoding(ids, array("q", [0] * len(ids))), GenerationOptions(**(defaults | chosen)), source=TEXT
    )


def inputs_of_all_kinds() -> list[GenerateInput]:
    """Of all lengths, widths and limits."""
    chance = np.random.default_rng(3)
    return [
        generate_input(
            chance.integers(4, 60, size).tolist(),
            num_beams=1 + index % 4,
            max_new_tokens=3 + index % 7,
            min_new_tokens=index % 3,
            no_repeat_ngram_size=index % 3,
            names_from_source=index % 2 == 0,
        )
        for index, size in enumerate([1, 9, 4, 17, 2, 30, 5, 12, 6, 8, 3, 21])
    ]


def expected(wanted: GenerateInput) -> list[int]:
    """What the toy's formula makes the search write, without any graph, cache or batch."""
    names = SourceNameConstraint(TOKEN_TEXTS, wanted.source) if wanted.options.names_from_source else None
    search = new_search(wanted.options, SPECIAL, names)
    source = wanted.encoding.ids
    while not search.finished:
        logits = np.array([NOISE[sum(beam) % len(NOISE)] for beam in search.beams])
        place = len(search.beams[0])
        if place < len(source):
            logits[:, source[place]] += COPY
        search.advance(logits if wanted.options.num_beams == 1 else log_softmax(logits))
    return search.output_ids


def job_of(wanted: list[GenerateInput]) -> SubmittedJob:
    return SubmittedJob([(each, len(each.encoding)) for each in wanted])


def run(model: Seq2SeqModel, rows: list[Row]) -> tuple[dict[int, Any], list[Pass]]:
    passes = list(model.run(rows, exclusive=True))
    finished = [(id(row), result) for done in passes for row, result in done.finished]
    assert len(finished) == len(dict(finished)), "a row was finished twice"
    return dict(finished), passes


def test_a_text_alone_is_what_the_formula_says(graphs: Seq2SeqGraphs) -> None:
    model = Seq2SeqModel(graphs, SPECIAL, TOKEN_TEXTS)
    for wanted in inputs_of_all_kinds():
        rows = job_of([wanted]).rows
        assert run(model, rows)[0][id(rows[0])] == expected(wanted)


def test_logits_are_float32_whatever_the_graphs_have(graphs: Seq2SeqGraphs) -> None:
    encoded = graphs.encoder.run([inputs_of_all_kinds()[0].encoding], exclusive=True)
    logits = graphs.steps(encoded, 1).run([doubles.CLS], [0])
    assert logits.dtype == np.dtype(np.float32)
    assert logits.shape == (1, graphs.vocabulary)


@pytest.mark.parametrize(("source_tokens", "width"), [(3, 8), (8, 8), (9, 16)])
def test_sources_are_padded_to_a_multiple_that_leaves_their_bits_alone(
    graphs: Seq2SeqGraphs, source_tokens: int, width: int
) -> None:
    encoding = generate_input([10] * (source_tokens - 2)).encoding
    assert graphs.encoder.run([encoding], exclusive=True).cross.length == width


def test_the_rule_for_names_makes_a_difference() -> None:
    free = [replace(each, options=replace(each.options, names_from_source=False)) for each in inputs_of_all_kinds()]
    assert sum(expected(each) != expected(other) for each, other in zip(free, inputs_of_all_kinds(), strict=True)) > 2


def test_a_warm_up_makes_the_tables_of_token_texts(static: Seq2SeqGraphs) -> None:
    token_texts = TokenTexts(lambda ids: str(doubles.word_piece().decode(ids)), len(doubles.VOCABULARY))
    first = Seq2SeqModel(static, SPECIAL, token_texts).warm_up()[0][0]
    assert "texts" not in vars(token_texts)
    first()
    assert {"texts", "tails", "plain", "ids"} <= vars(token_texts).keys()
    assert (
        len(Seq2SeqModel(static, SPECIAL).warm_up()[0])
        == len(Seq2SeqModel(static, SPECIAL, token_texts).warm_up()[0]) - 1
    )


def test_texts_written_together_are_the_texts_written_alone(graphs: Seq2SeqGraphs) -> None:
    wanted = inputs_of_all_kinds()
    rows = job_of(wanted).rows
    results, _ = run(Seq2SeqModel(graphs, SPECIAL, TOKEN_TEXTS), rows)
    assert [results[id(row)] for row in rows] == [expected(each) for each in wanted]


@settings(deadline=None, max_examples=60)
@given(order=st.permutations(range(12)), passes=st.lists(st.integers(0, 4), min_size=12, max_size=12))
def test_texts_that_join_midway_are_the_texts_written_alone(
    graphs: Seq2SeqGraphs, order: list[int], passes: list[int]
) -> None:
    """Each text has its encoder pass alone and joins after some passes of those that are there already."""
    model, wanted = Seq2SeqModel(graphs, SPECIAL, TOKEN_TEXTS), inputs_of_all_kinds()
    rows = [job_of([wanted[index]]).rows[0] for index in order]
    finished: list[tuple[Row, Any]] = []
    host = model.run(rows[:1], exclusive=False)
    finished += next(host).finished
    for row, count in zip(rows[1:], passes[1:], strict=True):
        for _ in range(count):
            finished += next(host, Pass([], 0, 0, 0)).finished
        joining = model.run([row], exclusive=False)
        finished += next(joining).finished
        assert isinstance(host, RunningPasses)
        assert isinstance(joining, RunningPasses)
        host.merge(joining)
        assert list(joining) == []
    finished += [each for done in host for each in done.finished]
    assert len(finished) == len(rows)
    results = {id(row): result for row, result in finished}
    assert [results[id(row)] for row in rows] == [expected(wanted[index]) for index in order]


def test_texts_at_different_places_share_a_pass(static: Seq2SeqGraphs) -> None:
    model = Seq2SeqModel(static, SPECIAL, TOKEN_TEXTS)
    first, second = (job_of([generate_input([10] * 8, max_new_tokens=6, min_new_tokens=6)]).rows for _ in range(2))
    host, joining = model.run(first, exclusive=False), model.run(second, exclusive=False)
    for _ in range(4):
        next(host)  # the encoder and three steps
    next(joining)
    assert isinstance(host, RunningPasses)
    assert isinstance(joining, RunningPasses)
    assert host.join_cost(joining) < math.inf
    host.merge(joining)
    assert [done.rows for done in host] == [2, 2, 2, 1, 1, 1]


def test_the_size_of_a_batch_is_its_decoder_rows(static: Seq2SeqGraphs) -> None:
    model = Seq2SeqModel(static, SPECIAL, TOKEN_TEXTS)
    many = model.run(job_of([generate_input([10, 11], num_beams=4)] * 4).rows, exclusive=False)
    one = model.run(job_of([generate_input([10, 11])]).rows, exclusive=False)
    next(many)
    next(one)
    assert isinstance(many, RunningPasses)
    assert isinstance(one, RunningPasses)
    assert (many.size, one.size) == (ROWS_A_STEP, 2)


def test_joining_a_longer_source_or_more_rows_costs_more(static: Seq2SeqGraphs) -> None:
    model = Seq2SeqModel(static, SPECIAL, TOKEN_TEXTS)

    def begun(size: int, count: int) -> RunningPasses:
        running = model.run(job_of([generate_input([10] * size)] * count).rows, exclusive=False)
        next(running)
        assert isinstance(running, RunningPasses)
        return running

    joining = begun(5, 1)
    assert begun(5, 2).join_cost(joining) < begun(50, 2).join_cost(joining)
    assert begun(5, 2).join_cost(joining) < begun(5, 3).join_cost(joining)


def test_the_encoder_runs_once(graphs: Seq2SeqGraphs) -> None:
    rows = job_of([generate_input([10] * 8, max_new_tokens=3, min_new_tokens=3) for _ in range(5)]).rows
    _, passes = run(Seq2SeqModel(graphs, SPECIAL, TOKEN_TEXTS), rows)
    assert [(done.rows, done.padded_tokens) for done in passes] == [(5, 50), (5, 5), (5, 5), (5, 5)]
    assert [len(done.finished) for done in passes] == [0, 0, 0, 5]


def test_a_text_that_is_only_read_gives_its_hidden_states(static: Seq2SeqGraphs) -> None:
    read = EncodeInput(generate_input([10, 11, 12]).encoding)
    rows = SubmittedJob([(read, 5), (inputs_of_all_kinds()[1], len(inputs_of_all_kinds()[1].encoding))]).rows
    results, passes = run(Seq2SeqModel(static, SPECIAL, TOKEN_TEXTS), rows)
    assert results[id(rows[0])].argmax(axis=-1).tolist() == [doubles.CLS, 10, 11, 12, doubles.SEP]
    assert results[id(rows[1])] == expected(inputs_of_all_kinds()[1])
    assert [row for row, _ in passes[0].finished] == rows[:1]


def test_a_row_leaves_when_its_text_is_done(graphs: Seq2SeqGraphs) -> None:
    lengths = [2, 6, 4]
    rows = job_of([generate_input([10, 11], max_new_tokens=size, min_new_tokens=size) for size in lengths]).rows
    results, passes = run(Seq2SeqModel(graphs, SPECIAL, TOKEN_TEXTS), rows)
    assert [len(results[id(row)]) for row in rows] == lengths
    assert [done.rows for done in passes] == [3, 3, 3, 2, 2, 1, 1]


def test_a_cancelled_row_leaves_at_the_next_step(graphs: Seq2SeqGraphs) -> None:
    left, stays = (
        job_of([generate_input([10], max_new_tokens=30, min_new_tokens=30)]),
        job_of([inputs_of_all_kinds()[8]]),
    )
    passes = Seq2SeqModel(graphs, SPECIAL, TOKEN_TEXTS).run([*left.rows, *stays.rows], exclusive=True)
    finished: list[Row] = []
    for _ in range(3):
        finished += [row for row, _ in next(passes).finished]
    assert not finished
    left.cancel()
    gone = next(passes)
    assert gone.finished == [(left.rows[0], None)]
    assert gone.saved == 28
    rest = [(row, result) for done in passes for row, result in done.finished]
    assert rest == [(stays.rows[0], expected(inputs_of_all_kinds()[8]))]


def test_beams_are_rows_of_a_pass(graphs: Seq2SeqGraphs) -> None:
    rows = job_of([generate_input([10, 11, 12], num_beams=4, max_new_tokens=3, min_new_tokens=3)]).rows
    _, passes = run(Seq2SeqModel(graphs, SPECIAL, TOKEN_TEXTS), rows)
    assert [done.rows for done in passes] == [1, 4, 4, 4]


@pytest.mark.parametrize("num_beams", [1, 3])
def test_the_partial_outputs_of_a_streaming_row_are_final(graphs: Seq2SeqGraphs, num_beams: int) -> None:
    wanted = generate_input([10, 11, 12, 30, 31, 8, 9], num_beams=num_beams, max_new_tokens=8)
    streaming, other = job_of([wanted]).rows[0], job_of([wanted]).rows[0]
    streaming.streaming = True
    shown: list[list[int]] = []
    for done in Seq2SeqModel(graphs, SPECIAL, TOKEN_TEXTS).run([streaming, other], exclusive=True):
        assert all(row is streaming for row, _ in done.partial_outputs)
        shown += [tokens for _, tokens in done.partial_outputs]
    whole = expected(wanted)
    assert len(shown) >= len(whole) - 1
    assert all(tokens == whole[: len(tokens)] for tokens in shown)
    assert [len(tokens) for tokens in shown] == sorted(len(tokens) for tokens in shown)
    assert shown[-1]


def test_the_seconds_of_a_text_are_learnt_from_texts_that_end(static: Seq2SeqGraphs) -> None:
    class Recording(Seq2SeqModel):
        recorded: ClassVar[list[tuple[int, float]]] = []

        def record_text_seconds(self, texts: int, seconds: float) -> None:
            self.recorded.append((texts, seconds))

    lengths = [2, 6, 4, 4]
    rows = job_of([generate_input([10, 11], max_new_tokens=size, min_new_tokens=size) for size in lengths]).rows
    running = RunningBatch(Recording(static, SPECIAL), rows, exclusive=False)
    assert len(list(running)) == 7
    assert running._steps_s == 0, "no step is counted twice"
    assert [texts for texts, _ in Recording.recorded] == [1, 2, 1]
    assert all(seconds > 0 for _, seconds in Recording.recorded)


def test_the_remaining_seconds_of_a_row_follow_those_of_recent_texts(static: Seq2SeqGraphs) -> None:
    model, text = Seq2SeqModel(static, SPECIAL), generate_input([10])
    before_s = model.remaining_s(text)
    model.record_text_seconds(1, 2 * before_s)
    assert before_s < model.remaining_s(text) < 2 * before_s
    for _ in range(200):
        model.record_text_seconds(4, 0.4)
    assert model.remaining_s(text) == pytest.approx(0.1)
    assert model.remaining_s(EncodeInput(text.encoding)) == 0
