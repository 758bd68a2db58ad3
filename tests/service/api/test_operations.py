from __future__ import annotations

import json
from pathlib import Path

from starlette.testclient import TestClient

from service.app import create_app
from service.config import Settings
from tests.service import doubles
from tests.service.serving import samples


def test_models_are_listed_with_their_facts(client: TestClient, zoo: Path) -> None:
    cards = {card["name"]: card for card in client.get("/v1/models").json()["models"]}
    assert client.get("/v1/models").json()["missing"] == []
    assert list(cards) == ["moods", "reader", "tagger", "topics", "vectors", "writer"]
    assert cards["moods"] == {
        "name": "moods",
        "task": "text-classification",
        "route": "/v1/classify",
        "labels": ["negative", "positive"],
        "multi_label": False,
        "precision": "fp32",
        "size_bytes": (zoo / "moods/model.onnx").stat().st_size,
        "limits": {"max_tokens": 128, "max_inputs": 4, "max_input_chars": 1000},
        "score": {},
        "default": True,
    }
    assert (cards["topics"]["multi_label"], cards["topics"]["default"]) == (True, False)
    assert (cards["reader"]["task"], cards["reader"]["route"]) == ("question-answering", "/v1/answer")
    assert (cards["writer"]["task"], cards["writer"]["route"]) == ("summarization", "/v1/summarize")
    assert cards["writer"]["size_bytes"] > (zoo / "writer/decoder.onnx").stat().st_size, "both graphs"


def test_a_models_score_comes_from_its_metrics(tmp_path: Path) -> None:
    folder = doubles.classifier(tmp_path / "scored", shoal={"precision": "int8", "max_tokens": 32})
    (folder / "metrics.json").write_text(json.dumps({"score": {"accuracy": 91.2}, "other": [1]}), encoding="utf-8")
    with TestClient(create_app(Settings(models_dir=tmp_path, workers=1))) as client:
        (card,) = client.get("/v1/models").json()["models"]
    assert card["score"] == {"accuracy": 91.2}
    assert card["precision"] == "int8"
    assert card["limits"]["max_tokens"] == 32


def test_health(client: TestClient) -> None:
    for path in ("/health", "/health/ready"):
        response = client.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok", "missing": []})
    response = client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_models_that_could_not_be_loaded_are_named(tmp_path: Path) -> None:
    doubles.classifier(tmp_path / "moods")
    (tmp_path / "empty").mkdir()
    missing = [{"name": "empty", "reason": "no config.json"}]
    with TestClient(create_app(Settings(models_dir=tmp_path, workers=1))) as client:
        for path in ("/health", "/health/ready"):
            response = client.get(path)
            assert (response.status_code, response.json()) == (200, {"status": "ok", "missing": missing})
        listed = client.get("/v1/models").json()
        assert listed["missing"] == missing
        assert [card["name"] for card in listed["models"]] == ["moods"]
        assert client.post("/v1/classify", json={"inputs": "good"}).status_code == 200


def test_the_default_of_each_route_is_told(zoo: Path) -> None:
    settings = Settings(models_dir=zoo, workers=1, default_models="classify=topics")
    with TestClient(create_app(settings)) as client:
        cards = client.get("/v1/models").json()["models"]
        assert {card["name"] for card in cards if card["default"]} == {
            "topics",
            "reader",
            "writer",
            "tagger",
            "vectors",
        }
        assert client.post("/v1/classify", json={"inputs": "good"}).json()["model"] == "topics"


def test_ready_turns_false_when_no_worker_would_answer(tmp_path: Path) -> None:
    doubles.classifier(tmp_path / "only")
    app = create_app(Settings(models_dir=tmp_path, workers=1))
    with TestClient(app) as client:
        assert client.get("/health/ready").status_code == 200
        app.state.registry.close()
        for path in ("/health", "/health/ready"):
            response = client.get(path)
            assert (response.status_code, response.json()) == (503, {"status": "unhealthy", "missing": []})
        assert client.get("/health/live").status_code == 200, "the process answers: no reason to restart it"


def test_metrics_are_prometheus_text(client: TestClient) -> None:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert ("shoal_queue_rows", (("model", "moods"),)) in samples(response.text)
