"""Output tokens/s and latency of ours beside other engines on the same weights, interleaved: `make generation`, or

    python -m load_tests.generation [--only NAME ...] [--clients 1 8 32] [--rounds 3] [--seconds 5] [--load fixed]
                                    [--think 0.01] [--more] [--tune] [--tune-only] [--untuned]

No engine is behind HTTP: each runs in a process of its own and gets its texts by a pipe; ours is asked through the
registry and the scheduler. Engines that do not take requests one by one stand behind a plain queue that makes batches
of what waits, in the set-up that turned out best for so many clients (looked for once, then remembered). Clients think
for 10 ms between an answer and the next text, so that each engine is as busy as they can make it; with `--think 0.8`
texts arrive at random and the engine has some time to spare. Texts, lengths and thinking are the same for all.

Ratios are taken within a round, where all systems run one after the other, and their median is printed, because a
machine is not equally fast all the time. `--more` adds rounds to those of the last run.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

from load_tests.compare.report import machine
from load_tests.generation.engine import Engine
from load_tests.generation.inputs import LOADS, THINK_S, Crowd, texts
from load_tests.generation.load import Sample, sample
from load_tests.generation.prepare import FOLDER, prepare
from load_tests.generation.results import Entry, lines, save, saved
from load_tests.generation.systems import OURS_NAME, SYSTEMS, Crew, Setup, System
from load_tests.generation.tuning import tuned

_RESULTS = FOLDER / "results.json"
_TUNING_S = 3


class Field:
    """All engines that were started, and the texts that they get."""

    def __init__(self, pool: Sequence[str], load: str) -> None:
        self._pool = pool
        self._load = load
        self._engines: dict[tuple[str, Crew], Engine] = {}

    async def sample(self, system: System, setup: Setup, crowd: Crowd, *, seconds: float, seed: int) -> Sample:
        """Starts what is not started yet."""
        key = system.name, setup.crew
        if key not in self._engines:
            self._engines[key] = Engine(system, setup.crew, FOLDER)
            await self._engines[key].start()
        engine = self._engines[key]
        engine.set_up(setup)
        return await sample(engine, self._pool, crowd, seconds=seconds, seed=seed)

    async def rate(self, system: System, setup: Setup, clients: int) -> float:
        """For tuning, with clients that hardly think."""
        found = await self.sample(system, setup, Crowd(clients, self._load), seconds=_TUNING_S, seed=-1)
        return found.tokens_per_s

    async def stop(self) -> None:
        """End all processes."""
        for engine in self._engines.values():
            await engine.stop()


def _print(crowd: Crowd, entries: list[Entry]) -> None:
    print(f"\n{crowd}")
    print(f"{'':28}{'set-up':28}{'rounds':>6}{'tokens/s':>10}{'p50 ms':>9}{'p95 ms':>9}{'ours is':>10}{'its p95':>10}")
    for line in lines(entries, OURS_NAME):
        ahead = f"{line.ahead:8.2f} x" if line.ahead is not None else ""
        sooner = f"{line.sooner:8.2f} x" if line.sooner is not None else ""
        print(
            f"{SYSTEMS[line.system].title:28}{line.setup:28}{line.rounds:6}{line.tokens_per_s:10.0f}"
            f"{line.p50_ms:9.0f}{line.p95_ms:9.0f}{ahead:>10}{sooner:>10}",
            flush=True,
        )


async def _run(given: argparse.Namespace, systems: list[System], pool: Sequence[str]) -> None:
    entries = saved(_RESULTS) if given.more else []
    field = Field(pool, given.load)
    try:
        setups = {
            (system.name, clients): system.likeliest(clients)
            if given.untuned
            else await tuned(system, clients, field.rate, again=given.tune)
            for system in systems
            for clients in given.clients
        }
        first = 1 + max((each.round for each in entries), default=-1)
        for number in range(first, first + (0 if given.tune_only else given.rounds)):
            for clients in given.clients:
                for system in systems:
                    setup = setups[system.name, clients]
                    crowd = Crowd(clients, given.load, given.think)
                    found = await field.sample(system, setup, crowd, seconds=given.seconds, seed=number)
                    entries.append(Entry(crowd, number, system.name, str(setup), found))
                    print(f"  round {number}, {clients} clients, {system.title}: {found}", flush=True)
                save(_RESULTS, entries)
    finally:
        await field.stop()
    print(f"\n{machine()}")
    for crowd in dict.fromkeys(each.crowd for each in entries):
        _print(crowd, [each for each in entries if each.crowd == crowd])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS), metavar="NAME")
    arguments.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=5, help="of each sample")
    arguments.add_argument("--load", choices=list(LOADS), default=next(iter(LOADS)))
    arguments.add_argument("--think", type=float, default=THINK_S, help="seconds between an answer and the next text")
    arguments.add_argument("--more", action="store_true", help="add to the last run's rounds")
    arguments.add_argument("--tune", action="store_true", help="look for the best set-ups again")
    arguments.add_argument("--tune-only", action="store_true", help="look for the best set-ups, measure nothing")
    arguments.add_argument("--untuned", action="store_true", help="take each likeliest set-up, look for no better one")
    given = arguments.parse_args()
    systems = [SYSTEMS[name] for name in given.only]
    pool = texts()
    try:
        prepare(systems, pool)
        asyncio.run(_run(given, systems, pool))
    except RuntimeError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
