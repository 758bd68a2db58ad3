"""A smaller model (the student): what may be asked for, and the recipe that this gives."""

from __future__ import annotations

from dataclasses import dataclass

from models.data.recipe import Recipe


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts of the distillation loss; 0 leaves a part out."""

    temperature: float = 2.0
    """Divides the logits of both models, so that the teacher's scores of the less likely labels count too."""
    logits: float = 1.0
    """Divergence from the teacher's logits."""
    states: float = 1.0
    """Squared error against the hidden states behind the teacher's layers."""
    labels: float = 0.5
    """Loss against the rows' own labels."""


@dataclass(frozen=True)
class StudentOptions:
    """Options of `distil` and `prune`; None keeps the recipe's setting."""

    name: str
    """What requests will call the smaller model."""
    epochs: float | None = None
    learning_rate: float | None = None
    dropout: float | None = None
    """Share of hidden states that is dropped in training."""
    tolerance: float | None = None
    """Points that int8 may lose on each score that the recipe watches."""
    loss_weights: LossWeights = LossWeights()

    @property
    def flags(self) -> str:
        """The options that differ from their defaults, as they stand on the command line."""
        loss, plain = self.loss_weights, LossWeights()
        weights = (loss.logits, loss.states, loss.labels)
        changed = {
            "epochs": self.epochs,
            "learning-rate": self.learning_rate,
            "dropout": self.dropout,
            "temperature": None if loss.temperature == plain.temperature else loss.temperature,
        }
        flags = [f" --{name} {value:g}" for name, value in changed.items() if value is not None]
        if weights != (plain.logits, plain.states, plain.labels):
            flags.append(" --weights {:g} {:g} {:g}".format(*weights))
        return "".join(flags)


def student_recipe(recipe: Recipe, options: StudentOptions, made_from: str) -> Recipe:
    """The teacher's recipe with the training that `options` ask for; `made_from` describes the base in the card.

    Only the last stage is trained. The stages before it stay in the recipe because they say which rows are held out and
    which data the model comes from.
    """
    stage = recipe.stages[-1]
    wanted = {
        "epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "hidden_dropout": options.dropout,
    }
    changed = {name: value for name, value in wanted.items() if value is not None}
    # Shares of earlier stages' weights (`keep`) do not fit: those models are as large as the teacher.
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
            # The larger model is the only teacher.
            "stages": (*recipe.stages[:-1], stage.model_copy(update={"training": training, "teacher": None})),
            "evaluation": recipe.evaluation.model_copy(update={"tolerance": tolerance}),
            "not_remade": "",
            "notes": notes,
        }
    )
