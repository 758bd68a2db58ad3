"""Runs the stages of a recipe in order; a stage starts from the weights of an earlier one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.data.recipe import Recipe, Stage, TeacherSettings, load_recipe
from models.errors import WorkshopError
from models.training.classification import finetune_classifier
from models.training.question_answering import finetune_reader
from models.training.summarization import finetune_summarizer
from models.training.trainer import FINAL, Loss

_TRAINERS: dict[str, Callable[..., tuple[Any, Any]]] = {
    "text-classification": finetune_classifier,
    "question-answering": finetune_reader,
    "summarization": finetune_summarizer,
}


class OtherBase(WorkshopError, ValueError):
    """The base's weights are not those that the recipe was made with."""


def _checked_base(recipe: Recipe, base: str | None) -> str:
    """The base to start from; raises OtherBase when its weights are not the recipe's."""
    chosen = base or recipe.base
    weights = Path(chosen) / "model.safetensors"
    if recipe.base_sha256 and weights.is_file():
        found = hashlib.sha256(weights.read_bytes()).hexdigest()
        if found != recipe.base_sha256:
            raise OtherBase(f"{weights}: sha256 is {found}, the recipe wants {recipe.base_sha256}")
    return chosen


def final_of(recipe: Recipe, stage: Stage, runs: Path) -> Path:
    """The folder of a stage's trained model."""
    return runs / recipe.name / stage.name / FINAL


def _teacher_of(settings: TeacherSettings, start: str, runs: Path) -> Path:
    if settings.recipe is None:
        return Path(start)
    teacher = load_recipe(settings.recipe)
    return final_of(teacher, teacher.stages[-1], runs)


def finetune_stage(
    recipe: Recipe, stage: Stage, *, start: str, data: Path, runs: Path, loss: Loss | None = None
) -> Path:
    """Train one stage from the model `start`, unless it is done; return the folder of the trained model.

    `loss` takes the place of the model's own; encoders with a head only.
    """
    final = final_of(recipe, stage, runs)
    if not (final / "config.json").is_file():
        arguments: dict[str, Any] = {} if loss is None else {"loss": loss}
        if stage.teacher is not None:
            arguments["teacher"] = _teacher_of(stage.teacher, start, runs)
        model, tokenizer = _TRAINERS[recipe.task](recipe, stage, start=start, data=data, run=final.parent, **arguments)
        model.save_pretrained(final)
        tokenizer.save_pretrained(final)
    return final


def finetune_recipe(recipe: Recipe, *, base: str | None, data: Path, runs: Path) -> Path:
    """Run every stage that is not done yet; return the folder of the trained model (runs/NAME/STAGE/final).

    A stage's teacher is trained first, from its own recipe's base, unless it is there.
    """
    start = _checked_base(recipe, base)
    done: dict[str, Path] = {}
    for stage in recipe.stages:
        if stage.teacher is not None and stage.teacher.recipe is not None:
            finetune_recipe(load_recipe(stage.teacher.recipe), base=None, data=data, runs=runs)
        if stage.begins is not None:
            start = str(done[stage.begins])
        done[stage.name] = finetune_stage(recipe, stage, start=start, data=data, runs=runs)
        start = str(done[stage.name])
    return Path(start)
