"""A line in, a line out: batches of requests as JSON, several at once where an engine takes them. Standard library."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from load_tests.generation.inputs import Request

Answers = list[tuple[int, str]]
"""Tokens written and their text, for each request."""


def answers_line(number: int, answers: Answers) -> bytes:
    """To a batch."""
    return json.dumps([number, answers]).encode() + b"\n"


def parsed(line: bytes) -> tuple[int, list[Request]]:
    """A batch's number and requests."""
    number, requests = json.loads(line)
    return number, [Request(*each) for each in requests]


def own_stdout() -> int:
    """A descriptor for answers; what libraries print goes to stderr from now on."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


def options() -> Mapping[str, Any]:
    """What the driver chose: "folder", "slots", "threads" and more."""
    return dict(json.loads(sys.argv[1]))


def serve(write: Callable[[list[Request]], Answers], *, slots: int) -> None:
    """Answer batches until stdin ends, `slots` at a time. All requests of a batch want the same search."""
    out = own_stdout()

    def work(line: bytes) -> None:
        number, requests = parsed(line)
        os.write(out, answers_line(number, write(requests)))

    os.write(out, b"ready\n")
    with ThreadPoolExecutor(slots) as pool:
        # Unbuffered: a line must not wait for the next one.
        for line in iter(sys.stdin.buffer.readline, b""):
            pool.submit(work, line)
