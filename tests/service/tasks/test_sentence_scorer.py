"""How sentences are scored, by a graph of the artifact's and without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.artifact import Artifact
from service.runtime.session import Array
from service.tasks.parameters import SummarizeParameters
from service.tasks.sentence_scorer import SentenceScorer
from service.tasks.summarization import Summarization
from service.text.extractive import FEATURES
from service.text.tokenizer import Sentences, Tokenizer
from tests.service import doubles
from tests.service.tasks.rounds import answered

WIDTH = len(doubles.VOCABULARY)


def scorer(path: Path) -> None:
    """A sentence's score is how often it says "good"; its unit vector is what is in its place of the text."""
    weights = np.zeros(WIDTH, np.float32)
    weights[doubles.IDS["good"]] = 1
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["vectors", "weights"], ["scores"]),
            helper.make_node("Identity", ["features"], ["units"]),
        ],
        "sentences",
        [
            helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["sentences", WIDTH]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["sentences", FEATURES]),
        ],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["sentences"]),
            helper.make_tensor_value_info("units", TensorProto.FLOAT, ["sentences", FEATURES]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def read(folder: Path, text: str, max_tokens: int = 16) -> tuple[Sentences, list[Array]]:
    """Its sentences, and one-hot states as the toys' encoder gives them."""
    sentences = Tokenizer(folder).sentences(text, max_tokens)
    eye = np.eye(WIDTH, dtype=np.float32)
    return sentences, [eye[np.array(passage.encoding.ids)] for passage in sentences.passages]


TEXT = "Paris is weak. The good is good. It is bad. Good is good is good. Void in the capital is slow."


@pytest.mark.parametrize("max_tokens", [12, 60])
def test_each_sentence_is_scored_by_its_own_tokens_in_whatever_rows_it_is_read(tmp_path: Path, max_tokens: int) -> None:
    folder = doubles.summarizer(tmp_path)
    scorer(folder / "sentences.onnx")
    sentences, states = read(folder, TEXT, max_tokens)
    assert (len(sentences.passages) > 1) == (max_tokens == 12)
    scores, units = SentenceScorer(Artifact(folder)).score(sentences, states)
    assert scores == pytest.approx([0, 2 / 5, 0, 3 / 6, 0])
    assert units.shape == (5, FEATURES)
    assert units[:, 3].tolist() == [1, 0, 0, 0, 0], "the first sentence's mark"


def test_without_a_graph_the_sentence_that_is_most_like_all_scores_most(tmp_path: Path) -> None:
    folder = doubles.summarizer(tmp_path)
    sentences, states = read(folder, "Paris is good. Void void void void. Paris is good. Paris is bad.")
    scores, units = SentenceScorer(Artifact(folder)).score(sentences, states)
    assert int(np.argmax(scores)) == 0
    assert int(np.argmin(scores)) == 1
    assert scores[0] == scores[2]
    assert units[0] @ units[2] > units[0] @ units[3] > units[0] @ units[1]


def test_one_sentence_alone_has_a_score(tmp_path: Path) -> None:
    folder = doubles.summarizer(tmp_path)
    scores, units = SentenceScorer(Artifact(folder)).score(*read(folder, "Paris is good."))
    assert scores == pytest.approx([1])
    assert np.isfinite(units).all()


def test_an_extractive_summary_follows_the_artifacts_graph(tmp_path: Path) -> None:
    folder = doubles.summarizer(tmp_path)
    scorer(folder / "sentences.onnx")
    task = Summarization(Artifact(folder), batch_tokens=256, intra_op_threads=1)
    result = answered(task, TEXT, SummarizeParameters(strategy="extractive", num_sentences=1)).result
    assert result.summary == "Good is good is good."
    assert result.sentences is not None
    assert result.sentences[0].score == pytest.approx(0.5)
