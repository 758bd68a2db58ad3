"""What was measured, as it lies in a JSON file. Standard library only: the plot's own environment reads it too."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

LOADS = (("short", 1), ("short", 64), ("long", 16))
"""Sets and clients."""


def load_name(texts: str, clients: int) -> str:
    """A load in one word."""
    return f"{texts}-{clients}"


@dataclass(frozen=True)
class Sample:
    """One server under one load, or the median of several."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """Processor time a request, of all the server's processes."""
    failed: float
    """Requests without a good answer."""


@dataclass
class Visit:
    """One server in one round."""

    start_s: float
    rss_mb: float
    loads: dict[str, Sample]
    limits: dict[str, float] = field(default_factory=dict)
    """The machine's raw limit around it, in texts a second by set."""


@dataclass
class Entry:
    """A server in the whole run."""

    title: str
    version: str
    setting: dict[str, str | int]
    note: str
    visits: list[Visit] = field(default_factory=list)
    failure: str = ""
    """Why it did not run, empty if it did."""

    def median(self, load: str) -> Sample:
        """Over rounds, of each number by itself."""
        samples = [asdict(visit.loads[load]) for visit in self.visits]
        return Sample(**{name: median(sample[name] for sample in samples) for name in samples[0]})

    def share(self, texts: str, clients: int) -> float:
        """Of the raw limit: the median of the rounds' shares, each by the limit around its visit, because a shared
        machine is not equally fast all the time."""
        load = load_name(texts, clients)
        return median(visit.loads[load].per_s / visit.limits[texts] for visit in self.visits)


@dataclass
class Results:
    """A run."""

    date: str
    machine: str
    rounds: int
    seconds: int
    limits: dict[str, list[float]]
    """The raw limit in texts a second by set: before and after each visit."""
    entries: dict[str, Entry]

    def limit(self, texts: str) -> float:
        """The median, as the servers' numbers are."""
        return median(self.limits[texts])

    def save(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def load_results(path: Path) -> Results:
    """What `save` wrote."""
    found = json.loads(path.read_text(encoding="utf-8"))
    entries = {}
    for name, entry in found.pop("entries").items():
        visits = [
            Visit(**each | {"loads": {load: Sample(**sample) for load, sample in each["loads"].items()}})
            for each in entry.pop("visits")
        ]
        entries[name] = Entry(**entry, visits=visits)
    return Results(**found, entries=entries)
