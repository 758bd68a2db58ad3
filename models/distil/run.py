"""From a trained model to a smaller one that is served: shrunk, taught by the first, exported, in int8, scored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer

from models.artifact import finish_artifact, model_card
from models.distil.comparison import compare_models, comparison_table
from models.distil.layers import keep_layers, kept_layers
from models.distil.options import Options
from models.distil.plan import student_recipe
from models.distil.teacher import Teacher
from models.errors import BadOption, Missing, NameTaken
from models.evaluate import quantize_scored
from models.export import export_model
from models.finetune.run import final_of, finetune_stage
from models.recipe import Recipe
from models.rows import Row
from models.run_folder import keep_plan

_HEADS = {
    "text-classification": AutoModelForSequenceClassification,
    "question-answering": AutoModelForQuestionAnswering,
}


@dataclass(frozen=True)
class Trained:
    """A recipe's model with what it was made of."""

    recipe: Recipe
    folder: Path
    """As transformers saved it."""
    data: Path
    runs: Path

    def load(self) -> Any:
        """The model with its head, ready to be changed."""
        return _HEADS[self.recipe.task].from_pretrained(self.folder)


@dataclass(frozen=True)
class Smaller:
    """A way to make a model smaller."""

    shrink: Callable[[Any], None]
    """Takes parts out of a loaded model."""
    layers: tuple[int, ...]
    """The layers, counted from 0, of which something stays."""
    made_from: str
    """For the card: what it is, of which model."""
    command: str
    """For the card: what made it."""


def trained_model(recipe: Recipe, *, data: Path, runs: Path) -> Trained:
    """The model that `finetune` left in `runs`.

    Raises FileNotFoundError when there is none, ValueError for an encoder-decoder.
    """
    if recipe.task not in _HEADS:
        raise BadOption(f"{recipe.name}: an encoder with a head can be made smaller, a model for {recipe.task} cannot")
    folder = final_of(recipe, recipe.stages[-1], runs)
    if not (folder / "config.json").is_file():
        raise Missing(f"no trained model in {folder}: python -m models finetune {recipe.name} makes it")
    return Trained(recipe, folder, data, runs)


def _started(teacher: Trained, smaller: Smaller, folder: Path) -> Path:
    """The smaller model before training, in `folder`; made once."""
    last_written = folder / "tokenizer_config.json"
    if not last_written.is_file():
        model = teacher.load()
        smaller.shrink(model)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(teacher.folder).save_pretrained(folder)
    return folder


def _fp32(trained: Path, plan: Recipe, run: Path) -> Path:
    serving = {**plan.serving, "precision": "fp32"}
    return export_model(str(trained), run / "fp32" / plan.name, plan.task, serving=serving)


def _quantized_teacher(teacher: Trained, run: Path, rows: list[Row]) -> Path:
    """The teacher's own int8 artifact, scored on the same rows; made once."""
    plan, folder = teacher.recipe, run / "teacher" / teacher.recipe.name
    if not (folder / "metrics.json").is_file():
        metrics = quantize_scored(_fp32(teacher.folder, plan, run), folder, rows, {}, name=plan.evaluation.home)
        finish_artifact(folder, metrics, model_card(folder, plan, metrics))
    return folder


def make_smaller(teacher: Trained, smaller: Smaller, options: Options, *, rows: list[Row], target: Path) -> str:
    """Make the int8 artifact `target`, scored on `rows`; return the table that shows it beside its teacher.

    Everything else goes to runs/NAME, the teacher's own int8 form too. A run that was cut off goes on from its last
    checkpoint. Raises OtherRun, FileExistsError and ValueError when the name is taken, and QuantizationLoss when int8
    loses more than it may; the training is then kept.
    """
    if options.name == teacher.recipe.name:
        raise BadOption(f"{options.name} is the model that it is made from; take another --as")
    if target.exists():
        raise NameTaken(f"{target} is there already; take another --as or remove it")
    plan = student_recipe(teacher.recipe, options, smaller.made_from)
    run = teacher.runs / plan.name
    weights = hashlib.sha256((teacher.folder / "model.safetensors").read_bytes()).hexdigest()
    training = plan.stages[-1].training.model_dump(mode="json")
    lesson = asdict(options.lesson)
    keep_plan(run, {"teacher": weights, "made": smaller.command, "training": training, "lesson": lesson})
    start = _started(teacher, smaller, run / "start")
    loss = Teacher(teacher.load(), smaller.layers, options.lesson).loss
    trained = finetune_stage(plan, plan.stages[-1], start=str(start), data=teacher.data, runs=teacher.runs, loss=loss)
    allowed, home = plan.evaluation.tolerance, plan.evaluation.home
    metrics = quantize_scored(_fp32(trained, plan, run), target, rows, allowed, name=home)
    finish_artifact(target, metrics, model_card(target, plan, metrics, made_by=smaller.command))
    return comparison_table(compare_models([_quantized_teacher(teacher, run, rows), target], rows))


def distil(teacher: Trained, options: Options, *, layers: int, rows: list[Row], target: Path) -> str:
    """Make a model with so many of the teacher's layers, taught by all of them. As `make_smaller`, and ValueError."""
    total = teacher.load().config.num_hidden_layers
    kept = kept_layers(total, layers)
    of = f"`{teacher.recipe.name}`"
    said = f"{of}, of whose {total} layers it keeps {', '.join(map(str, kept))} (from 0); distilled from all of them"
    command = f"python -m models distil {teacher.recipe.name} --layers {layers}{options.flags}"
    smaller = Smaller(lambda model: keep_layers(model, kept), kept, said, command)
    return make_smaller(teacher, smaller, options, rows=rows, target=target)
