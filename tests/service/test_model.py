from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifact import Artifact
from service.encoding import Encoding
from service.errors import ArtifactError
from service.job import Job
from service.model import EncoderModel, Graph, pad, padded_pass, take_rows, tensor
from tests.service import toys

ROWS = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=20), min_size=1, max_size=8)


def encoding(ids: list[int], type_ids: list[int] | None = None) -> Encoding:
    return Encoding(np.array(ids), np.array(type_ids or [0] * len(ids)))


def run(model: EncoderModel, encodings: list[Encoding]) -> list[dict[str, Any]]:
    """Each row's outputs, in order."""
    rows = Job([(each, len(each)) for each in encodings]).rows
    (done,) = model.run(rows)
    assert [row for row, _ in done.finished] == rows
    return [result for _, result in done.finished]


@pytest.fixture(scope="module")
def classifier(zoo: Path) -> EncoderModel:
    return EncoderModel(Artifact(zoo / "moods"))


@pytest.fixture(scope="module")
def reader(zoo: Path) -> EncoderModel:
    return EncoderModel(Artifact(zoo / "reader"))


def test_padding_is_on_the_right_and_masked() -> None:
    inputs = pad([encoding([5, 6, 7], [0, 1, 1]), encoding([8])], pad_id=1)
    assert inputs["input_ids"].tolist() == [[5, 6, 7], [8, 1, 1]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert inputs["token_type_ids"].tolist() == [[0, 1, 1], [0, 0, 0]]
    assert {array.dtype for array in inputs.values()} == {np.dtype(np.int64)}


def test_the_size_of_a_padded_pass() -> None:
    done = padded_pass([encoding([1] * 3), encoding([1] * 10), encoding([1])])
    assert (done.finished, done.rows, done.tokens, done.padded_tokens) == ([], 3, 14, 30)


def test_rows_are_taken_in_the_order_asked() -> None:
    assert take_rows(tensor(np.array([[1], [2], [3]])), np.array([2, 0, 0])).numpy().tolist() == [[3], [1], [1]]


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_a_batch_gives_each_row_what_it_gets_alone(
    classifier: EncoderModel, reader: EncoderModel, rows: list[list[int]]
) -> None:
    encodings = [encoding(row) for row in rows]
    for model in (classifier, reader):
        for together, each in zip(run(model, encodings), encodings, strict=True):
            (alone,) = run(model, [each])
            assert together.keys() == alone.keys()
            for name, array in alone.items():
                assert np.array_equal(together[name], array)


def test_logits_are_the_graphs(classifier: EncoderModel) -> None:
    (outputs,) = run(classifier, [encoding([toys.CLS, toys.IDS["good"], toys.IDS["the"], toys.SEP])])
    assert outputs["logits"].tolist() == [-2.0, 2.0]


def test_logits_of_tokens_end_where_the_row_does(reader: EncoderModel) -> None:
    short, long = run(reader, [encoding([5, 6]), encoding([5] * 9)])
    assert {name: len(array) for name, array in short.items()} == {"start_logits": 2, "end_logits": 2}
    assert len(long["start_logits"]) == 9


def test_inputs_that_a_graph_does_not_declare_are_left_out(zoo: Path) -> None:
    graph = Graph(zoo / "reader" / "model.onnx")
    assert set(graph.inputs) == {"input_ids"}
    assert set(graph.run(pad([encoding([5, 6])], 0))) == {"start_logits", "end_logits"}
    assert set(graph.run(pad([encoding([5, 6])], 0), ["end_logits"])) == {"end_logits"}


def test_inputs_get_the_type_that_the_graph_declares(zoo: Path) -> None:
    graph = Graph(zoo / "reader" / "model.onnx")
    given_int32 = graph.run({"input_ids": np.array([[5, 6]], dtype=np.int32)})
    given_int64 = graph.run({"input_ids": np.array([[5, 6]], dtype=np.int64)})
    assert np.array_equal(given_int32["start_logits"].numpy(), given_int64["start_logits"].numpy())


def test_a_graph_runs_from_several_threads_at_once(classifier: EncoderModel) -> None:
    good, bad = encoding([toys.IDS["good"]]), encoding([toys.IDS["bad"]])
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


@pytest.mark.parametrize("content", [b"", b"no graph at all"])
def test_a_file_that_is_no_graph_is_an_artifact_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ArtifactError, match="onnxruntime cannot load it"):
        Graph(tmp_path / "model.onnx")
