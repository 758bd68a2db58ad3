"""Somebody's own model goes in by one command, is scored through the service, and is refused when int8 spoils it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import transformers

from models.commands.recipes import evaluate as evaluate_command
from models.custom.add import add_model
from models.data.model_card import ARTIFACTS
from models.data.rows import read_rows
from models.data.rows_to_score import WrongRows
from models.evaluation.evaluate import evaluate
from models.graphs.quantize import QuantizationLoss
from service.artifact import Artifact
from service.tasks.parameters import EntitiesParameters
from service.tasks.token_classification import TokenClassification
from tests.models.taggers import make_tagger
from tests.models.tiny import SENTENCES, make_model
from tests.service.tasks.rounds import answered

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "torch.jit.TracerWarning")
]


def _labelled(folder: Path, path: Path) -> Path:
    """Rows that carry what the model itself says of them, so that it scores 100."""
    good = [evaluate(folder, [{"text": text, "label": "good"}])[0]["accuracy"] == 100 for text in SENTENCES]
    rows = [
        {"text": text, "label": "good" if is_good else "bad"} for text, is_good in zip(SENTENCES, good, strict=True)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_classifier_is_added_scored_and_summed(tmp_path: Path) -> None:
    make_model("bert", tmp_path / "source")
    plain = add_model(str(tmp_path / "source"), tmp_path / "plain", data=None, tolerance=0.0)
    rows = _labelled(plain, tmp_path / "rows.jsonl")
    added = add_model(str(tmp_path / "source"), tmp_path / "served" / "mine", data=rows, tolerance=100.0)
    artifact = Artifact(added)
    artifact.verify()
    assert artifact.precision == "int8"
    assert artifact.metrics["score"] == {"accuracy": 100.0}
    assert artifact.metrics["rows"] == len(SENTENCES)
    listed = (added / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert {line.partition("  ")[2] for line in listed} == {p.name for p in added.iterdir()} - {"SHA256SUMS"}
    assert hashlib.sha256((added / "model.onnx").read_bytes()).hexdigest() in "\n".join(listed)
    with pytest.raises(FileExistsError):
        add_model(str(tmp_path / "source"), added, data=None, tolerance=0.0)


def test_a_tagger_is_added_and_not_scored(tmp_path: Path) -> None:
    source = make_tagger("bert", tmp_path / "source")
    added = add_model(str(source), tmp_path / "mine", data=None, tolerance=0.0)
    task = TokenClassification(Artifact(added), batch_tokens=256, intra_op_threads=1)
    result = answered(task, SENTENCES[0], EntitiesParameters(aggregation_strategy="none", ignore_labels=())).result
    pipeline = transformers.pipeline("token-classification", model=str(source), device="cpu")
    wanted = pipeline(SENTENCES[0], ignore_labels=[])
    scores = [each.score for each in result.entities]
    assert scores == pytest.approx([float(each["score"]) for each in wanted], abs=0.05)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a film"}\n', encoding="utf-8")
    with pytest.raises(WrongRows, match="models for token-classification are not scored"):
        add_model(str(source), tmp_path / "other", data=rows, tolerance=0.0)


def test_a_model_that_int8_spoils_leaves_nothing_behind(tmp_path: Path) -> None:
    make_model("bert", tmp_path / "source")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a film", "label": "good"}\n', encoding="utf-8")
    with pytest.raises(QuantizationLoss):
        add_model(str(tmp_path / "source"), tmp_path / "mine", data=rows, tolerance=-1.0)
    assert not (tmp_path / "mine").exists()


SUMMARY_MEASURES = {
    *("rouge1", "rouge2", "rougeL"),
    *("names_in_source", "opens_without_paper", "clean", "without_repeats"),
}


@pytest.mark.parametrize(
    ("kind", "row", "measures"),
    [
        (
            "bert-qa",
            {
                "question": SENTENCES[2],
                "context": SENTENCES[3],
                "answers": {"text": ["the coast"], "answer_start": [22]},
            },
            {"f1", "exact_match"},
        ),
        ("bart", {"abstract": SENTENCES[3], "tldr": "Shoals of herring."}, SUMMARY_MEASURES),
    ],
)
def test_the_other_tasks_are_scored_by_their_own_measures(
    tmp_path: Path, kind: str, row: dict[str, object], measures: set[str]
) -> None:
    make_model(kind, tmp_path / "source")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(row) + "\n", encoding="utf-8")
    added = add_model(str(tmp_path / "source"), tmp_path / "mine", data=rows, tolerance=100.0)
    scores, _ = evaluate(added, list(read_rows(rows)))
    assert set(scores) == measures
    assert scores == Artifact(added).metrics["score"]


def test_evaluate_says_whether_a_bar_is_reached_and_writes_when_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = tmp_path / "sst2"
    data.mkdir()
    (data / "dev.jsonl").write_text('{"text": "a dreadful bore", "label": 1}\n', encoding="utf-8")
    folder = Path(shutil.copytree(ARTIFACTS / "sentiment", tmp_path / "artifacts" / "sentiment"))
    before = Artifact(folder).metrics
    evaluate_command("sentiment", data=tmp_path, limit=None, artifacts=folder.parent, write=False)
    assert "accuracy: 0.00  (bar 91.5: MISSED)" in capsys.readouterr().out
    assert Artifact(folder).metrics == before
    evaluate_command("sentiment", data=tmp_path, limit=None, artifacts=folder.parent, write=True)
    after = Artifact(folder)
    after.verify()
    assert (after.metrics["score"], after.metrics["fp32"]) == ({"accuracy": 0.0}, before["fp32"])
