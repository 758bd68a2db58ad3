"""Our own dialect: POST /v1/classify, /v1/answer, /v1/summarize.

What stands here is what /openapi.json and /docs say; the requests themselves are run by `lane.Lane`.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from service.routes.examples import ANSWER_EXAMPLES, CLASSIFY_EXAMPLES, SUMMARIZE_EXAMPLES
from service.schemas import (
    AnswerRequest,
    AnswerResponse,
    ClassifyRequest,
    ClassifyResponse,
    ErrorBody,
    InferenceRequest,
    SummarizeRequest,
    SummarizeResponse,
)

router = APIRouter(prefix="/v1", tags=["inference"])

SCHEMAS: dict[str, type[InferenceRequest]] = {
    "classify": ClassifyRequest,
    "answer": AnswerRequest,
    "summarize": SummarizeRequest,
}
"""What a route's body is read as."""

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "Not JSON"},
    404: {"model": ErrorBody, "description": "No such model"},
    413: {"model": ErrorBody, "description": "Too large"},
    415: {"model": ErrorBody, "description": "Not sent as JSON"},
    422: {"model": ErrorBody, "description": "Wrong input"},
    429: {"model": ErrorBody, "description": "Too many requests are waiting; try again"},
    500: {"model": ErrorBody, "description": "The model failed on this input"},
    503: {"model": ErrorBody, "description": "Shutting down"},
    504: {"model": ErrorBody, "description": "Accepted, but not answered in time"},
}


@router.post("/classify", responses={200: {"model": ClassifyResponse}, **_ERRORS})
async def classify(body: Annotated[ClassifyRequest, Body(openapi_examples=CLASSIFY_EXAMPLES)]) -> None:
    """Score the labels of one text or several."""
    raise NotImplementedError


@router.post("/answer", responses={200: {"model": AnswerResponse}, **_ERRORS})
async def answer(body: Annotated[AnswerRequest, Body(openapi_examples=ANSWER_EXAMPLES)]) -> None:
    """Find the answer to a question in its context, of any length."""
    raise NotImplementedError


_EVENTS = {
    "schema": {"type": "string"},
    "example": 'data: {"text":"The paper"}\n\ndata: {"model":"summarizer","results":[...],"usage":{...}}\n\n',
}


@router.post(
    "/summarize",
    responses={200: {"model": SummarizeResponse, "content": {"text/event-stream": _EVENTS}}, **_ERRORS},
)
async def summarize(body: Annotated[SummarizeRequest, Body(openapi_examples=SUMMARIZE_EXAMPLES)]) -> None:
    """Write a short text that says what a longer one is about, or choose the sentences that do.

    With "stream": true the answer is server-sent events: pieces of the summary, then the whole answer. An error that
    comes after the first piece is the last event.
    """
    raise NotImplementedError
