"""Errors that a user of the workshop can correct; the command line prints each as one line, without a traceback.

WorkshopError          exit status 1
├── BadOption          2: an option's value that is impossible; also a ValueError
├── NameTaken          also a FileExistsError
├── Missing            also a FileNotFoundError
└── UnclearTable, TooFewRows, OtherRun, QuantizationLoss, ... where they are raised
"""

from __future__ import annotations


class WorkshopError(Exception):
    """`str(error)` is the line that the user reads."""

    exit_code = 1


class BadOption(WorkshopError, ValueError):
    """An option's value that is impossible."""

    exit_code = 2


class NameTaken(WorkshopError, FileExistsError):
    """A folder with the name that a new model should get."""


class Missing(WorkshopError, FileNotFoundError):
    """A file, folder or recipe that is not there."""
