"""Sends that wait in the SDK: given up in time, left behind, never cancelled.

The SDK's ``send`` waits while its buffer is full. Nothing wakes it when its channel dies, and
when it is cancelled, the transport dies as soon as the buffer drains.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from worker.errors import MeetingError

SEND_S: Final = 5.0
MAX_PENDING: Final = 64


class PendingSends:
    """Waits for sends up to a limit, and keeps those that go on waiting out of the way."""

    def __init__(self) -> None:
        self._pending: set[asyncio.Future[Any]] = set()

    async def wait(self, send: Coroutine[Any, Any, Any]) -> None:
        """Return when `send` is done. Raises what it raises, and MeetingError after `SEND_S`.

        With `MAX_PENDING` that wait already, `send` is not begun, and MeetingError comes at once.
        """
        if len(self._pending) >= MAX_PENDING:
            send.close()
            raise MeetingError(f"{MAX_PENDING} packets wait in the data channel; it may be dead.")
        sending = asyncio.ensure_future(send)
        self._pending.add(sending)
        sending.add_done_callback(self._pending.discard)
        sending.add_done_callback(_forget)
        await asyncio.wait([sending], timeout=SEND_S)
        if not sending.done():
            raise MeetingError(
                f"The data channel was full for {SEND_S:g} s; the network is too slow or dead."
            )
        sending.result()

    def close(self) -> None:
        """The transport is gone: nothing can happen to it any more."""
        for sending in list(self._pending):
            sending.cancel()


def _forget(sending: asyncio.Future[Any]) -> None:
    """Nobody may wait any more for what it raises."""
    if not sending.cancelled():
        sending.exception()
