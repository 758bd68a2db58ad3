"""The best set-up of each system for each number of clients, looked for once and remembered."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

from load_tests.compare.contender import TOOLS
from load_tests.generation.systems import Setup, System

_TUNED = TOOLS.parent / "generation" / "tuning.json"
_PASSES = 2

Rate = Callable[[System, Setup, int], Awaitable[float]]
"""Tokens/s of a system in a set-up with so many clients."""


def _key(system: System, clients: int) -> str:
    # Another version is another search.
    return f"{system.name}, {' '.join(system.environment.requirements[:1])}, {clients} clients"


def _load() -> dict[str, dict[str, list[float]]]:
    return json.loads(_TUNED.read_text(encoding="utf-8")) if _TUNED.is_file() else {}


def best(passes: dict[str, list[float]]) -> str:
    """The set-up whose fastest pass was the fastest: whatever else a machine does only makes passes slower."""
    return max(passes, key=lambda setup: max(passes[setup]))


async def tuned(system: System, clients: int, rate: Rate, *, again: bool) -> Setup:
    """Along one axis after the other. Every try is remembered: what was cut short goes on, what is done stays done."""
    chosen = system.likeliest(clients)
    for axis, values in system.axes(clients):
        setups = {str(setup): setup for setup in (replace(chosen, **{axis: value}) for value in values)}
        if len(setups) > 1:
            key = f"{_key(system, clients)}: {' | '.join(setups)}"
            chosen = setups[best(await _tried(key, system, clients, setups, rate, again=again))]
    return chosen


async def _tried(
    key: str, system: System, clients: int, setups: dict[str, Setup], rate: Rate, *, again: bool
) -> dict[str, list[float]]:
    known = {} if again else _load().get(key, {})
    passes: dict[str, list[float]] = {name: known.get(name, []) for name in setups}
    for number in range(_PASSES):
        for name, setup in setups.items():
            if len(passes[name]) <= number:
                passes[name].append(await rate(system, setup, clients))
                _TUNED.write_text(json.dumps(_load() | {key: passes}, indent=1) + "\n", encoding="utf-8")
                print(f"  {system.title}, {clients} clients, {name}: {passes[name][-1]:.0f} tokens/s", flush=True)
    return passes
