"""A server in this process that has few connections, and whose requests wait for the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from dispatcher.http.listener import HttpListener
from dispatcher.http.middleware import RequestMiddleware
from dispatcher.http.server import listen, make_server

MOST: Final = 16


class LimitedServer:
    """A server of `MOST` connections in this process, whose requests wait until they may go on."""

    def __init__(self, listener: HttpListener) -> None:
        self.listener = listener
        self.address: tuple[str, int] = listener.getsockname()[:2]
        self.url = f"http://127.0.0.1:{self.address[1]}"
        self.may_answer = asyncio.Event()
        self.asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        await self.may_answer.wait()
        await JSONResponse({})(scope, receive, send)

    @property
    def open(self) -> int:
        return len(self.listener._open)


@asynccontextmanager
async def serving() -> AsyncIterator[LimitedServer]:
    with listen("127.0.0.1", 0, "choose another", MOST) as listener:
        service = LimitedServer(listener)
        server = make_server(RequestMiddleware(service, ("*",)))
        answering = asyncio.create_task(server.answer(listener))
        async with asyncio.timeout(30.0):
            yield service
        server.should_exit = True
        service.may_answer.set()
        await answering
