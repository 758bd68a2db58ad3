from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from service.api.body import BodyLimits
from service.api.examples import EXAMPLES
from service.api.schemas import response_schema
from service.api.v1 import V1Dialect
from service.tasks import TASKS
from service.tasks.base import AnyTask

LIMITS = BodyLimits(max_bytes=10_000, max_inputs=4, max_input_chars=1000)
JSON = {"Content-Type": "application/json"}
QUESTION = {"question": "the capital?", "context": "it is paris"}
GOOD = {
    "classify": "a good film",
    "answer": QUESTION,
    "summarize": "paris is the capital",
    "entities": "paris is the capital",
    "embed": "paris",
}


def post(client: TestClient, route: str, **body: Any) -> dict[str, Any]:
    response = client.post(f"/v1/{route}", json=body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    answer: dict[str, Any] = response.json()
    assert list(answer) == ["model", "results", "usage"]
    return answer


def refused(client: TestClient, route: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Status, word and sentence; and a good request afterwards still gets its answer."""
    response = client.post(f"/v1/{route}", content=body, headers=JSON if headers is None else headers)
    answer = response.json()
    assert list(answer) == ["error", "error_type"]
    assert response.headers["content-type"] == "application/json"
    assert answer["error"][-1] in ".)}", "a sentence"
    assert len(answer["error"]) > 15
    post(client, route, inputs=GOOD[route])
    return response.status_code, answer["error_type"], answer["error"]


# --- Answers ---------------------------------------------------------------------------------------------------------


def test_classify(client: TestClient) -> None:
    answer = post(client, "classify", inputs="a good film")
    assert answer["model"] == "moods"
    (result,) = answer["results"]
    assert set(result) == {"label", "score", "scores", "truncated", "truncated_at"}
    assert result["label"] == "positive"
    assert answer["usage"] == {"input_tokens": 8, "output_tokens": 0}


def test_answer(client: TestClient) -> None:
    (result,) = post(client, "answer", inputs=QUESTION)["results"]
    assert set(result) == {
        "answer", "score", "start", "end", "answers", "windows", "truncated", "truncated_at",
    }  # fmt: skip
    assert (result["answer"], result["start"], result["end"]) == ("paris", 6, 11)


def test_summarize(client: TestClient) -> None:
    answer = post(client, "summarize", inputs="Paris is the capital")
    (result,) = answer["results"]
    assert result == {
        "summary": "paris is the capital", "finish_reason": "stop", "truncated": False, "truncated_at": None,
        "strategy": "truncate", "reason": None, "pieces": 1, "sentences": None, "sources": None,
    }  # fmt: skip
    assert answer["usage"] == {"input_tokens": 6, "output_tokens": 4}


@pytest.mark.parametrize("route", ["classify", "answer", "summarize"])
def test_one_input_and_a_list_of_one_are_the_same(client: TestClient, route: str) -> None:
    assert post(client, route, inputs=GOOD[route]) == post(client, route, inputs=[GOOD[route]])


def test_results_come_in_the_order_of_the_inputs(client: TestClient) -> None:
    texts = ["good", "bad " * 40, "good " * 20, "bad"]
    together = post(client, "classify", inputs=texts)
    assert [result["label"] for result in together["results"]] == ["positive", "negative", "positive", "negative"]
    alone = [post(client, "classify", inputs=text) for text in texts]
    assert together["results"] == [answer["results"][0] for answer in alone]
    assert together["usage"]["input_tokens"] == sum(answer["usage"]["input_tokens"] for answer in alone)


def test_a_model_is_chosen_by_name(client: TestClient) -> None:
    (softmax,) = post(client, "classify", inputs="good", model="moods")["results"]
    answer = post(client, "classify", inputs="good", model="topics")
    (sigmoid,) = answer["results"]
    assert answer["model"] == "topics"
    assert sum(entry["score"] for entry in softmax["scores"]) == pytest.approx(1)
    assert softmax["score"] != sigmoid["score"]


def test_parameters_reach_the_task(client: TestClient) -> None:
    (result,) = post(client, "classify", inputs="good", parameters={"top_k": 1, "function_to_apply": "none"})["results"]
    assert result["scores"] == [{"label": "positive", "score": pytest.approx(8 / 3)}]
    (result,) = post(client, "summarize", inputs="good bad the is", parameters={"max_new_tokens": 2, "num_beams": 4})[
        "results"
    ]
    assert (result["summary"], result["finish_reason"]) == ("good bad", "length")
    (result,) = post(client, "answer", inputs=QUESTION, parameters={"top_k": 2, "handle_impossible_answer": True})[
        "results"
    ]
    assert len(result["answers"]) == 2
    (result,) = post(client, "entities", inputs="the paris", parameters={"aggregation_strategy": "none"})["results"]
    (tag,) = result["entities"]
    assert (tag["entity"], tag["index"], tag["word"], tag["start"], tag["end"]) == ("B-LOC", 2, "paris", 4, 9)


def test_embed(client: TestClient) -> None:
    answer = post(client, "embed", inputs=["a good film", [10, 11]], parameters={"normalize": True})
    text, ids = answer["results"]
    assert set(text) == {"embedding", "windows", "truncated", "truncated_at"}
    assert sum(number**2 for number in text["embedding"]) == pytest.approx(1)
    assert len(text["embedding"]) == len(ids["embedding"]) == 4
    assert answer["usage"] == {"input_tokens": 12, "output_tokens": 0}
    (coded,) = post(client, "embed", inputs="a good film", parameters={"encoding_format": "base64"})["results"]
    assert len(base64.b64decode(coded["embedding"])) == 16


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"inputs": [[]]}, "inputs[0]: Tuple should have at least 1 item after validation, not 0."),
        ({"inputs": [[1, "2"]]}, "inputs[0][1]: Input should be a valid integer."),
        ({"inputs": [[1, -2]]}, "inputs[0][1]: Input should be greater than or equal to 0."),
        ({"inputs": [[1, 10**9]]}, "The token id 1000000000 is not of this model, whose vocabulary is "),
        ({"inputs": "a", "parameters": {"prompt": "b", "prompt_name": "c"}}, "parameters: send prompt or prompt_name"),
    ],
)
def test_what_embed_refuses(client: TestClient, body: dict[str, Any], sentence: str) -> None:
    status, word, said = refused(client, "embed", json.dumps(body).encode())
    assert (status, word) == (422, "Validation")
    assert said.startswith(sentence)


def test_pairs_and_texts_may_be_mixed(client: TestClient) -> None:
    pair = {"text": "good film", "text_pair": "bad"}
    answer = post(client, "classify", inputs=[pair, "good"])
    assert answer["results"][0] == post(client, "classify", inputs=pair)["results"][0]
    assert answer["results"][1] == post(client, "classify", inputs="good")["results"][0]
    long = {"text": "good " * 150, "text_pair": "bad"}
    (result,) = post(client, "classify", inputs=long)["results"]
    assert result["truncated_at"] == {"text": 5 * 124 - 1, "text_pair": None}


@pytest.mark.parametrize("route", ["classify", "answer", "summarize"])
def test_null_is_as_good_as_left_out(client: TestClient, route: str) -> None:
    plain = post(client, route, inputs=GOOD[route])
    fields = next(task for task in TASKS if task.route == route).parameters_type.model_fields
    stream = {"stream": None} if route == "summarize" else {}
    for parameters in (None, dict.fromkeys(fields)):
        found = post(client, route, inputs=GOOD[route], parameters=parameters, model=None, on_error=None, **stream)
        assert found == plain


def test_inputs_that_fail_have_their_errors_in_their_places(client: TestClient) -> None:
    texts = ["good", " ", "poison", 5]
    good, *errors = post(client, "classify", inputs=texts, on_error="item")["results"]
    assert good["label"] == "positive"
    assert errors == [
        {"error": "The text is empty or blank.", "error_type": "Validation"},
        {"error": "The model failed on this input.", "error_type": "Backend"},
        {"error": 'Input should be a text, or two as {"text": ..., "text_pair": ...}.', "error_type": "Validation"},
    ]
    bad, answered = post(client, "answer", inputs=[{"question": "a"}, QUESTION], on_error="item")["results"]
    assert bad == {"error": "context: Field required.", "error_type": "Validation"}
    assert answered["answer"] == "paris"


# --- Refusals --------------------------------------------------------------------------------------------------------

TEXT_ROUTES = ["classify", "summarize", "entities", "embed"]
ROUTES = [*TEXT_ROUTES, "answer"]


@pytest.mark.parametrize("route", TEXT_ROUTES)
@pytest.mark.parametrize("inputs", ["", " \n\t\u3000", ["good", ""], ["good", " "]])
def test_empty_and_blank_texts(client: TestClient, route: str, inputs: Any) -> None:
    status, word, sentence = refused(client, route, json.dumps({"inputs": inputs}).encode())
    assert (status, word) == (422, "Validation")
    place = "inputs[1]" if isinstance(inputs, list) else "inputs"
    assert sentence.startswith(f"{place}: ")


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ([{"text": "a"}], "inputs[0].text_pair: Field required."),
        ({"text": "a"}, "inputs.text_pair: Field required."),
        (["a", {"text": "a", "text_pair": " "}], "inputs[1].text_pair: The text is empty or blank."),
        ({"text": 5, "text_pair": "a"}, "inputs.text: Input should be a valid string."),
        (
            {"text": "a", "text_pair": "b", "one": 1},
            "inputs.one: There is no such field; see /docs for those there are.",
        ),
        (
            [["a", "b"]],
            'inputs[0]: Input should be a text, or two as {"text": ..., "text_pair": ...}.',
        ),
        (5, 'inputs: Input should be a text, or two as {"text": ..., "text_pair": ...}.'),
    ],
)
def test_wrong_pairs(client: TestClient, inputs: Any, sentence: str) -> None:
    status, word, said = refused(client, "classify", json.dumps({"inputs": inputs}).encode())
    assert (status, word, said) == (422, "Validation", sentence)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("inputs", [None, 5, True, 1.5, [], [[]], [5], ["good", None], [["good"]]])
def test_inputs_of_the_wrong_type(client: TestClient, route: str, inputs: Any) -> None:
    status, word, sentence = refused(client, route, json.dumps({"inputs": inputs}).encode())
    assert (status, word) == (422, "Validation")
    assert sentence.startswith("inputs")


@pytest.mark.parametrize(
    "inputs",
    [
        "a text",
        {},
        {"question": "a"},
        {"context": "a"},
        {"question": "", "context": "a"},
        {"question": "a", "context": " "},
        {"question": "a", "context": ["b"]},
        {"question": "a", "context": "b", "more": 1},
        [QUESTION, {"question": "a"}],
    ],
)
def test_questions_of_the_wrong_shape(client: TestClient, inputs: Any) -> None:
    status, word, sentence = refused(client, "answer", json.dumps({"inputs": inputs}).encode())
    assert (status, word) == (422, "Validation")
    assert sentence.startswith("inputs")


@pytest.mark.parametrize(
    ("route", "parameters"),
    [
        ("classify", {"top_k": 0}),
        ("classify", {"top_k": "two"}),
        ("classify", {"function_to_apply": "tanh"}),
        ("classify", {"topk": 1}),
        ("classify", []),
        ("answer", {"top_k": 101}),
        ("answer", {"max_answer_len": 0}),
        ("answer", {"max_answer_len": 10**30}),
        ("answer", {"doc_stride": -1}),
        ("summarize", {"num_beams": 5}),
        ("summarize", {"max_new_tokens": 0}),
        ("summarize", {"max_new_tokens": 64}),
        ("summarize", {"min_new_tokens": 5, "max_new_tokens": 4}),
        ("summarize", {"min_new_tokens": 50}),
        ("summarize", {"length_penalty": 11}),
        ("summarize", {"no_repeat_ngram_size": -1}),
        ("summarize", {"temperature": 1}),
    ],
)
def test_parameters_out_of_bounds(client: TestClient, route: str, parameters: Any) -> None:
    body = json.dumps({"inputs": GOOD[route], "parameters": parameters}).encode()
    status, word, sentence = refused(client, route, body)
    assert (status, word) == (422, "Validation")
    named = next(iter(parameters), "parameters")
    assert named in sentence, "it says which"


@pytest.mark.parametrize("route", ROUTES)
def test_unknown_fields_are_named(client: TestClient, route: str) -> None:
    status, word, sentence = refused(client, route, json.dumps({"inputs": GOOD[route], "modle": "moods"}).encode())
    assert (status, word) == (422, "Validation")
    assert sentence == "modle: There is no such field; see /docs for those there are."


@pytest.mark.parametrize("route", ROUTES)
def test_an_unknown_model(client: TestClient, route: str) -> None:
    status, word, sentence = refused(client, route, json.dumps({"inputs": GOOD[route], "model": "gpt"}).encode())
    assert (status, word) == (404, "ModelNotFound")
    assert "'gpt'" in sentence
    served = {
        "classify": "moods, topics",
        "answer": "reader",
        "summarize": "writer",
        "entities": "tagger",
        "embed": "vectors",
    }
    assert served[route] in sentence


@pytest.mark.parametrize("name", ["", "../moods", "moods\x00", "a" * 5000])
def test_names_that_no_model_has(client: TestClient, name: str) -> None:
    status, word, sentence = refused(client, "classify", json.dumps({"inputs": "good", "model": name}).encode())
    assert status in (404, 422)
    assert word in ("ModelNotFound", "Validation")
    assert len(sentence) < 1000, "not all of it back"


def test_a_model_of_another_task(client: TestClient) -> None:
    status, word, sentence = refused(client, "classify", b'{"inputs": "good", "model": "reader"}')
    assert (status, word) == (404, "ModelNotFound")
    assert "another task" in sentence
    assert "moods, topics" in sentence


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("body", [b"not json", b'{"inputs": "\\ud800"}'])
def test_what_is_not_json(client: TestClient, route: str, body: bytes) -> None:
    status, word, sentence = refused(client, route, body)
    assert (status, word) == (400, "Validation")
    assert sentence.startswith("The body is not JSON: ")
    assert " at line 1 column " in sentence


@pytest.mark.parametrize("body", [b"[]", b"5", b'"good"', b"null", b"{}"])
def test_json_that_is_no_request(client: TestClient, body: bytes) -> None:
    status, word, _ = refused(client, "classify", body)
    assert (status, word) == (422, "Validation")


@pytest.mark.parametrize("content", [b"", iter([b"", b""])], ids=["of no length", "in chunks"])
def test_an_empty_body(client: TestClient, content: Any) -> None:
    assert refused(client, "classify", content) == (
        422, "Validation", 'The body is empty; send JSON such as {"inputs": "some text"}.',
    )  # fmt: skip


def test_surrogates_in_pairs_are_text(client: TestClient) -> None:
    response = client.post("/v1/classify", content=b'{"inputs": "good \\ud83c\\udf89"}', headers=JSON)
    assert response.status_code == 200


@pytest.mark.parametrize("route", ROUTES)
def test_too_many_inputs(client: TestClient, route: str) -> None:
    post(client, route, inputs=[GOOD[route]] * 4)
    status, word, sentence = refused(client, route, json.dumps({"inputs": [GOOD[route]] * 5}).encode())
    assert (status, word) == (422, "Validation")
    assert "5 inputs" in sentence
    assert "limit is 4" in sentence


@pytest.mark.parametrize(
    ("route", "inputs"),
    [
        ("classify", "x" * 1001),
        ("summarize", ["good", "x" * 1001]),
        ("answer", {"question": "x" * 1001, "context": "a"}),
        ("answer", {"question": "a", "context": "x" * 1001}),
    ],
)
def test_a_text_that_is_too_long(client: TestClient, route: str, inputs: Any) -> None:
    status, word, sentence = refused(client, route, json.dumps({"inputs": inputs}).encode())
    assert (status, word) == (413, "Validation")
    assert "1001 characters" in sentence
    assert "limit is 1000" in sentence


def test_a_text_as_long_as_the_limit_is_taken(client: TestClient) -> None:
    post(client, "classify", inputs="x" * 1000)
    post(client, "classify", inputs="🎉" * 1000)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", [None, "", "text/plain", "text/plain; application/json", "application/xml; a=json"])
def test_a_content_type_that_is_not_json(client: TestClient, route: str, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    status, word, sentence = refused(client, route, b'{"inputs": "good"}', headers)
    assert (status, word) == (415, "Validation")
    shown = kind.partition(";")[0] if kind else "of no type"
    assert sentence == f"The body is {shown}; send JSON with Content-Type: application/json."


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON ; charset=utf-8", "application/problem+json", " application/json"]
)
def test_content_types_that_are_json(client: TestClient, kind: str) -> None:
    response = client.post("/v1/classify", content=b'{"inputs": "good"}', headers={"Content-Type": kind})
    assert response.status_code == 200


def test_behind_a_root_path_requests_are_answered_too(app: FastAPI, client: TestClient) -> None:
    behind = TestClient(app, root_path="/ai")
    behind.portal = client.portal  # the event loop that the engine answers on
    assert behind.post("/ai/v1/classify", json={"inputs": "good"}).status_code == 200
    assert behind.post("/ai/v1/classify", json={"inputs": " "}).status_code == 422


# --- Failing models --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["poison", "void"])
def test_a_model_that_fails_says_so_without_its_cause(client: TestClient, word: str) -> None:
    status, kind, sentence = refused(client, "classify", json.dumps({"inputs": f"a {word}"}).encode())
    assert (status, kind) == (500, "Backend")
    assert "Gather" not in sentence
    assert "onnx" not in sentence.lower()


def test_one_failing_input_fails_its_request_only(client: TestClient) -> None:
    status, kind, _ = refused(client, "classify", b'{"inputs": ["good", "poison"]}')
    assert (status, kind) == (500, "Backend")


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"inputs": [" ", "poison"]}, 422, "inputs[0]: The text is empty or blank."),
        ({"inputs": ["poison", " "]}, 500, "inputs[0]: The model failed on this input."),
        ({"inputs": " "}, 422, "inputs: The text is empty or blank."),
        ({"inputs": []}, 422, "inputs: List should have at least 1 item after validation, not 0."),
        ({"inputs": ["good", " "], "parameters": {"top_k": 0}}, 422, "parameters.top_k: "),
        ({"inputs": ["good", " "], "model": "none"}, 404, "No model named 'none'"),
        ({"inputs": ["good"] * 5}, 422, "5 inputs in one request"),
    ],
)
def test_what_fails_the_request_though_inputs_may_fail(
    client: TestClient, body: dict[str, Any], status: int, sentence: str
) -> None:
    found, _, told = refused(client, "classify", json.dumps(body | {"on_error": "item"}).encode())
    assert found == status
    assert told.startswith(sentence)


def test_a_null_of_an_unknown_field_is_refused(client: TestClient) -> None:
    status, _, sentence = refused(client, "classify", b'{"inputs": "good", "top_k": null}')
    assert (status, sentence) == (422, "top_k: There is no such field; see /docs for those there are.")


# --- Routes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.route)
def test_answers_are_what_the_schema_says_and_no_more(client: TestClient, task: type[AnyTask]) -> None:
    answer = post(client, task.route, inputs=[GOOD[task.route]])
    assert response_schema(task).model_validate_json(json.dumps(answer), strict=True).model_dump() == answer


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.route)
def test_examples_run_as_they_stand(client: TestClient, task: type[AnyTask]) -> None:
    for name, example in EXAMPLES.get(task.route, {}).items():
        response = client.post(f"/v1/{task.route}", json=example.get("value"))
        assert response.status_code == 200, name


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.route)
def test_every_route_is_documented_as_it_is_read(client: TestClient, task: type[AnyTask]) -> None:
    schema = client.get("/openapi.json").json()
    operation = schema["paths"][f"/v1/{task.route}"]["post"]
    assert operation["requestBody"]["required"] is True
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    documented = schema["components"]["schemas"][reference.rsplit("/", 1)[-1]]
    read = V1Dialect(task, LIMITS).request_schema.model_json_schema(ref_template="#/components/schemas/{model}")
    own = {"stream"} if task.route == "summarize" else set()
    assert set(documented["properties"]) == {"inputs", "parameters", "model", "on_error"} | own
    for name in ("title", "required", "additionalProperties"):
        assert documented[name] == read[name]
    assert documented["properties"]["inputs"] == read["properties"]["inputs"]
    parameters = documented["properties"]["parameters"]["$ref"].rsplit("/", 1)[-1]
    properties = schema["components"]["schemas"][parameters]["properties"]
    assert set(properties) == set(read["$defs"][parameters]["properties"])
    answered = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    assert answered.endswith(f"/{response_schema(task).__name__}")


def test_the_routes_that_are_documented_for_posts_are_those_of_the_tasks(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {path for path, operations in paths.items() if "post" in operations} == {f"/v1/{each}" for each in ROUTES}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("route", ROUTES)
def test_other_methods_are_told_which_is_allowed(client: TestClient, route: str, method: str) -> None:
    response = client.request(method, f"/v1/{route}")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
