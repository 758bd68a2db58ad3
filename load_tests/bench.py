"""The server beside the raw limit, in one run: `make bench`, or

    python -m load_tests.bench [short] [long] [mixed] [qa] [--seconds 10]

A set's limit is measured before and after its loads, and the better one counts.
"""

from __future__ import annotations

import argparse

from load_tests.ceiling import Limit
from load_tests.generator import Load, lines, result, run, start
from load_tests.server import Server, shoal
from load_tests.texts import SETS, bodies

_CLIENTS = {"short": (1, 16, 64), "long": (1, 16), "mixed": (1, 16, 64), "qa": (1, 16)}


def measured(server: Server, name: str, clients: int, seconds: int) -> tuple[Load, float]:
    """A load on a set, and the server's CPU milliseconds a request."""
    with lines(bodies(name)) as file:
        path = f"/v1/{SETS[name][0]}"
        run(server.url, path, file, clients=clients, seconds=1)
        before_s = server.cpu_s()
        load = run(server.url, path, file, clients=clients, seconds=seconds, first=clients)
        return load, 1000 * (server.cpu_s() - before_s) / max(1, load.requests)


def lone(server: Server, seconds: int) -> None:
    """A single client beside the raw passes, each before and after."""
    limit = Limit("short")
    threads = limit.threads
    raw = [(limit.alone_ms(threads=1), limit.alone_ms(threads=threads))]
    load, _ = measured(server, "short", 1, seconds)
    raw.append((limit.alone_ms(threads=1), limit.alone_ms(threads=threads)))
    narrow_ms, wide_ms = (min(pair) for pair in zip(*raw, strict=True))
    print(
        f"lone short request: p50 {load.p50_ms:.2f} ms over HTTP; raw pass {narrow_ms:.2f} ms on one core, "
        f"{wide_ms:.2f} ms on {threads}",
        flush=True,
    )


def neighbours(server: Server, seconds: int) -> None:
    """Short texts from 51 clients, alone and beside 13 clients with long ones."""
    path = f"/v1/{SETS['short'][0]}"
    with lines(bodies("short")) as short, lines(bodies("long")) as long:
        run(server.url, path, short, clients=51, seconds=2)
        alone = run(server.url, path, short, clients=51, seconds=seconds)
        beside = start(server.url, path, long, clients=13, seconds=seconds)
        among = run(server.url, path, short, clients=51, seconds=seconds, first=51)
        others = result(beside)
    print(
        f"short texts, 51 clients: p99 {alone.p99_ms:.0f} ms alone, {among.p99_ms:.0f} ms "
        f"({among.p99_ms / alone.p99_ms:.1f}x) beside 13 clients with long ones, whose p99 is {others.p99_ms:.0f} ms",
        flush=True,
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("sets", nargs="*", default=list(SETS))
    arguments.add_argument("--seconds", type=int, default=10, help="of each load")
    arguments.add_argument("--clients", type=int, nargs="*", help="instead of each set's own")
    given = arguments.parse_args()
    print(
        f"{'set':6}{'clients':>8}{'req/s':>9}{'limit':>9}{'share':>7}{'p50 ms':>9}{'p99 ms':>9}{'p99/p50':>8}"
        f"{'CPU ms':>8}{'RSS MB':>8}{'failed':>7}"
    )
    for name in given.sets:
        limit = Limit(name)
        before = limit.best(seconds=1.5)
        with shoal() as server:
            rows = [
                (clients, *measured(server, name, clients, given.seconds), server.rss_mb())
                for clients in given.clients or _CLIENTS[name]
            ]
        after = limit.texts_per_s(before.rows, seconds=3)
        most = max(before.texts_per_s, after)
        for clients, load, cpu_ms, rss_mb in rows:
            print(
                f"{name:6}{clients:8}{load.per_s:9.1f}{most:9.1f}{load.per_s / most:7.2f}{load.p50_ms:9.2f}"
                f"{load.p99_ms:9.2f}{load.p99_ms / load.p50_ms:8.2f}{cpu_ms:8.2f}{rss_mb:8.0f}"
                f"{load.refused + load.broken:7}",
                flush=True,
            )
    if "short" in given.sets and not given.clients:
        with shoal() as server:
            lone(server, given.seconds)
            neighbours(server, given.seconds)


if __name__ == "__main__":
    main()
