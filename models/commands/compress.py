"""A smaller model from a trained one."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Option

from models.commands.options import (
    DATA,
    RUNS,
    WEIGHTS,
    DataFolder,
    Dropout,
    LearningRate,
    LossShares,
    RecipeName,
    RowLimit,
    RunsFolder,
    StudentFolder,
    StudentName,
    Temperature,
    Tolerance,
)
from models.compression.student import LossWeights, StudentOptions
from models.data.recipe import load_recipe
from models.data.rows import evaluation_rows


def distil(
    recipe: RecipeName,
    *,
    layers: Annotated[int, Option(help="how many layers are kept, evenly spread")],
    name: StudentName = None,
    data: DataFolder = DATA,
    runs: RunsFolder = RUNS,
    artifacts: StudentFolder = None,
    limit: RowLimit = None,
    epochs: Annotated[float | None, Option(help="of training, instead of the recipe's")] = None,
    learning_rate: LearningRate = None,
    dropout: Dropout = None,
    tolerance: Tolerance = None,
    temperature: Temperature = LossWeights.temperature,
    weights: LossShares = WEIGHTS,
) -> None:
    """Make a model with fewer layers from a trained one, which teaches it. Goes on from the last checkpoint."""
    from models.compression.compress import trained_model
    from models.compression.distil import distil as make

    plan = load_recipe(recipe)
    options = StudentOptions(
        name=name or f"{plan.name}-fast",
        epochs=epochs,
        learning_rate=learning_rate,
        dropout=dropout,
        tolerance=tolerance,
        loss_weights=LossWeights(temperature, *weights),
    )
    target = (artifacts or runs / options.name / "int8") / options.name
    teacher, rows = trained_model(plan, data=data, runs=runs), evaluation_rows(plan, data, limit)
    print(f"{make(teacher, options, layers=layers, rows=rows, target=target)}\nartifact: {target}")


def prune(
    recipe: RecipeName,
    *,
    heads: Annotated[float, Option(metavar="SHARE", help="of each layer's attention heads to remove")] = 0.25,
    columns: Annotated[float, Option(metavar="SHARE", help="of its feed-forward columns to remove")] = 0.33,
    sample: Annotated[int, Option(metavar="ROWS", help="training rows to estimate importance on")] = 2048,
    name: StudentName = None,
    data: DataFolder = DATA,
    runs: RunsFolder = RUNS,
    artifacts: StudentFolder = None,
    limit: RowLimit = None,
    epochs: Annotated[float, Option(help="of training after the removal")] = 0.5,
    learning_rate: LearningRate = None,
    dropout: Dropout = None,
    tolerance: Tolerance = None,
    temperature: Temperature = LossWeights.temperature,
    weights: LossShares = WEIGHTS,
) -> None:
    """Make a model without a trained one's least important attention heads and feed-forward columns, and let the whole
    one teach what is left. Goes on from the last checkpoint."""
    from models.compression.compress import trained_model
    from models.compression.prune import prune as make

    plan = load_recipe(recipe)
    options = StudentOptions(
        name=name or f"{plan.name}-pruned",
        epochs=epochs,
        learning_rate=learning_rate,
        dropout=dropout,
        tolerance=tolerance,
        loss_weights=LossWeights(temperature, *weights),
    )
    target = (artifacts or runs / options.name / "int8") / options.name
    teacher, rows = trained_model(plan, data=data, runs=runs), evaluation_rows(plan, data, limit)
    sizes: dict[str, Any] = {"heads": heads, "columns": columns, "sample": sample}
    print(f"{make(teacher, options, **sizes, rows=rows, target=target)}\nartifact: {target}")
