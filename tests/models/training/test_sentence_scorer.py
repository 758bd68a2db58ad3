"""The scorer of sentences learns, and sentences.onnx computes what was learnt."""

from __future__ import annotations

import json
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from models.evaluation.extraction_scores import score_extraction
from models.evaluation.sentence_vectors import Document, SentenceReader
from models.training.sentence_scorer import GRAPH, Example, finetune_sentences, save_graph, train_scorer, whitening
from service.extraction import features
from service.model import Graph
from tests.models.tiny import SENTENCES, Exported

HIDDEN = 16


@pytest.fixture
def folder(exported: Callable[[str], Exported], tmp_path: Path) -> Path:
    """A tiny summarizer's folder that may be written to."""
    return Path(shutil.copytree(exported("bart").fp32, tmp_path / "bart"))


def made_examples(count: int) -> list[Example]:
    """Texts in which the sentence with the largest first coordinate is the one that sums up."""
    generator = np.random.default_rng(3)
    examples = []
    for _ in range(count):
        vectors = generator.normal(size=(8, HIDDEN)).astype(np.float32)
        worth = 0.2 + 0.6 * (vectors[:, 0] == vectors[:, 0].max()).astype(np.float32)
        examples.append(Example(Document(["?"] * 8, [20] * 8, vectors), worth))
    return examples


def test_a_sentence_is_the_mean_of_its_tokens_states(exported: Callable[[str], Exported], folder: Path) -> None:
    document = SentenceReader(folder).read(" \n".join(SENTENCES[:2]))
    assert document.sentences == SENTENCES[:2]
    source = exported("bart").source
    tokenizer, model = AutoTokenizer.from_pretrained(source), AutoModelForSeq2SeqLM.from_pretrained(source)
    with torch.no_grad():
        row = tokenizer(" ".join(SENTENCES[:2]), return_tensors="pt")["input_ids"]
        states = model.model.encoder(row)[0][0].numpy()
    first, second = document.lengths
    assert len(states) == 1 + first + second + 1
    np.testing.assert_allclose(document.vectors[0], states[1 : 1 + first].mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(document.vectors[1], states[1 + first : -1].mean(axis=0), atol=1e-4)


def test_a_long_text_is_read_in_windows_of_whole_sentences(folder: Path) -> None:
    reader = SentenceReader(folder)
    document = reader.read(" ".join(SENTENCES * 4))
    assert document.sentences == SENTENCES * 4
    assert len(document.vectors) == len(document.lengths) == 20
    assert reader.read("  ").sentences == []


def test_an_encoder_without_states_is_refused(folder: Path) -> None:
    shutil.copy(folder / "decoder.onnx", folder / "encoder.onnx")
    with pytest.raises(ValueError, match="last_hidden_state"):
        SentenceReader(folder)


def test_the_graph_computes_what_was_learnt(tmp_path: Path) -> None:
    examples = made_examples(300)
    model = train_scorer(examples * 8)
    mean, projection = whitening(np.concatenate([each.document.vectors for each in examples]))
    save_graph(model, mean, projection, tmp_path / GRAPH)
    graph = Graph(tmp_path / GRAPH)
    right = 0
    for example in made_examples(340)[300:]:
        feed = {"vectors": example.document.vectors, "features": features(example.document.lengths)}
        found = graph.run_arrays(feed)
        with torch.no_grad():
            wanted = model(*(torch.from_numpy(feed[name]) for name in ("vectors", "features")))
        np.testing.assert_allclose(found["scores"], wanted.numpy(), atol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(found["units"], axis=1), 1, atol=1e-5)
        right += int(found["scores"].argmax() == example.worth.argmax())
    assert right >= 30  # of 40; chance finds 5


def test_training_is_reproducible() -> None:
    first, second = (train_scorer(made_examples(20)).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_whitened_vectors_have_no_main_direction() -> None:
    generator = np.random.default_rng(5)
    vectors = (generator.normal(size=(500, 6)) * [9, 5, 3, 1, 1, 0.1] + 20).astype(np.float32)
    mean, projection = whitening(vectors)
    np.testing.assert_allclose(np.cov(((vectors - mean) @ projection).T), np.eye(6), atol=1e-3)


def test_a_folder_gets_its_graph_from_data_and_is_scored(folder: Path, tmp_path: Path) -> None:
    def write(name: str, row: dict[str, Any], opener: Callable[..., Any] = open) -> None:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with opener(path, "wt", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    text = " ".join(SENTENCES)
    write("arxiv_tldr/train-0.jsonl.xz", {"abstract": text, "tldr": SENTENCES[1]}, lzma.open)
    write("scitldr/train.jsonl", {"source": SENTENCES, "target": SENTENCES[3]})
    write("wikinews/2019.jsonl", {"text": text, "title": "Shoals pass"})
    assert finetune_sentences(folder, tmp_path / "data") == folder / GRAPH
    scores = score_extraction(folder, [{"text": text, "summary": SENTENCES[0]}])
    assert scores["best"]["rouge1"] == scores["lead"]["rouge1"] == 100
    assert 0 <= scores["chosen"]["rouge1"] <= 100
    assert set(score_extraction(folder, [{"text": text, "summary": SENTENCES[0]}], count=3)) == {"chosen", "lead"}
