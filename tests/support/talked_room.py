"""A meeting in memory with an agent that talks to the face as long as `metadata` says.

``{"seconds": 6.0, "diary": PATH}``: a voice of that length, in pieces of 20 ms at the pace of
speech. When the agent has heard that all was spoken, the file gets
``{"pictures": [monotonic s, ...], "speaking": [first, last], "heard": seconds}``: when each
picture left its track, between when the face spoke, and how much of it was heard.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

from stage import voice
from stock_agent import StockAgent

from agent_side.join import JoinInfo
from worker.media import SAMPLE_RATE
from worker.meetings.memory import MemoryMeeting, MemoryRoom
from worker.settings import Settings

EVERY_S = 0.02
PIECE = 960
"""Bytes in 20 ms of sound."""


class TalkedRoom(MemoryMeeting):
    """Joined by a face called ``avatar``, to which somebody talks at once while another looks."""

    def __init__(self, join: JoinInfo, settings: Settings) -> None:
        room = MemoryRoom()
        super().__init__(room, "avatar", settings.join_timeout_s)
        self._notes: dict[str, Any] = dict(join.metadata or {})
        self._talked = room

    async def join(self) -> None:
        self._seen = self._talked.peer("viewer", "normal").watch("avatar")
        await super().join()
        self._talking = asyncio.create_task(self._talk(), name="agent")

    async def _talk(self) -> None:
        agent = StockAgent(self._talked.peer("agent"))
        loop = asyncio.get_running_loop()
        speech = voice(round(self._notes["seconds"] * SAMPLE_RATE))
        began = loop.time()
        for number, at in enumerate(range(0, len(speech), PIECE // 2)):
            await asyncio.sleep(began + number * EVERY_S - loop.time())
            await agent.say(speech[at : at + PIECE // 2])
        await agent.end()
        while not agent.acks:
            await asyncio.sleep(EVERY_S)
        spoken = [each.time_s for each in self._seen.published if each.frame.segment]
        Path(self._notes["diary"]).write_text(
            json.dumps(
                {
                    "pictures": [each.time_s for each in self._seen.pictures],
                    "speaking": [spoken[0], spoken[-1]],
                    "heard": agent.acks[0][0],
                }
            )
        )


def create(join: JoinInfo, settings: Settings) -> TalkedRoom:
    return TalkedRoom(join, settings)
