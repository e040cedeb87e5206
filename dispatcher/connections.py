"""Connections: whoever does not say within a few seconds what he wants is hung up on.

uvicorn waits without end for the head of a request, so that a few hundred silent connections
would keep everybody else out. What it refuses by itself is said here in our words.
"""

import asyncio
import secrets
from typing import Any, Final

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from dispatcher.front import Front, error

HEAD_S: Final = 4.0
"""How long the head of a request may take."""

MAX_CONNECTIONS: Final = 512
"""At once; whoever comes then is answered that he should come later."""

NO_HTTP: Final = b'{"error":"This is no HTTP/1.1 request.","request_id":"%s"}'


class Impatient(H11Protocol):
    """uvicorn's protocol with a clock for heads; bodies have theirs in dispatcher/app.py."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._mind()

    def handle_events(self) -> None:
        busy = len(self.connections) > MAX_CONNECTIONS
        self.app = BUSY if busy else self.config.loaded_app
        super().handle_events()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._mind()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn where there is no request that the routes could answer."""
        name = secrets.token_hex(8).encode()
        body = NO_HTTP % name
        headers = [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", b"%d" % len(body)),
            (b"X-Request-Id", name),
            (b"Connection", b"close"),
        ]
        answer = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for part in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(part) or b"")
        self.transport.close()

    def _mind(self) -> None:
        """The clock runs while a head is to come, or a body that nobody waits for any more."""
        answered = self.conn.our_state is h11.DONE
        theirs = self.conn.their_state
        if theirs is h11.IDLE or (theirs is h11.SEND_BODY and answered):
            self._start()
        else:
            self._stop()

    def _start(self) -> None:
        if self._clock is None:
            self._clock = self.loop.call_later(HEAD_S, self.transport.abort)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    answer = error(503, "There are too many connections; try again later.", {"Retry-After": "2"})
    await answer(scope, receive, send)


BUSY: Final[Any] = Front(_busy, ("*",))
"""The service while there are too many connections."""
