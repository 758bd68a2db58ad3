"""What every way of making a smaller model shares: shrink, distil from the larger one, export, quantize, score."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer

from models.compression.comparison import compare_models, comparison_table
from models.compression.distillation_loss import DistillationLoss
from models.compression.student import StudentOptions, student_recipe
from models.data.model_card import finish_artifact, model_card
from models.data.recipe import Recipe
from models.data.rows import Row
from models.errors import BadOption, Missing, NameTaken
from models.evaluation.evaluate import quantize_scored
from models.graphs.export import export_model
from models.training.run_folder import keep_plan
from models.training.stages import final_of, finetune_stage

_HEADS = {
    "text-classification": AutoModelForSequenceClassification,
    "question-answering": AutoModelForQuestionAnswering,
}


@dataclass(frozen=True)
class TrainedModel:
    """A trained model with its recipe, data and runs."""

    recipe: Recipe
    folder: Path
    """Written by transformers' `save_pretrained`."""
    data: Path
    runs: Path

    def load(self) -> Any:
        """Load the model with its head; the caller may change it."""
        return _HEADS[self.recipe.task].from_pretrained(self.folder)


@dataclass(frozen=True)
class Compression:
    """A way to make a model smaller."""

    shrink: Callable[[Any], None]
    """Removes parts of a loaded model, in place."""
    layers: tuple[int, ...]
    """For each layer that is left, the number of the teacher's layer that it came from, from 0."""
    made_from: str
    """Describes the base in the card."""
    command: str
    """The command line, for the card."""


def trained_model(recipe: Recipe, *, data: Path, runs: Path) -> TrainedModel:
    """The model that `finetune` left in `runs`.

    Raises Missing when there is none, BadOption for an encoder-decoder.
    """
    if recipe.task not in _HEADS:
        raise BadOption(f"{recipe.name}: an encoder with a head can be made smaller, a model for {recipe.task} cannot")
    folder = final_of(recipe, recipe.stages[-1], runs)
    if not (folder / "config.json").is_file():
        raise Missing(f"no trained model in {folder}: python -m models finetune {recipe.name} makes it")
    return TrainedModel(recipe, folder, data, runs)


def _student_before_training(teacher: TrainedModel, compression: Compression, folder: Path) -> Path:
    """Write the shrunken model to `folder`, unless a run that was cut off left it there; return `folder`."""
    last_written = folder / "tokenizer_config.json"
    if not last_written.is_file():
        model = teacher.load()
        compression.shrink(model)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(teacher.folder).save_pretrained(folder)
    return folder


def _fp32(trained: Path, plan: Recipe, run: Path) -> Path:
    serving = {**plan.serving, "precision": "fp32"}
    return export_model(str(trained), run / "fp32" / plan.name, plan.task, serving=serving)


def _quantized_teacher(teacher: TrainedModel, run: Path, rows: list[Row]) -> Path:
    """Make the teacher's own int8 artifact, scored on the same rows, unless it is there; return its folder."""
    plan, folder = teacher.recipe, run / "teacher" / teacher.recipe.name
    if not (folder / "metrics.json").is_file():
        metrics = quantize_scored(_fp32(teacher.folder, plan, run), folder, rows, {}, name=plan.evaluation.home)
        finish_artifact(folder, metrics, model_card(folder, plan, metrics))
    return folder


def compress(
    teacher: TrainedModel, compression: Compression, options: StudentOptions, *, rows: list[Row], target: Path
) -> str:
    """Make the int8 artifact `target`, scored on `rows`; return the table that shows it beside its teacher.

    Everything else goes to runs/NAME, the teacher's own int8 form too. A run that was cut off goes on from its last
    checkpoint. Raises OtherRun, NameTaken, BadOption for the teacher's own name, and QuantizationLoss when int8 loses
    more than it may; the training is then kept.
    """
    if options.name == teacher.recipe.name:
        raise BadOption(f"{options.name} is the model that it is made from; take another --as")
    if target.exists():
        raise NameTaken(f"{target} is there already; take another --as or remove it")
    plan = student_recipe(teacher.recipe, options, compression.made_from)
    run = teacher.runs / plan.name
    weights = hashlib.sha256((teacher.folder / "model.safetensors").read_bytes()).hexdigest()
    training = plan.stages[-1].training.model_dump(mode="json")
    plan_facts = {"teacher": weights, "command": compression.command, "training": training}
    keep_plan(run, {**plan_facts, "loss": asdict(options.loss_weights)})
    start = _student_before_training(teacher, compression, run / "start")
    loss = DistillationLoss(teacher.load(), compression.layers, options.loss_weights)
    trained = finetune_stage(plan, plan.stages[-1], start=str(start), data=teacher.data, runs=teacher.runs, loss=loss)
    allowed, home = plan.evaluation.tolerance, plan.evaluation.home
    metrics = quantize_scored(_fp32(trained, plan, run), target, rows, allowed, name=home)
    finish_artifact(target, metrics, model_card(target, plan, metrics, made_by=compression.command))
    return comparison_table(compare_models([_quantized_teacher(teacher, run, rows), target], rows))
