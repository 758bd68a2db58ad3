from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from service.app import create_app
from service.config import Settings
from service.engine.loaded_model import LoadedModel
from service.errors import StartupError
from service.tasks.base import Rounds
from service.tasks.classification import Classification, ClassificationResult
from service.tasks.parameters import ClassifyParameters, TextPair


class FaultyTask(Classification):
    """A fault of ours, outside of any model."""

    def run(self, item: str | TextPair, parameters: ClassifyParameters) -> Rounds[ClassificationResult]:
        raise RuntimeError(f"secret of {item}")


@pytest.mark.parametrize("path", ["/nothing", "/v1/nothing", "/v1", "/docs-files/none.js", "/%ff%fe", "/ü/"])
def test_unknown_paths(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert list(response.json()) == ["error", "error_type"]
    assert response.json()["error_type"] == "NotFound"
    assert "/docs" in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/classify"), ("PUT", "/v1/answer"), ("DELETE", "/v1/models"), ("POST", "/health")]
)
def test_wrong_methods(client: TestClient, method: str, path: str) -> None:
    response = client.request(method, path)
    assert response.status_code == 405
    assert response.json() == {
        "error": f"{path} does not take {method}; /docs says what it takes.",
        "error_type": "MethodNotAllowed",
    }


def test_a_fault_of_the_server_has_the_same_shape_and_only_the_log_says_its_cause(
    client: TestClient, app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    models = app.state.registry.models
    moods = models["moods"]
    models["faulty"] = LoadedModel(
        moods.artifact, FaultyTask(moods.artifact, batch_tokens=64, intra_op_threads=1), moods.metrics
    )
    try:
        response = client.post("/v1/classify", json={"inputs": "mine", "model": "faulty"})
    finally:
        del models["faulty"]
    assert response.status_code == 500
    assert response.json() == {
        "error": "A fault of the server in POST /v1/classify; its log says more.",
        "error_type": "Internal",
    }
    assert "RuntimeError: secret of mine" in caplog.text
    assert client.post("/v1/classify", json={"inputs": "good"}).status_code == 200


# --- Documentation ---------------------------------------------------------------------------------------------------


def test_docs_ask_for_nothing_that_is_not_served_here(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assets = re.findall(r"(?:src|href)=[\"']([^\"']+)", page.text) + re.findall(r"url: [\"']([^\"']+)", page.text)
    assert len(assets) >= 4
    for asset in assets:
        assert not urlsplit(asset).netloc, f"{asset} is somebody else's"
        assert client.get(asset).status_code == 200
    assert not re.findall(r"https?://", page.text)


def test_the_schema_names_every_route_and_error(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for route in ("classify", "answer", "summarize", "entities"):
        operation = paths[f"/v1/{route}"]["post"]
        assert {"200", "400", "404", "413", "415", "422", "429", "500", "503", "504"} <= set(operation["responses"])
        for status, response in operation["responses"].items():
            wanted = "Response" if status == "200" else "ErrorBody"
            assert response["content"]["application/json"]["schema"]["$ref"].endswith(wanted), status
        assert operation["requestBody"]["content"]["application/json"]["examples"]
    assert {"/v1/models", "/health", "/health/live", "/health/ready"} <= set(paths)


def answers_to_examples(client: TestClient) -> list[int]:
    paths = client.get("/openapi.json").json()["paths"]
    return [
        client.post(path, json=example["value"]).status_code
        for path, operations in paths.items()
        if "post" in operations
        for example in operations["post"]["requestBody"]["content"]["application/json"]["examples"].values()
    ]


def test_the_schemas_examples_are_requests_that_it_takes(client: TestClient) -> None:
    statuses = answers_to_examples(client)
    assert len(statuses) >= 6
    assert set(statuses) == {200}


# --- Starting and stopping -------------------------------------------------------------------------------------------


def test_a_folder_without_models_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="no models"), TestClient(create_app(Settings(models_dir=tmp_path))):
        pass


def test_only_the_models_named_are_loaded(zoo: Path) -> None:
    with TestClient(create_app(Settings(models_dir=zoo, models="reader", workers=1))) as client:
        assert [card["name"] for card in client.get("/v1/models").json()["models"]] == ["reader"]
        response = client.post("/v1/classify", json={"inputs": "good"})
        assert response.status_code == 404
        assert response.json()["error_type"] == "ModelNotFound"
        assert response.json()["error"].endswith("/v1/classify is served by: none.")
