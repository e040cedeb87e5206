"""The ``protoo`` conversation over one WebSocket: requests both ways, answers, notifications."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

SUBPROTOCOL: Final = "protoo"

Handler = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Answers a request by (method, data). Raises RefusalError."""

logger = logging.getLogger("avatar.localroom.protoo")


class RefusalError(Exception):
    """A request that is answered with an error."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ProtooChannel:
    """One peer's signalling. Messages keep their order; no caller waits for the network."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._serials = count(1)
        self._closing: asyncio.Task[None] | None = None
        self._answers: dict[int, asyncio.Future[bool]] = {}

    async def run(self, handle: Handler) -> None:
        """Serve the peer until its socket has closed, or sends something other than JSON."""
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self._write(), name="protoo-write")
            try:
                await self._read(handle)
            finally:
                writing.cancel()
                for answer in self._answers.values():
                    answer.cancel()

    def notify(self, method: str, data: dict[str, Any]) -> None:
        self._outbox.put_nowait({"notification": True, "method": method, "data": data})

    def request(self, method: str, data: dict[str, Any]) -> "asyncio.Future[bool]":
        """Send a request; the result is whether the SDK has accepted, or a cancellation."""
        serial = next(self._serials)
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._answers[serial] = answer
        self._outbox.put_nowait({"request": True, "id": serial, "method": method, "data": data})
        return answer

    def close(self) -> None:
        """Close cleanly, as a server that drops the peer; does not wait for the close frame."""
        self.thaw()
        self._closing = asyncio.get_running_loop().create_task(self._socket.close())

    def abort(self) -> None:
        """Reset the connection, as a broken network does."""
        self._socket.transport.abort()

    def freeze(self) -> None:
        """Keep the connection, and let nothing through in either direction."""
        self._flowing.clear()
        self._socket.transport.pause_reading()

    def thaw(self) -> None:
        if not self._flowing.is_set():
            self._flowing.set()
            self._socket.transport.resume_reading()

    async def _write(self) -> None:
        while True:
            message = await self._outbox.get()
            await self._flowing.wait()
            with suppress(ConnectionClosed):  # which the reader notices
                await self._socket.send(json.dumps(message))

    async def _read(self, handle: Handler) -> None:
        with suppress(ConnectionClosed):
            async for text in self._socket:
                try:
                    message = json.loads(text)
                except (ValueError, RecursionError):
                    return
                match message:
                    case {"response": True, "id": int(serial), "ok": bool(agreed)}:
                        answer = self._answers.pop(serial, None)
                        if answer is not None and not answer.done():
                            answer.set_result(agreed)
                    case {"request": True, "id": int(serial), "method": str(method), **rest}:
                        await self._respond(handle, serial, method, rest.get("data"))

    async def _respond(self, handle: Handler, serial: int, method: str, data: object) -> None:
        answer: dict[str, Any] = {"response": True, "id": serial}
        try:
            result = await handle(method, data if isinstance(data, dict) else {})
        except RefusalError as refusal:
            reason = {"errorCode": refusal.code, "errorReason": refusal.reason}
            answer |= {"ok": False, **reason}
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            logger.warning("%s cannot be read (%s)", method, type(error).__name__)
            answer |= {"ok": False, "errorCode": 400, "errorReason": f"{method}: bad data"}
        else:
            answer |= {"ok": True, "data": result}
        self._outbox.put_nowait(answer)
