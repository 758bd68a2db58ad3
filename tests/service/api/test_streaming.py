"""Server-sent events over a real socket: while a summary is written, when its client leaves, when the server stops."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.service import doubles
from tests.service.serving import PATIENCE_S, Server, eventually, samples, served, total

SHORT = "paris is the capital"
LONG = " ".join(["good", "bad", "slow", "paris", "weak", "strong"] * 20)
STEPS = 100
AT_LENGTH: dict[str, Any] = {"max_new_tokens": STEPS}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ "writer" takes about 10 ms a token; a classification of "slow" holds a worker up for about a second."""
    folder = tmp_path_factory.mktemp("models")
    doubles.summarizer(folder / "writer", slow_turns=25, max_position_embeddings=256)
    doubles.byte_summarizer(folder / "bytes")
    doubles.domain(doubles.summarizer(folder / "choosy"), "strong")
    doubles.summarizer(folder / "growing", static=False, max_position_embeddings=256)
    doubles.classifier(folder / "moods", slow_turns=2500)
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    with served(models_dir=models, workers=1, max_input_chars=5000) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx2.Client]:
    """Its server is idle, before and after."""
    with server.client() as client:
        eventually(lambda: idle(client))
        yield client
        eventually(lambda: idle(client))
    assert "Traceback" not in "".join(server.log)
    assert "never retrieved" not in "".join(server.log)


def metric(client: httpx2.Client, name: str, **labels: str) -> float:
    return total(samples(client.get("/metrics").text), name, **labels)


def saved(client: httpx2.Client) -> float:
    return metric(client, "shoal_saved_steps_total", model="writer")


def rows(client: httpx2.Client) -> float:
    """Of all passes: one of the encoder for a text, and one a step."""
    return metric(client, "shoal_batch_rows_sum", model="writer")


def idle(client: httpx2.Client) -> bool:
    """Nobody but the one who asks this is being answered, and nothing waits."""
    found = samples(client.get("/metrics").text)
    return total(found, "shoal_requests_in_flight") == 1 and total(found, "shoal_queue_rows") == 0


def ask(server: Server, request: dict[str, Any], route: str = "summarize") -> httpx2.Response:
    """On a connection of its own."""
    with server.client() as client:
        return client.post(f"/v1/{route}", json=request)


def body(text: str, *, stream: bool = True, model: str = "writer", **parameters: Any) -> dict[str, Any]:
    return {"inputs": text, "parameters": parameters, "stream": stream, "model": model}


@contextmanager
def streamed(server: Server, request: dict[str, Any]) -> Iterator[tuple[httpx2.Response, Iterator[dict[str, Any]]]]:
    """An answer that has begun, on a connection of its own, and its events; the connection is closed in the end."""
    with server.client() as client, client.stream("POST", "/v1/summarize", json=request) as response:
        yield response, events(response)


def events(response: httpx2.Response) -> Iterator[dict[str, Any]]:
    """Read strictly: `data: `, JSON on one line, a blank line, and nothing else."""
    rest = b""
    for received in response.iter_bytes():
        *whole, rest = (rest + received).split(b"\n\n")
        for event in whole:
            assert event.startswith(b"data: ")
            assert b"\n" not in event
            yield json.loads(event.removeprefix(b"data: "))
    assert rest == b""


def text_of(pieces: list[dict[str, Any]]) -> str:
    assert all(list(piece) == ["text"] and piece["text"] for piece in pieces)
    return "".join(piece["text"] for piece in pieces)


# --- Events ----------------------------------------------------------------------------------------------------------


def test_pieces_add_up_to_the_summary_and_the_last_event_is_the_whole_answer(
    server: Server, client: httpx2.Client
) -> None:
    whole = client.post("/v1/summarize", json=body(LONG, stream=False, max_new_tokens=30)).json()
    with streamed(server, body(LONG, max_new_tokens=30)) as (response, read):
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        *pieces, last = read
    assert last == whole
    assert last["usage"]["output_tokens"] == 30
    assert text_of(pieces) == whole["results"][0]["summary"]
    assert len(pieces) > 10, "it came while it was written"


@pytest.mark.parametrize(
    "parameters", [{"num_beams": 3}, {"sources": True}, {"strategy": "extractive"}, {"strategy": "truncate"}]
)
def test_whatever_is_asked_for_the_answer_is_the_one_without_a_stream(
    server: Server, client: httpx2.Client, parameters: dict[str, Any]
) -> None:
    text = "paris is the capital. the bad is weak. good is strong."
    whole = client.post("/v1/summarize", json=body(text, stream=False, **parameters)).json()
    with streamed(server, body(text, **parameters)) as (_, read):
        *pieces, last = read
    assert last == whole
    assert text_of(pieces) == whole["results"][0]["summary"]


@pytest.mark.parametrize(("word", "strategy"), [("strong", "truncate"), ("weak", "extractive")])
def test_whether_to_write_is_decided_before_the_first_piece(
    server: Server, client: httpx2.Client, word: str, strategy: str
) -> None:
    text = f"paris is {word}. good is the capital. bad is slow. paris is the rival."
    whole = client.post("/v1/summarize", json=body(text, stream=False, model="choosy")).json()
    with streamed(server, body(text, model="choosy")) as (_, read):
        *pieces, last = read
    assert last == whole
    (result,) = whole["results"]
    assert (result["strategy"], result["reason"] is None) == (strategy, strategy == "truncate")
    assert text_of(pieces) == result["summary"]


@pytest.mark.parametrize("parameters", [{}, {"num_beams": 3}, {"max_new_tokens": 3}])
def test_a_decoder_whose_caches_grow_streams_too(
    server: Server, client: httpx2.Client, parameters: dict[str, Any]
) -> None:
    """As T5's does, and any in a folder as Optimum writes it: texts that come later are decoded beside it."""
    texts = [LONG, SHORT, LONG[5:], SHORT[6:]]
    requests = [body(text, model="growing", **({"max_new_tokens": 40} | parameters)) for text in texts]

    def read(request: dict[str, Any]) -> list[dict[str, Any]]:
        with streamed(server, request) as (_, found):
            return list(found)

    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(read, requests))
    for request, (*pieces, last) in zip(requests, answers, strict=True):
        assert last == client.post("/v1/summarize", json=request | {"stream": False}).json()
        assert text_of(pieces) == last["results"][0]["summary"] != ""


def test_of_a_long_text_only_the_last_round_is_streamed(server: Server, client: httpx2.Client) -> None:
    text = "paris is the capital. the bad is weak. " * 60
    whole = client.post("/v1/summarize", json=body(text, stream=False, max_new_tokens=8)).json()
    assert whole["results"][0]["pieces"] > 1
    with streamed(server, body(text, max_new_tokens=8)) as (_, read):
        *pieces, last = read
    assert last == whole
    assert text_of(pieces) == whole["results"][0]["summary"]


@pytest.mark.parametrize("text", ["🎉🎉 paris 👩🏽‍🚀", "日本語の要約", "naïve e\u0301te\u0301 é🏞️", "🎉"])
def test_no_piece_has_a_part_of_a_character(server: Server, client: httpx2.Client, text: str) -> None:
    request = body(text, model="bytes", max_new_tokens=60)
    whole = client.post("/v1/summarize", json=request | {"stream": False}).json()
    assert whole["results"][0]["summary"] == text
    assert whole["usage"]["output_tokens"] > len(text), "characters are several tokens"
    with streamed(server, request) as (_, read):
        *pieces, last = read
    assert last == whole
    assert text_of(pieces) == text
    assert not any("\ufffd" in piece["text"] for piece in pieces)


# --- Errors ----------------------------------------------------------------------------------------------------------


def refused(client: httpx2.Client, request: dict[str, Any]) -> tuple[int, str]:
    """A plain answer, as without a stream."""
    response = client.post("/v1/summarize", json=request)
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error", "error_type"]
    assert response.status_code == client.post("/v1/summarize", json=request | {"stream": False}).status_code
    return response.status_code, response.json()["error_type"]


def test_an_error_before_the_first_piece_is_a_plain_answer(client: httpx2.Client) -> None:
    assert refused(client, body(SHORT, model="nobody")) == (404, "ModelNotFound")
    assert refused(client, body("x" * 5001)) == (413, "Validation")
    assert refused(client, body(SHORT, max_new_tokens=1000)) == (422, "Validation")
    assert refused(client, body(" ")) == (422, "Validation")


def test_several_inputs_are_refused(client: httpx2.Client) -> None:
    response = client.post("/v1/summarize", json=body(SHORT) | {"inputs": [SHORT, "good"]})
    assert (response.status_code, response.json()["error_type"]) == (422, "Validation")
    assert "one input at a time, and there are 2" in response.json()["error"]
    with client.stream("POST", "/v1/summarize", json=body(SHORT) | {"inputs": [SHORT]}) as response:
        assert list(events(response))[-1]["results"][0]["summary"] == SHORT


# --- Clients that leave ----------------------------------------------------------------------------------------------


def test_a_client_that_leaves_in_mid_stream_stops_its_text(server: Server, client: httpx2.Client) -> None:
    before = saved(client)
    with streamed(server, body(LONG, **AT_LENGTH)) as (_, read):
        assert "text" in next(read)
    eventually(lambda: saved(client) > before)
    eventually(lambda: idle(client))
    assert saved(client) - before <= STEPS
    stopped_at = rows(client)
    assert client.post("/v1/summarize", json=body("good", stream=False)).status_code == 200
    assert rows(client) - stopped_at <= 3, "a row of the encoder, two steps: nothing else runs any more"


def test_a_client_that_leaves_while_it_waits_for_its_answer_stops_its_text(
    server: Server, client: httpx2.Client
) -> None:
    before, began_at = saved(client), rows(client)
    content = json.dumps(body(LONG, stream=False, **AT_LENGTH)).encode()
    head = b"POST /v1/summarize HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(head % len(content) + content)
        eventually(lambda: rows(client) > began_at)
    eventually(lambda: saved(client) > before)
    eventually(lambda: idle(client))
    assert rows(client) - began_at + saved(client) - before == STEPS + 1, "each step is made or saved"


def test_one_who_shares_a_stream_gets_all_of_it_when_the_first_leaves(server: Server, client: httpx2.Client) -> None:
    began_at, before = rows(client), saved(client)
    whole = client.post("/v1/summarize", json=body(LONG, stream=False, **AT_LENGTH)).json()
    eventually(lambda: rows(client) - began_at == STEPS + 1)
    shared = metric(client, "shoal_shared_answers_total", model="writer")
    with streamed(server, body(LONG, **AT_LENGTH)) as (leaving, first):
        next(first)
        with streamed(server, body(LONG, **AT_LENGTH)) as (_, second):
            pieces = [next(second)]
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(ask, server, body(LONG, stream=False, **AT_LENGTH))
                eventually(lambda: metric(client, "shoal_shared_answers_total", model="writer") == shared + 2)
                leaving.close()
                *more, last = second
                assert waiting.result().json() == whole
    assert last == whole
    assert text_of(pieces + more) == whole["results"][0]["summary"]
    assert saved(client) == before
    eventually(lambda: rows(client) - began_at >= 2 * (STEPS + 1))
    assert rows(client) - began_at == 2 * (STEPS + 1), "it was written once more, for all three"


# --- Shutting down ---------------------------------------------------------------------------------------------------


def test_a_stream_that_has_time_to_end_ends_with_its_answer(models: Path) -> None:
    with served(models_dir=models, workers=1) as server, streamed(server, body(LONG, **AT_LENGTH)) as (_, read):
        pieces = [next(read)]
        with ThreadPoolExecutor(1) as pool:
            stopping = pool.submit(server.terminate)
            *more, last = read
            stopping.result()
    assert text_of(pieces + more) == last["results"][0]["summary"]
    assert last["usage"]["output_tokens"] == STEPS


def test_a_stream_that_is_cut_off_says_so(models: Path) -> None:
    with served(models_dir=models, workers=1, shutdown_timeout_s=0) as server:
        with streamed(server, body(LONG, **AT_LENGTH)) as (response, read):
            next(read)
            with ThreadPoolExecutor(1) as pool:
                stopping = pool.submit(server.terminate)
                *_, last = read
                stopping.result()
            assert response.status_code == 200
        assert list(last) == ["error", "error_type"]
        assert last["error_type"] == "Unhealthy"
        assert "Traceback" not in "".join(server.log)


def test_a_stream_that_is_cut_off_before_its_first_piece_is_refused(models: Path) -> None:
    with served(models_dir=models, workers=1, shutdown_timeout_s=0) as server, ThreadPoolExecutor(2) as pool:
        with server.client() as client:
            pool.submit(ask, server, {"inputs": "slow"}, "classify")
            eventually(lambda: metric(client, "shoal_queue_wait_seconds_count", model="moods") == 1)
            waiting = pool.submit(ask, server, body(SHORT))
            eventually(lambda: metric(client, "shoal_queue_rows", model="writer") == 1)
        server.terminate()
        assert waiting.result().status_code == 503
        assert waiting.result().json()["error_type"] == "Unhealthy"
        assert "Traceback" not in "".join(server.log)
