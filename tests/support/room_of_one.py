"""A meeting in memory for workers of the dispatcher's tests; the room's name says what happens.

``room`` is joined and stays. ``lost`` is joined and lost at once, ``closed`` lets nobody in,
``crash`` ends the process while it joins, ``deaf`` blocks the event loop soon after it was
joined, and ``leaves`` is over as soon as it was joined. What follows a ``-`` in
the name is only a name.

Whoever joins writes its token into the file that ``metadata["diary"]`` names.
"""

import asyncio
import os
import time
from pathlib import Path

from agent_side.join import JoinInfo
from worker.errors import JoinError
from worker.meetings.memory import MemoryMeeting, MemoryRoom
from worker.settings import Settings

CRASHED = 70


class RoomOfOne(MemoryMeeting):
    def __init__(self, join: JoinInfo, settings: Settings) -> None:
        participant_id = join.participant_id or "face"
        super().__init__(MemoryRoom(raw=True), participant_id, settings.join_timeout_s)
        self._join_info = join
        self._fate = join.room_name.partition("-")[0]

    async def join(self) -> None:
        if self._fate == "closed":
            raise JoinError("The room lets nobody in; try another.")
        if self._fate == "crash":
            os._exit(CRASHED)
        await super().join()
        if self._join_info.metadata:
            with Path(self._join_info.metadata["diary"]).open("a") as diary:
                diary.write(f"{self._join_info.token}\n")
        match self._fate:
            case "lost":
                self.lost("The room is gone.")
            case "leaves":
                await self.leave()
            case "deaf":
                asyncio.get_running_loop().call_later(0.1, time.sleep, 60)


def create(join: JoinInfo, settings: Settings) -> RoomOfOne:
    return RoomOfOne(join, settings)
