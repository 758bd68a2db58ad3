"""What the lanes do in the framework's place; what the routes answer is in test_inference.py."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.datastructures import State
from starlette.testclient import TestClient
from starlette.types import Message, Scope

from service.engine import Inference
from service.errors import DeadlineExceeded, InferenceError, ModelNotFound, Overloaded, ServiceError, Unavailable
from service.routes.body import BodyLimits
from service.routes.inference import SCHEMAS
from service.routes.lane import Lane
from service.schemas import AnswerResponse, ClassifyResponse, ErrorBody, SummarizeResponse
from tests.service.serving import samples, total

JSON = {"Content-Type": "application/json"}
QUESTION = {"question": "the capital?", "context": "it is paris"}
GOOD = {"classify": "a good film", "answer": QUESTION, "summarize": "paris is the capital"}
RESPONSES: dict[str, type[BaseModel]] = {
    "classify": ClassifyResponse,
    "answer": AnswerResponse,
    "summarize": SummarizeResponse,
}
ROUTES = list(SCHEMAS)
LIMITS = BodyLimits(max_bytes=10_000, max_inputs=4, max_input_chars=1000)


class OneAnswer:
    """A registry that knows one answer, or one error."""

    def __init__(self, told: BaseException | Inference) -> None:
        self._told = told
        self.asked: list[tuple[str, list[Any], Any, str | None]] = []

    async def infer(
        self, route: str, inputs: list[Any], parameters: Any, model: str | None, *, arrived_s: float
    ) -> Inference:
        self.arrived_s = arrived_s
        self.asked.append((route, inputs, parameters, model))
        if isinstance(self._told, BaseException):
            raise self._told
        return self._told


def lane_to(registry: OneAnswer, route: str = "classify") -> TestClient:
    return TestClient(Lane(route, SCHEMAS[route], State({"registry": registry}), limits=LIMITS))


def told(client: TestClient, path: str, **request: Any) -> tuple[int, str, str]:
    """Status, word and sentence of a refusal; its body is the documented one."""
    response = client.post(path, **request)
    assert response.headers["content-type"] == "application/json"
    assert int(response.headers["content-length"]) == len(response.content)
    body = ErrorBody.model_validate(response.json())
    assert body.model_dump() == response.json()
    assert body.error.endswith((".", "}."))
    return response.status_code, body.error_type, body.error


# --- There and back --------------------------------------------------------------------------------------------------


def test_what_was_asked_reaches_the_registry_and_its_answer_the_client() -> None:
    registry = OneAnswer(Inference("moods", [{"label": "é", "score": 0.1}], 5, 2))
    response = lane_to(registry).post("/", json={"inputs": ["good", "ü"], "parameters": {"top_k": 1}, "model": "moods"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "model": "moods",
        "results": [{"label": "é", "score": 0.1}],
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }
    ((route, inputs, parameters, model),) = registry.asked
    assert (route, inputs, parameters.top_k, model) == ("classify", ["good", "ü"], 1, "moods")


def test_one_input_is_a_list_of_one_to_the_registry() -> None:
    registry = OneAnswer(Inference("moods", [], 0, 0))
    assert lane_to(registry).post("/", json={"inputs": "good"}).status_code == 200
    assert registry.asked[0][1] == ["good"]


@pytest.mark.parametrize("route", ROUTES)
def test_answers_are_what_the_schema_says_and_no_more(client: TestClient, route: str) -> None:
    answer = client.post(f"/v1/{route}", json={"inputs": [GOOD[route]]}).json()
    assert RESPONSES[route].model_validate(answer, strict=True).model_dump() == answer


@pytest.mark.parametrize("route", ROUTES)
def test_every_lane_is_documented_as_it_is_read(client: TestClient, route: str) -> None:
    schema = client.get("/openapi.json").json()
    operation = schema["paths"][f"/v1/{route}"]["post"]
    assert operation["requestBody"]["required"] is True
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    documented = schema["components"]["schemas"][reference.rsplit("/", 1)[-1]]
    read = SCHEMAS[route].model_json_schema(ref_template="#/components/schemas/{model}")
    own = {"stream"} if route == "summarize" else set()
    assert set(documented["properties"]) == {"inputs", "parameters", "model"} | own
    for name in ("title", "required", "additionalProperties"):
        assert documented[name] == read[name]
    assert documented["properties"]["inputs"] == read["properties"]["inputs"]
    parameters = documented["properties"]["parameters"]["$ref"].rsplit("/", 1)[-1]
    properties = schema["components"]["schemas"][parameters]["properties"]
    assert set(properties) == set(read["$defs"][parameters]["properties"])
    answered = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    assert answered.endswith(f"/{RESPONSES[route].__name__}")


def test_every_route_that_is_documented_for_posts_is_a_lane(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {path for path, operations in paths.items() if "post" in operations} == {f"/v1/{route}" for route in ROUTES}


# --- What clients send wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "text/plain; application/json", "json"]
)
def test_a_content_type_that_is_not_json(client: TestClient, route: str, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    status, word, sentence = told(client, f"/v1/{route}", content=b'{"inputs": "good"}', headers=headers)
    assert (status, word) == (415, "Validation")
    shown = "of no type" if not kind else kind.partition(";")[0]
    assert sentence == f"The body is {shown}; send JSON with Content-Type: application/json."


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON ; charset=utf-8", "application/vnd.api+json", " application/json"]
)
def test_a_content_type_that_is_json(client: TestClient, kind: str) -> None:
    response = client.post("/v1/classify", content=b'{"inputs": "good"}', headers={"Content-Type": kind})
    assert response.status_code == 200


def test_an_empty_body(client: TestClient) -> None:
    for content in (b"", iter([b"", b""])):
        status, word, sentence = told(client, "/v1/classify", content=content, headers=JSON)
        assert (status, word) == (422, "Validation")
        assert sentence == 'The body is empty; send JSON such as {"inputs": "some text"}.'


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "body",
    [
        b"not json", b" ", b"\x00", b'{"inputs": "good"', b'{"inputs": "go', b'{"inputs": "good"} {}', b"{'inputs': 1}",
        b'{"inputs": "\xff\xfe"}', b'{"inputs": "caf\xe9"}', b'{"inputs": "\xed\xa0\x80"}', b"[" * 9000,
        b'{"inputs": ' * 900, b'{"inputs": ' + b"[" * 2000 + b"]" * 2000 + b"}", b'{"inputs": "good", "model": NULL}',
    ],
)  # fmt: skip
def test_what_is_not_json_says_where(client: TestClient, route: str, body: bytes) -> None:
    status, word, sentence = told(client, f"/v1/{route}", content=body, headers=JSON)
    assert (status, word) == (400, "Validation")
    assert sentence.startswith("The body is not JSON: ")
    assert " at line 1 column " in sentence
    assert len(sentence) < 200
    assert client.post(f"/v1/{route}", json={"inputs": GOOD[route]}).status_code == 200


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_body_may_come_in_any_pieces(client: TestClient, size: int) -> None:
    body = json.dumps({"inputs": ["good 🎉", "bad"]}, ensure_ascii=False).encode()
    pieces = [body[begin : begin + size] for begin in range(0, len(body), size)]
    response = client.post("/v1/classify", content=iter(pieces), headers=JSON)
    assert response.status_code == 200
    assert response.content == client.post("/v1/classify", content=body, headers=JSON).content


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("route", ROUTES)
def test_other_methods(client: TestClient, route: str, method: str) -> None:
    response = client.request(method, f"/v1/{route}")
    assert response.status_code == 405
    if method != "HEAD":
        assert response.json() == {
            "error": f"/v1/{route} does not take {method}; /docs says what it takes.",
            "error_type": "MethodNotAllowed",
        }


# --- Clients that leave ----------------------------------------------------------------------------------------------


def asgi(app: FastAPI, *received: Message) -> list[Message]:
    """POST /v1/classify as a server would tell of it; returns what the application sent."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/classify",
        "raw_path": b"/v1/classify",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    messages: Iterator[Message] = iter(received)
    sent: list[Message] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_a_client_that_leaves_before_its_body_is_whole_gets_no_answer(
    app: FastAPI, client: TestClient, parts: int
) -> None:
    def left() -> float:
        text = client.get("/metrics").text
        name = "shoal_request_duration_seconds_count"
        assert total(samples(text), "shoal_requests_in_flight") == 1, "the scrape itself"
        return total(samples(text), name, route="/v1/classify", status="499")

    before = left()
    body: list[Message] = [{"type": "http.request", "body": b'{"inputs": ', "more_body": True}] * parts
    assert asgi(app, *body, {"type": "http.disconnect"}) == []
    assert left() == before + 1


# --- Body limit (10,000 bytes here) ----------------------------------------------------------------------------------


def body_of(size: int) -> bytes:
    """JSON of exactly so many bytes."""
    head, tail = b'{"inputs": "good"', b"}"
    return head + b" " * (size - len(head) - len(tail)) + tail


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    return (body[begin : begin + size] for begin in range(0, len(body), size))


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_as_large_as_the_limit_is_taken(client: TestClient, chunked: bool) -> None:
    body = body_of(10_000)
    response = client.post("/v1/classify", content=pieces(body, 999) if chunked else body, headers=JSON)
    assert response.status_code == 200


@pytest.mark.parametrize("size", [10_001, 2_000_000])
def test_a_body_over_the_limit_is_refused_by_its_length(client: TestClient, size: int) -> None:
    response = client.post("/v1/classify", content=body_of(size), headers=JSON)
    assert response.status_code == 413
    assert response.json() == {
        "error": f"A body of {size} bytes; the limit is 10000. Send the inputs in several requests.",
        "error_type": "Validation",
    }


@pytest.mark.parametrize("size", [10_001, 2_000_000])
def test_a_body_over_the_limit_is_refused_as_it_comes(client: TestClient, size: int) -> None:
    response = client.post("/v1/classify", content=pieces(body_of(size), 4096), headers=JSON)
    assert response.status_code == 413
    assert list(response.json()) == ["error", "error_type"]
    assert "more than 10000 bytes" in response.json()["error"]
    assert client.post("/v1/classify", json={"inputs": "good"}).status_code == 200


# --- What the registry raises ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("Full."), DeadlineExceeded("Late."), ModelNotFound("None."), InferenceError("Failed."),
        Unavailable("Down."),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_errors_have_their_status_and_headers(error: ServiceError) -> None:
    client = lane_to(OneAnswer(error))
    response = client.post("/", json={"inputs": "good"})
    assert response.status_code == error.status
    assert response.json() == {"error": str(error), "error_type": error.code}
    assert response.headers.get("retry-after") == ("1" if error.status == 429 else None)
    assert response.headers["content-type"] == "application/json"


def test_a_request_that_the_server_gives_up_when_it_stops_is_told_so() -> None:
    status, word, sentence = told(lane_to(OneAnswer(asyncio.CancelledError())), "/", json={"inputs": "good"})
    assert (status, word) == (503, "Unhealthy")
    assert "shutting down" in sentence


def test_a_fault_is_told_without_its_cause_and_logged_with_it(caplog: pytest.LogCaptureFixture) -> None:
    client = lane_to(OneAnswer(RuntimeError("a secret")))
    with caplog.at_level(logging.ERROR, logger="service"):
        status, word, sentence = told(client, "/", json={"inputs": "swordfish"})
    assert (status, word) == (500, "Internal")
    assert sentence == "A fault of the server in POST /v1/classify; its log says more."
    (record,) = caplog.records
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "a secret"
    assert "swordfish" not in caplog.text


def test_behind_a_root_path_requests_are_answered_too(app: FastAPI, client: TestClient) -> None:
    behind = TestClient(app, root_path="/ai")
    response = behind.post("/ai/v1/classify", content=b"{", headers=JSON)
    assert response.status_code == 400
    response = behind.post("/ai/v1/classify", json={"inputs": " "})
    assert response.status_code == 422
    assert response.json()["error"] == "inputs: The text is empty or blank."
