"""A meeting in memory for workers of the dispatcher's tests; the room's name says what happens.

``room`` is joined and stays. ``lost`` is joined and broken at once, ``again`` is lost once and
joined anew, which takes half a second where it is ``slow``. ``dismissed`` tells whoever joins to
leave, ``closed`` lets nobody in, ``tells`` neither and says what ``metadata["quote"]`` has,
``refused`` refuses the token, ``crash`` ends the process while it joins, ``deaf`` blocks the event
loop soon after it was joined, ``signalled`` is lost when the process gets SIGUSR1, ``leaves`` is
over as soon as it was joined, and ``goes`` half a second later. What follows a ``-`` in the name is
only a name.

Whoever joins writes its token into the file that ``metadata["diary"]`` names.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

from agent_side.join import JoinInfo
from worker.errors import Dismissed, JoinError, JoinRefused, MeetingError
from worker.meeting import MeetingEvent
from worker.meetings.memory import MemoryMeeting, MemoryRoom
from worker.settings import Settings

CRASHED = 70


was_lost = False


class RoomOfOne(MemoryMeeting):
    def __init__(self, join: JoinInfo, settings: Settings) -> None:
        participant_id = join.participant_id or "face"
        super().__init__(MemoryRoom(raw=True), participant_id, settings.join_timeout_s)
        self._join_info = join
        self._fate = join.room_name.partition("-")[0]

    async def join(self) -> None:
        if self._fate == "closed":
            raise JoinError("The room lets nobody in; try another.")
        if self._fate == "tells":
            raise JoinError(f"The room says: {(self._join_info.metadata or {}).get('quote')}")
        if self._fate == "refused":
            raise JoinRefused("The room refused the token; send a fresh one.")
        if self._fate == "crash":
            os._exit(CRASHED)
        if self._fate == "slow" and was_lost:
            await asyncio.sleep(0.5)
        await super().join()
        if self._join_info.metadata:
            with Path(self._join_info.metadata["diary"]).open("a") as diary:
                diary.write(f"{self._join_info.token}\n")
        match self._fate:
            case "leaves":
                await self.leave()
            case "signalled":
                loop = asyncio.get_running_loop()
                loop.add_signal_handler(signal.SIGUSR1, self.lost, "The room was cut off.")
            case "goes":
                asyncio.get_running_loop().call_later(0.5, self._go)
            case "deaf":
                asyncio.get_running_loop().call_later(0.1, time.sleep, 60)

    def _go(self) -> None:
        self._going = asyncio.ensure_future(self.leave())

    async def messages(self) -> AsyncIterator[MeetingEvent]:
        global was_lost
        match self._fate:
            case "lost":
                raise MeetingError("The room is gone.")
            case "dismissed":
                raise Dismissed("The room told the worker to leave.")
            case "again" | "slow" if not was_lost:
                was_lost = True
                self.lost("The room was gone for a while.")
        async for event in super().messages():
            yield event


def create(join: JoinInfo, settings: Settings) -> RoomOfOne:
    return RoomOfOne(join, settings)
