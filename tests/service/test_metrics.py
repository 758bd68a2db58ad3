from __future__ import annotations

from prometheus_client import generate_latest

from service import metrics
from service.metrics import PassMetrics, watch_queues
from tests.service.serving import Samples, samples, total

NAMES = {
    "shoal_request_duration_seconds": "histogram",
    "shoal_requests_in_flight": "gauge",
    "shoal_refusals": "counter",
    "shoal_queue_wait_seconds": "histogram",
    "shoal_queue_rows": "gauge",
    "shoal_forward_duration_seconds": "histogram",
    "shoal_batch_rows": "histogram",
    "shoal_batch_tokens": "histogram",
    "shoal_tokens": "counter",
    "shoal_padding_tokens": "counter",
    "shoal_generated_tokens": "counter",
    "shoal_saved_steps": "counter",
    "shoal_truncated_inputs": "counter",
    "shoal_failed_rows": "counter",
    "shoal_shared_answers": "counter",
    "shoal_cache_hits": "counter",
    "shoal_cache_bytes": "gauge",
}


def now() -> Samples:
    return samples(generate_latest(metrics.REGISTRY).decode())


def test_names_and_kinds_are_what_dashboards_ask_for() -> None:
    unwatch = watch_queues(lambda: {"a": 0})
    found = {family.name: family.type for family in metrics.REGISTRY.collect() if family.name.startswith("shoal_")}
    unwatch()
    assert found == NAMES


def test_buckets_tell_a_millisecond_from_half_a_minute() -> None:
    PassMetrics("buckets").started([0.0005, 20.0])
    found = now()
    bounds = sorted(
        float(dict(labels)["le"])
        for name, labels in found
        if name == "shoal_queue_wait_seconds_bucket" and ("model", "buckets") in labels
    )
    assert bounds[0] <= 0.001
    assert bounds[-2] >= 30
    assert total(found, "shoal_queue_wait_seconds_bucket", model="buckets", le="0.001") == 1
    assert total(found, "shoal_queue_wait_seconds_bucket", model="buckets", le="10.0") == 1
    assert total(found, "shoal_queue_wait_seconds_bucket", model="buckets", le="30.0") == 2


def test_a_pass_is_counted_once_everywhere() -> None:
    watcher = PassMetrics("counted")
    watcher.started([0.01, 0.02, 0.03])
    watcher.ran(rows=3, tokens=50, padded_tokens=60, seconds=0.2)
    watcher.ran(rows=2, tokens=2, padded_tokens=2, seconds=0.1)
    watcher.failed(2)
    found = now()
    for name, value in {
        "shoal_queue_wait_seconds_count": 3,
        "shoal_forward_duration_seconds_count": 2,
        "shoal_batch_rows_count": 2,
        "shoal_batch_rows_sum": 5,
        "shoal_batch_tokens_sum": 62,
        "shoal_tokens_total": 52,
        "shoal_padding_tokens_total": 10,
        "shoal_failed_rows_total": 2,
        "shoal_generated_tokens_total": 0,
        "shoal_saved_steps_total": 0,
        "shoal_truncated_inputs_total": 0,
    }.items():
        assert total(found, name, model="counted") == value, name
    assert abs(total(found, "shoal_forward_duration_seconds_sum", model="counted") - 0.3) < 1e-9


def test_queues_are_read_when_scraped_until_they_are_taken_away() -> None:
    depths = {"watched": 3}
    unwatch = watch_queues(lambda: depths)
    assert total(now(), "shoal_queue_rows", model="watched") == 3
    depths["watched"] = 7
    assert total(now(), "shoal_queue_rows", model="watched") == 7
    unwatch()
    assert ("shoal_queue_rows", (("model", "watched"),)) not in now()
