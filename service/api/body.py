"""A request's body: read within its limits, and parsed at a cost that these bound.

Parsing holds the interpreter's lock from beginning to end, so that no thread would spare the event loop any of it. What
it costs is decided by what stands outside of the texts: 8 MiB of texts take 8 to 20 ms, 8 MiB of `[` and `]` 1.3 s, and
a list of errors for each of 4 million wrong items 20 s and gigabytes. So this is counted while it arrives.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

import orjson
from starlette.types import Receive

from service.engine.request import check_count
from service.errors import InputTooLong, InvalidInput, MalformedBody

_SMALL_BYTES = 16_384
"""No body of this size costs more than a few milliseconds, whatever is in it."""
_OUTSIDE_BYTES, _OUTSIDE_BYTES_AN_INPUT = 16_384, 192
"""Outside of strings: a question, of four strings, that is laid out on lines of its own takes 120 to 150."""
_BYTES_A_STRING = 16
"""What a string counts as, whatever its length."""
_MOST_FIELDS = 64
"""No object of a request has nearly as many."""

_BYTES_A_CHAR = 12
"""In JSON, at most: a pair of surrogates, each written as an escape of six."""

_WITHIN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


class ClientLeft(Exception):
    """Nobody is there to be answered."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What a body may be."""

    max_bytes: int
    max_inputs: int
    max_input_chars: int

    @property
    def outside_bytes(self) -> int:
        """Bytes that may stand outside of its strings, each of which counts as _BYTES_A_STRING."""
        return _OUTSIDE_BYTES + _OUTSIDE_BYTES_AN_INPUT * self.max_inputs


async def read_body(receive: Receive, length: bytes, limits: BodyLimits) -> bytes | bytearray:
    """All of a body; `length` is the Content-Length, empty if there is none.

    Raises InputTooLong, before the body is read if its length tells, and for a text that is too long; InvalidInput if
    it is too much JSON for a request; ClientLeft if the client left before its end.
    """
    if length.isdigit() and int(length) > limits.max_bytes:
        raise _too_large(length.decode("latin-1"), limits)
    part, more = await _next_part(receive)
    if not more and len(part) <= min(_SMALL_BYTES, limits.max_bytes):
        return part
    body = bytearray()
    structure = _Structure(limits)
    while True:
        if len(body) + len(part) > limits.max_bytes:
            raise _too_large(f"more than {limits.max_bytes}", limits)
        structure.count(part)
        body += part
        if not more:
            return body
        part, more = await _next_part(receive)


async def _next_part(receive: Receive) -> tuple[bytes, bool]:
    """A part of a body, and whether more of it comes."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientLeft
    return message.get("body", b""), bool(message.get("more_body"))


def _too_large(size: str, limits: BodyLimits) -> InputTooLong:
    return InputTooLong(
        f"A body of {size} bytes; the limit is {limits.max_bytes}. Send the inputs in several requests."
    )


class _Structure:
    """Counts a body's bytes outside of its strings, and those of each string, part by part."""

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        self._outside_bytes = self._string_bytes = 0
        self._in_string = False
        self._escaped = False
        """Whether the last part ended with a backslash, so that the next byte ends nothing."""

    def count(self, part: bytes) -> None:
        """Raises InvalidInput, or InputTooLong for a string, as soon as there are too many."""
        at = 0
        if self._escaped and part:
            at, self._escaped = 1, False
        while at < len(part):
            at = self._to_end_of_string(part, at) if self._in_string else self._to_string(part, at)

    def _to_string(self, part: bytes, begin: int) -> int:
        quote = part.find(b'"', begin)
        self._in_string = quote >= 0
        self._string_bytes = 0
        end = quote + 1 if self._in_string else len(part)
        self._outside_bytes += end - begin + (_BYTES_A_STRING if self._in_string else 0)
        if self._outside_bytes > self._limits.outside_bytes:
            raise InvalidInput(
                f"The body has more lists, fields, numbers or texts than {self._limits.max_inputs} inputs, the limit, "
                "can have. Send several requests."
            )
        return end

    def _to_end_of_string(self, part: bytes, begin: int) -> int:
        match = _WITHIN_STRING.match(part, begin)
        assert match is not None, "it matches nothing, too"
        end = match.end()  # at a quote, at the part's end, or at a backslash that is its last byte
        self._escaped = part[end : end + 1] == b"\\"
        self._in_string = self._escaped or end == len(part)
        self._string_bytes += end - begin
        if self._string_bytes > _BYTES_A_CHAR * self._limits.max_input_chars:
            raise InputTooLong(
                f"A text of more than {self._limits.max_input_chars} characters, the limit. Send it in parts."
            )
        return end + 1


def parse(body: bytes | bytearray, limits: BodyLimits) -> object:
    """The JSON in a body. Raises MalformedBody, and InvalidInput for what would make more errors than anybody reads."""
    try:
        given = orjson.loads(body.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"The body is not JSON: {_reason(body, error)}.") from None
    if isinstance(given, dict):
        inputs = given.get("inputs")
        items = inputs if isinstance(inputs, list) else [inputs]
        check_count(len(items), limits.max_inputs)
        for each in (given, given.get("parameters"), *items):
            if isinstance(each, dict) and len(each) > _MOST_FIELDS:
                raise InvalidInput(
                    f"An object of {len(each)} fields, and no object of a request has more than {_MOST_FIELDS}. "
                    "See /docs for those there are."
                )
    return given


def _reason(body: bytes | bytearray, error: orjson.JSONDecodeError) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as wrong:  # of which orjson does not say where
        lines = body.count(b"\n", 0, wrong.start)
        column = wrong.start - body.rfind(b"\n", 0, wrong.start)
        return f"byte 0x{body[wrong.start]:02x} is not UTF-8 at line {lines + 1} column {column}"
    if "surrogate" in error.msg:
        return f"a text has one half of a surrogate pair at line {error.lineno} column {error.colno}"
    return f"{error.msg} at line {error.lineno} column {error.colno}"
