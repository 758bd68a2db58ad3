"""The three default models, as `make serve` serves them: over a socket, all at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from service.api import examples
from tests.service.serving import PATIENCE_S, Samples, Server, samples, served, total

CLIENTS = 64
TEXTS = [
    "A charming film, and often a moving one.",
    "Two hours that I will not get back.",
    "The plot is thin, but the actors carry it; " * 6,
    "It's neither as romantic nor as thrilling as it should be.",
    "Wow 🎉",
    "An unholy mess.",
]
CONTEXT = (
    "The Danube rises in the Black Forest and flows 2,850 km to the Black Sea. It passes through ten countries, more "
    "than any other river. Vienna, Bratislava, Budapest and Belgrade are the four capitals on its banks. "
)
QUESTIONS = [
    {"question": "How long is the Danube?", "context": CONTEXT},
    {"question": "Where does it rise?", "context": f"🏞️ {CONTEXT}"},
    {"question": "How many capitals are on its banks?", "context": CONTEXT * 10},
    {"question": "Which countries does the Rhine pass through?", "context": "日本語 e\u0301te\u0301 naïve."},
]
ABSTRACT = f"{examples.ABSTRACT} "


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # By name: an artifact of one's own may lie beside them.
    with served(models="qa,sentiment,summarizer") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx2.Client]:
    with server.client() as client:
        yield client


def mixed(number: int) -> tuple[str, dict[str, Any]]:
    """The number's request: of all tasks, lengths and parameters."""
    kind, turn = number % 8, number // 8
    if kind < 4:
        inputs: Any = TEXTS[(number + turn) % len(TEXTS)]
        return "/v1/classify", {"inputs": [inputs, TEXTS[turn % len(TEXTS)]] if kind == 3 else inputs}
    if kind < 7:
        parameters: dict[str, Any] = {"top_k": 1 + turn % 3, "handle_impossible_answer": turn % 2 == 0}
        return "/v1/answer", {"inputs": QUESTIONS[(number + turn) % len(QUESTIONS)], "parameters": parameters}
    parameters = {"max_new_tokens": 8 + turn, "num_beams": 1 + turn % 4}
    return "/v1/summarize", {"inputs": ABSTRACT * (1 + turn % 3), "parameters": parameters}


def now(client: httpx2.Client) -> Samples:
    return samples(client.get("/metrics").text)


def test_there_is_a_model_for_each_task_with_a_score(client: httpx2.Client) -> None:
    cards = client.get("/v1/models").json()["models"]
    assert {card["task"] for card in cards} == {"text-classification", "question-answering", "summarization"}
    for card in cards:
        assert card["precision"] == "int8"
        assert card["score"], card["name"]


def test_every_example_of_the_schema_runs_as_it_stands(client: httpx2.Client) -> None:
    served = {card["route"] for card in client.get("/v1/models").json()["models"]}
    paths = client.get("/openapi.json").json()["paths"]
    served = {card["route"] for card in client.get("/v1/models").json()["models"]}
    examples = [
        (path, example["value"])
        for path, operations in paths.items()
        if path in served
        for example in operations["post"]["requestBody"]["content"]["application/json"]["examples"].values()
    ]
    assert {path for path, _ in examples} == {"/v1/classify", "/v1/answer", "/v1/summarize"}
    for path, body in examples:
        response = client.post(path, json=body)
        assert response.status_code == 200, response.text
        # Of a stream the last event is the whole answer.
        last = response.text.strip().removeprefix("data: ").rpartition("\n\ndata: ")[2]
        assert ("data: " in response.text) == body.get("stream", False)
        assert json.loads(last)["results"]


def test_the_summarizer_writes_of_an_abstract_and_chooses_sentences_of_a_notice(client: httpx2.Client) -> None:
    body = client.post("/v1/summarize", json={"inputs": [examples.ABSTRACT, examples.NOTICE]}).json()
    written, chosen = body["results"]
    assert (written["strategy"], written["reason"]) == ("truncate", None)
    assert chosen["strategy"] == "extractive"
    assert "abstracts of papers" in chosen["reason"]


def test_requests_in_company_get_the_same_bytes_as_alone(server: Server, client: httpx2.Client) -> None:
    requests = [mixed(number) for number in range(CLIENTS)]
    assert {path for path, _ in requests} == {"/v1/classify", "/v1/answer", "/v1/summarize"}
    alone = [client.post(path, json=body) for path, body in requests]
    assert {response.status_code for response in alone} == {200}
    together = threading.Barrier(CLIENTS, timeout=PATIENCE_S)
    before = now(client)

    def send(request: tuple[str, dict[str, Any]]) -> httpx2.Response:
        with server.client() as mine:
            mine.get("/health/live")  # connected
            together.wait()
            return mine.post(request[0], json=request[1])

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(send, requests))
    for request, answer, wanted in zip(requests, answers, alone, strict=True):
        assert answer.status_code == 200
        assert answer.content == wanted.content, request
    after = now(client)
    for card in client.get("/v1/models").json()["models"]:
        rows, passes = (
            total(after, name, model=card["name"]) - total(before, name, model=card["name"])
            for name in ("shoal_batch_rows_sum", "shoal_batch_rows_count")
        )
        assert rows > passes > 0, card["name"]


def test_answers_are_stretches_of_the_context(client: httpx2.Client) -> None:
    body = client.post("/v1/answer", json={"inputs": QUESTIONS, "parameters": {"top_k": 5}}).json()
    for question, result in zip(QUESTIONS, body["results"], strict=True):
        for answer in result["answers"]:
            assert question["context"][answer["start"] : answer["end"]] == answer["answer"]
