"""Command line of the workshop: python -m models COMMAND ... (see `--help` of each)."""

from __future__ import annotations

from typer import Typer

from models.commands.add import add
from models.commands.compress import distil, prune
from models.commands.finetune import finetune
from models.commands.measure import probe, report, speed
from models.commands.prepare import prepare
from models.commands.recipes import domain, evaluate, export, quantize, sentences

app = Typer(
    help="Fine-tune, export, quantize and evaluate what the service serves.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    prepare,
    finetune,
    export,
    quantize,
    evaluate,
    sentences,
    domain,
    probe,
    speed,
    report,
    add,
    distil,
    prune,
):
    app.command()(command)


def main() -> None:
    """Run the command that the arguments of the process name."""
    app(prog_name="python -m models")


if __name__ == "__main__":
    main()
