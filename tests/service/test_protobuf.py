from __future__ import annotations

import pytest

from service.protobuf import fields

MESSAGE = bytes([0x08, 0x96, 0x01, 0x12, 0x02, 0x68, 0x69, 0x1D, 0, 0, 0x80, 0x3F])


def test_fields_of_each_kind() -> None:
    assert list(fields(MESSAGE)) == [(1, 150), (2, b"hi"), (3, b"\x00\x00\x80\x3f")]
    assert list(fields(memoryview(MESSAGE)))[1] == (2, b"hi")


@pytest.mark.parametrize("data", [b"\x08", b"\xff", b"\x0b"])
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(LookupError):
        list(fields(data))
