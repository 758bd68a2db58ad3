from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
import pytest

from service.errors import ArtifactError
from service.runtime.session import Session, pad, padded_pass
from service.text.tokenizer import Encoding
from tests.service import doubles


def encoding(ids: list[int], type_ids: list[int] | None = None) -> Encoding:
    return Encoding(array("q", ids), array("q", type_ids or [0] * len(ids)))


def test_padding_is_on_the_right_and_masked() -> None:
    inputs = pad([encoding([5, 6, 7], [0, 1, 1]), encoding([8])], pad_id=1)
    assert inputs["input_ids"].tolist() == [[5, 6, 7], [8, 1, 1]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert inputs["token_type_ids"].tolist() == [[0, 1, 1], [0, 0, 0]]
    assert {each.dtype for each in inputs.values()} == {np.dtype(np.int64)}


def test_the_size_of_a_padded_pass() -> None:
    done = padded_pass([encoding([1] * 3), encoding([1] * 10), encoding([1])])
    assert (done.finished, done.rows, done.tokens, done.padded_tokens) == ([], 3, 14, 30)


def test_a_bound_pass_reads_and_writes_the_callers_arrays(zoo: Path) -> None:
    graph = Session(zoo / "reader" / "model.onnx")
    ids, starts = np.array([[doubles.IDS["paris"], doubles.IDS["weak"]]]), np.zeros((1, 2), np.float32)
    bound = graph.bind({"input_ids": ids, "token_type_ids": ids}, {"start_logits": starts})
    bound.run()
    assert starts.tolist() == [[5.0, 2.0]]
    ids[0, 0] = doubles.IDS["strong"]
    bound.run()
    assert starts.tolist() == [[4.0, 2.0]]


def test_inputs_that_a_graph_does_not_declare_are_left_out(zoo: Path) -> None:
    graph = Session(zoo / "reader" / "model.onnx")
    assert set(graph.inputs) == {"input_ids"}
    assert set(graph.run(pad([encoding([5, 6])], 0))) == {"start_logits", "end_logits"}
    assert set(graph.run(pad([encoding([5, 6])], 0), ["end_logits"])) == {"end_logits"}


def test_inputs_get_the_type_that_the_graph_declares(zoo: Path) -> None:
    graph = Session(zoo / "reader" / "model.onnx")
    given_int32 = graph.run({"input_ids": np.array([[5, 6]], dtype=np.int32)})
    given_int64 = graph.run({"input_ids": np.array([[5, 6]], dtype=np.int64)})
    assert np.array_equal(given_int32["start_logits"].numpy(), given_int64["start_logits"].numpy())


@pytest.mark.parametrize("content", [b"", b"no graph at all"])
def test_a_file_that_is_no_graph_is_an_artifact_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ArtifactError, match="onnxruntime cannot load it"):
        Session(tmp_path / "model.onnx")
