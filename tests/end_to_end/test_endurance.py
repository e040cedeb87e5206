"""Half an hour of conversation leaves nothing behind: no memory, no task, no queue."""

import asyncio
import gc
import sys
import tracemalloc
from random import Random

import pytest
from stage import QuickRenderer, voice
from stock_agent import StockAgent

from agent_side import AvatarAudioOut, AvatarCredentials
from worker.meeting_support.memory_network import NetworkFaults
from worker.meetings.memory import MemoryRoom
from worker.session import Session
from worker.settings import Settings

WARM_S, COUNTED_S, SETTLE_S, TRACED_S = 10 * 60, 14 * 60, 60, 5 * 60
"""After ten minutes Python keeps no more freed objects for later than before. Tracing every
allocation triples the time, so only the last minutes are traced."""

MAX_BLOCKS = 1000
"""Small objects that may be alive at the end beyond those after the first minutes."""

MAX_BYTES = 200_000
"""Bytes that may be alive at the end beyond those before the last minutes."""

SPEECH = voice(4 * 24_000).tobytes()


class Ours:
    """An agent of version 2, which talks until a time has come."""

    def __init__(self, peer):
        self.ended = 0
        self.peer = peer
        self.voice = AvatarAudioOut(
            credentials=AvatarCredentials("avatar", "token"), room_id="memory"
        )
        self.voice.on_stream_ended = self._count
        self.voice._set_meeting(peer)

    async def say(self, samples):
        await self.voice.handle_audio_input(SPEECH[: 2 * samples])
        await self.voice.send_segment_end()

    async def interrupt(self):
        await self.voice.interrupt()

    async def leave(self):
        async with asyncio.timeout(30):
            await self.voice.wait_for_playout()
        assert self.ended == self.voice.turn
        await self.voice.aclose()
        self.peer.leave()

    def _count(self, position, interrupted, turn):
        self.ended += 1


class Stock:
    """An agent of version 1, which talks until a time has come."""

    def __init__(self, peer):
        self.peer = peer
        self.agent = StockAgent(peer)

    async def say(self, samples):
        await self.agent.say(memoryview(SPEECH)[: 2 * samples])
        await self.agent.end()

    async def interrupt(self):
        await self.agent.interrupt()

    async def leave(self):
        await asyncio.sleep(10)
        assert self.agent.acks
        self.peer.leave()


async def talk(agent, random, seconds):
    """Turns, pauses, and now and then an interrupt or two."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        samples = random.choice((0, random.randrange(1, 2000), random.randrange(2000, 96_000)))
        await agent.say(samples)
        await asyncio.sleep(random.uniform(0, 1.3 * samples / 24_000 + 0.5))
        for _ in range(random.choice((0, 0, 1, 2))):
            await agent.interrupt()
    await agent.leave()


async def converse(room, random, seconds):
    """Agents of both versions come and go, all over an imperfect network."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        await talk(Ours(room.peer("ours")), random, 40)
        await talk(Stock(room.peer("stock")), random, 20)


def blocks():
    gc.collect()
    return sys.getallocatedblocks()


def traced():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.virtual_time
@pytest.mark.soak
async def test_half_an_hour_of_conversation_leaves_nothing_behind():
    room, random = MemoryRoom(1, raw=True), Random(1)
    room.disturb(NetworkFaults(loss=0.02, duplication=0.02, delay_s=(0.0, 0.05)))
    session = Session(room.join_worker(), QuickRenderer(), Settings(), None)
    running = asyncio.create_task(session.run(), name="session")
    await asyncio.sleep(0.1)
    await converse(room, random, WARM_S)
    tasks, blocks_before = len(asyncio.all_tasks()), blocks()
    await converse(room, random, COUNTED_S)
    new_blocks = blocks() - blocks_before
    tracemalloc.start(1)
    await converse(room, random, SETTLE_S)
    traced_before = traced()
    await converse(room, random, TRACED_S)
    new_bytes = traced() - traced_before
    tracemalloc.stop()
    assert new_blocks < MAX_BLOCKS
    assert new_bytes < MAX_BYTES
    assert len(asyncio.all_tasks()) == tasks
    assert session._engine.segments.living == ()
    assert session._engine._playout.lead == 0
    assert session._send_queue.empty
    session.finish()
    await running
    assert asyncio.all_tasks() == {asyncio.current_task()}
