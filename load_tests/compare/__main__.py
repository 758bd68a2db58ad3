"""Ours beside other servers on the same int8 classifier, interleaved in one run: `make compare`, or

    python -m load_tests.compare [--only NAME ...] [--rounds 3] [--seconds 8] [--tune] [--tune-only] [--untuned]

Every server gets an environment of its own under .tools/compare, made when it is first wanted, and is tuned once; what
was tuned is remembered. Then every server is started, checked and loaded once a round. Writes results.json there,
docs/benchmarks.md and docs/benchmarks.svg; the last two only when all servers were asked for.
"""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import UTC, datetime
from types import FrameType

from load_tests.ceiling import Limit
from load_tests.compare.contender import ROOT, TOOLS, Contender
from load_tests.compare.environment import install, plot
from load_tests.compare.launch import adopt_orphans
from load_tests.compare.lineup import ABSENT, LINEUP
from load_tests.compare.measure import visit
from load_tests.compare.report import machine, write
from load_tests.compare.results import LOADS, Entry, Results, Visit
from load_tests.compare.tuning import likeliest, tuned

_LIMIT_S = 1.5
_SETS = sorted({texts for texts, _ in LOADS}, reverse=True)


def _terminated(number: int, frame: FrameType | None) -> None:
    """Leave by an exception, so that the server that runs is stopped."""
    del frame
    sys.exit(128 + number)


def _prepare(contender: Contender, given: argparse.Namespace) -> Entry:
    entry = Entry(contender.title, contender.version, {}, contender.note)
    try:
        install(contender)
        entry.setting = dict(likeliest(contender) if given.untuned else tuned(contender, again=given.tune))
    except RuntimeError as error:
        entry.failure = str(error)
        print(f"{contender.title}: {error}", flush=True)
    return entry


def _visit(contender: Contender, entry: Entry, seconds: int) -> Visit | None:
    """What was measured, which `entry` has from then on; None if it failed."""
    try:
        found = visit(contender, entry.setting, seconds)
    except RuntimeError as error:
        entry.failure = str(error)
        print(f"{contender.title:38} {error}", flush=True)
        return None
    entry.visits.append(found)
    loads = "   ".join(f"{name} {each.per_s:6.1f}/s p99 {each.p99_ms:7.1f} ms" for name, each in found.loads.items())
    print(f"{contender.title:38} {loads}   start {found.start_s:4.1f} s  RSS {found.rss_mb:5.0f} MB", flush=True)
    return found


def _measure(results: Results, contenders: list[Contender]) -> None:
    limits = {texts: Limit(texts) for texts in _SETS}
    rows = {texts: limit.best(seconds=2).rows for texts, limit in limits.items()}

    def limit_now() -> dict[str, float]:
        found = {texts: limit.texts_per_s(rows[texts], seconds=_LIMIT_S) for texts, limit in limits.items()}
        for texts, each in found.items():
            results.limits.setdefault(texts, []).append(each)
        return found

    before = limit_now()
    for number in range(results.rounds):
        print(f"Round {number + 1} of {results.rounds}", flush=True)
        shift = number * len(contenders) // results.rounds
        for contender in contenders[shift:] + contenders[:shift]:
            found = _visit(contender, results.entries[contender.name], results.seconds)
            after = limit_now()
            if found is not None:
                found.limits = {texts: (before[texts] + after[texts]) / 2 for texts in _SETS}
            before = after
        results.save(TOOLS / "results.json")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", nargs="+", choices=list(LINEUP), default=list(LINEUP), metavar="NAME")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=8, help="of each load")
    arguments.add_argument("--tune", action="store_true", help="tune again")
    arguments.add_argument("--tune-only", action="store_true", help="install and tune, measure nothing")
    arguments.add_argument("--untuned", action="store_true", help="take each likeliest setting, look for no better one")
    given = arguments.parse_args()
    signal.signal(signal.SIGTERM, _terminated)
    adopt_orphans()
    contenders = [LINEUP[name] for name in given.only]
    entries = {each.name: _prepare(each, given) for each in contenders}
    if given.tune_only:
        return
    date = datetime.now(UTC).date().isoformat()
    results = Results(date, machine(), given.rounds, given.seconds, {}, entries)
    _measure(results, [each for each in contenders if not entries[each.name].failure])
    if given.only == list(LINEUP):
        write(results, ABSENT, ROOT / "docs" / "benchmarks.md")
        plot(TOOLS / "results.json", ROOT / "docs" / "benchmarks.svg")


if __name__ == "__main__":
    main()
