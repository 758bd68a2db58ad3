"""End to end: a server in its own process, over a real socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.service import doubles
from tests.service.serving import PATIENCE_S, ROOT, Server, eventually, samples, served, start, total

HEADERS = {"Content-Type": "application/json"}
HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server(zoo: Path) -> Iterator[Server]:
    with served(models_dir=zoo, max_body_bytes=10_000) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx2.Client]:
    with server.client() as client:
        yield client


@contextmanager
def held(zoo: Path, gate: Path, **settings: object) -> Iterator[Server]:
    """A server with one worker, whose classifier's passes wait while the file `gate` exists, which it does first."""
    gate.touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
    settings = {"port": 0, "workers": 1, "models_dir": zoo, "request_timeout_s": PATIENCE_S} | settings
    environment |= {f"SHOAL_{name.upper()}": str(value) for name, value in settings.items()} | {"HOLD": str(gate)}
    command = [sys.executable, "-m", "tests.service.engine.held_service"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            server = Server(process)
            yield server
            gate.unlink(missing_ok=True)
            server.terminate()
        finally:
            gate.unlink(missing_ok=True)
            process.kill()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "hold"


def metric(client: httpx2.Client, name: str, **labels: str) -> float:
    return total(samples(client.get("/metrics").text), name, **labels)


def ask(server: Server, route: str = "classify", **body: Any) -> httpx2.Response:
    """A request on a connection of its own."""
    with server.client() as client:
        return client.post(f"/v1/{route}", json=body)


# --- Answers ---------------------------------------------------------------------------------------------------------


def test_three_tasks_over_a_socket(client: httpx2.Client) -> None:
    moods = client.post("/v1/classify", json={"inputs": ["good", "bad"]}).json()
    assert [result["label"] for result in moods["results"]] == ["positive", "negative"]
    question = {"question": "is?", "context": "🎉 it is Paris"}
    reader = client.post("/v1/answer", json={"inputs": question}).json()
    assert reader["results"][0]["answer"] == "Paris"
    writer = client.post("/v1/summarize", json={"inputs": "Paris is good", "parameters": {"num_beams": 3}}).json()
    assert writer["results"][0]["summary"] == "paris is good"


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("classify", {"inputs": "a good film"}),
    ("classify", {"inputs": ["bad", "good " * 30, "is it"], "model": "topics"}),
    ("classify", {"inputs": "the capital is good and bad", "parameters": {"function_to_apply": "none"}}),
    ("answer", {"inputs": {"question": "is?", "context": "the " * 90 + "paris " + "is " * 90}}),
    ("answer", {"inputs": [{"question": "the?", "context": "it is weak"}], "parameters": {"top_k": 3}}),
    ("summarize", {"inputs": "good paris is the capital"}),
    ("summarize", {"inputs": ["in the capital", "weak is strong is good"], "parameters": {"num_beams": 4}}),
    ("classify", {"inputs": "poison"}),
    ("classify", {"inputs": ""}),
]


def test_many_clients_at_once_get_what_each_gets_alone(server: Server, client: httpx2.Client) -> None:
    alone = [client.post(f"/v1/{route}", json=body) for route, body in REQUESTS]
    together = threading.Barrier(24, timeout=PATIENCE_S)

    def visit(seed: int) -> list[tuple[int, httpx2.Response]]:
        answers = []
        with server.client() as mine:
            together.wait()
            for step in range(12):
                index = (seed + step) % len(REQUESTS)
                route, body = REQUESTS[index]
                answers.append((index, mine.post(f"/v1/{route}", json=body)))
        return answers

    with ThreadPoolExecutor(24) as pool:
        answers = [answer for visits in pool.map(visit, range(24)) for answer in visits]
    assert len(answers) == 24 * 12
    for index, answer in answers:
        assert answer.status_code == alone[index].status_code
        assert answer.content == alone[index].content


def test_requests_that_wait_for_the_same_pass_share_the_next_and_get_what_each_gets_alone(
    zoo: Path, gate: Path
) -> None:
    texts = ["good", "a good film", "the capital is bad", "is it?", "weak", "bad " * 20]
    with (
        held(zoo, gate) as server,
        server.client() as client,
        ThreadPoolExecutor(len(texts) + 1) as pool,
    ):
        gate.unlink()
        alone = [ask(server, inputs=text).content for text in texts]
        gate.touch()
        first = pool.submit(ask, server, inputs="slow slow")
        eventually(waiting_for(client, "shoal_queue_wait_seconds_count", len(texts) + 1))
        passes = metric(client, "shoal_batch_rows_count", model="moods")
        rest = [pool.submit(ask, server, inputs=text) for text in texts]
        eventually(waiting_for(client, "shoal_queue_rows", len(texts)))
        assert not first.done()
        gate.unlink()
        assert [answer.result().content for answer in rest] == alone
        eventually(waiting_for(client, "shoal_batch_rows_sum", 2 * len(texts) + 1))
        assert metric(client, "shoal_batch_rows_count", model="moods") - passes < len(texts), "none shared a pass"


def test_one_connection_serves_request_after_request(client: httpx2.Client) -> None:
    for _ in range(50):
        assert client.post("/v1/classify", json={"inputs": "good"}).status_code == 200
        assert client.post("/v1/classify", content=b"{", headers=HEADERS).status_code == 400


# --- What a test client cannot do ------------------------------------------------------------------------------------


def spoken(server: Server, request: bytes, *, leaving: bool = True) -> bytes:
    """Send these bytes and read until the server closes; `leaving` says at once that no more will come."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        if leaving:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while received := connection.recv(65536):
            answer += received
    return answer


@pytest.mark.parametrize("size", [10_001, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_answered_before_the_connection_goes(
    client: httpx2.Client, size: int, chunked: bool
) -> None:
    def pieces() -> Iterator[bytes]:
        for begin in range(0, size, 65536):
            yield b" " * min(65536, size - begin)

    response = client.post("/v1/classify", content=pieces() if chunked else b" " * size, headers=HEADERS)
    assert response.status_code == 413
    assert list(response.json()) == ["error", "error_type"]
    assert client.post("/v1/classify", json={"inputs": "good"}).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_a_body_over_the_limit_before_it_reads_gets_its_answer(
    server: Server, chunked: bool
) -> None:
    body = b" " * 12_000_000
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    sent = HEAD + framing + b"\r\nConnection: close\r\n\r\n"
    sent += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    assert spoken(server, sent, leaving=False).startswith(b"HTTP/1.1 413 ")


def test_a_length_with_many_zeros_before_it_is_a_length(server: Server) -> None:
    length = b"Content-Length: " + b"0" * 5000 + b"17\r\nConnection: close\r\n\r\n"
    assert spoken(server, HEAD + length + b'{"inputs":"good"}', leaving=False).startswith(b"HTTP/1.1 200 ")


def test_an_offer_of_another_protocol_keeps_the_body(server: Server) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    request = HEAD + offer + b'Content-Length: 17\r\n\r\n{"inputs":"good"}'
    last = HEAD + b'Connection: close\r\nContent-Length: 17\r\n\r\n{"inputs":"good"}'
    assert spoken(server, request + last, leaving=False).count(b"HTTP/1.1 200 ") == 2


def test_a_body_that_was_only_announced_is_refused_by_its_length(server: Server) -> None:
    head = (
        b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"
    )
    answer = spoken(server, head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"99999999" in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"",
    ],
)
def test_bytes_that_are_no_request_do_not_harm_the_next(
    server: Server, client: httpx2.Client, request_bytes: bytes
) -> None:
    answer = spoken(server, request_bytes)
    assert answer.startswith(b"HTTP/1.1 400 ") if request_bytes else answer == b""
    assert client.post("/v1/classify", json={"inputs": "good"}).status_code == 200


def test_a_client_that_leaves_before_its_answer_harms_nobody(server: Server, client: httpx2.Client) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps({"inputs": ["good"] * 50}).encode()
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    for cut in (10, len(HEAD) + 5, len(request) - 20, len(request)):
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
            connection.sendall(request[:cut])
    eventually(lambda: metric(client, "shoal_requests_in_flight") == 1)
    assert client.post("/v1/classify", json={"inputs": "good"}).status_code == 200
    assert client.get("/health/ready").status_code == 200


def test_the_log_holds_no_text_of_a_request(server: Server, client: httpx2.Client) -> None:
    client.post("/v1/classify", json={"inputs": "poison swordfish"})
    client.post("/v1/classify", json={"inputs": "good", "swordfish": 1})
    eventually(lambda: any("a row of moods failed" in line for line in server.log))
    assert "swordfish" not in "".join(server.log)


# --- Overload --------------------------------------------------------------------------------------------------------


def waiting_for(client: httpx2.Client, name: str, value: float) -> Callable[[], bool]:
    return lambda: metric(client, name, model="moods") >= value


def test_a_full_queue_refuses_with_429_and_answers_what_it_took(zoo: Path, gate: Path) -> None:
    with (
        held(zoo, gate, max_queue_size=2) as server,
        server.client() as client,
        ThreadPoolExecutor(8) as pool,
    ):
        taken = [pool.submit(ask, server, inputs="slow")]
        eventually(waiting_for(client, "shoal_queue_wait_seconds_count", 1))
        taken.append(pool.submit(ask, server, inputs="slow good"))
        eventually(waiting_for(client, "shoal_queue_rows", 1))
        refused = [client.post("/v1/classify", json={"inputs": ["good", "bad"]})]
        taken.append(pool.submit(ask, server, inputs="good"))
        eventually(waiting_for(client, "shoal_queue_rows", 2))
        refused.append(client.post("/v1/classify", json={"inputs": "bad"}))
        for response in refused:
            assert response.status_code == 429
            assert response.headers["retry-after"] == "1"
            assert list(response.json()) == ["error", "error_type"]
            assert response.json()["error_type"] == "Overloaded"
        assert client.get("/health/ready").status_code == 200, "full is not ill"
        gate.unlink()
        assert [answer.result().status_code for answer in taken] == [200, 200, 200]
        assert metric(client, "shoal_refusals_total", reason="Overloaded") == 2
        assert client.post("/v1/classify", json={"inputs": "good"}).status_code == 200


def test_a_request_that_waited_too_long_is_told_so(zoo: Path, gate: Path) -> None:
    with (
        held(zoo, gate, request_timeout_s=2) as server,
        server.client() as client,
        ThreadPoolExecutor(2) as pool,
    ):
        taken = pool.submit(ask, server, inputs="slow")
        eventually(waiting_for(client, "shoal_queue_wait_seconds_count", 1))
        late = client.post("/v1/classify", json={"inputs": "good"})
        assert late.status_code == 504
        assert late.json() == {
            "error": "Not answered within 2 s: it was still waiting behind other work.",
            "error_type": "DeadlineExceeded",
        }
        assert taken.result().status_code == 504, "the pass that holds it up was too slow as well"
        assert "the model was still at work" in taken.result().json()["error"]
        gate.unlink()
        eventually(lambda: client.post("/v1/classify", json={"inputs": "good"}).status_code == 200)


def test_identical_requests_at_the_same_time_share_a_row(zoo: Path, gate: Path) -> None:
    with (
        held(zoo, gate) as server,
        server.client() as client,
        ThreadPoolExecutor(8) as pool,
    ):
        answers = [pool.submit(ask, server, inputs="slow")]
        eventually(waiting_for(client, "shoal_queue_wait_seconds_count", 1))
        answers += [pool.submit(ask, server, inputs="slow") for _ in range(7)]
        eventually(waiting_for(client, "shoal_shared_answers_total", 7))
        gate.unlink()
        assert {answer.result().content for answer in answers} == {answers[0].result().content}
        assert metric(client, "shoal_shared_answers_total", model="moods") == 7
        eventually(lambda: metric(client, "shoal_batch_rows_sum", model="moods") == 1)


def test_health_does_not_wait_behind_a_slow_pass_and_tells_a_stuck_one(zoo: Path, gate: Path) -> None:
    with (
        held(zoo, gate, stuck_after_s=0.2) as server,
        server.client() as client,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(ask, server, inputs="slow")
        eventually(lambda: client.get("/health").status_code == 503)
        assert client.get("/health/live").status_code == 200
        assert not answer.done()
        gate.unlink()
        assert answer.result().status_code == 200
        eventually(lambda: client.get("/health").status_code == 200)


# --- Starting and stopping -------------------------------------------------------------------------------------------


def test_sigterm_answers_every_request_in_flight(zoo: Path, gate: Path) -> None:
    bodies: list[tuple[str, Any]] = [
        ("classify", "slow"), ("classify", "slow good"), ("classify", ["good", "bad"]), ("summarize", "paris is good"),
        ("classify", "bad"), ("summarize", ["good", "the capital"]),
    ]  # fmt: skip
    with (
        held(zoo, gate) as server,
        ThreadPoolExecutor(len(bodies)) as pool,
    ):
        answers: list[Future[httpx2.Response]] = []
        with server.client() as client:
            for route, inputs in bodies:
                answers.append(pool.submit(ask, server, route, inputs=inputs))
                if len(answers) == 1:
                    eventually(waiting_for(client, "shoal_queue_wait_seconds_count", 1))
            eventually(lambda: metric(client, "shoal_requests_in_flight") == len(bodies) + 1)
        assert not any(answer.done() for answer in answers)
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: any("Shutting down" in line for line in server.log))
        gate.unlink()
        server.terminate()
        assert [answer.result().status_code for answer in answers] == [200] * len(bodies)
        assert server.process.returncode in (0, -15)
        with pytest.raises(httpx2.ConnectError):
            ask(server, inputs="good")


def test_requests_that_are_not_done_when_the_time_to_drain_is_over_are_told_so(zoo: Path, gate: Path) -> None:
    with (
        held(zoo, gate, shutdown_timeout_s=0) as server,
        ThreadPoolExecutor(3) as pool,
    ):
        with server.client() as client:
            answers = [pool.submit(ask, server, inputs="slow")]
            eventually(waiting_for(client, "shoal_queue_wait_seconds_count", 1))
            answers += [pool.submit(ask, server, inputs=text) for text in ("good", "bad")]
            eventually(waiting_for(client, "shoal_queue_rows", 2))
        server.process.send_signal(signal.SIGTERM)
        answers[0].result()
        gate.unlink()
        server.process.wait(PATIENCE_S)
        for answer in answers:
            assert answer.result().status_code == 503
            assert list(answer.result().json()) == ["error", "error_type"]
            assert answer.result().json()["error_type"] == "Unhealthy"
        assert "Traceback" not in "".join(server.log)


def test_an_idle_server_stops_at_once(zoo: Path) -> None:
    with served(models_dir=zoo, models="moods") as server:
        began_s = time.monotonic()
        server.terminate()
        assert time.monotonic() - began_s < 5
        assert "Traceback" not in "".join(server.log)


def test_sighup_is_ignored_and_unknown_settings_are_told(zoo: Path) -> None:
    with served(models_dir=zoo, models="moods", worker=2) as server:
        server.process.send_signal(signal.SIGHUP)
        with server.client() as client:
            assert client.post("/v1/classify", json={"inputs": "good"}).status_code == 200
        assert server.terminate() == -signal.SIGTERM
        told = [line for line in server.log if "SHOAL_" in line]
    sentence = "SHOAL_WORKER is not a setting and has no effect; did you mean SHOAL_WORKERS?"
    assert told == [f"WARNING service: {sentence}\n"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"models_dir": "{folder}/none"}, "SHOAL_MODELS_DIR={folder}/none cannot be read: No such file or directory"),
        ({"models_dir": "{folder}/hidden"}, "{folder}/hidden: no models (a model is a sub-folder with a config.json)"),
        ({"models": "x"}, "{folder}: no model named x; there are: hidden, moods, reader"),
        ({"models": "reader,hidden"}, "{folder}: none of the models can be served: reader: tokenizer.json"),
        ({"models": "reader"}, "{folder}/reader cannot be served: tokenizer.json"),
        ({"strict_models": "yes"}, "2 of the models cannot be served (SHOAL_STRICT_MODELS): hidden: no config.json; r"),
        ({"default_models": "classify=x"}, "SHOAL_DEFAULT_MODELS: 'x' is not there; classify is served by: moods"),
        ({"host": "", "queue_rows": "many"}, "SHOAL_HOST=: must not be empty; unset the variable to get the default; "),
        ({"threads": "-1"}, "SHOAL_WORKERS=-1: Input should be greater than or equal to 0"),
    ],
)  # fmt: skip
def test_what_keeps_it_from_starting_is_one_line(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    doubles.classifier(tmp_path / "moods")
    (doubles.reader(tmp_path / "reader") / "tokenizer.json").unlink()
    (tmp_path / "hidden" / ".git").mkdir(parents=True)
    given = {name: value.format(folder=tmp_path) for name, value in settings.items()}
    with start(**{"models_dir": tmp_path, "log_level": "warning"} | given) as process:
        _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    errors = [line for line in log.splitlines() if not line.startswith("WARNING ")]
    assert len(errors) == 1, log
    assert errors[0].startswith(f"ERROR {said.format(folder=tmp_path)}")


def test_the_log_says_which_model_answers_what(zoo: Path) -> None:
    with served(models_dir=zoo, default_models="classify=topics") as server:
        log = "".join(server.log)
    answered = "/v1/classify by topics, /v1/answer by reader, /v1/summarize by writer, /v1/entities by tagger"
    assert f"answered: {answered}, /v1/embed by vectors\n" in log


def test_nothing_but_the_run_time_dependencies_is_imported(zoo: Path) -> None:
    script = (
        "import sys, service.__main__\n"
        "print([name for name in ('torch', 'transformers', 'optimum', 'onnx', 'models') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
