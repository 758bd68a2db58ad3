from __future__ import annotations

from typing import Any

import orjson
import pytest
from prometheus_client import generate_latest
from pydantic import BaseModel, ValidationError

from service.api.error_response import error_response, http_error, validation_error
from service.api.schemas import request_schema
from service.errors import InvalidInput, Overloaded, ServiceError
from service.metrics import REGISTRY
from service.tasks.classification import Classification
from service.tasks.question_answering import QuestionAnswering
from service.tasks.summarization import Summarization
from tests.service.serving import samples, total

ClassifyRequest = request_schema(Classification)
AnswerRequest = request_schema(QuestionAnswering)
SummarizeRequest = request_schema(Summarization)


def kinds(base: type[ServiceError]) -> list[type[ServiceError]]:
    return [base, *(each for child in base.__subclasses__() for each in kinds(child))]


@pytest.mark.parametrize("error", kinds(ServiceError), ids=lambda error: error.__name__)
def test_every_error_has_the_one_body(error: type[ServiceError]) -> None:
    told = error_response(error("Do this."))
    assert told.status == error.status
    assert orjson.loads(told.body) == {"error": "Do this.", "error_type": error.code}


def test_only_the_headers_that_an_error_brings() -> None:
    assert dict(error_response(Overloaded("Full.")).headers) == {b"retry-after": b"1"}
    assert dict(error_response(InvalidInput("Wrong.")).headers) == {}


@pytest.mark.parametrize(
    ("status", "word"),
    [(401, "Unauthorized"), (403, "Forbidden"), (413, "Validation"), (429, "Overloaded"), (418, "Validation"),
     (500, "Internal"), (502, "Internal"), (503, "Unhealthy")],
)  # fmt: skip
def test_statuses_of_others_have_a_fitting_word(status: int, word: str) -> None:
    told = error_response(http_error(status, "Do this.", {"X-Reason": "a"}))
    assert (told.status, dict(told.headers)) == (status, {b"x-reason": b"a"})
    assert orjson.loads(told.body) == {"error": "Do this.", "error_type": word}


@pytest.mark.parametrize("error", kinds(ServiceError), ids=lambda error: error.__name__)
def test_a_status_has_the_word_of_an_error_of_ours(error: type[ServiceError]) -> None:
    ours = {each.code for each in kinds(ServiceError) if each.status == error.status}
    assert http_error(error.status, "", {}).code in ours


def test_refusals_are_counted_by_their_word() -> None:
    def counted() -> float:
        return total(samples(generate_latest(REGISTRY).decode()), "shoal_refusals_total", reason="Overloaded")

    before = counted()
    error_response(Overloaded("Full."))
    assert counted() == before + 1


def said(schema: type[BaseModel], body: Any) -> InvalidInput:
    """What is told of what was JSON."""
    with pytest.raises(ValidationError) as caught:
        schema.model_validate(body)
    return validation_error(caught.value.errors(include_url=False, include_input=False))


@pytest.mark.parametrize(
    ("schema", "body", "sentence"),
    [
        (ClassifyRequest, {"inputs": " "}, "inputs: The text is empty or blank."),
        (SummarizeRequest, {"inputs": ["a", 5]}, "inputs[1]: Input should be a valid string."),
        (ClassifyRequest, {"inputs": "a", "one": 1}, "one: There is no such field; see /docs for those there are."),
        (ClassifyRequest, {"inputs": "a", "x": 1}, "x: There is no such field; see /docs for those there are."),
        (ClassifyRequest, {}, "inputs: Field required."),
        (SummarizeRequest, {"inputs": [1, 2, 3]}, "inputs[0]: Input should be a valid string."),
        (
            AnswerRequest,
            {"inputs": [{"context": "a", "x": 1}, 5], "y": 1},
            "inputs[0].question: Field required. (2 more like it.)",
        ),
        (AnswerRequest, {"inputs": [{"question": "a"}]}, "inputs[0].context: Field required."),
        (AnswerRequest, {"inputs": {"question": "a"}}, "inputs.context: Field required."),
        (
            SummarizeRequest,
            {"inputs": "a", "parameters": {"min_new_tokens": 5, "max_new_tokens": 4}},
            "parameters: min_new_tokens must not be above max_new_tokens.",
        ),
        (ClassifyRequest, [], "Input should be an object."),
    ],
)
def test_what_is_wrong_is_said_with_the_fields_path(schema: type[BaseModel], body: Any, sentence: str) -> None:
    error = said(schema, body)
    assert type(error) is InvalidInput
    assert str(error) == sentence


def test_a_fields_name_is_not_told_at_any_length() -> None:
    sentence = str(said(ClassifyRequest, {"inputs": "a", "x" * 5000: 1}))
    assert sentence == f"{'x' * 200}…: There is no such field; see /docs for those there are."
