"""Command line of the workshop: python -m models COMMAND ... (see `--help` of each)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from typer import Typer, TyperException

from models.commands.add import add
from models.commands.check import check
from models.commands.compress import distil, prune
from models.commands.finetune import finetune
from models.commands.measure import probe, report, speed
from models.commands.prepare import prepare
from models.commands.recipes import domain, evaluate, export, quantize, sentences
from models.errors import WorkshopError
from service.errors import ServiceError, StartupError

app = Typer(
    help="Fine-tune, export, quantize and evaluate what the service serves.",
    add_completion=False,
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
    check,
    distil,
    prune,
):
    app.command()(command)

_PROGRAM = "python -m models"
_INTERRUPTED = 130


def _message(error: Exception) -> str | None:
    """One line for an error that the user can correct; None for a fault of the workshop.

    Besides WorkshopErrors these are what typer refuses, what files and networks raise (OSError), folders that cannot be
    served, models that fail when they are asked, and missing packages.
    """
    if isinstance(error, ModuleNotFoundError):
        if error.name is None or error.name.partition(".")[0] in ("models", "service"):
            return None
        return f"{error.name} is not installed here; make workshop installs what models/ needs"
    if isinstance(error, TyperException):
        command = getattr(getattr(error, "ctx", None), "command_path", _PROGRAM)
        return f"{' '.join(error.format_message().split())} See {command} --help."
    if isinstance(error, WorkshopError | StartupError | ServiceError):
        return " ".join(str(error).split())
    return _os_message(error) if isinstance(error, OSError) else None


def _os_message(error: OSError) -> str:
    if error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error).strip().partition("\n")[0]  # the Hub's reasons go on for many lines


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that `arguments` name, by default those of the process, and exit.

    The status is 0, or 1 or 2 with one line on stderr for an error that the user can correct, or 130 after Ctrl-C.
    Faults of the workshop keep their traceback.
    """
    try:
        # Not standalone: typer would print and exit by rules of its own. It returns the status of an Exit.
        status = app(arguments, prog_name=_PROGRAM, standalone_mode=False)
    except Exception as error:
        line = _message(error)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))
    if status == _INTERRUPTED:  # what typer makes of KeyboardInterrupt
        print("\ninterrupted; run the same command again to go on", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
