"""One connection of uvicorn, with a time for whatever its peer does."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from controller.config.http_limits import ConnectionLimit, HttpLimits
from controller.network_api.error_responses import body as error_body

CONNECTION = "tunbridge.connection"
"""Key of an ASGI scope's state under which a request finds its :class:`BoundedProtocol`."""


_REST = 2.0
"""Seconds for what a peer sends that was told already that it is not read."""

_FOLDED = re.compile(rb"(?:[^\r\n]+\r?\n)+[ \t]")
"""A head that has a line which begins with white space."""


ErrorObserver = Callable[[str, str, int, int], None]
"""Is told of each request that could not be read: its peer, its first line, and the answer's status and size."""


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol, whose public callbacks are those of :class:`asyncio.Protocol`.

    :param refused: is told of each request that could not be read
    :param limited: is told of the limit that ends the connection
    :param ended: is called when the connection is no more
    """

    def __init__(
        self,
        config: Config,
        state: ServerState,
        limits: HttpLimits,
        refused: ErrorObserver,
        limited: Callable[[ConnectionLimit], None],
        ended: Callable[[], None],
    ) -> None:
        super().__init__(config, state, {CONNECTION: self}, asyncio.get_running_loop())
        self._limits = limits
        self._refused = refused
        self._limited = limited
        self._ended = ended
        self._is_first = True
        self._timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._discarding = self._peer_is_done = False
        self._head = b""
        """What there is of the request that is being read, as far as its head may go, for what is said of it."""
        self._head_until = self._request_until = 0.0
        """Times of the loop by which the head, and the whole of what is being read, must be there."""
        self.known = False
        """This peer has shown who it is."""
        self.working = False
        """A request is there as a whole, and its answer is being worked out."""

    @property
    def busy(self) -> bool:
        """A request has begun, and its answer was not sent."""
        return self.has_request or self._reading_head or self._answer_timer is not None

    @property
    def has_request(self) -> bool:
        """The head of a request has come, and its answer was not sent."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _reading_head(self) -> bool:
        return not self._discarding and bool(self.conn.trailing_data[0])

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=1, low=0)  # so pause_writing() says that something was not taken yet
        self._head_until = self.loop.time() + self._limits.head_timeout
        self._set_timer(self._limits.head_timeout, self._silent)

    def connection_lost(self, exc: Exception | None) -> None:
        self._set_timer(None)
        self._stop_answer_timer()
        self._ended()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        if not self.busy:
            self._begin_request()
        if not self.has_request:
            self._head += data[: self._limits.max_head_size + 1 - len(self._head)]
        super().data_received(data)

    def handle_events(self) -> None:
        if not self.has_request and _FOLDED.match(self.conn.trailing_data[0]):
            self.send_400_response("a line is folded, which h11 takes for one (RFC 9112 §5.2)")
            return
        super().handle_events()
        if self._discarding or self.transport.is_closing():
            return
        if self.has_request and self.conn.their_state is h11.SEND_BODY:
            self._set_timer(
                self._request_until - self.loop.time(), partial(self._late, ConnectionLimit.REQUEST_TIMEOUT)
            )
        elif self.has_request:
            self._set_timer(None)  # it is complete
        elif self._reading_head and self._timer is None:  # it came with the request before
            self._begin_request()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio knows a result, uvicorn has none
        """A peer that says no more may wait for its answer, where it has asked."""
        self._peer_is_done = True
        return self.has_request and self.conn.their_state is h11.DONE and self.transport.can_write_eof()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing() or (self._peer_is_done and not self.has_request):
            self._end()

    def send_400_response(self, msg: str) -> None:
        """Answer a head that cannot be read; the parser's error says how (RFC 9110 §15.5)."""
        if len(self._head) > (most := self._limits.max_head_size):
            has_line = b"\n" in self._head
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if has_line else HTTPStatus.REQUEST_URI_TOO_LONG
            self.refuse(status, f"The head of a request has at most {most} bytes", ConnectionLimit.MAX_HEAD_SIZE)
        else:
            self.refuse(HTTPStatus.BAD_REQUEST, "The request cannot be read")

    @contextmanager
    def one_piece(self) -> Iterator[None]:
        """Send what is written meanwhile together (TCP_CORK, tcp(7)): uvicorn writes head and body apart."""
        sock = self.transport.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        try:
            yield
        finally:
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    def shutdown(self) -> None:
        """End when what has begun is answered."""
        if not self.busy:
            self._end()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._answer_timer is None:
            self._answer_timer = self.loop.call_later(self._limits.answer_timeout, self._not_taken)

    def resume_writing(self) -> None:
        self._stop_answer_timer()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        if not self.transport.is_closing():
            self._limited(ConnectionLimit.IDLE_TIMEOUT)
        super().timeout_keep_alive_handler()

    def _begin_request(self) -> None:
        self._head = self.conn.trailing_data[0][: self._limits.max_head_size + 1]
        now = self.loop.time()
        self._request_until = now + self._limits.request_timeout
        if not self._is_first:
            self._head_until = now + self._limits.head_timeout
        self._is_first = False
        head_first = self._head_until <= self._request_until
        limit = ConnectionLimit.HEAD_TIMEOUT if head_first else ConnectionLimit.REQUEST_TIMEOUT
        self._set_timer(min(self._head_until, self._request_until) - now, partial(self._late, limit))

    def _end(self) -> None:
        """End a connection on which nothing is on its way; of TLS the peer may say so too, and need not."""
        self.transport.close()
        self._set_timer(_REST, self.transport.abort)

    def _silent(self) -> None:
        self._limited(ConnectionLimit.HEAD_TIMEOUT)
        self._end()

    def _not_taken(self) -> None:
        self._limited(ConnectionLimit.ANSWER_TIMEOUT)
        self.transport.abort()

    def _late(self, limit: ConnectionLimit) -> None:
        self.refuse(HTTPStatus.REQUEST_TIMEOUT, "The request has taken too long", limit)

    def refuse(self, status: HTTPStatus, why: str, limit: ConnectionLimit | None = None) -> None:
        """Answer, and end a connection whose peer may be sending still: closed at once, it loses the answer.

        :param limit: that has been reached
        """
        if limit is not None:
            self._limited(limit)
        has_body = True
        if self.has_request:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
            has_body = self.scope["method"] != "HEAD"
        line = self._head.partition(b"\r\n")[0].decode("latin-1")
        text = error_body("HTTPBadRequest", why).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(text))), ("Connection", "close")]
        self._discarding = True
        self.flow.resume_reading()
        for event in (
            h11.Response(status_code=status, headers=headers, reason=status.phrase),
            *([h11.Data(data=text)] if has_body else []),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self._set_timer(_REST, self.transport.abort)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._refused(self.client[0] if self.client else "-", line, status, len(text))

    def _set_timer(self, seconds: float | None, then: Callable[[], None] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None or then is None else self.loop.call_later(seconds, then)

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
