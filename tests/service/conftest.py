from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from service.app import create_app
from service.config import Settings
from tests.service import doubles


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one toy a task."""
    return doubles.zoo(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def app(zoo: Path) -> FastAPI:
    return create_app(
        Settings(models_dir=zoo, workers=2, max_inputs_per_request=4, max_input_chars=1000, max_body_bytes=10_000)
    )


@pytest.fixture(scope="session")
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client of the toys' app. Faults of the server are answers here, as they are over a socket."""
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
