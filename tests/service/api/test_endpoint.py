"""The endpoint, spoken to in a dialect of this module's own: what every dialect gets from it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from starlette.datastructures import State
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message

from service.api.body import BodyLimits, parse
from service.api.dialect import EncodedRequest, EncodedResponse, InferenceCall
from service.api.endpoint import InferenceEndpoint
from service.engine.engine import Inference
from service.errors import DeadlineExceeded, InferenceError, InvalidInput, Overloaded, ServiceError
from service.tasks.classification import ClassificationResult
from service.tasks.parameters import ClassifyParameters
from tests.service.api.doubles import StubRegistry, post_messages
from tests.service.serving import samples, total

LIMITS = BodyLimits(max_bytes=1000, max_inputs=4, max_input_chars=1000)
ANSWER = Inference("moods", [ClassificationResult("é", 0.1, [], False, None)], 5, 2)
GIVEN_UP = asyncio.CancelledError()


class TrialDialect:
    """Another shape of classification: `prompt` in, `verdict` out, faults as `problem` in a media type of their own."""

    path = "/trial/{version}/classify"
    watches_client = False

    def decode(self, request: EncodedRequest) -> InferenceCall:
        if request.content_type != "application/trial":
            raise InvalidInput(f"Not {request.content_type!r}.")
        body: Any = parse(request.body, LIMITS)
        return InferenceCall("classify", "moods", [body["prompt"]], ClassifyParameters(top_k=1), "stream" in body)

    def encode(self, call: InferenceCall, inference: Inference) -> EncodedResponse:
        body = {"prompt": call.inputs[0], "verdict": inference.results[0]}
        return EncodedResponse(201, orjson.dumps(body), [(b"x-tokens", b"%d" % inference.input_tokens)], b"a/trial")

    def encode_event(self, call: InferenceCall, event: str | Inference) -> bytes:
        return orjson.dumps({"delta": event} if isinstance(event, str) else {"done": call.model})

    def encode_error(self, error: ServiceError) -> EncodedResponse:
        headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        return EncodedResponse(error.status, orjson.dumps({"problem": str(error)}), headers, b"a/problem")


def client_of(registry: StubRegistry) -> TestClient:
    app = FastAPI()
    app.state.registry = registry
    app.router.routes.append(
        Route(TrialDialect.path, InferenceEndpoint(TrialDialect(), app.state, LIMITS), methods=["POST"])
    )
    return TestClient(app, headers={"Content-Type": "Application/Trial; charset=utf-8"})


def post(registry: StubRegistry, **body: Any) -> Any:
    return client_of(registry).post("/trial/2/classify", content=orjson.dumps({"prompt": "ü"} | body))


def events(registry: StubRegistry) -> list[Any]:
    response = post(registry, stream=True)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *found, rest = response.content.split(b"\n\n")
    assert rest == b""
    return [json.loads(event.removeprefix(b"data: ")) for event in found]


# --- There and back --------------------------------------------------------------------------------------------------


def test_a_call_reaches_the_registry_and_its_answer_the_client() -> None:
    registry = StubRegistry(ANSWER)
    response = post(registry)
    assert response.status_code == 201
    assert response.headers["content-type"] == "a/trial"
    assert response.headers["x-tokens"] == "5"
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.json()["prompt"] == "ü"
    assert response.json()["verdict"]["label"] == "é"
    assert registry.calls == [("classify", ["ü"], ClassifyParameters(top_k=1), "moods")]


def test_a_stream_is_sent_as_the_dialects_events() -> None:
    assert events(StubRegistry("a", "b", ANSWER)) == [{"delta": "a"}, {"delta": "b"}, {"done": "moods"}]


def test_what_a_dialect_cannot_decode_is_refused_in_its_own_shape() -> None:
    registry = StubRegistry(ANSWER)
    response = client_of(registry).post("/trial/2/classify", json={}, headers={"Content-Type": "a/b;c"})
    assert (response.status_code, response.json()) == (422, {"problem": "Not 'a/b'."})
    assert registry.calls == []


def test_a_body_over_the_limit_is_refused_in_the_dialects_shape() -> None:
    registry = StubRegistry(ANSWER)
    response = post(registry, more="x" * 1000)
    assert (response.status_code, list(response.json())) == (413, ["problem"])
    assert registry.calls == []


# --- What the registry raises ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [{}, {"stream": True}], ids=["whole", "before the first event"])
@pytest.mark.parametrize(
    "error", [Overloaded("Full."), DeadlineExceeded("Late."), InferenceError("Failed.")], ids=lambda error: error.code
)
def test_errors_have_their_status_and_headers(error: ServiceError, stream: dict[str, bool]) -> None:
    response = post(StubRegistry(error), **stream)
    assert (response.status_code, response.json()) == (error.status, {"problem": str(error)})
    assert response.headers["content-type"] == "a/problem"
    assert response.headers.get("retry-after") == ("1" if error.status == 429 else None)


def test_an_error_after_the_first_event_is_the_last_event() -> None:
    assert events(StubRegistry("a", DeadlineExceeded("Late."))) == [{"delta": "a"}, {"problem": "Late."}]


@pytest.mark.parametrize("stream", [{}, {"stream": True}], ids=["whole", "before the first event"])
def test_a_request_that_the_server_gives_up_when_it_stops_is_told_so(stream: dict[str, bool]) -> None:
    response = post(StubRegistry(GIVEN_UP), **stream)
    assert response.status_code == 503
    assert "shutting down" in response.json()["problem"]


def test_a_stream_that_the_server_gives_up_when_it_stops_ends_by_telling_so() -> None:
    first, last = events(StubRegistry("a", GIVEN_UP))
    assert first == {"delta": "a"}
    assert "shutting down" in last["problem"]


@pytest.mark.parametrize("pieces", [None, [], ["a"]], ids=["whole", "before the first event", "after it"])
def test_a_fault_is_told_without_its_cause_and_logged_with_it(
    pieces: list[str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    registry = StubRegistry(*(pieces or []), RuntimeError("a secret"))
    with caplog.at_level(logging.ERROR, logger="service"):
        if pieces:
            told = events(registry)[-1]
        else:
            response = post(registry, **({} if pieces is None else {"stream": True}))
            assert response.status_code == 500
            told = response.json()
    assert told == {"problem": f"A fault of the server in POST {TrialDialect.path}; its log says more."}
    (record,) = caplog.records
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "a secret"
    assert "ü" not in caplog.text


# --- Clients that leave ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_a_client_that_leaves_before_its_body_is_whole_gets_no_answer(
    app: FastAPI, client: TestClient, parts: int
) -> None:
    def left() -> float:
        found = samples(client.get("/metrics").text)
        assert total(found, "shoal_requests_in_flight") == 1, "the scrape itself"
        return total(found, "shoal_request_duration_seconds_count", route="/v1/classify", status="499")

    before = left()
    body: list[Message] = [{"type": "http.request", "body": b'{"inputs": ', "more_body": True}] * parts
    assert post_messages(app, "/v1/classify", *body, {"type": "http.disconnect"}) == []
    assert left() == before + 1


def test_a_client_that_leaves_while_its_answer_is_made_cancels_it() -> None:
    class Cancelled(StubRegistry):
        async def stream(self, *_: Any, **__: Any) -> Any:
            try:
                await asyncio.get_running_loop().create_future()
                yield ""
            except asyncio.CancelledError:
                self.calls.append(("cancelled", [], None, None))
                raise

    class StreamingDialect(TrialDialect):
        def decode(self, request: EncodedRequest) -> InferenceCall:
            return InferenceCall("summarize", None, [request.body], ClassifyParameters(), stream=True)

    registry = Cancelled()
    endpoint = InferenceEndpoint(StreamingDialect(), State({"registry": registry}), LIMITS)
    assert post_messages(endpoint, "/", {"type": "http.request", "body": b"a"}, {"type": "http.disconnect"}) == []
    assert [each[0] for each in registry.calls] == ["cancelled"]
