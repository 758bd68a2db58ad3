"""Who is compared, and the set-ups that each is tried in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from load_tests.compare.contender import CORES, Contender
from load_tests.generation.environments import CTRANSLATE2, OURS, TORCHED

_ALL_AT_ONCE = 1_000_000
_BATCHES = (8, 4, 16, 32)
_DELAYS_MS = (0, 10)


@dataclass(frozen=True)
class Crew:
    """The processes of a system: `processes` of them, `slots` batches at a time in each, on `threads` each."""

    processes: int = 1
    slots: int = 1
    threads: int = 1

    def __str__(self) -> str:
        return "as it comes" if self.slots == _ALL_AT_ONCE else f"{self.processes * self.slots}x{self.threads}"


@dataclass(frozen=True)
class Setup:
    """A crew behind a plain queue: whoever is free takes what waits, `batch` at most.

    Fewer are taken only once the first of them has waited for `delay_ms`.
    """

    crew: Crew
    batch: int = 1
    delay_ms: int = 0

    def __str__(self) -> str:
        delay = f", after {self.delay_ms} ms" if self.delay_ms else ""
        return f"{self.crew}" + (f", batches of {self.batch}{delay}" if self.batch > 1 else "")


@dataclass(frozen=True, kw_only=True)
class System:
    """How an engine is started and what may be set."""

    name: str
    title: str
    environment: Contender
    module: str
    options: dict[str, str | bool] = field(default_factory=dict)
    crews: tuple[Crew, ...]
    batched: bool = False

    def likeliest(self, clients: int) -> Setup:
        """Where to begin looking for the best."""
        return Setup(self.crews[0], min(_BATCHES[0], clients) if self.batched else 1)

    def axes(self, clients: int) -> Iterator[tuple[str, list[Any]]]:
        """What may be set, one after the other: a field of Setup, and the values that make a difference."""
        yield "crew", list(self.crews)
        if self.batched and clients > 1:
            yield "batch", sorted({min(size, clients) for size in _BATCHES}, reverse=True)
            yield "delay_ms", list(_DELAYS_MS)


_PROCESSES = (Crew(processes=CORES), Crew(threads=CORES))
_OURS: dict[str, Any] = {"environment": OURS, "module": "shoal", "crews": (Crew(slots=_ALL_AT_ONCE),)}
_TORCH: dict[str, Any] = {"environment": TORCHED, "module": "torch_generate", "crews": _PROCESSES}

SYSTEMS = {
    each.name: each
    for each in (
        System(name="shoal", title="Shoal, int8", options={"joins": True}, **_OURS),
        System(name="static", title="Shoal, a batch at a time", options={"joins": False}, **_OURS),
        System(
            name="ctranslate2",
            title="CTranslate2, int8, batched",
            environment=CTRANSLATE2,
            module="translator",
            crews=(Crew(slots=CORES), Crew(threads=CORES)),
            batched=True,
        ),
        System(name="transformers", title="transformers, fp32", options={"library": "transformers"}, **_TORCH),
        System(
            name="transformers_batched",
            title="transformers, fp32, batched",
            options={"library": "transformers"},
            batched=True,
            **_TORCH,
        ),
        System(name="optimum", title="Optimum, fp32", options={"library": "optimum"}, **_TORCH),
    )
}
OURS_NAME = "shoal"
