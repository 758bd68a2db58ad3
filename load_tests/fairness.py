"""Short classifications while summaries are being written: by how many decoder steps these hold them up.

    python -m load_tests.fairness [--seconds 20] [--clients 16] [--rate 20]

Classifications come at random, at `rate` a second whether answered or not (open loop); their latency counts from the
moment each was due to be sent. Each summary client asks again as soon as it is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import httpx2
import tokenizers
import uvloop

from load_tests.generation.load import percentile
from load_tests.server import shoal
from load_tests.texts import long_texts, short_texts
from service.config import ARTIFACTS

_SUMMARIZER = "summarizer"
_SOURCE_TOKENS, _WRITTEN_TOKENS = 200, 60
_TEXTS_A_CLIENT = 4
_SETTLE_S = 4.0
"""Before anything counts: warm-up passes of an idle server, or the first summaries, which all begin at once."""


def _sources(count: int) -> list[str]:
    """Made-up texts of so many tokens, no two the same: identical ones would be summarized once."""
    tokenizer = tokenizers.Tokenizer.from_file(str(ARTIFACTS / _SUMMARIZER / "tokenizer.json"))
    tokenizer.no_truncation()
    made = [f"{first} {second}" for first, second in pairwise(long_texts(count + 1))]
    ends = [tokenizer.encode(text, add_special_tokens=False).offsets[_SOURCE_TOKENS - 3][1] for text in made]
    return [text[:end] for text, end in zip(made, ends, strict=True)]


@dataclass(frozen=True)
class Passes:
    """Of the summarizer, by /metrics: how many took no longer than so many seconds, and what all took."""

    at_most: Counter[float]
    seconds: float

    def since(self, before: Passes) -> Passes:
        """Those of the time between."""
        # Counters that are subtracted forget the bounds that nothing was under, where buckets begin.
        at_most = Counter({bound: count - before.at_most[bound] for bound, count in self.at_most.items()})
        return Passes(at_most, self.seconds - before.seconds)

    def mean_ms(self) -> float:
        """Encoder passes, which are longer and few, among them."""
        return 1000 * self.seconds / self.at_most[math.inf]

    def median_ms(self) -> float:
        """A decoder step, as most are; found in its bucket as if that were filled evenly."""
        half = self.at_most[math.inf] / 2
        bounds = [0.0, *sorted(self.at_most)]
        low, high = next(pair for pair in pairwise(bounds) if self.at_most[pair[1]] >= half)
        under = self.at_most[low]
        return 1000 * (low + (high - low) * (half - under) / (self.at_most[high] - under))


async def _passes(client: httpx2.AsyncClient) -> Passes:
    name, text = "shoal_forward_duration_seconds", (await client.get("/metrics")).text
    found = re.findall(rf'{name}_bucket{{le="(.+?)",model="{_SUMMARIZER}"}} (\d+)', text)
    ((seconds,),) = [re.findall(rf'{name}_sum{{model="{_SUMMARIZER}"}} (\S+)', text)]
    return Passes(Counter({float(bound): int(count) for bound, count in found}), float(seconds))


async def _classify(client: httpx2.AsyncClient, rate: float, seconds: float) -> list[float]:
    """Poisson arrivals; milliseconds from when each was due."""
    chance, texts = random.Random("arrivals"), itertools.cycle(short_texts(200))
    times_ms: list[float] = []

    async def ask(text: str, due_s: float) -> None:
        (await client.post("/v1/classify", json={"inputs": text})).raise_for_status()
        times_ms.append(1000 * (time.perf_counter() - due_s))

    due_s = time.perf_counter()
    end_s = due_s + seconds
    async with asyncio.TaskGroup() as asked:
        while (due_s := due_s + chance.expovariate(rate)) < end_s:
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            asked.create_task(ask(next(texts), due_s))
    return times_ms


async def _summarize(
    client: httpx2.AsyncClient, texts: Sequence[str], times_s: list[float], over: asyncio.Event
) -> None:
    """One client, one summary after the other."""
    parameters = {"min_new_tokens": _WRITTEN_TOKENS, "max_new_tokens": _WRITTEN_TOKENS, "num_beams": 1}
    for text in itertools.cycle(texts):
        began_s = time.perf_counter()
        answer = await client.post("/v1/summarize", json={"inputs": text, "parameters": parameters})
        answer.raise_for_status()
        times_s.append(time.perf_counter() - began_s)
        if over.is_set():
            return


def _told(name: str, times_ms: Sequence[float]) -> float:
    p50_ms, p99_ms = percentile(times_ms, 0.5), percentile(times_ms, 0.99)
    print(f"classify, {name}: p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms, {len(times_ms)} requests", flush=True)
    return p50_ms


async def _measure(url: str, given: argparse.Namespace) -> None:
    over, summaries_s = asyncio.Event(), list[float]()
    texts = _sources(given.clients * _TEXTS_A_CLIENT)
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
        await _classify(client, given.rate, _SETTLE_S)
        idle_ms = _told("idle", await _classify(client, given.rate, given.seconds))
        async with asyncio.TaskGroup() as writing:
            for number in range(given.clients):
                writing.create_task(_summarize(client, texts[number :: given.clients], summaries_s, over))
            await _classify(client, given.rate, _SETTLE_S)
            summaries_s.clear()
            before = await _passes(client)
            above_ms = _told("beside", await _classify(client, given.rate, given.seconds)) - idle_ms
            passes = (await _passes(client)).since(before)
            over.set()
    median_ms, mean_ms = passes.median_ms(), passes.mean_ms()
    print(f"the summarizer's passes: median {median_ms:.1f} ms, mean {mean_ms:.1f} ms")
    print(f"p50 above idle: {above_ms / median_ms:.1f} median passes, {above_ms / mean_ms:.1f} mean ones; bar 3")
    slowest_s, typical_s = max(summaries_s), median(summaries_s)
    print(f"{len(summaries_s)} summaries: median {typical_s:.2f} s, slowest {slowest_s / typical_s:.2f} times that")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=20)
    arguments.add_argument("--clients", type=int, default=16, help="that have summaries written")
    arguments.add_argument("--rate", type=float, default=20, help="classifications a second")
    given = arguments.parse_args()
    with shoal(models=f"sentiment,{_SUMMARIZER}") as server:
        uvloop.run(_measure(server.url, given))


if __name__ == "__main__":
    main()
