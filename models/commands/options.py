"""Options that several commands of `python -m models` share, as annotated types."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from models.compression.student import LossWeights

DATA, RUNS = Path("data"), Path("runs")
WEIGHTS = (LossWeights.logits, LossWeights.states, LossWeights.labels)

RecipeName = Annotated[str, Argument(help="name of a recipe in models/recipes, or a .toml file")]
DataFolder = Annotated[Path, Option("--data", help="folder with the recipe's data files")]
RunsFolder = Annotated[Path, Option("--runs", help="folder for checkpoints and exports")]
RowLimit = Annotated[int | None, Option("--limit", metavar="ROWS", help="score on this many rows only")]
ArtifactsFolder = Annotated[Path, Option("--artifacts", help="folder that holds the artifacts, one sub-folder a model")]
LearningRate = Annotated[float | None, Option(metavar="RATE", help="instead of the recipe's")]

# Of `distil` and `prune`.
StudentName = Annotated[
    str | None, Option("--as", metavar="NAME", help="what requests will call it, instead of NAME-fast or NAME-pruned")
]
StudentFolder = Annotated[Path | None, Option("--artifacts", help="folder to put it in; else it stays in --runs")]
Dropout = Annotated[
    float | None, Option(metavar="SHARE", help="dropout of hidden states in training, instead of the recipe's")
]
Tolerance = Annotated[
    float | None, Option(metavar="POINTS", help="score that int8 may lose, instead of the recipe's tolerance")
]
Temperature = Annotated[float, Option(help="divides the logits of both models in the distillation loss")]
LossShares = Annotated[
    tuple[float, float, float],
    Option(
        "--weights",
        metavar="LOGITS STATES LABELS",
        help="weights of the loss's parts: the teacher's logits, its hidden states, the rows' own labels",
    ),
]
