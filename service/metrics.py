"""The metrics that Prometheus reads, reported by the scheduler, the engine and the HTTP layer.

The only labels are route, status, model and reason: their values are bounded, and never text that a client sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64)
_TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)

# The time at which each counter was made, which nothing reads, is a twelfth of /metrics.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

REQUEST_DURATION = Histogram(
    "shoal_request_duration_seconds",
    "From the request's first byte to the answer's last, by route template and status.",
    ("route", "status"),
    buckets=_SECONDS,
    registry=REGISTRY,
)


@cache
def answered(route: str, status: int) -> Histogram:
    """The durations of a route's requests with a status, looked up once."""
    return REQUEST_DURATION.labels(route, str(status))


REQUESTS_IN_FLIGHT = Gauge("shoal_requests_in_flight", "Requests being answered now.", registry=REGISTRY)
REFUSALS = Counter(
    "shoal_refusals_total", "Requests answered with an error, by its word.", ("reason",), registry=REGISTRY
)
QUEUE_WAIT = Histogram(
    "shoal_queue_wait_seconds",
    "From a row's arrival in the queue to the start of its first forward pass.",
    ("model",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
FORWARD_DURATION = Histogram(
    "shoal_forward_duration_seconds",
    "One forward pass, padding and splitting included.",
    ("model",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
BATCH_ROWS = Histogram("shoal_batch_rows", "Rows in one forward pass.", ("model",), buckets=_ROWS, registry=REGISTRY)
BATCH_TOKENS = Histogram(
    "shoal_batch_tokens", "Padded tokens in one forward pass.", ("model",), buckets=_TOKENS, registry=REGISTRY
)
TOKENS = Counter("shoal_tokens_total", "Tokens of inputs run, padding left out.", ("model",), registry=REGISTRY)
PADDING_TOKENS = Counter("shoal_padding_tokens_total", "Padding run beside them.", ("model",), registry=REGISTRY)
GENERATED_TOKENS = Counter("shoal_generated_tokens_total", "Tokens written by decoders.", ("model",), registry=REGISTRY)
SAVED_STEPS = Counter(
    "shoal_saved_steps_total",
    "Decoder steps not made for texts that nobody waited for any more, by the tokens they might still have had.",
    ("model",),
    registry=REGISTRY,
)
TRUNCATED_INPUTS = Counter(
    "shoal_truncated_inputs_total", "Inputs longer than the model reads.", ("model",), registry=REGISTRY
)
FAILED_ROWS = Counter("shoal_failed_rows_total", "Rows whose forward pass raised.", ("model",), registry=REGISTRY)

SHARED_ANSWERS = Counter(
    "shoal_shared_answers_total",
    "Inputs answered by the computation of an identical one that was under way.",
    ("model",),
    registry=REGISTRY,
)
CACHE_HITS = Counter("shoal_cache_hits_total", "Inputs answered from the cache.", ("model",), registry=REGISTRY)
CACHE_BYTES = Gauge("shoal_cache_bytes", "Memory that the cache of answers takes.", registry=REGISTRY)


class _QueueDepth(Collector):
    """Reads the queues when Prometheus scrapes, so that no hot path updates a gauge."""

    def __init__(self, depths: Callable[[], dict[str, int]]) -> None:
        self._depths = depths

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily("shoal_queue_rows", "Rows waiting for their first pass.", labels=("model",))
        for model, rows in self._depths().items():
            family.add_metric((model,), rows)
        yield family


def watch_queues(depths: Callable[[], dict[str, int]]) -> Callable[[], None]:
    """Expose `depths()`, rows by model, as shoal_queue_rows. Returns a function that removes it."""
    collector = _QueueDepth(depths)
    REGISTRY.register(collector)
    return lambda: REGISTRY.unregister(collector)


class PassMetrics:
    """The metrics of one model: the scheduler's observer, with the labels looked up once."""

    def __init__(self, model: str) -> None:
        self._wait = QUEUE_WAIT.labels(model)
        self._forward = FORWARD_DURATION.labels(model)
        self._rows = BATCH_ROWS.labels(model)
        self._batch_tokens = BATCH_TOKENS.labels(model)
        self._tokens = TOKENS.labels(model)
        self._padding = PADDING_TOKENS.labels(model)
        self._failed = FAILED_ROWS.labels(model)
        self._saved = SAVED_STEPS.labels(model)
        self.generated = GENERATED_TOKENS.labels(model)
        self.truncated = TRUNCATED_INPUTS.labels(model)
        self.shared = SHARED_ANSWERS.labels(model)
        self.cache_hits = CACHE_HITS.labels(model)

    def started(self, waits_s: list[float]) -> None:
        """A batch left the queue after its rows had waited for these seconds."""
        for wait_s in waits_s:
            self._wait.observe(wait_s)

    def ran(self, *, rows: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """One forward pass ended."""
        self._forward.observe(seconds)
        self._rows.observe(rows)
        self._batch_tokens.observe(padded_tokens)
        self._tokens.inc(tokens)
        self._padding.inc(padded_tokens - tokens)

    def saved(self, passes: int) -> None:
        """This many decoder steps were not made, because their text was cancelled."""
        self._saved.inc(passes)

    def computed(self, *, output_tokens: int, truncated: bool) -> None:
        """The result of one input was computed."""
        if output_tokens:
            self.generated.inc(output_tokens)
        if truncated:
            self.truncated.inc()

    def failed(self, rows: int) -> None:
        """This many rows were given up because their pass raised."""
        self._failed.inc(rows)
