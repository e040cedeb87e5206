"""A meeting in memory for workers of the dispatcher's tests; the room's name says what happens.

``room`` is joined and stays. ``lost`` is joined and lost at once, ``closed`` lets nobody in,
``crash`` ends the process while it joins, ``deaf`` blocks the event loop once it is joined, and
``leaves`` is over as soon as it was joined.
"""

import os
import time

from agent_side.join import JoinInfo
from worker.errors import JoinError
from worker.meetings.memory import MemoryMeeting, MemoryRoom
from worker.settings import Settings


class RoomOfOne(MemoryMeeting):
    def __init__(self, join: JoinInfo, settings: Settings) -> None:
        super().__init__(
            MemoryRoom(raw=True), join.participant_id or "face", settings.join_timeout_s
        )
        self._fate = join.room_name.partition("-")[0]

    async def join(self) -> None:
        if self._fate == "closed":
            raise JoinError("The room lets nobody in; try another.")
        if self._fate == "crash":
            os._exit(70)
        await super().join()
        match self._fate:
            case "lost":
                self.lost("The room is gone.")
            case "leaves":
                await self.leave()
            case "deaf":
                time.sleep(60)


def create(join: JoinInfo, settings: Settings) -> RoomOfOne:
    return RoomOfOne(join, settings)
