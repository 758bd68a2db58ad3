from __future__ import annotations

import threading
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact import Artifact
from service.config import ARTIFACTS
from service.errors import ArtifactError
from service.runtime.encoder import TOKENS, EncoderModel, OutputAxes, output_arrays
from service.scheduling.cost_model import CostModel
from service.text.tokenizer import Encoding, Tokenizer
from tests.service import doubles
from tests.service.scheduling.doubles import SubmittedJob

ROWS = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=20), min_size=1, max_size=8)
SHAPE = (2, 16)
LEARNT = 128
SINGLE_S, MULTI_S, TOO_MUCH_S = 60e-3, 30e-3, 90e-3
"""Seconds of a pass in the cost models. A real pass takes far less, so what is known of the session that ran falls."""


def encoding(ids: list[int]) -> Encoding:
    return Encoding(array("q", ids), array("q", [0] * len(ids)))


def run(model: EncoderModel, encodings: list[Encoding], *, exclusive: bool = False) -> list[dict[str, Any]]:
    """Each row's outputs, in order."""
    rows = SubmittedJob([(each, len(each)) for each in encodings]).rows
    (done,) = model.run(rows, exclusive=exclusive)
    assert [row for row, _ in done.finished] == rows
    return [output_arrays(output) for _, output in done.finished]


LOGITS: OutputAxes = {"logits": ("labels",)}
SPANS: OutputAxes = {"start_logits": (TOKENS,), "end_logits": (TOKENS,)}


def made(folder: Path, *, intra_op_threads: int = 1, outputs: OutputAxes = LOGITS) -> EncoderModel:
    return EncoderModel(Artifact(folder), outputs=outputs, batch_tokens=256, intra_op_threads=intra_op_threads)


@pytest.fixture(scope="module")
def classifier(zoo: Path) -> EncoderModel:
    return made(zoo / "moods")


@pytest.fixture(scope="module")
def reader(zoo: Path) -> EncoderModel:
    return made(zoo / "reader", outputs=SPANS)


# --- Passes ----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_a_batch_gives_each_row_what_it_gets_alone(
    classifier: EncoderModel, reader: EncoderModel, rows: list[list[int]]
) -> None:
    encodings = [encoding(row) for row in rows]
    for model in (classifier, reader):
        for together, each in zip(run(model, encodings), encodings, strict=True):
            (single,) = run(model, [each])
            assert together.keys() == single.keys()
            for name, values in single.items():
                assert np.array_equal(together[name], values)


def test_a_pass_says_its_size(classifier: EncoderModel) -> None:
    rows = SubmittedJob([(encoding([5] * size), size) for size in (3, 10, 1)]).rows
    (done,) = classifier.run(rows, exclusive=False)
    assert (done.rows, done.tokens, done.padded_tokens) == (3, 14, 30)


def test_logits_are_the_graphs(classifier: EncoderModel) -> None:
    (outputs,) = run(classifier, [encoding([doubles.CLS, doubles.IDS["good"], doubles.IDS["the"], doubles.SEP])])
    assert outputs["logits"].tolist() == [-2.0, 2.0]


def test_logits_of_tokens_end_where_the_row_does(reader: EncoderModel) -> None:
    short, long = run(reader, [encoding([5, 6]), encoding([5] * 9)])
    assert {name: len(values) for name, values in short.items()} == {"start_logits": 2, "end_logits": 2}
    assert len(long["start_logits"]) == 9


def test_a_row_has_the_outputs_that_were_named_and_no_others(zoo: Path) -> None:
    model = made(zoo / "reader", outputs={"end_logits": (TOKENS,)})
    (outputs,) = run(model, [encoding([5, 6])])
    assert list(outputs) == ["end_logits"]


def test_of_several_choices_the_first_that_the_graph_gives_is_taken(zoo: Path) -> None:
    choices: list[OutputAxes] = [LOGITS, {"end_logits": (TOKENS,)}, SPANS]
    model = EncoderModel(Artifact(zoo / "reader"), outputs=choices, batch_tokens=256, intra_op_threads=1)
    (outputs,) = run(model, [encoding([5, 6])])
    assert list(outputs) == model.outputs == ["end_logits"]
    with pytest.raises(ArtifactError, match="but not logits"):
        EncoderModel(Artifact(zoo / "reader"), outputs=[LOGITS, LOGITS], batch_tokens=256, intra_op_threads=1)


def test_named_axes_have_the_graphs_sizes(classifier: EncoderModel, reader: EncoderModel) -> None:
    assert classifier.sizes == {"labels": 2}
    assert reader.sizes == {}


@pytest.mark.parametrize(
    ("outputs", "complaint"),
    [
        ({"states": ("hidden",)}, "but not states"),
        ({"logits": (3,)}, r"logits has the shape \[2, 2\] after a first pass, instead of \[2, 3\]"),
        ({"logits": (TOKENS, "labels")}, r"instead of \[2, 6, labels\]"),
    ],
)
def test_a_graph_without_the_outputs_that_a_task_needs_is_refused(
    zoo: Path, outputs: OutputAxes, complaint: str
) -> None:
    with pytest.raises(ArtifactError, match=complaint):
        made(zoo / "moods", outputs=outputs)


def test_a_model_runs_from_several_threads_at_once(classifier: EncoderModel) -> None:
    good, bad = encoding([doubles.IDS["good"]]), encoding([doubles.IDS["bad"]])
    wrong: list[Any] = []

    def ask(each: Encoding, logits: list[float]) -> None:
        for _ in range(100):
            (outputs,) = run(classifier, [each])
            if outputs["logits"].tolist() != logits:
                wrong.append(outputs)

    threads = [threading.Thread(target=ask, args=pair) for pair in [(good, [-8, 8]), (bad, [8, -8])] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- One thread and many ---------------------------------------------------------------------------------------------


def with_costs(
    folder: Path, *, single_s: float, multi_s: float, intra_op_threads: int = 2, outputs: OutputAxes = LOGITS
) -> EncoderModel:
    """A model with both sessions loaded, whose cost models know these seconds."""
    model = made(folder, intra_op_threads=intra_op_threads, outputs=outputs)
    for load in model.warm_up()[1][:1]:
        load()
    for cost, seconds in ((model.cost, single_s), (model._encoder._multi_thread_cost, multi_s)):
        for rows, tokens in cost.shapes():
            cost.measured(rows, tokens, seconds)
    return model


def graphs_used(model: EncoderModel, *, exclusive: bool) -> set[str]:
    """Whose cost the passes of SHAPE taught something."""
    before = model.cost.seconds(*SHAPE), model._encoder._multi_thread_cost.seconds(*SHAPE)
    for _ in range(LEARNT):
        run(model, [encoding([5] * SHAPE[1])] * SHAPE[0], exclusive=exclusive)
    after = model.cost.seconds(*SHAPE), model._encoder._multi_thread_cost.seconds(*SHAPE)
    return {name for name, old, new in zip(("single", "multi"), before, after, strict=True) if new != old}


@pytest.mark.parametrize(
    ("exclusive", "multi_s", "used"),
    [(True, MULTI_S, "multi"), (True, TOO_MUCH_S, "single"), (False, MULTI_S, "single")],
    ids=["exclusive and cheaper", "exclusive but dearer", "not exclusive"],
)
def test_a_pass_takes_all_cores_only_if_exclusive_and_where_that_is_cheaper(
    zoo: Path, exclusive: bool, multi_s: float, used: str
) -> None:
    model = with_costs(zoo / "moods", single_s=SINGLE_S, multi_s=multi_s)
    assert graphs_used(model, exclusive=exclusive) == {used}


def test_one_thread_makes_no_multi_thread_session(zoo: Path) -> None:
    model = with_costs(zoo / "moods", single_s=SINGLE_S, multi_s=MULTI_S, intra_op_threads=1)
    assert graphs_used(model, exclusive=True) == {"single"}
    assert model.warm_up()[1] == []


def test_before_the_warm_up_no_pass_takes_all_cores(zoo: Path) -> None:
    model = made(zoo / "moods", intra_op_threads=2)
    for rows, tokens in model.cost.shapes():
        model.cost.measured(rows, tokens, SINGLE_S)
    assert model._encoder._multi_thread_cost.seconds(*SHAPE) < model.cost.seconds(*SHAPE)
    assert graphs_used(model, exclusive=True) == {"single"}


@pytest.mark.parametrize(("name", "outputs"), [("qa", SPANS), ("sentiment", LOGITS)])
def test_both_sessions_give_the_same_bits(name: str, outputs: OutputAxes) -> None:
    """Of the default models: the toys' whole numbers would hide another order of sums."""
    folder = ARTIFACTS / name
    single = made(folder, outputs=outputs)
    multi = with_costs(folder, single_s=SINGLE_S, multi_s=MULTI_S, outputs=outputs)
    tokenizer = Tokenizer(folder)
    encodings = [tokenizer.encode("A charming film, and often a moving one. " * 9, size) for size in (7, 40, 64, 64)]
    assert multi._encoder._multi_thread_cost.seconds(4, 64) < multi.cost.seconds(4, 64), "or one core would be taken"
    for mine, other in zip(run(single, encodings), run(multi, encodings, exclusive=True), strict=True):
        assert mine.keys() == other.keys()
        for output, values in mine.items():
            assert np.array_equal(values, other[output])


def test_a_warm_up_fills_the_surfaces(zoo: Path) -> None:
    model = made(zoo / "moods", intra_op_threads=2)
    single, multi = model.warm_up()
    shapes = list(model.cost.shapes())
    assert (len(single), len(multi)) == (len(shapes), len(shapes) + 1), "the first loads the graph"
    nothing = CostModel(max_tokens=128, batch_tokens=256)
    for surface, warm_ups in ((model.cost, single), (model._encoder._multi_thread_cost, multi)):
        for warm_up in warm_ups:
            warm_up()
        for shape in shapes:
            assert 0 < surface.seconds(*shape) != nothing.seconds(*shape), shape


@pytest.mark.parametrize(
    "kind",
    [
        onnx.TensorProto.INT64,
        onnx.TensorProto.INT32,
    ],
)
def test_a_graph_gets_the_whole_numbers_that_it_declares(tmp_path: Path, kind: int) -> None:
    folder = doubles.reader(tmp_path)
    graph = onnx.load(folder / "model.onnx")
    graph.graph.input[0].type.tensor_type.elem_type = kind
    onnx.save(graph, folder / "model.onnx")
    (outputs,) = run(made(folder, outputs=SPANS), [encoding([doubles.IDS["paris"], doubles.IDS["the"]])])
    assert outputs["start_logits"].tolist() == [5, -10]
