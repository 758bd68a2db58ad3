"""Command line of the workshop: python -m models COMMAND ... (see `--help` of each)."""

from __future__ import annotations

import argparse
from pathlib import Path

from models import commands
from models.artifact import ARTIFACTS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    kinds = parser.add_subparsers(dest="command", required=True)
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=Path, default=Path("data"), help="folder with the recipe's data files")
    runs = argparse.ArgumentParser(add_help=False)
    runs.add_argument("--runs", type=Path, default=Path("runs"), help="folder for checkpoints and exports")
    limit = argparse.ArgumentParser(add_help=False)
    limit.add_argument("--limit", type=int, help="score on this many rows only")

    finetune = kinds.add_parser("finetune", parents=[data, runs], help=commands.finetune.__doc__)
    finetune.add_argument("recipe", help="name in models/recipes, or a .toml file")
    finetune.add_argument("--base", help="folder or Hub id to start from instead of the recipe's")
    export = kinds.add_parser("export", parents=[runs], help=commands.export.__doc__)
    export.add_argument("recipe")
    quantize = kinds.add_parser("quantize", parents=[data, runs, limit], help=commands.quantize.__doc__)
    quantize.add_argument("recipe")
    evaluate = kinds.add_parser("evaluate", parents=[data, limit], help=commands.evaluate.__doc__)
    evaluate.add_argument("name")
    evaluate.add_argument("--artifacts", type=Path, default=ARTIFACTS, help="folder with the model's folder")
    evaluate.add_argument("--write", action="store_true", help="write metrics.json, the card and the sums anew")
    add = kinds.add_parser("add", help=commands.add.__doc__)
    add.add_argument("source", help="Hub id or folder of a transformers model")
    add.add_argument("--name", required=True, help="what requests will call it")
    add.add_argument("--data", type=Path, help="rows to score on, .jsonl or .jsonl.xz in the recipes' fields")
    add.add_argument("--tolerance", type=float, default=0.5, help="points that int8 may lose on them")
    speed = kinds.add_parser("speed", help=commands.speed.__doc__)
    speed.add_argument("folder", type=Path, help="an fp32 artifact, as `export` makes it")
    speed.add_argument("--repeats", type=int, default=30, help="runs of each graph at each shape")
    speed.add_argument("--longest", type=int, default=128, help="tokens that the model takes, if they are fewer")
    return parser


def main() -> None:
    """Run one command."""
    arguments = vars(_parser().parse_args())
    getattr(commands, arguments.pop("command"))(**arguments)


if __name__ == "__main__":
    main()
