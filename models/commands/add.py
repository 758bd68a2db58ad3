"""A transformers model that somebody else trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from models.custom.model_name import folder_for
from models.custom.source import check_source
from models.data.rows_to_score import rows_to_score
from service.artifact import Artifact
from service.tasks import task_for


def add(
    source: Annotated[str, Argument(help="Hub id or folder of a transformers model")],
    *,
    name: Annotated[str, Option(help="what requests will call it")],
    data: Annotated[
        Path | None,
        Option(help="rows to score on: .jsonl(.xz) with fields as in the recipes' data, or .csv of texts and labels"),
    ] = None,
    tolerance: Annotated[float, Option(metavar="POINTS", help="score that int8 may lose on these rows")] = 0.5,
) -> None:
    """Export, quantize and (with rows to score on) evaluate somebody's model, and put it beside the others."""
    target = folder_for(name)
    config = check_source(source)
    if data is not None and config is not None:
        rows_to_score(
            data, task_for(config, source, embeds=Artifact(Path(source)).embeds).name, config
        )  # before minutes go by
    from models.custom.add import add_model

    print(f"artifact: {add_model(source, target, data=data, tolerance=tolerance)}")
    print(f"a server started from now on has {name!r}")
