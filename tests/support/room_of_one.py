"""A meeting in memory for workers of the dispatcher's tests; the room's name says what happens.

``room`` is joined and stays. ``lost`` is joined and lost at once, ``closed`` lets nobody in,
``crash`` ends the process while it joins, ``deaf`` blocks the event loop soon after it was
joined, and ``leaves`` is over as soon as it was joined, ``goes`` half a second later.
``rejoins`` is joined, lost for half a second and joined again, ``refused`` is joined and then
refuses the worker. What follows a ``-`` in
the name is only a name.

Whoever joins writes its token into the file that ``metadata["diary"]`` names.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from agent_side.join import JoinInfo
from worker.errors import JoinError
from worker.meetings.memory import MemoryMeeting, MemoryRoom
from worker.settings import Settings

CRASHED = 70
REFUSED = 2
STDOUT = 1


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
                self._later(0.1, time.sleep, 60)
            case "goes":
                self._later(0.5, self._go)
            case "rejoins":
                self._later(0.1, report, "rejoining", "The meeting was lost.")
                self._later(0.6, report, "active")
            case "refused":
                self._later(0.1, report, "ended", "The token is not good enough.")
                self._later(0.1, os._exit, REFUSED)

    def _later(self, seconds: float, action: Callable[..., object], *arguments: object) -> None:
        asyncio.get_running_loop().call_later(seconds, action, *arguments)

    def _go(self) -> None:
        self._going = asyncio.ensure_future(self.leave())


def report(state: str, reason: str | None = None) -> None:
    """What a worker of another make might tell the dispatcher."""
    os.write(STDOUT, json.dumps({"state": state, "reason": reason}).encode() + b"\n")


def create(join: JoinInfo, settings: Settings) -> RoomOfOne:
    return RoomOfOne(join, settings)
