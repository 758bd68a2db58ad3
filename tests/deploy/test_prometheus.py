"""Prometheus takes our configuration, and the alerts fire when they should and only then."""

from __future__ import annotations

from collections.abc import Callable


def test_configuration(promtool: Callable[..., None]) -> None:
    promtool("check", "config", "deploy/prometheus/prometheus.yml")


def test_alerts(promtool: Callable[..., None]) -> None:
    promtool("test", "rules", "tests/deploy/alerts.yml")
