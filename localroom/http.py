"""As much of an HTTP server as two small endpoints need: one request per connection."""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

MAX_BODY: Final = 64 * 1024
HEAD_S: Final = 10.0
"""How long a request may take to come in."""

logger = logging.getLogger("avatar.localroom.http")


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: bytes

    def json(self) -> Any:
        """Raises ValueError."""
        return json.loads(self.body or b"null")


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: Any


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
            await _exchange(reader, writer, answer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            logger.debug("a request was broken off")
        finally:
            open_connections.discard(writer)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, host, port, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for writer in list(open_connections):
            writer.transport.abort()


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer
) -> None:
    async with asyncio.timeout(HEAD_S):
        request = await _read(reader)
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
    body = json.dumps(response.body).encode()
    head = (
        f"HTTP/1.1 {response.status} Answer\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
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
    return Request(words[0], words[1], await reader.readexactly(int(length)))
