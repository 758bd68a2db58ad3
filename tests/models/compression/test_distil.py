"""By one command from a trained model to a smaller one that is served, beside its teacher."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from models.__main__ import app
from models.commands.compress import distil
from models.compression.compress import trained_model
from models.compression.distillation_loss import DistillationLoss
from models.compression.layers import layers_of
from models.compression.student import LossWeights, StudentOptions, student_recipe
from models.data.recipe import load_recipe
from models.training.run_folder import OtherRun
from service.artifact import Artifact
from service.config import Settings
from service.registry import Registry
from service.schemas import ClassifyParameters
from tests.models.doubles import write_plan
from tests.models.tiny import SENTENCES

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "torch.jit.TracerWarning")
]


def _served(folder: Path, texts: list[str]) -> list[dict[str, Any]]:
    async def ask() -> list[dict[str, Any]]:
        registry = Registry(Settings(models_dir=folder.parent, models=folder.name))
        registry.start()
        try:
            return (await registry.infer("classify", texts, ClassifyParameters(), None)).results
        finally:
            registry.close()

    return asyncio.run(ask())


def _loss(runs: Path, student: Path) -> float:
    """How far a student is from the teacher on sentences, by logits and states."""
    load = transformers.AutoModelForSequenceClassification.from_pretrained
    tokenizer = transformers.AutoTokenizer.from_pretrained(student)
    batch = dict(tokenizer(SENTENCES, return_tensors="pt", padding=True))
    batch.pop("token_type_ids", None)
    batch["labels"] = torch.tensor([n % 2 for n in range(len(SENTENCES))])
    teacher = DistillationLoss(load(runs / "tiny" / "only" / "final"), (1,), LossWeights(labels=0.0))
    return float(teacher(load(student).eval(), batch).item())


def test_half_the_layers_learn_from_all_and_are_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": text, "label": ("bad", "good")[n % 5 % 2]} for n, text in enumerate(SENTENCES * 4)]
    told = write_plan(tmp_path, "bert", "text-classification", rows)
    command = ["distil", *told, "--layers", "1"]
    app(command, standalone_mode=False)

    run = tmp_path / "runs" / "tiny-fast"
    whole = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "runs" / "tiny/only/final")
    start = transformers.AutoModelForSequenceClassification.from_pretrained(run / "start")
    for name, value in layers_of(start)[0].state_dict().items():
        torch.testing.assert_close(value, layers_of(whole)[1].state_dict()[name], rtol=0, atol=0)
    assert _loss(tmp_path / "runs", run / "only" / "final") < 0.5 * _loss(tmp_path / "runs", run / "start")

    artifact = Artifact(run / "int8" / "tiny-fast")
    artifact.verify()
    assert (artifact.precision, artifact.config["num_hidden_layers"]) == ("int8", 1)
    results = _served(artifact.folder, SENTENCES)
    given = [row["label"] == result["label"] for row, result in zip(rows[:5], results, strict=True)]
    assert artifact.metrics["score"] == {"accuracy": 100 * sum(given) / 5}
    card = (artifact.folder / "README.md").read_text(encoding="utf-8")
    assert "- Base: `tiny`, of whose 2 layers it keeps 1 (from 0); distilled from all of them" in card
    assert "- Made by: `python -m models distil tiny --layers 1`" in card

    first, second = (line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| tiny"))
    assert (first[1].strip(), first[2].strip()) == ("tiny", "2 x 4 x 64")
    assert (second[1].strip(), second[2].strip()) == ("tiny-fast", "1 x 4 x 64")
    assert re.fullmatch(r" 0\.0 \(0\.\d\d\) ", second[3])
    assert float(second[6].split()[0].replace(",", "")) > 0
    with pytest.raises(FileExistsError, match="--as"):
        app(command, standalone_mode=False)


def test_a_run_belongs_to_its_settings_and_a_teacher_must_be_there(tmp_path: Path) -> None:
    told = write_plan(tmp_path, "bert", "text-classification", [{"text": SENTENCES[0], "label": 1}])
    asked: dict[str, Any] = {
        "data": tmp_path / "data", "runs": tmp_path / "runs", "limit": None, "artifacts": None, "name": "small",
        "temperature": 2.0, "weights": (1.0, 1.0, 1.0),
    }  # fmt: skip
    (tmp_path / "runs" / "small").mkdir()
    (tmp_path / "runs" / "small" / "plan.json").write_text("{}", encoding="utf-8")
    with pytest.raises(OtherRun, match="another name"):
        distil(told[0], layers=1, **asked)
    with pytest.raises(FileNotFoundError, match="models finetune tiny"):
        distil(told[0], layers=1, **{**asked, "runs": tmp_path / "elsewhere"})
    with pytest.raises(ValueError, match="--as"):
        distil(told[0], layers=1, **{**asked, "name": "tiny"})
    plan = load_recipe(told[0]).model_copy(update={"task": "summarization"})
    with pytest.raises(ValueError, match="cannot"):
        trained_model(plan, data=tmp_path, runs=tmp_path / "runs")


def test_a_students_recipe_is_its_teachers_but_for_what_is_asked(tmp_path: Path) -> None:
    told = write_plan(tmp_path, "bert", "text-classification", [])
    recipe = load_recipe(told[0])
    plan = student_recipe(recipe, StudentOptions(name="small", epochs=1.5, dropout=0.2, tolerance=0.5), "half of it")
    training = plan.stages[-1].training
    assert (training.epochs, training.hidden_dropout, training.learning_rate) == (1.5, 0.2, 3e-3)
    assert plan.evaluation.tolerance == {"accuracy": 0.5}
    assert student_recipe(recipe, StudentOptions(name="small"), "half of it").stages == recipe.stages
    (stage,) = recipe.stages
    keeping = stage.model_copy(update={"training": stage.training.model_copy(update={"keep": {"whole": 0.5}})})
    kept = student_recipe(recipe.model_copy(update={"stages": (keeping,)}), StudentOptions(name="small"), "half of it")
    assert kept.stages == recipe.stages, "a whole model's weights are no part of a smaller one's"
    assert "`tiny`" in plan.notes


def test_a_card_names_what_was_asked_for() -> None:
    assert StudentOptions(name="small").flags == ""
    options = StudentOptions(
        name="small", epochs=1.5, learning_rate=2e-4, loss_weights=LossWeights(temperature=4.0, labels=0.0)
    )
    assert options.flags == " --epochs 1.5 --learning-rate 0.0002 --temperature 4 --weights 1 1 0"
