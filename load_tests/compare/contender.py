"""A server to compare with, as plain data. Standard library only: each server's own environment imports this too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.process import cpus

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / ".tools" / "compare"
ARTIFACT = ROOT / "models" / "artifacts" / "sentiment"

Setting = Mapping[str, str | int]
"""A value for each axis."""

RUNTIME = ("onnxruntime==1.32.0", "tokenizers==0.22.2")
TORCH = "torch==2.13.0"
CORES = cpus().usable
CPUS = (f"{CORES}x1", f"1x{CORES}")
"""Workers × threads of each: a worker a core, or all cores in one."""
BATCHES = (8, 4, 16, 32)
DELAYS_MS = (2, 1, 5)


def _plain_body(text: str) -> dict[str, Any]:
    return {"text": text}


def _plain_answer(answer: Any) -> Mapping[str, Any]:
    return answer


@dataclass(frozen=True, kw_only=True)
class Contender:
    """How a server is installed, started, tuned and asked."""

    name: str
    """Also its environment's folder, and its package under `servers`."""
    title: str
    requirements: tuple[str, ...]
    """Pinned. The first one's version is the server's. None at all: our own environment."""
    command: tuple[str, ...]
    """{python}, {port} (five more after it are free), {workers}, {threads} and the axes' names are filled in."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables on top of ours, filled in likewise."""
    axes: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)
    """What to try, the likeliest first."""
    path: str = "/classify"
    body: Callable[[str], dict[str, Any]] = _plain_body
    answer: Callable[[Any], Mapping[str, Any]] = _plain_answer
    """From the parsed JSON to a mapping with label and score."""
    fp32: bool = False
    """Wants float weights, made from the int8 ones."""
    note: str = ""
    """For the table: what a reader would ask about."""

    @property
    def folder(self) -> Path:
        """Its virtual environment."""
        return TOOLS / self.name

    @property
    def work(self) -> Path:
        """For files that it writes at start, and its log."""
        return TOOLS / "work" / self.name

    @property
    def version(self) -> str:
        """Of the server; empty for ours."""
        return self.requirements[0].partition("==")[2] if self.requirements else ""


def app(name: str) -> str:
    """The module that holds a server's app."""
    return f"load_tests.compare.servers.{name}.app"
