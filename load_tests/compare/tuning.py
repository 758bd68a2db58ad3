"""The best setting of a server, looked for once."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

from load_tests.ceiling import Limit
from load_tests.compare.agreement import largest_difference
from load_tests.compare.contender import TOOLS, Contender, Setting
from load_tests.compare.measure import sample
from load_tests.compare.running import running

_TUNED = TOOLS / "tuning.json"
_CLIENTS, _SECONDS = 64, 3
_PATIENCE_MS = 1500
_LIMIT_ROWS = 8

Rate = tuple[bool, float]
"""Whether all was answered and p99 is below _PATIENCE_MS; and good answers as a share of the raw limit just before,
because a shared machine is not equally fast all the time.

A server that starves some of its clients answers the others faster; such a setting is the best one only where there is
no other. (False, 0.0) did not work at all.
"""


def _remembered() -> dict[str, dict[str, Rate]]:
    """By contender, and by setting."""
    known = json.loads(_TUNED.read_text(encoding="utf-8")) if _TUNED.is_file() else {}
    return {name: {key: (good, share) for key, (good, share) in tries.items()} for name, tries in known.items()}


@cache
def _limit() -> Limit:
    return Limit("short")


def _try(contender: Contender, setting: Setting) -> Rate:
    limit = _limit().texts_per_s(_LIMIT_ROWS, seconds=1)
    words = ", ".join(f"{name} {value}" for name, value in setting.items())
    try:
        with running(contender, setting) as server:
            largest_difference(contender, server.url)
            found = sample(contender, server, "short", _CLIENTS, _SECONDS)
    except RuntimeError as error:
        print(f"  {words}: {error}", flush=True)
        return False, 0.0
    share = found.per_s / limit
    print(
        f"  {words}: {found.per_s:.0f}/s ({share:.2f}), p99 {found.p99_ms:.0f} ms, {found.failed:.0f} failed",
        flush=True,
    )
    return found.per_s > 0 and found.p99_ms < _PATIENCE_MS and not found.failed, share


def _best(contender: Contender, rate: Callable[[Setting], Rate]) -> Setting:
    """Along one axis after the other, all axes twice: for the second one the others have found their places."""
    best = likeliest(contender)
    for _ in range(2):
        for name, values in contender.axes.items():
            best = max(({**best, name: value} for value in values), key=rate)
    return best


def likeliest(contender: Contender) -> Setting:
    """The first value of each axis."""
    return {name: values[0] for name, values in contender.axes.items()}


def tuned(contender: Contender, *, again: bool = False) -> Setting:
    """The setting that answers most requests. Raises RuntimeError when none works.

    Every try is remembered, so that what was cut short goes on and what was done is not repeated.
    """
    if not contender.axes:
        return {}
    known = _remembered()
    # Another version, or more to try, is another search.
    name = json.dumps([contender.name, contender.requirements, dict(contender.axes)])
    rates = {} if again else known.get(name, {})

    def rate(setting: Setting) -> Rate:
        key = json.dumps(setting)
        if key not in rates:
            if not rates:
                print(f"Tuning {contender.title}", flush=True)
            rates[key] = _try(contender, setting)
            _TUNED.write_text(json.dumps(known | {name: rates}, indent=1) + "\n", encoding="utf-8")
        return rates[key]

    best = _best(contender, rate)
    if not rate(best)[1]:
        raise RuntimeError(f"it works with none of its settings: see {contender.work.relative_to(TOOLS)}/log.txt")
    return best
