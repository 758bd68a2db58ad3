"""Training, by a recipe or on a table of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, BadParameter, Option

from models.commands.options import (
    DATA,
    RUNS,
    RunsFolder,
)
from models.custom.model_name import folder_for
from models.custom.recipe import DEFAULT_BASE, ClassifierOptions, read_split
from models.custom.source import check_source
from models.data.recipe import load_recipe


def finetune(
    recipe: Annotated[str | None, Argument(help="name of a recipe in models/recipes, or a .toml file")] = None,
    *,
    task: Annotated[
        Literal["classification"] | None, Option(help="train on your own rows, in the file --data, without a recipe")
    ] = None,
    base: Annotated[str | None, Option(help="folder or Hub id to start from instead of the recipe's")] = None,
    data: Annotated[Path, Option(help="folder with the recipe's data files; with --task a .csv or .jsonl file")] = DATA,
    runs: RunsFolder = RUNS,
    serve_as: Annotated[
        str | None, Option(metavar="NAME", help="with --task: what requests will call it; else it stays in --runs")
    ] = None,
    test: Annotated[
        Path | None, Option(help="with --task: file of rows to score on, instead of a tenth of --data")
    ] = None,
    text: Annotated[
        str | None, Option(metavar="COLUMN", help="with --task: column of the texts, instead of a guess")
    ] = None,
    label: Annotated[
        str | None, Option(metavar="COLUMN", help="with --task: column of the labels, instead of a guess")
    ] = None,
    learning_rate: Annotated[
        float | None, Option(metavar="RATE", help="with --task: instead of one that suits the base's width")
    ] = None,
    epochs: Annotated[
        float, Option(help="with --task: at most so many; held-out rows stop it earlier")
    ] = ClassifierOptions.epochs,
) -> None:
    """Train a recipe's stages, or with --task a classifier on a file of your own texts and labels, which is then
    exported, quantized and scored as well. Goes on from the last checkpoint.
    """
    if (recipe is None) == (task is None):
        raise BadParameter("name a recipe, or give --task and --data, and not both.")
    if recipe is None:
        finetune_custom(
            ClassifierOptions(
                data=data,
                base=base or DEFAULT_BASE,
                serve_as=serve_as,
                test=test,
                text=text,
                label=label,
                learning_rate=learning_rate,
                epochs=epochs,
            ),
            runs=runs,
        )
        return
    plan = load_recipe(recipe)
    from models.training.stages import finetune_recipe

    print(f"trained: {finetune_recipe(plan, base=base, data=data, runs=runs)}")


def finetune_custom(options: ClassifierOptions, *, runs: Path) -> None:
    """Make a classifier on a user's own rows; it is served if it has a name to be served as, else stays in `runs`."""
    unserved = runs / options.name / "int8" / options.name
    target = unserved if options.serve_as is None else folder_for(options.serve_as)
    check_source(options.base)
    split = read_split(options)
    from models.custom.finetune import make_classifier

    print(f"artifact: {make_classifier(options, split, runs=runs, target=target)}")
    if options.serve_as is not None:
        print(f"a server started from now on has {options.name!r}")
