"""The data that a recipe reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Exit, Option

from models.commands.options import DATA, DataFolder, RecipeName
from models.data.recipe import load_recipe


def prepare(
    recipe: RecipeName,
    *,
    data: DataFolder = DATA,
    source: Annotated[
        Path | None, Option(help="folder with the files, or with SQuAD's own dev-v1.1.json and dev-v2.0.json")
    ] = None,
    download: Annotated[bool, Option("--download", help="fetch what has an address of its own")] = False,
) -> None:
    """Put a recipe's data files in place and check them against the data that the shipped models were made with.

    Most files cannot be fetched: their sets may not be redistributed or have no lasting address. For these it says
    where they are from, how they are made from that, and what digest they must have.
    """
    from models.data.prepare import prepare as prepare_files

    results = prepare_files(load_recipe(recipe), data, source, download=download)
    for each in results:
        print(f"{each.file.path}: {each.problem or 'ready'}")
        if each.problem is not None:
            file = each.file
            wanted = f"{file.rows:,} rows, digest {file.digest} of {', '.join(file.fields)}"
            print(f"  from: {file.home}\n  licence: {file.licence}\n  how: {file.how}\n  wanted: {wanted}")
            if file.url is not None:
                print(f"  --download makes it from {file.url}")
    if any(each.problem is not None for each in results):
        raise Exit(1)
