"""A recipe: everything that makes one model, as a small TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import Missing, WorkshopError

Task = Literal["text-classification", "question-answering", "summarization"]

RECIPES = Path(__file__).parents[1] / "recipes"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Section):
    """One data set: files under the data folder, where the public finds it, and its terms."""

    files: tuple[str, ...]
    home: str
    licence: str
    cap: int | None = None
    """Rows taken at most, chosen by the recipe's seed."""
    repeat: int = 1
    """Times each row is seen in an epoch."""
    select: dict[str, str] = Field(default_factory=dict)
    """Only rows whose fields equal these."""
    relabel: dict[str, str] = Field(default_factory=dict)
    """What a row's labels mean here; rows with a label that is not listed, or of two meanings, are left out."""


class Training(_Section):
    """Hyper-parameters, in the meaning that transformers' TrainingArguments gives them."""

    epochs: float
    batch_size: int
    learning_rate: float
    max_length: int
    seed: int
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.0
    """Zero by default: drawing the masks is slower on a CPU than the attention itself."""
    attention: Literal["eager", "sdpa"] = "sdpa"
    label_smoothing: float = 0.0
    save_steps: int = 500
    average_from: float | None = None
    """From this part of the steps on (0.5: the second half) the mean of the weights is kept, not the last ones."""
    keep: dict[str, float] = Field(default_factory=dict)
    """Shares of earlier stages' weights, by name, in those that the stage ends with (Wortsman et al. 2022)."""
    decay_from: float | None = None
    """From this part of the steps on the learning rate falls to 0; before it is constant. None: it falls all along."""
    patience: int | None = None
    """Epochs without a better score on held-out rows after which training stops; the best epoch's weights stay."""
    extra: dict[str, float] = Field(default_factory=dict)
    """What only one task's training knows, such as `no_answer` for question answering."""


class TeacherSettings(_Section):
    """A model of the same task, whose answers to a stage's rows are learnt beside the rows' own."""

    recipe: str | None = None
    """Another recipe's. None: what the stage begins with, so that it is not forgotten (Li & Hoiem 2016, "Learning
    without Forgetting"); it does not teach questions without an answer, which such a stage is to learn."""
    temperature: float = 2.0
    """Divides both logits, so that what the teacher thinks of the answers that it does not give is seen too."""
    logits: float = 1.0
    """How much of the loss comes from the teacher's logits."""
    labels: float = 0.5
    """And how much from the rows' own."""


class Stage(_Section):
    """One pass of training over its own data; stages run in order, each from the weights of one before it."""

    name: str
    sources: tuple[Source, ...]
    training: Training
    teacher: TeacherSettings | None = None
    """For encoders with a head."""
    begins: str | None = None
    """The earlier stage from whose weights it starts; None: the one before it."""


class HeldOut(_Section):
    """Rows of the first source that no stage trains on, for early stopping and for the scores' temperature."""

    rows: int
    seed: int = 13
    source: int = 0
    """The first stage's source that they come from."""
    whole_texts: bool = False
    """For data that holds parts of its own texts: only whole ones are held out, and all their parts with them."""
    min_words: int = 1


class Seq2Seq(_Section):
    """Shape of the encoder-decoder that is made from an encoder ("A seq2seq from MiniLM")."""

    vocabulary: int
    decoder_layers: int


class Evaluation(_Section):
    """What the scores are measured on, and how much of each int8 may lose (in points)."""

    files: tuple[str, ...]
    home: str
    tolerance: dict[str, float]
    bars: dict[str, float] = Field(default_factory=dict)


class Recipe(_Section):
    """Everything that makes one model: base, data, hyper-parameters, seed, evaluation."""

    name: str
    task: Task
    description: str
    base: str
    """Hub id, or a folder."""
    base_sha256: str | None = None
    """Of the base's model.safetensors, checked before it is used."""
    labels: tuple[str, ...] = ()
    stages: tuple[Stage, ...]
    evaluation: Evaluation
    seq2seq: Seq2Seq | None = None
    held_out: HeldOut | None = None
    not_remade: str = ""
    """Which part of the shipped weights the commands do not make again, for the card; empty if they make all."""
    notes: str = ""
    """The model card's limits, in Markdown."""
    serving: dict[str, object] = Field(default_factory=dict)
    """Goes into the artifact's config.json under "shoal": generation defaults and the like."""

    @model_validator(mode="after")
    def _builds_on_earlier_stages(self) -> Recipe:
        earlier: set[str] = set()
        for stage in self.stages:
            named = {*stage.training.keep, *([stage.begins] if stage.begins else [])}
            if strange := sorted(named - earlier):
                raise ValueError(f"stage {stage.name!r} builds on {', '.join(strange)}: no earlier stage")
            earlier.add(stage.name)
        return self


class BadRecipe(WorkshopError, ValueError):
    """A file that is no recipe; says which and where."""


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe by name (models/recipes/NAME.toml) or by path.

    Raises Missing, and BadRecipe for a file that is none.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in RECIPES.glob("*.toml")))
        raise Missing(f"there is no recipe {name_or_path}; there are {known}, or name a .toml file of your own")
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:3]]
        raise BadRecipe(f"{path}: {'; '.join(faults)}") from error
    except ValueError as error:  # no TOML, no UTF-8
        raise BadRecipe(f"{path}: {error}") from error
