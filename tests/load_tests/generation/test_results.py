from __future__ import annotations

from pathlib import Path

from load_tests.generation.inputs import Crowd
from load_tests.generation.load import Sample
from load_tests.generation.results import Entry, lines, save, saved


def entry(number: int, system: str, tokens_per_s: float, p95_ms: float = 100.0) -> Entry:
    return Entry(Crowd(8, "fixed"), number, system, f"set-up of {system}", Sample(tokens_per_s, p95_ms / 2, p95_ms, 9))


def test_what_was_saved_is_read_as_it_was(tmp_path: Path) -> None:
    entries = [entry(0, "ours", 5.0), entry(0, "theirs", 4.0)]
    assert saved(tmp_path / "results.json") == []
    save(tmp_path / "results.json", entries)
    assert saved(tmp_path / "results.json") == entries


def test_systems_are_compared_within_a_round() -> None:
    """The machine is half as fast in round 1: of the medians the ratio would be 1.5, in every round it is 2."""
    entries = [
        entry(0, "ours", 200, 100), entry(0, "theirs", 100, 50),
        entry(1, "ours", 100, 200), entry(1, "theirs", 50, 100),
        entry(2, "ours", 150, 120),
        entry(3, "theirs", 110, 70),
    ]  # fmt: skip
    ours, theirs = lines(entries, "ours")
    assert (ours.system, ours.rounds, ours.tokens_per_s, ours.p50_ms, ours.p95_ms) == ("ours", 3, 150, 60, 120)
    assert (ours.ahead, ours.sooner) == (1.0, 1.0)
    assert (theirs.system, theirs.setup, theirs.rounds) == ("theirs", "set-up of theirs", 3)
    assert (theirs.ahead, theirs.sooner) == (2.0, 2.0)


def test_who_shares_no_round_is_not_compared() -> None:
    (_, theirs) = lines([entry(0, "ours", 200), entry(1, "theirs", 100)], "ours")
    assert (theirs.ahead, theirs.sooner) == (None, None)
