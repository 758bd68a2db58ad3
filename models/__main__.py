"""Command line of the workshop: python -m models COMMAND ..."""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    finetune = commands.add_parser("finetune", help="train a recipe; goes on from its last checkpoint")
    finetune.add_argument("recipe")
    finetune.add_argument("--base", help="folder or Hub id to start from instead of the recipe's")
    finetune.add_argument("--data", type=Path, default=Path("data"))
    finetune.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    from models.finetune.run import finetune_recipe
    from models.recipe import load_recipe

    finetune_recipe(load_recipe(arguments.recipe), base=arguments.base, data=arguments.data, runs=arguments.runs)


if __name__ == "__main__":
    main()
