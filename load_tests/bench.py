"""The server beside the raw limit, in one run: `make bench`, or

    python -m load_tests.bench [short] [long] [mixed] [qa] [--seconds 10]

Each load runs in three parts, the limit measured between them: a share is a part's throughput by the mean of the limits
before and after it, and every figure the median of the parts'. So a machine that changes its speed moves no share.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from load_tests.ceiling import Limit
from load_tests.generator import Load, lines, measured, result, run, start
from load_tests.server import Server, shoal
from load_tests.texts import SETS, bodies

_CLIENTS = {"short": (1, 16, 64), "long": (1, 16), "mixed": (1, 16, 64), "qa": (1, 16)}
_PARTS = 3
_LIMIT_S = 1.5


@dataclass(frozen=True)
class Part:
    """One part of a load, and the machine's limit while it ran."""

    load: Load
    cpu_ms: float
    """Of the server, a request."""
    limit: float
    """Texts a second, or milliseconds of a pass."""


def loaded(server: Server, name: str, clients: int, seconds: int) -> tuple[Load, float]:
    """A load on a set, and the server's CPU milliseconds a request."""
    return measured(server, f"/v1/{SETS[name][0]}", bodies(name), clients=clients, seconds=seconds)


def between(server: Server, limit: Callable[[], float], load: Callable[[], tuple[Load, float]]) -> list[Part]:
    """The parts of a load, the limit measured before and after each, with the server idle."""

    def alone() -> float:
        server.settle()
        return limit()

    before, found = alone(), []
    for _ in range(_PARTS):
        seen, cpu_ms = load()
        after = alone()
        found.append(Part(seen, cpu_ms, (before + after) / 2))
        before = after
    return found


def row(name: str, clients: int, found: list[Part], rss_mb: float) -> str:
    """A line of the table."""
    p50_ms, p99_ms = (median(getattr(part.load, key) for part in found) for key in ("p50_ms", "p99_ms"))
    shares = sorted(part.load.per_s / part.limit for part in found)
    return (
        f"{name:6}{clients:8}{median(part.load.per_s for part in found):9.1f}"
        f"{median(part.limit for part in found):9.1f}"
        f"{median(shares):7.2f}{f'{shares[0]:.2f}-{shares[-1]:.2f}':>11}{p50_ms:9.2f}{p99_ms:9.2f}"
        f"{median(part.load.p99_ms / part.load.p50_ms for part in found):8.2f}"
        f"{median(part.cpu_ms for part in found):8.2f}{rss_mb:8.0f}"
        f"{sum(part.load.refused + part.load.broken for part in found):7}"
    )


def lone(server: Server, part_s: int) -> None:
    """A single client beside raw passes on as many cores."""
    limit = Limit("short")
    found = between(server, partial(limit.alone_ms, threads=limit.threads), partial(loaded, server, "short", 1, part_s))
    over = sorted(part.load.p50_ms - part.limit for part in found)
    print(
        f"lone short request: p50 {median(part.load.p50_ms for part in found):.2f} ms over HTTP; raw pass on "
        f"{limit.threads} cores {median(part.limit for part in found):.2f} ms; {median(over):.2f} ms between them "
        f"({over[0]:.2f} to {over[-1]:.2f})",
        flush=True,
    )


def neighbours(server: Server, part_s: int) -> None:
    """Short texts from 51 clients, alone and beside 13 clients with long ones."""
    path = f"/v1/{SETS['short'][0]}"
    found: list[tuple[Load, Load, Load]] = []
    with lines(bodies("short")) as short, lines(bodies("long")) as long:
        run(server.url, path, short, clients=51, seconds=1)
        for _ in range(_PARTS):
            alone = run(server.url, path, short, clients=51, seconds=part_s)
            beside = start(server.url, path, long, clients=13, seconds=part_s)
            among = run(server.url, path, short, clients=51, seconds=part_s, first=51)
            found.append((alone, among, result(beside)))
    alone_ms, among_ms, long_ms = (median(part[each].p99_ms for part in found) for each in range(3))
    times = median(among.p99_ms / alone.p99_ms for alone, among, _ in found)
    print(
        f"short texts, 51 clients: p99 {alone_ms:.0f} ms alone, {among_ms:.0f} ms ({times:.1f}x) beside 13 clients "
        f"with long ones, whose p99 is {long_ms:.0f} ms",
        flush=True,
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("sets", nargs="*", default=list(SETS))
    arguments.add_argument("--seconds", type=int, default=10, help="of each load")
    arguments.add_argument("--clients", type=int, nargs="*", help="instead of each set's own")
    given = arguments.parse_args()
    print(
        f"{'set':6}{'clients':>8}{'req/s':>9}{'limit':>9}{'share':>7}{'from-to':>11}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'p99/p50':>8}{'CPU ms':>8}{'RSS MB':>8}{'failed':>7}"
    )
    part_s = max(1, round(given.seconds / _PARTS))
    for name in given.sets:
        limit = Limit(name)
        fastest = partial(limit.texts_per_s, limit.best(seconds=_LIMIT_S).rows, seconds=_LIMIT_S)
        with shoal() as server:
            for clients in given.clients or _CLIENTS[name]:
                found = between(server, fastest, partial(loaded, server, name, clients, part_s))
                print(row(name, clients, found, server.rss_mb()), flush=True)
    if "short" in given.sets and not given.clients:
        with shoal() as server:
            lone(server, part_s)
            neighbours(server, part_s)


if __name__ == "__main__":
    main()
