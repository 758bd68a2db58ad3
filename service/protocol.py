"""The HTTP/1.1 protocol of a connection: uvicorn's over httptools, with bounds on what a client can make it hold."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.connection import HoldableFlow, LingeringTransport
from service.errors import HeadersTooLarge, MalformedRequest, MethodNotAllowed, ServiceError
from service.refusals import refusal

log = logging.getLogger(__name__)

MAX_HEADERS = 100
MAX_HEAD_BYTES = 65_536
"""Of a request line and headers, of trailers, or of one chunk's extensions; a slice more may pass."""

_SLICE_BYTES = 4096
"""Bytes that are parsed at a time: no more than this is parsed ahead of the request that is being answered."""


class HttpProtocol(HttpToolsProtocol):
    """One connection.

    An offer of an upgrade is ignored, as RFC 9110 allows: httptools would take what follows the head for the other
    protocol, so the head is parsed again without the offer. Pipelined requests are parsed a slice at a time; the rest
    is left unparsed, then unread, until those before are answered. A request that is malformed or whose head is too
    large is refused after the answers to those before it, and the connection is closed. So is that of a client which,
    for as long as a connection may be idle, sends no whole head or reads nothing.
    """

    transport: LingeringTransport
    flow: HoldableFlow

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.headers = []
        self._in_head = False
        self._head_without_offer = b""
        self._bytes_beside_body = 0  # since a head, a piece of a body or a message was last complete
        self._unparsed = memoryview(b"")  # empty unless requests are pipelined
        self._running: RequestResponseCycle | None = None
        self._refusal: bytes | None = None  # is sent after the answers to the requests before
        self._unread_timer: asyncio.TimerHandle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = LingeringTransport(transport, self.loop, self.timeout_keep_alive)
        self.flow = HoldableFlow(transport)
        self._start_idle_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_keepalive_if_required()
        self._stop_unread_timer()
        self._unparsed = memoryview(b"")
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True  # uvicorn tells the newest request only
            self._running.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Let what runs be answered; a client that is only waited for is cut off."""
        if self.transport.is_closing():
            self.transport.abort()
        else:
            super().shutdown()

    def _start_idle_timer(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    # Unread answers

    def pause_writing(self) -> None:
        super().pause_writing()
        self._abort_if_unread(self.transport.get_write_buffer_size() + 1)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_unread_timer()

    def _abort_if_unread(self, size_before: int) -> None:
        size = self.transport.get_write_buffer_size()
        if size >= size_before:
            self.transport.abort()
        else:
            self._unread_timer = self.loop.call_later(self.timeout_keep_alive, self._abort_if_unread, size)

    def _stop_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    # Bytes

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None or self.transport.is_closing():
            return
        was_in_head = self._in_head
        if self.pipeline or len(data) > _SLICE_BYTES:
            self._unparsed = memoryview(bytes(self._unparsed) + data if self._unparsed else data)
            self._parse_on()
        else:
            self._parse(data)
        if self._in_head and not was_in_head and self._idle():
            self._start_idle_timer()

    def _parse_on(self) -> None:
        """Parse what is left unparsed until a request has to wait for the one before it."""
        while self._unparsed and not self.pipeline:
            piece, self._unparsed = self._unparsed[:_SLICE_BYTES], self._unparsed[_SLICE_BYTES:]
            self._parse(piece)
        self.flow.held = bool(self._unparsed)
        if self.flow.held:
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()

    def _parse(self, data: bytes | memoryview) -> None:
        pieces = [data]
        while pieces:
            piece = pieces.pop()
            self._bytes_beside_body += len(piece)
            try:
                self.parser.feed_data(piece)
                if self._bytes_beside_body:
                    self._check_headers()
            except httptools.HttpParserUpgrade as offer:
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
                pieces += [memoryview(piece)[offer.args[0] :], self._head_without_offer]
            except httptools.HttpParserError as error:
                self._refuse(_reason(error))
                return
            except HeadersTooLarge as error:
                self._refuse(error)
                return

    def _check_headers(self) -> None:
        if len(self.headers) > MAX_HEADERS:
            raise HeadersTooLarge(f"More than {MAX_HEADERS} headers; send fewer.")
        if self._bytes_beside_body > MAX_HEAD_BYTES:
            raise HeadersTooLarge(f"More than {MAX_HEAD_BYTES} bytes of headers; send fewer or shorter ones.")

    # What the parser finds

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._bytes_beside_body = 0
        self._check_headers()
        if self.parser.should_upgrade():
            method = self.parser.get_method()
            if method == b"CONNECT":
                raise MethodNotAllowed("CONNECT is for proxies, and this is none.")
            self._head_without_offer = self._serialized_head(method)
            return
        if not self.url.startswith(b"/") and not httptools.parse_url(self.url).path:
            raise MalformedRequest("The request's target has no path.")
        super().on_headers_complete()
        self._in_head = False
        self.headers = []  # uvicorn's place for trailers too, which a recipient may ignore
        self.transport.receiving = True
        self._unset_keepalive_if_required()

    def _serialized_head(self, method: bytes) -> bytes:
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_body(self, body: bytes) -> None:
        self._bytes_beside_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._bytes_beside_body = 0
        self.transport.receiving = False
        super().on_message_complete()

    # Requests

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _idle(self) -> bool:
        """No request is being answered."""
        return self._running is None or self._running.response_complete or self._running.disconnected

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.transport.receiving and self.expect_100_continue:
            # Answered before its body came. Whether the client sends the body now or its next request, only it knows.
            self.transport.close()
        elif self._unparsed:
            self._parse_on()
        elif self._refusal is not None and self._idle():
            self._send_refusal()

    def _refuse(self, error: ServiceError) -> None:
        """Answer the requests before this one, then tell the error and close; nothing more is read."""
        told = refusal(error)
        self.logger.info("refused a request with %d: %s", told.status, error)
        self._refusal = b"".join(
            [
                STATUS_LINE[told.status],
                *(b"%b: %b\r\n" % header for header in self.server_state.default_headers),
                b"content-type: application/json\r\nconnection: close\r\n",
                b"content-length: %d\r\n\r\n" % len(told.content),
                told.content,
            ]
        )
        self._unparsed = memoryview(b"")
        if self.transport.receiving:
            self._give_up(self.cycle)
        if self._idle() and not self.transport.is_closing():
            self._send_refusal()

    def _give_up(self, cycle: RequestResponseCycle) -> None:
        """The rest of this request's body will not come."""
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
        elif cycle.response_complete:
            self.transport.close()
        elif cycle.response_started:
            self.transport.abort()
        else:
            cycle.disconnected = True
            cycle.message_event.set()

    def _send_refusal(self) -> None:
        assert self._refusal is not None
        self._unset_keepalive_if_required()
        self.transport.write(self._refusal)
        self.transport.receiving = True  # the client may be sending still
        self.transport.close()


def _reason(error: httptools.HttpParserError) -> ServiceError:
    """What was wrong: an error that was raised while the parser ran, or the parser's own."""
    cause = error.__context__
    if not isinstance(error, httptools.HttpParserCallbackError):
        return MalformedRequest(f"The request is not valid HTTP: {error}.")
    if isinstance(cause, ServiceError):
        return cause
    if isinstance(cause, (httptools.HttpParserInvalidURLError, UnicodeDecodeError)):
        return MalformedRequest("The request's target is not a valid URL.")
    log.error("a fault while a request was read", exc_info=cause)
    return ServiceError("A fault of the server while it read the request; its log says more.")
