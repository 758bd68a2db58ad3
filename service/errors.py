"""Every error that a client can be answered with, raised where it is known and translated once, in `app`.

ServiceError          500 Internal
├── InvalidInput      422 Validation        also the face of FastAPI's own validation errors
│   ├── MalformedBody 400 Validation        not JSON, or not readable at all
│   └── InputTooLong  413 Validation        says the limit and what was sent
├── MalformedRequest  400 Validation        not HTTP; the connection is closed
├── HeadersTooLarge   431 Validation        the connection is closed
├── NotFound          404 NotFound          no such path
│   └── ModelNotFound 404 ModelNotFound     no such model, or none for the task
├── MethodNotAllowed  405 MethodNotAllowed
├── UnsupportedMediaType 415 Validation     a body that does not say that it is JSON
├── Overloaded        429 Overloaded        with Retry-After; never 503, which old Hub clients retry for ever
├── Unavailable       503 Unhealthy         loading or shutting down only
├── DeadlineExceeded  504 DeadlineExceeded  accepted, but not answered in time
└── InferenceError    500 Backend           the cause is logged, never sent

The words follow text-embeddings-inference where it has one, so that its clients understand them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class ServiceError(Exception):
    """Base of all; `str(error)` is the sentence that the client reads."""

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
    """What keeps the server from starting, in a sentence for who runs it; it never reaches a client."""


class ArtifactError(StartupError):
    """A model folder that cannot be served: it is left out, and stops the start if no other is left."""
