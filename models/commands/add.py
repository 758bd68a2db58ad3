"""A transformers model that somebody else trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from models.data.model_card import ARTIFACTS


def add(
    source: Annotated[str, Argument(help="Hub id or folder of a transformers model")],
    *,
    name: Annotated[str, Option(help="what requests will call it")],
    data: Annotated[
        Path | None, Option(help="rows to score on, .jsonl or .jsonl.xz with the fields of the recipes' data")
    ] = None,
    tolerance: Annotated[float, Option(metavar="POINTS", help="score that int8 may lose on these rows")] = 0.5,
) -> None:
    """Export, quantize and (with rows to score on) evaluate somebody's model, and put it beside the others."""
    from models.custom.add import add_model

    print(f"artifact: {add_model(source, ARTIFACTS / name, data=data, tolerance=tolerance)}")
