"""The recipe of a smaller model: that of the one it is made from, with what training it asks for otherwise."""

from __future__ import annotations

from models.compression.options import Options
from models.data.recipe import Recipe


def student_recipe(recipe: Recipe, options: Options, made_from: str) -> Recipe:
    """The recipe of a model that is `made_from` another recipe's. Only its last stage is trained.

    The stages before that stay in it, because they say which rows are held out, and what data it comes from.
    """
    stage = recipe.stages[-1]
    asked = {
        "epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "hidden_dropout": options.dropout,
    }
    changed = {name: value for name, value in asked.items() if value is not None}
    # What it keeps of earlier stages is as large as the teacher is.
    training = stage.training.model_copy(update={**changed, "keep": {}})
    tolerance = {
        name: points if options.tolerance is None else options.tolerance
        for name, points in recipe.evaluation.tolerance.items()
    }
    notes = (
        f"It is a smaller form of `{recipe.name}`, whose card says what that model is bad at: expect no better here.\n"
        "The numbers there were measured on that model, not on this one."
    )
    return recipe.model_copy(
        update={
            "name": options.name,
            "base": made_from,
            "base_sha256": None,
            # The model that it is made from teaches it, and no other.
            "stages": (*recipe.stages[:-1], stage.model_copy(update={"training": training, "teacher": None})),
            "evaluation": recipe.evaluation.model_copy(update={"tolerance": tolerance}),
            "notes": notes,
        }
    )
