"""What was measured: samples by round, and what is made of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from load_tests.generation.inputs import Crowd
from load_tests.generation.load import Sample


@dataclass(frozen=True)
class Entry:
    """A system's sample in one round."""

    crowd: Crowd
    round: int
    system: str
    setup: str
    sample: Sample


def saved(path: Path) -> list[Entry]:
    """What `save` wrote; nothing if it did not."""
    if not path.is_file():
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [Entry(**{**row, "crowd": Crowd(**row["crowd"]), "sample": Sample(**row["sample"])}) for row in rows]


def save(path: Path, entries: list[Entry]) -> None:
    """As JSON."""
    path.write_text(json.dumps([asdict(each) for each in entries], indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Line:
    """A system with so many clients: medians over rounds."""

    system: str
    setup: str
    rounds: int
    tokens_per_s: float
    p50_ms: float
    p95_ms: float
    ahead: float | None
    """The reference's tokens/s over this one's: the median of the ratios within rounds, None without common rounds."""
    sooner: float | None
    """The reference's p95 over this one's, likewise."""


def lines(entries: list[Entry], reference: str) -> list[Line]:
    """One a system, in the order in which they first stand in `entries`, all of one crowd.

    The machine's speed drifts, so systems are compared within a round, minutes apart at most, and only then summed up.
    """
    mine = {each.round: each.sample for each in entries if each.system == reference}
    found = []
    for system in dict.fromkeys(each.system for each in entries):
        own = [each for each in entries if each.system == system]
        pairs = [(mine[each.round], each.sample) for each in own if each.round in mine]
        found.append(
            Line(
                system,
                own[-1].setup,
                len(own),
                median(each.sample.tokens_per_s for each in own),
                median(each.sample.p50_ms for each in own),
                median(each.sample.p95_ms for each in own),
                median(ours.tokens_per_s / theirs.tokens_per_s for ours, theirs in pairs) if pairs else None,
                median(ours.p95_ms / theirs.p95_ms for ours, theirs in pairs) if pairs else None,
            )
        )
    return found
