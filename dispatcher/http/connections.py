"""Connections: a request has to be HTTP/1.1 that can be read in one way only, and soon.

uvicorn waits for the head of a request without a limit, so that a few hundred silent
connections would block all others; the listener closes the oldest of those when there are too many.
What is refused before a route is called is answered here in our words.
"""

import asyncio
import json
import secrets
from typing import Any, Final

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from dispatcher.http.listener import HttpListener
from dispatcher.http.middleware import RequestMiddleware, error

HEAD_S: Final = 4.0
"""How long the head of a request may take."""

MAX_HEAD: Final = 65_536
"""The longest head of a request (bytes), however it arrives."""

NO_HTTP: Final = "This is no HTTP/1.1 request."
LONG_HEAD: Final = f"The head of this request is longer than {MAX_HEAD} bytes."
TWO_LENGTHS: Final = "A request has either Content-Length or Transfer-Encoding, never both."

PHRASES: Final = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}


class State(ServerState):
    """uvicorn's, and the socket that the connections come from."""

    listener: HttpListener | None = None


class Strict(h11.Connection):
    """h11's view of a connection, which lets no head pass that is too long or ambiguous.

    h11 itself limits what is incomplete only: a long head that arrives in one piece would pass.
    `refusal` says why there is no request.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD)
        self.refusal = (400, NO_HTTP)

    def next_event(self) -> Any:
        waits = self.their_state is h11.IDLE
        before = self._unread() if waits else 0
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as fault:
            if fault.error_status_hint == 431:
                self.refusal = (431, LONG_HEAD)
            raise
        if waits and isinstance(event, h11.Request):
            if before - self._unread() > MAX_HEAD:
                self.refusal = (431, LONG_HEAD)
            elif {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
                self.refusal = (400, TWO_LENGTHS)
            else:
                return event
            raise h11.RemoteProtocolError(self.refusal[1], self.refusal[0])
        return event

    def _unread(self) -> int:
        return len(self.trailing_data[0])


class HeaderTimeout(H11Protocol):
    """uvicorn's protocol with a clock for heads; bodies have theirs in dispatcher/http/app.py."""

    conn: Strict
    server_state: State

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = Strict()
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._mind()

    def handle_events(self) -> None:
        listener = self.server_state.listener
        crowded = listener is not None and listener.crowded
        self.app = BUSY if crowded else self.config.loaded_app
        super().handle_events()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._mind()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn where there is no request that the routes could answer."""
        status, sentence = self.conn.refusal
        name = secrets.token_hex(8)
        body = json.dumps({"error": sentence, "request_id": name}, separators=(",", ":")).encode()
        headers = [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", b"%d" % len(body)),
            (b"X-Request-Id", name.encode()),
            (b"Connection", b"close"),
        ]
        answer = h11.Response(status_code=status, headers=headers, reason=PHRASES[status])
        for part in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(part) or b"")
        self.transport.close()

    def _mind(self) -> None:
        """The clock runs while a head is to come, or a body that is not needed any more."""
        answered = self.conn.our_state is h11.DONE
        theirs = self.conn.their_state
        if theirs is h11.IDLE or (theirs is h11.SEND_BODY and answered):
            self._start()
        else:
            self._stop()

    def _start(self) -> None:
        if self._clock is None:
            self._clock = self.loop.call_later(HEAD_S, self.transport.abort)
            if self.server_state.listener is not None:
                self.server_state.listener.quiet(self.transport)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
            if self.server_state.listener is not None:
                self.server_state.listener.busy(self.transport)


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    answer = error(503, "There are too many connections; try again later.", {"Retry-After": "2"})
    await answer(scope, receive, send)


BUSY: Final[Any] = RequestMiddleware(_busy, ("*",))
"""The service while there are too many connections."""
