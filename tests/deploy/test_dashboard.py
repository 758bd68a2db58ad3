"""The Grafana dashboard asks only for what the service exposes, in PromQL that Prometheus takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service import metrics
from tests.deploy.promql import labels_in, metrics_in

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy/grafana/dashboards/shoal.json"
RULES = ROOT / "deploy/prometheus/rules/shoal.yml"
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$model": ".*"}
OURS = {"model", "route", "status", "reason"}
PROMETHEUS_OWN = {"instance", "job", "le"}


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def rule_expressions() -> list[str]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def exposed() -> set[str]:
    """Sample names that a scrape of the service can hold, those of metrics that have no sample yet included."""
    unwatch = metrics.watch_queues(lambda: {"sentiment": 0})
    try:
        text = generate_latest(metrics.REGISTRY).decode()
    finally:
        unwatch()
    names: set[str] = set()
    for family in text_string_to_metric_families(text):
        match family.type:
            case "counter":
                names.add(family.name + "_total")
            case "histogram":
                names.update(family.name + suffix for suffix in ("_bucket", "_sum", "_count"))
            case _ if not family.name.endswith("_created"):  # of metrics that other tests touched
                names.add(family.name)
    return names


@pytest.mark.parametrize("expression", sorted({*expressions(), *rule_expressions()}))
def test_expression_names_only_what_the_service_exposes(expression: str) -> None:
    assert metrics_in(expression) <= exposed()
    assert labels_in(expression) <= OURS | PROMETHEUS_OWN


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    shown = {name for expression in expressions() for name in metrics_in(expression)}
    families = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in exposed()}
    missing = {
        family
        for family in families
        if family.startswith("shoal_") and not any(name.startswith(family) for name in shown)
    }
    assert not missing


def test_expressions_are_promql(promtool: Callable[..., None], tmp_path: Path) -> None:
    rules = []
    for number, expression in enumerate(expressions()):
        plain = expression
        for variable, value in VARIABLES.items():
            plain = plain.replace(variable, value)
        assert "$" not in plain, f"a variable that this test does not know: {plain}"
        rules.append({"record": f"panel:{number}", "expr": plain})
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    promtool("check", "rules", path)


def test_variables_in_use_are_declared() -> None:
    declared = {f"${variable['name']}" for variable in dashboard()["templating"]["list"]}
    assert declared == {"$datasource", "$instance", "$model"}


def test_panels_do_not_overlap_and_say_what_they_show() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    assert all(panel["description"] for panel in panels())
    identifiers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(identifiers)) == len(identifiers)
