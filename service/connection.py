"""The two halves of a client's connection, as the protocol sees them: what it writes to, and when it reads."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

_LINGER_S = 10
"""How long a client may go on sending after the last answer of its connection."""


class LingeringTransport(asyncio.Transport):
    """A transport that closes without destroying its last answer.

    A socket that is closed while its client still sends resets the connection, and the client may lose the answer
    that was on its way. So while `receiving`, `close()` ends only our half and waits for the client's; the protocol
    drops what the client still sends. Every wait has an end: the connection is aborted after `_LINGER_S`, or after
    `patience_s` where the client has only to read.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, patience_s: float) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._patience_s = patience_s
        self._closing = False
        self.receiving = False
        """A request's head has come and its body has not come to its end."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(data)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        self._closing = True
        if self.receiving:
            self._loop.call_later(_LINGER_S, self._transport.abort)
            self._transport.write_eof()
            self._transport.resume_reading()
            return
        if self._transport.get_write_buffer_size():
            self._loop.call_later(self._patience_s, self._transport.abort)
        self._transport.close()

    def abort(self) -> None:
        self._closing = True
        self._transport.abort()


class HoldableFlow(FlowControl):
    """Flow control whose reading stays paused while `held`, whoever asks to resume it."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()
