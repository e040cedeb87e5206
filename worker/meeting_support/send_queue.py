"""SendQueue: messages on their way to the data channel, in order, bounded, tried again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from agent_side.wire import Message
from worker import clock
from worker.errors import MeetingError, MeetingLost

logger = logging.getLogger("avatar.worker.session")

MAX_WAITING: Final = 256
"""Messages that wait for the data channel; beyond it the newest are dropped. Those that
matter are repeated until they are acknowledged, so they come again."""

PAUSES_S: Final = (0.1, 0.4, 0.0)
"""A message that cannot be sent is tried again after these pauses, then given up."""


class SendQueue:
    """Gives messages to `send` one by one, and calls `on_sent` with each that was sent."""

    def __init__(
        self, send: Callable[[Message], Awaitable[None]], on_sent: Callable[[Message], None]
    ) -> None:
        self.failures = 0
        self.overflow = 0
        self._send = send
        self._on_sent = on_sent
        self._waiting: asyncio.Queue[Message] = asyncio.Queue(MAX_WAITING)

    @property
    def empty(self) -> bool:
        return self._waiting.empty()

    def put(self, message: Message) -> None:
        """Send it after those that wait. Never blocks."""
        if self._waiting.full():
            self.overflow += 1
        else:
            self._waiting.put_nowait(message)

    async def run(self) -> None:
        """Send what was put, until cancelled. Raises MeetingLost."""
        while True:
            await self._deliver(await self._waiting.get())

    async def _deliver(self, message: Message) -> None:
        for pause_s in PAUSES_S:
            try:
                await self._send(message)
            except MeetingLost:
                raise
            except MeetingError as error:
                self.failures += 1
                logger.warning("sending %s failed: %s", type(message).__name__, error)
            else:
                self._on_sent(message)
                return
            await clock.sleep_until(clock.now() + pause_s)
