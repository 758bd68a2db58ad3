"""Errors as clients of our own dialect read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from service.api.dialect import EncodedResponse
from service.errors import InvalidInput, ServiceError
from service.metrics import REFUSALS

_LONGEST_PATH = 200
_TAGS = ("(one)", "(many)", "(text)", "(pair)", "(ids)")
"""Members of unions, which pydantic names in the place of an error and which are no fields."""
_CODES = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    429: "Overloaded",
    503: "Unhealthy",
    504: "DeadlineExceeded",
}
"""Words of the statuses that are not told by their class alone; see service.errors."""


_NAMES = {
    "max_length": "max_new_tokens",
    "min_length": "min_new_tokens",
    "topk": "top_k",
    "max_answer_length": "max_answer_len",
}
"""Our names of parameters that others call otherwise."""


def error_response(error: ServiceError) -> EncodedResponse:
    """The error body that the clients of Hugging Face, TEI and Triton all read."""
    REFUSALS.labels(error.code).inc()
    headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return EncodedResponse(error.status, orjson.dumps({"error": str(error), "error_type": error.code}), headers)


def http_error(status: int, message: str, headers: Mapping[str, str]) -> ServiceError:
    """An error that FastAPI, a dependency or a middleware raised, with its status and headers."""
    error = ServiceError(message)
    error.status, error.headers = status, headers
    error.code = _CODES.get(status, "Internal" if status >= 500 else "Validation")
    return error


def internal_error(method: str, path: str) -> ServiceError:
    """The answer to a request that met an error nobody expected."""
    return ServiceError(f"A fault of the server in {method} {path}; its log says more.")


def validation_error(errors: Sequence[Mapping[str, Any]]) -> InvalidInput:
    """What pydantic found wrong with a body, in one sentence."""
    return InvalidInput(_sentence(errors[0], len(errors)))


def _sentence(first: Mapping[str, Any], count: int) -> str:
    """With the field's path: `inputs[0].question: Field required.`"""
    parts = [part for part in first["loc"] if part not in _TAGS]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
    path = path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}…"  # a field's name is the client's own text
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "string_pattern_mismatch":
        message = "The text is empty or blank"
    if first["type"] == "model_type":
        message = "Input should be an object"
    if first["type"] == "extra_forbidden":
        name = _NAMES.get(str(first["loc"][-1]))
        message = f"There is no such field; {f'{name} is the one' if name else 'see /docs for those there are'}"
    more = f" ({count - 1} more like it.)" if count > 1 else ""
    return f"{path}: {message}.{more}" if path else f"{message}.{more}"
