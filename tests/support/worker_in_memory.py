"""A meeting in memory with an agent that says two seconds of speech, for the worker program.

What happens is told on stdout, a line each: ``joined``, ``speaking``, every message that the
agent gets, ``left``.
"""

import asyncio
import json
import sys
from typing import Any

from agent_side.join import JoinInfo
from worker.meetings.memory import MemoryMeeting, MemoryRoom
from worker.settings import Settings

SPEECH = b"\x00\x10" * 48_000
PIECE = 960


class TalkedTo(MemoryMeeting):
    """A meeting in which an agent begins to speak as soon as the worker is there."""

    def __init__(self, room: MemoryRoom, info: JoinInfo, settings: Settings) -> None:
        super().__init__(room, info.participant_id or "face", settings.join_timeout_s)
        self._talked = room

    async def join(self) -> None:
        await super().join()
        say("joined")
        agent = self._talked.peer("agent")
        agent.add_event_listener(self.Ear())
        for at in range(0, len(SPEECH), PIECE):
            await agent.send(SPEECH[at : at + PIECE], {"reliability": "UNRELIABLE"})
        await agent.send('{"type":"segment_end"}', {"reliability": "RELIABLE"})
        asyncio.get_running_loop().call_later(0.5, say, "speaking")

    async def leave(self) -> None:
        await super().leave()
        say("left")

    class Ear:
        def handle_event(self, action: str, data: Any) -> None:
            if action == "data" and json.loads(data["payload"])["type"] == "stream_ended":
                say(data["payload"])


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def create(join: JoinInfo, settings: Settings) -> TalkedTo:
    return TalkedTo(MemoryRoom(), join, settings)
