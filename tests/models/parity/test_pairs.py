"""Pairs of texts are classified as transformers' pipeline classifies them, whether they fit in a row or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers

from models.graphs.export import export_model
from service.tasks.parameters import ClassifyParameters, TextPair
from tests.models.heads import KINDS, ask, make
from tests.models.tiny import SENTENCES

# What Optimum and torch have to say about each other.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "torch.jit.TracerWarning")
]

PAIRS = [
    (SENTENCES[0], SENTENCES[1]),
    (SENTENCES[1], SENTENCES[0]),
    (SENTENCES[2], "Who?"),
    ("Yes.", SENTENCES[4]),
    (" ".join(SENTENCES), "The jokes."),
    ("The jokes.", " ".join(SENTENCES)),
    (" ".join(SENTENCES), " ".join(reversed(SENTENCES))),
    ("日本語 🐟 the tower", "naïve café [SEP] </s> scenes"),
    ("\u200b", "The jokes are old."),
    ("  spaces   in\tplenty \n", "x"),
]
"""Some longer than a row: in the first text, in the second, in both."""


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_scored_as_the_pipeline_scores_them(tmp_path: Path, kind: str) -> None:
    source = make(kind, "SequenceClassification", tmp_path / "source", num_labels=3)
    fp32 = export_model(str(source), tmp_path / "served" / kind, "text-classification")
    pipeline: Any = transformers.pipeline("text-classification", str(source))
    items = [TextPair(text=text, text_pair=text_pair) for text, text_pair in PAIRS]
    results = ask(fp32, "classify", items, ClassifyParameters())
    for (text, text_pair), result in zip(PAIRS, results, strict=True):
        wanted = pipeline({"text": text, "text_pair": text_pair}, truncation=True, top_k=None)
        assert [each["label"] for each in result["scores"]] == [each["label"] for each in wanted]
        scores = [each["score"] for each in wanted]
        assert [each["score"] for each in result["scores"]] == pytest.approx(scores, abs=1e-5)
    tops = [result["score"] for result in results]
    assert len({round(each, 3) for each in tops}) > 5, "pairs that all score alike would show little"
    cuts = [result["truncated_at"] for result in results]
    shapes = {(cut["text"] is None, cut["text_pair"] is None) for cut in cuts if cut is not None}
    assert shapes == {(True, False), (False, True), (False, False)}
