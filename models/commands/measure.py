"""What models are worth: probes, speed, and a table of all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from models.commands.options import (
    DATA,
    ArtifactsFolder,
    DataFolder,
    RecipeName,
    RowLimit,
)
from models.data.model_card import ARTIFACTS
from models.data.recipe import load_recipe
from models.data.rows import evaluation_rows
from service.artifact import Artifact


def probe(
    name: RecipeName,
    *,
    data: DataFolder = DATA,
    limit: RowLimit = None,
    artifacts: ArtifactsFolder = ARTIFACTS,
    errors: Annotated[int, Option(help="how many wrong answers to print")] = 20,
) -> None:
    """Print what a model's score leaves out.

    Of a classifier with two labels: calibration, spelling, bias and the worst errors. Of a model that answers
    questions: calibration, how often it declines, and errors.
    """
    plan = load_recipe(name)
    rows = evaluation_rows(plan, data, limit)
    from models.evaluation.probe import probe_report

    print(probe_report(Artifact(artifacts / plan.name), rows, errors=errors))


def speed(
    folder: Annotated[Path, Argument(help="an fp32 artifact, as `export` makes it")],
    *,
    repeats: Annotated[int, Option(help="runs of each graph at each shape")] = 30,
    longest: Annotated[int, Option(metavar="TOKENS", help="longest input to time, if the model reads so many")] = 128,
) -> None:
    """Time an fp32 artifact beside stock dynamic int8 and ours, in tokens a second on one thread."""
    from models.graphs.quantize.speed import measure_speed, speed_table

    print(speed_table(measure_speed(folder, repeats=repeats, longest=longest)))


def report(
    *,
    artifacts: ArtifactsFolder = ARTIFACTS,
    to: Annotated[Path | None, Option(metavar="FILE", help="write it there, docs/models.md for one")] = None,
) -> None:
    """Print, or write, one Markdown table of all artifacts: size, parameters, speed, scores, bars."""
    from models.evaluation.report import report_table

    table = report_table(artifacts)
    if to is None:
        print(table)
    else:
        to.write_text(table + "\n", encoding="utf-8")
