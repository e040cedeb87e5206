"""An agent as stock ones are: bare PCM, no turn numbers, acks only listened to."""

import asyncio
import json
from typing import Any

from agent_side.wire import split_pcm
from worker.media import Pcm
from worker.meetings.memory import MemoryPeer

RELIABLE = {"reliability": "RELIABLE"}
UNRELIABLE = {"reliability": "UNRELIABLE"}


class StockAgent:
    """Sends version 1 through a peer and notes the acks: (position in seconds, interrupted)."""

    def __init__(self, peer: MemoryPeer) -> None:
        self.acks: list[tuple[float, bool]] = []
        self._peer = peer
        peer.add_event_listener(self)

    def handle_event(self, action: str, data: Any) -> None:
        if action != "data" or data["from"] != "avatar":
            return
        message = json.loads(data["payload"])
        if message["type"] == "stream_ended":
            fields = message["data"]
            self.acks.append((fields["playback_position"], fields["interrupted"]))

    async def say(self, pcm: Pcm, piece: int = 960, every_s: float = 0.0) -> None:
        """Hand speech over in pieces of so many bytes, so often; then nothing."""
        data = pcm.tobytes()
        for at in range(0, len(data), piece):
            for part in split_pcm(data[at : at + piece]):
                await self._peer.send(part, UNRELIABLE)
            if every_s:
                await asyncio.sleep(every_s)

    async def end(self) -> None:
        await self._peer.send(json.dumps({"type": "segment_end"}), RELIABLE)

    async def interrupt(self) -> None:
        await self._peer.send(b"INTERRUPT", RELIABLE)
