"""The classifier of a summarizer's domain learns, and leaves held-out texts out."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from models.data.domain_texts import GENERAL, General, _stretch, _texts
from models.training.domain import train_domain
from service.domain import DomainClassifier

VOCABULARY = 60
INSIDE, OUTSIDE = range(5), range(5, 10)  # tokens of one kind of text only; all others are of both


def made_bags(count: int) -> tuple[list[np.ndarray], np.ndarray]:
    chooser = random.Random(3)
    bags, labels = [], []
    for number in range(count):
        own = INSIDE if number % 2 else OUTSIDE
        tokens = {*chooser.sample(own, 2), *chooser.sample(range(10, VOCABULARY), 20)}
        bags.append(np.array(sorted(tokens)))
        labels.append(number % 2)
    return bags, np.array(labels, np.float32)


def test_tokens_that_tell_are_weighed_by_which_side_they_are_of(tmp_path: Path) -> None:
    bags, labels = made_bags(2000)
    tokens, weights, other = train_domain(bags, labels, VOCABULARY, kept=12)
    found = dict(zip(tokens.tolist(), weights.tolist(), strict=True))
    assert len(found) == 12
    assert min(found[token] for token in INSIDE) > other > max(found[token] for token in OUTSIDE)
    content = {"texts": "", "threshold": 0, "other": other, "tokens": tokens.tolist(), "weights": weights.tolist()}
    (tmp_path / "domain.json").write_text(json.dumps(content), encoding="utf-8")
    classifier = DomainClassifier(tmp_path / "domain.json", vocabulary=VOCABULARY)
    scores = np.array([classifier.score(bag.tolist()) for bag in bags])
    assert scores[labels > 0].min() > scores[labels == 0].max()


def test_training_again_gives_the_same_weights() -> None:
    bags, labels = made_bags(200)
    first, second = (train_domain(bags, labels, VOCABULARY, kept=12) for _ in range(2))
    assert first[1].tolist() == second[1].tolist()


def test_a_stretch_is_consecutive_sentences_of_the_text() -> None:
    text = " ".join(f"This is the sentence with the number {number}." for number in range(30))
    for seed in range(20):
        stretch = _stretch(text, random.Random(seed), least=3)
        assert stretch in text
        assert 3 <= stretch.count("This is") <= 12
    assert _stretch("It is short.", random.Random(0), least=3) == "It is short."


@pytest.mark.parametrize("name", ["textbooks", "posts", "contexts"])
def test_what_is_held_out_of_a_file_is_not_learnt_from(name: str, tmp_path: Path) -> None:
    rows = [
        {"text": f"text {number}", "context": f"text {number}", "book": book, "src": source}
        for number, (book, source) in enumerate([("Astronomy 2e", "tydiqa_en"), ("U.S. History", "subjqa")] * 10)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    general = GENERAL[name]
    general = General("rows.jsonl", None, general.text_of, general.is_held_out)
    learnt, held_out = (list(_texts(tmp_path, general, held_out=held_out)) for held_out in (False, True))
    assert learnt
    assert held_out
    assert sorted(learnt + held_out) == sorted(row["text"] for row in rows)
