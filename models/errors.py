"""Errors that a user of the workshop can mend, and how the command line tells them: in one line, without a traceback.

WorkshopError          exit status 1
├── BadOption          2: what was asked for cannot be; also a ValueError
├── NameTaken          also a FileExistsError
├── Missing            also a FileNotFoundError
└── UnclearTable, TooFewRows, OtherRun, QuantizationLoss, ... where they are raised
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import ArtifactError


class WorkshopError(Exception):
    """`str(error)` is the line that the user reads."""

    status = 1


class BadOption(WorkshopError, ValueError):
    status = 2


class NameTaken(WorkshopError, FileExistsError):
    pass


class Missing(WorkshopError, FileNotFoundError):
    pass


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and not isinstance(error, WorkshopError):
        return str(error).strip().partition("\n")[0]  # the Hub's reasons go on for many lines
    return " ".join(str(error).split())


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Turn what a user can mend into a line on stderr and an exit status: 1 or 2, after Ctrl-C 130.

    Besides WorkshopErrors that is what files and networks raise (OSError), folders that cannot be served, and the
    workshop's packages missing. Everything else is a fault of ours and keeps its traceback.
    """
    try:
        yield
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("models", "service"):
            raise
        print(f"error: {error.name} is not installed here; make workshop installs what models/ needs", file=sys.stderr)
        raise SystemExit(1) from None
    except (WorkshopError, ArtifactError, OSError) as error:
        print(f"error: {_sentence(error)}", file=sys.stderr)
        raise SystemExit(error.status if isinstance(error, WorkshopError) else 1) from None
