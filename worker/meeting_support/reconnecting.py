"""Rejoining: a place in a room that is taken anew when it is lost."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from agent_side.wire import Message
from worker import clock
from worker.errors import Dismissed, JoinError, JoinRefused, MeetingLost
from worker.media import AvatarFrame
from worker.meeting import Away, Back, Meeting, MeetingEvent

PAUSES_S: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""The wait before each attempt to join anew; after the last one the meeting is given up."""

STEADY_S: Final = 10.0
"""A meeting that is lost sooner than this after it was joined counts as another failed attempt."""

logger = logging.getLogger("avatar.worker.rejoining")


class Rejoining:
    """The Meeting port over one meeting after the other, each made by `make`.

    When one is lost, whoever reads `messages` gets `Away`, and `Back` once the next is joined.
    In between nothing is published and `send` waits. Dismissed and JoinRefused are final. Before
    each attempt it waits for `ask`: a worker that was cut off may have a successor in the room,
    which it would throw out.
    """

    def __init__(
        self, make: Callable[[], Meeting], ask: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._make = make
        self._ask = ask
        self._meeting = make()
        self._here = asyncio.Event()
        self._joined_at = 0.0
        self._failures = 0
        self._farewells: set[asyncio.Task[None]] = set()

    async def join(self) -> None:
        await self._meeting.join()
        self._joined()

    async def messages(self) -> AsyncIterator[MeetingEvent]:
        while True:
            try:
                async for event in self._meeting.messages():
                    yield event
                return
            except Dismissed:
                raise
            except MeetingLost as loss:
                self._here.clear()
                yield Away(str(loss))
                await self._join_anew(loss)
                yield Back()

    async def send(self, message: Message) -> None:
        await self._here.wait()
        await self._meeting.send(message)

    def publish(self, frame: AvatarFrame) -> None:
        if self._here.is_set():
            self._meeting.publish(frame)

    def cut(self) -> int:
        return self._meeting.cut() if self._here.is_set() else 0

    @property
    def offset_s(self) -> float | None:
        return self._meeting.offset_s

    async def leave(self) -> None:
        self._here.clear()
        await self._meeting.leave()
        await asyncio.gather(*self._farewells)

    def _joined(self) -> None:
        self._joined_at = clock.now()
        self._here.set()

    async def _join_anew(self, loss: MeetingLost) -> None:
        """Raises JoinRefused, and MeetingLost when no attempt is left."""
        problem: Exception = loss
        if clock.now() - self._joined_at >= STEADY_S:
            self._failures = 0
        while self._failures < len(PAUSES_S):
            logger.warning("joining anew: %s", problem)
            self._take_leave_of(self._meeting)
            await clock.sleep_until(clock.now() + PAUSES_S[self._failures])
            self._failures += 1
            if self._ask is not None:
                await self._ask()
            self._meeting = self._make()
            try:
                await self._meeting.join()
            except JoinRefused:
                raise
            except JoinError as error:
                problem = error
            else:
                self._joined()
                return
        raise MeetingLost(
            f"The meeting was lost and could not be joined anew in {len(PAUSES_S)} attempts: "
            f"{problem}"
        ) from problem

    def _take_leave_of(self, meeting: Meeting) -> None:
        """Leave it meanwhile: a server that is gone takes its time to not answer."""
        farewell = asyncio.create_task(meeting.leave(), name="farewell")
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)
