"""How a task answers one input: rows for the model, their results, more rows if it needs them, the answer."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeAlias

from service.engine.in_flight import TaskResult

Rows: TypeAlias = list[tuple[Any, int]]
"""What the model reads, and its length in tokens."""

Rounds: TypeAlias = Generator[Rows, list[Any], TaskResult]
"""Yields rows, is sent their results in that order, and so on; returns the answer."""
