"""docker-compose.yml and what it mounts agree with each other and with the service's settings."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config import Settings


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def test_images_are_pinned(root: Path) -> None:
    for service in load(root / "docker-compose.yml")["services"].values():
        tag = service["image"].rpartition(":")[2]
        assert tag.lstrip("v")[0].isdigit(), service["image"]


def test_what_is_mounted_from_the_repository_exists_and_is_read_only(root: Path) -> None:
    mounts = [
        volume.split(":")
        for service in load(root / "docker-compose.yml")["services"].values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ]
    assert mounts
    for source, _, mode in mounts:
        assert (root / source).is_dir()
        assert mode == "ro"


def test_grafana_finds_its_data_source_and_dashboard(root: Path) -> None:
    grafana = load(root / "docker-compose.yml")["services"]["grafana"]
    (provider,) = load(root / "deploy/grafana/provisioning/dashboards/shoal.yml")["providers"]
    (source,) = load(root / "deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    folder = provider["options"]["path"]
    assert f"./deploy/grafana/dashboards:{folder}:ro" in grafana["volumes"]
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{folder}/shoal.json"
    assert source["url"] == "http://prometheus:9090"


def test_prometheus_scrapes_the_service(root: Path) -> None:
    compose = load(root / "docker-compose.yml")
    (job,) = load(root / "deploy/prometheus/prometheus.yml")["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    name, _, port = target.partition(":")
    assert name in compose["services"]
    assert compose["services"][name]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_the_service_has_time_to_drain(root: Path) -> None:
    grace = load(root / "docker-compose.yml")["services"]["shoal"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > Settings.model_fields["shutdown_timeout_s"].default


def test_compose_takes_it(root: Path) -> None:
    command = _compose()
    if command is None:
        pytest.skip("no docker compose")
    done = subprocess.run([*command, "config", "--quiet"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _compose() -> list[str] | None:
    """The plugin if the docker client has it, else the older program of its own, else None."""
    if docker := shutil.which("docker"):
        version = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
        if version.returncode == 0:
            return [docker, "compose"]
    old = shutil.which("docker-compose")
    return [old] if old else None
