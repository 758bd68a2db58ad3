"""Command line of the workshop: python -m models COMMAND ... (see `--help` of each)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from models import commands
from models.artifact import ARTIFACTS
from models.distil.options import Lesson
from models.errors import told_in_one_line
from models.own.options import Options


def _add_finetune(kinds: Any, parents: list[argparse.ArgumentParser]) -> None:
    finetune = kinds.add_parser("finetune", parents=parents, help=commands.finetune.__doc__)
    what = finetune.add_mutually_exclusive_group(required=True)
    what.add_argument("recipe", nargs="?", help="name in models/recipes, or a .toml file")
    what.add_argument("--task", choices=["classification"], help="train on rows of your own: --data is their file")
    finetune.add_argument("--base", help="folder or Hub id to start from instead of the recipe's")
    own = finetune.add_argument_group("with --task")
    own.add_argument("--serve-as", metavar="NAME", help="what requests will call it; else it stays in --runs")
    own.add_argument("--test", type=Path, help="file of rows to score on, instead of a tenth of --data")
    own.add_argument("--text", metavar="COLUMN", help="column of the texts, instead of a guess")
    own.add_argument("--label", metavar="COLUMN", help="column of the labels, instead of a guess")
    own.add_argument("--learning-rate", type=float, metavar="RATE", help="instead of one that suits the base's width")
    own.add_argument("--epochs", type=float, default=Options.epochs, help="at most; held-out rows stop it earlier")


def _add_smaller(kinds: Any, parents: list[argparse.ArgumentParser]) -> None:
    both = argparse.ArgumentParser(add_help=False)
    both.add_argument("recipe", help="of the trained model; name in models/recipes, or a .toml file")
    both.add_argument("--as", dest="name", help="what requests will call it, instead of NAME-fast or NAME-pruned")
    both.add_argument("--artifacts", type=Path, help="folder to put it in; else it stays in --runs")
    both.add_argument("--learning-rate", type=float, metavar="RATE", help="instead of the recipe's")
    both.add_argument("--dropout", type=float, metavar="SHARE", help="of hidden states, instead of the recipe's")
    both.add_argument("--tolerance", type=float, metavar="POINTS", help="that int8 may lose, instead of the recipe's")
    both.add_argument("--temperature", type=float, default=Lesson.temperature, help="that divides both models' logits")
    both.add_argument(
        "--weights", type=float, nargs=3, default=(Lesson.logits, Lesson.states, Lesson.labels),
        metavar=("LOGITS", "STATES", "LABELS"), help="of the loss's parts: teacher's logits, its states, rows' labels",
    )  # fmt: skip
    distil = kinds.add_parser("distil", parents=[*parents, both], help=commands.distil.__doc__)
    distil.add_argument("--layers", type=int, required=True, help="how many are kept, evenly spread")
    distil.add_argument("--epochs", type=float, help="instead of the recipe's")
    prune = kinds.add_parser("prune", parents=[*parents, both], help=commands.prune.__doc__)
    prune.add_argument("--heads", type=float, default=0.25, metavar="SHARE", help="of each layer's heads to remove")
    prune.add_argument("--columns", type=float, default=0.33, metavar="SHARE", help="of its feed-forward columns")
    prune.add_argument("--sample", type=int, default=2048, metavar="ROWS", help="of training that tell importance")
    prune.add_argument("--epochs", type=float, default=0.5, help="of training afterwards")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    kinds = parser.add_subparsers(dest="command", required=True)
    data = argparse.ArgumentParser(add_help=False)
    said = "folder with the recipe's data files; with --task a .csv or .jsonl file"
    data.add_argument("--data", type=Path, default=Path("data"), help=said)
    runs = argparse.ArgumentParser(add_help=False)
    runs.add_argument("--runs", type=Path, default=Path("runs"), help="folder for checkpoints and exports")
    limit = argparse.ArgumentParser(add_help=False)
    limit.add_argument("--limit", type=int, help="score on this many rows only")
    artifacts = argparse.ArgumentParser(add_help=False)
    artifacts.add_argument("--artifacts", type=Path, default=ARTIFACTS, help="folder with the model's folder")

    _add_finetune(kinds, [data, runs])
    _add_smaller(kinds, [data, runs, limit])
    export = kinds.add_parser("export", parents=[runs], help=commands.export.__doc__)
    export.add_argument("recipe")
    quantize = kinds.add_parser("quantize", parents=[data, runs, limit, artifacts], help=commands.quantize.__doc__)
    quantize.add_argument("recipe")
    evaluate = kinds.add_parser("evaluate", parents=[data, limit, artifacts], help=commands.evaluate.__doc__)
    evaluate.add_argument("name")
    evaluate.add_argument("--write", action="store_true", help="write metrics.json, the card and the sums anew")
    probe = kinds.add_parser("probe", parents=[data, limit, artifacts], help=commands.probe.__doc__)
    probe.add_argument("name")
    probe.add_argument("--errors", type=int, default=20, help="how many wrong answers to print")
    sentences = kinds.add_parser("sentences", parents=[data, limit, artifacts], help=commands.sentences.__doc__)
    sentences.add_argument("name")
    add = kinds.add_parser("add", help=commands.add.__doc__)
    add.add_argument("source", help="Hub id or folder of a transformers model")
    add.add_argument("--name", required=True, help="what requests will call it")
    add.add_argument(
        "--data", type=Path, help="rows to score on: .jsonl(.xz) in the recipes' fields, or .csv of texts and labels"
    )
    add.add_argument("--tolerance", type=float, default=0.5, help="points that int8 may lose on them")
    speed = kinds.add_parser("speed", help=commands.speed.__doc__)
    speed.add_argument("folder", type=Path, help="an fp32 artifact, as `export` makes it")
    speed.add_argument("--repeats", type=int, default=30, help="runs of each graph at each shape")
    speed.add_argument("--longest", type=int, default=128, help="tokens that the model takes, if they are fewer")
    report = kinds.add_parser("report", parents=[artifacts], help=commands.report.__doc__)
    report.add_argument("--to", type=Path, metavar="FILE", help="write it there, docs/models.md for one")
    return parser


def main() -> None:
    """Run one command; what a user can mend is told in one line."""
    arguments = vars(_parser().parse_args())
    with told_in_one_line():
        getattr(commands, arguments.pop("command"))(**arguments)


if __name__ == "__main__":
    main()
