"""Our own dialect: POST /v1/classify, /v1/answer, /v1/summarize."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Request, Response

from service.errors import Unavailable
from service.registry import Registry
from service.routes.examples import ANSWER_EXAMPLES, CLASSIFY_EXAMPLES, SUMMARIZE_EXAMPLES
from service.schemas import (
    AnswerRequest,
    AnswerResponse,
    ClassifyRequest,
    ClassifyResponse,
    ErrorBody,
    SummarizeRequest,
    SummarizeResponse,
)

router = APIRouter(prefix="/v1", tags=["inference"])

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "Not JSON"},
    404: {"model": ErrorBody, "description": "No such model"},
    413: {"model": ErrorBody, "description": "Too large"},
    422: {"model": ErrorBody, "description": "Wrong input"},
    429: {"model": ErrorBody, "description": "Too many requests are waiting; try again"},
    500: {"model": ErrorBody, "description": "The model failed on this input"},
    503: {"model": ErrorBody, "description": "Shutting down"},
}


async def _answer(request: Request, route: str, body: Any) -> Response:
    registry: Registry = request.app.state.registry
    inputs = body.inputs if isinstance(body.inputs, list) else [body.inputs]
    try:
        done = await registry.infer(route, inputs, body.parameters, body.model)
    except asyncio.CancelledError as error:  # uvicorn's way to say that the time to drain is over
        raise Unavailable("The server is shutting down; send the request to another one.") from error
    content = {
        "model": done.model,
        "results": done.results,
        "usage": {"input_tokens": done.input_tokens, "output_tokens": done.output_tokens},
    }
    # The results were made here, so they are serialized without being validated again.
    return Response(orjson.dumps(content), media_type="application/json")


@router.post("/classify", responses={200: {"model": ClassifyResponse}, **_ERRORS})
async def classify(
    request: Request, body: Annotated[ClassifyRequest, Body(openapi_examples=CLASSIFY_EXAMPLES)]
) -> Response:
    """Score the labels of one text or several."""
    return await _answer(request, "classify", body)


@router.post("/answer", responses={200: {"model": AnswerResponse}, **_ERRORS})
async def answer(request: Request, body: Annotated[AnswerRequest, Body(openapi_examples=ANSWER_EXAMPLES)]) -> Response:
    """Find the answer to a question in its context, of any length."""
    return await _answer(request, "answer", body)


@router.post("/summarize", responses={200: {"model": SummarizeResponse}, **_ERRORS})
async def summarize(
    request: Request, body: Annotated[SummarizeRequest, Body(openapi_examples=SUMMARIZE_EXAMPLES)]
) -> Response:
    """Write a short text that says what a longer one is about."""
    return await _answer(request, "summarize", body)
