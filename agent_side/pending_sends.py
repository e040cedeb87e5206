"""PendingSends: the sends that wait in the SDK. They end in time or are left behind.

The SDK's ``send`` waits while its buffer is full. Nothing wakes it when its channel dies, and
when it is cancelled, the transport dies as soon as the buffer drains. So a send that waits too
long is left behind and never cancelled while the transport lives.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

SEND_TIMEOUT_S: Final = 5.0
"""A send that waits longer is left behind."""

MAX_PENDING: Final = 64
"""With so many sends that wait, no other is begun."""


class PendingSends:
    """Begins sends, at most `MAX_PENDING` at a time. `error` makes the exception that it raises."""

    def __init__(self, error: Callable[[str], Exception] = TimeoutError) -> None:
        self._error = error
        self._sends: set[asyncio.Future[Any]] = set()

    def __len__(self) -> int:
        return len(self._sends)

    def begin(self, send: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        """Begin `send`, whose outcome need not be read. Raises `error` where too many wait."""
        if len(self._sends) >= MAX_PENDING:
            send.close()
            raise self._error(f"{MAX_PENDING} packets wait in the data channel; it may be dead.")
        sending = asyncio.ensure_future(send)
        self._sends.add(sending)
        sending.add_done_callback(self._sends.discard)
        sending.add_done_callback(_retrieve)
        return sending

    async def wait(self, send: Coroutine[Any, Any, Any]) -> None:
        """Return when `send` is done. Raises what it raises, and `error` after `SEND_TIMEOUT_S`."""
        sending = self.begin(send)
        await asyncio.wait([sending], timeout=SEND_TIMEOUT_S)
        if not sending.done():
            raise self._error(
                f"The data channel was full for {SEND_TIMEOUT_S:g} s; "
                "the network is too slow or dead."
            )
        sending.result()

    def close(self) -> None:
        """The transport is gone: cancelling does no harm any more."""
        for sending in list(self._sends):
            sending.cancel()
        self._sends.clear()


def _retrieve(sending: asyncio.Future[Any]) -> None:
    """asyncio reports an exception that nobody retrieves."""
    if not sending.cancelled():
        sending.exception()
