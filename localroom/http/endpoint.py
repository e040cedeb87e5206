"""As much of an HTTP server as two small endpoints need: one request per connection."""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from localroom.http.listener import Listener, listen

MAX_BODY: Final = 64 * 1024
MAX_OPEN: Final = 128
"""Connections at once; beyond it, the one that has been silent for longest is closed."""

HEAD_S: Final = 10.0
"""How long a request may take to come in."""

logger = logging.getLogger("avatar.localroom.http")


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    """By their names in small letters."""

    def json(self) -> Any:
        """Raises ValueError."""
        try:
            return json.loads(self.body or b"null")
        except RecursionError:
            raise ValueError("The body is nested too deep.") from None


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is sent as JSON, or as it is where it is text of the given `kind`."""

    status: int
    body: Any = None
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        text = json.dumps(self.body) if self.kind == "application/json" else str(self.body)
        body = b"" if self.body is None else text.encode()
        phrase = HTTPStatus(self.status).phrase
        lines = [f"HTTP/1.1 {self.status} {phrase}"]
        if body:
            lines.append(f"Content-Type: {self.kind}")
        if self.status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


Answer = Callable[[Request], Awaitable[Response | None]]
"""None is no answer at all: the connection stays open until the client gives up."""


@asynccontextmanager
async def endpoint(
    host: str, port: int, answer: Answer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve requests; yields the port."""
    open_connections: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_connections.add(writer)
        try:
            await _exchange(reader, writer, answer, listener)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            logger.debug("a request was broken off")
        finally:
            open_connections.discard(writer)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    listener = listen(host, port, MAX_OPEN)
    handshake_s = None if tls is None else HEAD_S
    server = await asyncio.start_server(
        serve, sock=listener, ssl=tls, ssl_handshake_timeout=handshake_s
    )
    async with server:
        yield server.sockets[0].getsockname()[1]
        for writer in list(open_connections):
            writer.transport.abort()


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Answer,
    listener: Listener,
) -> None:
    async with asyncio.timeout(HEAD_S):
        request = await _read(reader)
    listener.busy(writer.transport)
    response = Response(400, {"error": "That is no request."})
    if request is not None:
        try:
            given = await answer(request)
        except ValueError as error:
            response = Response(400, {"error": str(error)})
        else:
            if given is None:
                await reader.read()
                return
            response = given
    writer.write(response.encoded())
    await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    fields = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    length = fields.get("content-length", "0")
    words = first.split(" ")
    if len(words) != 3 or not length.isdecimal() or int(length) > MAX_BODY:
        return None
    return Request(words[0], words[1], await reader.readexactly(int(length)), fields)
