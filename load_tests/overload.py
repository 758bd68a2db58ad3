"""Open-loop load below and above what the server can do: requests come when they come, answered or not.

    python -m load_tests.overload [--seconds 10] [--deadline 1.0]

Capacity is what 64 clients in a closed loop get. Latency counts from the moment a request was due to be sent. The
generator shares the machine with the server, and what it takes is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import cast

import uvloop

from load_tests.generator import lines, run
from load_tests.server import Server, shoal
from load_tests.texts import short_texts

_SHARES = (0.5, 0.9, 1.5, 3.0)
_PATH = "/v1/classify"
_TEXTS = 30_000
"""No text comes again while it is under way: answers that are shared would flatter the server."""


@dataclass
class Seen:
    """What came back, in milliseconds by kind."""

    good_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    """By how much the generator itself was late to send."""
    other: int = 0
    """Anything but 200 and 429, a lost connection too."""


class Connection(asyncio.Protocol):
    """One kept-alive connection with one request on its way at a time."""

    def __init__(self, idle: list[Connection], seen: Seen) -> None:
        self._idle = idle
        self._seen = seen
        self._due_s = 0.0
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._waiting = False
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class

    def send(self, request: bytes, due_s: float) -> None:
        assert self._transport is not None
        self._due_s = due_s
        self._waiting = True
        self._transport.write(request)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closes what was idle for long; what still waited got no answer."""
        del exc
        self.lost = True
        if self._waiting:
            self._seen.other += 1
            self._idle.append(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
        if len(body) < length:
            return
        self._buffer = b""
        self._waiting = False
        spent_ms = 1000 * (time.perf_counter() - self._due_s)
        status = head[9:12]
        if status == b"200":
            self._seen.good_ms.append(spent_ms)
        elif status == b"429":
            self._seen.refused_ms.append(spent_ms)
        else:
            self._seen.other += 1
        self._idle.append(self)


async def _offer(server: Server, requests: list[bytes], rate: float, seconds: float) -> tuple[Seen, int]:
    """Poisson arrivals at `rate` a second; what came back, and how many were sent."""
    host, port = server.url.removeprefix("http://").split(":")
    loop, chance = asyncio.get_running_loop(), random.Random("arrivals")
    seen, sent = Seen(), 0
    idle: list[Connection] = []
    connections: list[Connection] = []
    due_s = time.perf_counter()
    end_s = due_s + seconds
    while (due_s := due_s + chance.expovariate(rate)) < end_s:
        if (wait_s := due_s - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        while idle and idle[-1].lost:
            connections.remove(idle.pop())
        if idle:
            connection = idle.pop()
        else:
            _, connection = await loop.create_connection(lambda: Connection(idle, seen), host, int(port))
            connections.append(connection)
        connection.send(requests[sent % len(requests)], due_s)
        seen.late_ms.append(1000 * (time.perf_counter() - due_s))
        sent += 1
    # Every request is answered, or this never ends.
    while len(idle) < len(connections):  # noqa: ASYNC110  # an event would cost each answer
        await asyncio.sleep(0.01)
    for connection in connections:
        connection.close()
    return seen, sent


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _request(body: bytes) -> bytes:
    head = f"POST {_PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--deadline", type=float, default=1.0, help="SHOAL_REQUEST_TIMEOUT_S of the server")
    given = arguments.parse_args()
    texts = [{"inputs": text} for text in short_texts(_TEXTS)]
    requests = [_request(json.dumps(body).encode()) for body in texts]
    with shoal(models="sentiment", request_timeout_s=given.deadline) as server:
        with lines(texts) as file:
            run(server.url, _PATH, file, clients=64, seconds=2)
            capacity = run(server.url, _PATH, file, clients=64, seconds=5, first=64).per_s
        print(f"capacity {capacity:.0f}/s with 64 clients; deadline {given.deadline:g} s")
        print("  load  offered/s  good/s  p50 ms  p99 ms  refused/s  refusal p99 ms  other  late p99 ms  own CPU")
        for share in _SHARES:
            began_s, cpu_s = time.perf_counter(), time.process_time()
            seen, sent = uvloop.run(_offer(server, requests, share * capacity, given.seconds))
            spent_s = time.perf_counter() - began_s
            print(
                f"{share:5.1f}x {sent / given.seconds:10.0f} {len(seen.good_ms) / spent_s:7.0f} "
                f"{_percentile(seen.good_ms, 0.5):7.1f} {_percentile(seen.good_ms, 0.99):7.1f} "
                f"{len(seen.refused_ms) / spent_s:10.0f} {_percentile(seen.refused_ms, 0.99):15.1f} {seen.other:6} "
                f"{_percentile(seen.late_ms, 0.99):17.1f} "
                f"{(time.process_time() - cpu_s) / spent_s:16.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
