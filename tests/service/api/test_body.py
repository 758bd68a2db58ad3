"""Bodies that would cost the event loop a lot; what is refused once it is parsed is in test_v1.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from starlette.types import Message

from service.api.body import BodyLimits, parse, read_body
from service.errors import InputTooLong, InvalidInput, MalformedBody

LIMITS = BodyLimits(max_bytes=1_000_000, max_inputs=4, max_input_chars=10_000)
OUTSIDE = LIMITS.outside_bytes


def read(body: bytes, size: int = 1_000_000, limits: BodyLimits = LIMITS, length: bytes = b"") -> bytes:
    """A body that comes in parts of `size`, as it is read; `length` is its Content-Length."""
    parts = [body[begin : begin + size] for begin in range(0, len(body), size)]
    messages: Iterator[Message] = iter(
        {"type": "http.request", "body": part, "more_body": number < len(parts)} for number, part in enumerate(parts, 1)
    )

    async def receive() -> Message:
        return next(messages)

    return bytes(asyncio.run(read_body(receive, length, limits)))


@pytest.mark.parametrize("size", [1_000_000, 4_097])
def test_a_body_as_large_as_the_limit_is_taken(size: int) -> None:
    body = orjson.dumps({"inputs": ["a" * 9_990] * 4})
    limits = BodyLimits(max_bytes=len(body), max_inputs=4, max_input_chars=10_000)
    assert read(body, size, limits, b"%d" % len(body)) == body


def test_a_body_over_the_limit_is_refused_by_its_length_before_it_is_read() -> None:
    with pytest.raises(
        InputTooLong, match=r"^A body of 1000001 bytes; the limit is 1000000\. Send the inputs in several"
    ):
        asyncio.run(read_body(pytest.fail, b"1000001", LIMITS))


@pytest.mark.parametrize("size", [2_000_000, 4_097])
def test_a_body_over_the_limit_is_refused_as_it_comes(size: int) -> None:
    with pytest.raises(InputTooLong, match=r"^A body of more than 1000000 bytes"):
        read(orjson.dumps({"inputs": ["a" * 9_000] * 120}), size)


def filled(head: bytes, unit: bytes, tail: bytes, size: int = 900_000) -> bytes:
    return head + unit * (size // len(unit)) + tail


@pytest.mark.parametrize(
    "body",
    [
        filled(b'{"inputs":[0', b",0", b"]}"),
        filled(b'{"inputs":[{}', b",{}", b"]}"),
        filled(b'{"inputs":[""', b',""', b"]}"),
        filled(b'{"inputs":["a"', b',"a"', b"]}"),
        filled(b'{"inputs":"a"', b',"x":0', b"}"),
        filled(b'{"inputs":"a","parameters":{"top_k":1', b',"x":0', b"}}"),
        filled(b'{"inputs":', b"[", b"}"),
        filled(b'{"inputs":[0', b"," + b"[" * 150 + b"]" * 150, b"]}"),
        filled(b'{"inputs":"a","parameters":{"top_k":', b"9", b"}}"),
        filled(b'{"inputs":"a"', b" ", b"}"),
        filled(b'{"inputs":"\\\\"', b',"model":"\\""', b"}"),
        filled(b"[0", b",0", b"]"),
    ],
)
@pytest.mark.parametrize("size", [1_000_000, 4_097])
def test_what_is_too_much_json_is_refused_before_it_is_parsed(body: bytes, size: int) -> None:
    with pytest.raises(InvalidInput, match=r"^The body has more lists, fields, numbers or texts than 4 inputs"):
        read(body, size)


@pytest.mark.parametrize("size", [1_000_000, 4_096, 1])
@pytest.mark.parametrize("text", ["word ", '"', "\\", '\\"', "\n", "é", "🎉", "[[[[,,,,0"])
def test_what_stands_in_texts_is_not_counted(text: str, size: int) -> None:
    texts = [text * (9_000 // len(text))] * 4
    body = orjson.dumps({"inputs": texts})
    assert len(body) > OUTSIDE
    assert orjson.loads(read(body, size)) == {"inputs": texts}


def test_as_many_bytes_outside_of_texts_as_the_limit_are_taken() -> None:
    def padded(spaces: int) -> bytes:
        return b'{"inputs":"' + b"a" * 9_000 + b'"' + b" " * spaces + b"}"

    counted = len(b'{":"}') + 2 * 16  # the quote that ends a string is its own
    spaces = OUTSIDE - counted
    assert len(read(padded(spaces), 999)) == len(padded(spaces))
    with pytest.raises(InvalidInput):
        read(padded(spaces + 1), 999)


@pytest.mark.parametrize("size", [1_000_000, 4_096])
def test_a_text_that_cannot_be_within_its_limit_is_refused_before_it_is_parsed(size: int) -> None:
    with pytest.raises(InputTooLong, match=r"^A text of more than 10000 characters, the limit"):
        read(filled(b'{"inputs":"', b" ", b'"}', 120_001), size)
    longest = filled(b'{"inputs":"', b"\\ud83c\\udf89", b'"}', 120_000)
    assert orjson.loads(read(longest, size)) == {"inputs": "🎉" * 10_000}


def test_questions_that_are_laid_out_on_many_lines_are_taken() -> None:
    question = {"question": "q" * 2000, "context": "c" * 2000}
    limits = BodyLimits(max_bytes=1_000_000, max_inputs=128, max_input_chars=10_000)
    body = orjson.dumps({"inputs": [question] * 128}, option=orjson.OPT_INDENT_2).replace(b"  ", b"    ")
    assert read(body, limits=limits) == body


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"inputs": [0] * 5}, r"^5 inputs in one request; the limit is 4\."),
        ({"inputs": [{}] * 500}, r"^500 inputs in one request; the limit is 4\."),
        (dict.fromkeys(map(str, range(65))), r"^An object of 65 fields"),
        ({"inputs": "a", "parameters": dict.fromkeys(map(str, range(65)))}, r"^An object of 65 fields"),
        ({"inputs": dict.fromkeys(map(str, range(65)))}, r"^An object of 65 fields"),
        ({"inputs": ["a", dict.fromkeys(map(str, range(65)))]}, r"^An object of 65 fields"),
    ],
)
def test_what_would_make_many_errors_is_counted_and_not_validated(given: Any, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        parse(orjson.dumps(given), LIMITS)


@pytest.mark.parametrize("given", [[], [0] * 500, 5, None, "text", {"inputs": [0] * 4}, {"inputs": None}])
def test_anything_else_is_left_to_validation(given: Any) -> None:
    assert parse(orjson.dumps(given), LIMITS) == given


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"{", "line 1 column 2"),
        (b'{"inputs":\n x}', "line 2 column 2"),
        (b'{"inputs":\n "caf\xe9"}', "byte 0xe9 is not UTF-8 at line 2 column 6"),
        (b'{"inputs": "\xed\xa0\x80"}', "byte 0xed is not UTF-8 at line 1 column 13"),
        (b" ", r"line 1 column \d+"),
        (b"\x00", "line 1 column 1"),
        (b"not json", "line 1 column 1"),
        (b'{"inputs": "go', r"line 1 column \d+"),
        (b'{"inputs": "good"} {}', r"line 1 column \d+"),
        (b'{"inputs": "good",}', r"line 1 column \d+"),
        (b"{'inputs': 1}", "line 1 column 2"),
        (b"[" * 9000, r"line 1 column \d+"),
        (b'{"inputs": ' + b"[" * 2000 + b"]" * 2000 + b"}", r"line 1 column \d+"),
        (b'{"model": NULL}', r"line 1 column \d+"),
        (b'{"model": NaN}', r"line 1 column \d+"),
        (b'{"inputs": "bad \x01 control"}', r"line 1 column \d+"),
        (b'{"inputs": ["good", "\\udfff \\ud800"]}', r"line 1 column \d+"),
        (b'{"inputs": "good", "\\ud800": 1}', r"line 1 column \d+"),
        (b"\xff", "byte 0xff is not UTF-8 at line 1 column 1"),
    ],
)
def test_what_is_not_json_says_where(body: bytes, where: str) -> None:
    with pytest.raises(MalformedBody, match=rf"^The body is not JSON: .*{where}\.$"):
        parse(body, LIMITS)
