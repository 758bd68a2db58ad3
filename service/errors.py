"""All errors that a client can get. They are raised where they are known; api/ turns them into responses.

ServiceError          500 Internal
├── InvalidInput      422 Validation        also what pydantic finds wrong with a body
│   ├── MalformedBody 400 Validation        not JSON, or not readable at all
│   └── InputTooLong  413 Validation        the message has the limit and the size of the input
├── MalformedRequest  400 Validation        not HTTP; the connection is closed
├── HeadersTooLarge   431 Validation        the connection is closed
├── NotFound          404 NotFound          no such path
│   └── ModelNotFound 404 ModelNotFound     no such model, or none for the task
├── MethodNotAllowed  405 MethodNotAllowed
├── UnsupportedMediaType 415 Validation     the body is not declared as JSON in UTF-8, or is compressed
├── Overloaded        429 Overloaded        with Retry-After; not 503, which old Hub clients retry for ever
├── Unavailable       503 Unhealthy         the server is loading or shutting down
├── DeadlineExceeded  504 DeadlineExceeded  accepted, but not answered in time
└── InferenceError    500 Backend           the cause is logged, never sent

Each line has the HTTP status and the error's `code`. Codes are those of text-embeddings-inference where it has one, so
that its clients understand them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SHUTTING_DOWN = "The server is shutting down; send the request to another one."
"""The message of Unavailable for requests that arrive while the server shuts down."""


class ServiceError(Exception):
    """Base of all errors that a client can get; `str(error)` is the sentence that it reads."""

    status = 500
    code = "Internal"

    headers: Mapping[str, str] = MappingProxyType({})
    """Extra response headers."""


class InvalidInput(ServiceError):
    status = 422
    code = "Validation"


class MalformedBody(InvalidInput):
    status = 400


class InputTooLong(InvalidInput):
    status = 413


class MalformedRequest(ServiceError):
    status = 400
    code = "Validation"


class HeadersTooLarge(ServiceError):
    status = 431
    code = "Validation"


class NotFound(ServiceError):
    status = 404
    code = "NotFound"


class ModelNotFound(NotFound):
    code = "ModelNotFound"


class MethodNotAllowed(ServiceError):
    status = 405
    code = "MethodNotAllowed"


class UnsupportedMediaType(ServiceError):
    status = 415
    code = "Validation"


class Overloaded(ServiceError):
    status = 429
    code = "Overloaded"
    headers = MappingProxyType({"Retry-After": "1"})


class Unavailable(ServiceError):
    status = 503
    code = "Unhealthy"


class DeadlineExceeded(ServiceError):
    status = 504
    code = "DeadlineExceeded"


class InferenceError(ServiceError):
    code = "Backend"


class StartupError(Exception):
    """The server cannot start. The message is for its operator and never reaches a client."""


class ArtifactError(StartupError):
    """A model folder cannot be served. The server starts without it, unless no other model is left."""
