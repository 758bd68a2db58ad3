"""What a server would make of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument

from service.config import read_settings


def check(
    folder: Annotated[Path, Argument(help="a model's folder: ours, Optimum's, or in the Hub's cache")],
) -> None:
    """Load a folder as the server does, ask it an example of each route, and say what it is and what it costs."""
    from models.custom.check import check_folder

    print("\n".join(check_folder(folder, read_settings())))
