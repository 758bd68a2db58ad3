"""What Optimum wrote, and what the workshop made of it, is served as transformers itself would answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from optimum.exporters.onnx import main_export

from models.graphs.export import OPTIMUM_TASKS
from service.artifact import Artifact
from service.config import Settings
from service.engine.registry import Registry
from service.errors import ArtifactError
from service.tasks.parameters import AnswerParameters, ClassifyParameters, Question, SummarizeParameters
from tests.models.heads import ask
from tests.models.tiny import SENTENCES, SEQ2SEQ, Exported

Export = Callable[[str], Exported]

# What Optimum and torch have to say about each other.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "torch.jit.TracerWarning")
]

MERGED = "decoder_model_merged.onnx"


@pytest.fixture(scope="module")
def by_optimum(exported: Export, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder as Optimum alone writes it."""
    done: dict[str, Path] = {}

    def export(kind: str) -> Path:
        if kind not in done:
            out = tmp_path_factory.mktemp("optimum") / kind
            task = "summarization" if kind in SEQ2SEQ else "text-classification"
            main_export(str(exported(kind).source), out, framework="pt", task=OPTIMUM_TASKS[task], do_validation=False)
            done[kind] = out
        return done[kind]

    return export


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
@pytest.mark.parametrize("form", ["optimum", "ours"])
def test_classifiers_score_as_transformers_does(
    exported: Export, by_optimum: Callable[[str], Path], kind: str, form: str
) -> None:
    folder = by_optimum(kind) if form == "optimum" else exported(kind).fp32
    source = exported(kind).source
    model = transformers.AutoModelForSequenceClassification.from_pretrained(source).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    results = ask(folder, "classify", SENTENCES, ClassifyParameters())
    for text, result in zip(SENTENCES, results, strict=True):
        inputs = tokenizer(text, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        with torch.no_grad():
            wanted = model(**inputs).logits.softmax(-1)[0].numpy()
        found = {each["label"]: each["score"] for each in result["scores"]}
        names = [model.config.id2label[index] for index in range(len(wanted))]
        np.testing.assert_allclose([found[name] for name in names], wanted, atol=1e-5)
        assert result["label"] == names[int(wanted.argmax())]


def test_a_reader_gives_the_span_with_the_highest_logits(exported: Export) -> None:
    source = exported("bert-qa").source
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(source).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    question, context = SENTENCES[2], SENTENCES[3]
    inputs = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
    parts, offsets = inputs.sequence_ids(0), inputs.pop("offset_mapping")[0]
    with torch.no_grad():
        output = model(**inputs)
    starts, ends = output.start_logits[0], output.end_logits[0]
    spans = {
        (int(offsets[first][0]), int(offsets[last][1])): float(starts[first] + ends[last])
        for first, part in enumerate(parts)
        for last in range(first, min(first + 4, len(parts)))
        if part == 1 and parts[last] == 1
    }
    item = Question(question=question, context=context)
    (result,) = ask(exported("bert-qa").fp32, "answer", [item], AnswerParameters(max_answer_len=4, top_k=5))
    best = sorted(spans, key=lambda span: -spans[span])[:5]
    assert [(each["start"], each["end"]) for each in result["answers"]] == best
    assert result["answer"] == context[best[0][0] : best[0][1]]


def _generated(source: Path, text: str, max_tokens: int, **options: Any) -> str:
    """What transformers writes."""
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(source).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_tokens)
    inputs.pop("token_type_ids", None)
    with torch.no_grad():
        tokens = model.generate(**inputs, do_sample=False, **options)[0].tolist()
    return str(tokenizer.decode(tokens, skip_special_tokens=True)).strip()


OPTIONS: list[dict[str, Any]] = [
    {"max_new_tokens": 12, "num_beams": 1},
    {"max_new_tokens": 12, "num_beams": 1, "no_repeat_ngram_size": 2},
    {"max_new_tokens": 12, "num_beams": 3, "no_repeat_ngram_size": 2},
    {"max_new_tokens": 9, "num_beams": 4, "length_penalty": 2.0, "min_new_tokens": 5},
    {"max_new_tokens": 9, "num_beams": 2, "length_penalty": -1.0},
]


@pytest.mark.parametrize("kind", SEQ2SEQ)
@pytest.mark.parametrize("form", ["ours", "optimum", "optimum merged"])
def test_encoder_decoders_write_what_generate_writes(
    exported: Export, by_optimum: Callable[[str], Path], *, tmp_path: Path, kind: str, form: str
) -> None:
    source = exported(kind).source
    folder = exported(kind).fp32
    if form != "ours":
        folder = Path(shutil.copytree(by_optimum(kind), tmp_path / kind))
        # With both decoders there, the pair is taken; without, the merged one.
        (folder / ("decoder_with_past_model.onnx" if form == "optimum merged" else MERGED)).unlink()
    for options in OPTIONS:
        defaults: dict[str, Any] = {"no_repeat_ngram_size": 0, "length_penalty": 1.0, "strategy": "truncate"}
        parameters = SummarizeParameters(**{**defaults, **options})
        results = ask(folder, "summarize", SENTENCES, parameters)
        for text, result in zip(SENTENCES, results, strict=True):
            wanted = _generated(source, text, Artifact(folder).max_tokens, **options)
            assert result["summary"] == wanted, (kind, form, options)


def test_a_head_that_no_task_serves_is_named(exported: Export, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported("bert").fp32, tmp_path / "masked"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = ["BertForMaskedLM"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ArtifactError, match="BertForMaskedLM"):
        Registry(Settings(models_dir=tmp_path))
