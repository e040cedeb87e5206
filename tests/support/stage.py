"""A room with an agent, a worker and a viewer, for tests of the whole line."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np

from agent_side import AvatarAudioOut, AvatarCredentials
from worker.media import FRAME_SAMPLES, AvatarFrame, Pcm, Picture
from worker.meeting_support.memory_network import NetworkFaults
from worker.meeting_support.viewed_tracks import TrackRecording
from worker.meetings.memory import MemoryMeeting, MemoryPeer, MemoryRoom
from worker.process.metrics import Measures
from worker.recording.recorder import Recorder
from worker.renderer import Renderer
from worker.session import Session
from worker.settings import Settings

CLOSED = Picture.blank(2, 2, 16)
OPEN = Picture.blank(2, 2, 235)


class QuickRenderer(Renderer):
    """An open mouth for every block that is not silent, a closed one otherwise."""

    def __init__(self) -> None:
        self._ready: list[AvatarFrame] = []

    def push(self, segment: int, pcm: Pcm) -> None:
        assert 1 <= len(pcm) <= FRAME_SAMPLES
        self._ready.append(AvatarFrame(segment, OPEN if pcm.any() else CLOSED, pcm))

    def finish(self, segment: int) -> None:
        self._ready.append(AvatarFrame(segment, CLOSED, np.zeros(0, np.int16), last=True))

    def drain(self) -> list[AvatarFrame]:
        ready, self._ready = self._ready, []
        return ready

    def reset(self) -> None:
        self._ready.clear()

    def idle(self) -> Picture:
        return CLOSED

    def close(self) -> None:
        self._ready.clear()


@dataclass(slots=True)
class SessionFixture:
    """Everything that a test of the whole line looks at."""

    room: MemoryRoom
    meeting: MemoryMeeting
    session: Session
    peer: MemoryPeer
    agent: AvatarAudioOut
    film: TrackRecording
    acks: list[tuple[int, float, bool]] = field(default_factory=list)
    started: list[int] = field(default_factory=list)

    def heard_of(self, *turns: Pcm) -> Pcm:
        """All that the viewer heard, without the silence around it."""
        sound = self.film.heard()
        loud = np.flatnonzero(sound)
        return sound[loud[0] : loud[-1] + 1] if len(loud) else sound[:0]


@contextlib.asynccontextmanager
async def stage(
    faults: NetworkFaults | None = None,
    *,
    seed: int = 0,
    renderer: Renderer | None = None,
    settings: Settings | None = None,
    agent_id: str | None = None,
    rate: int = 24_000,
    worker_joins: bool = True,
    raw: bool = True,
    measures: Measures | None = None,
    record: Recorder | None = None,
) -> AsyncIterator[SessionFixture]:
    """An agent, a worker and a viewer in one room, until the block ends."""
    room = MemoryRoom(seed, faults, raw=raw)
    viewer = room.peer("viewer", "normal")
    meeting = room.join_worker("avatar")
    record = record or Recorder()
    session = Session(
        record.meeting(meeting),
        record.renderer(renderer or QuickRenderer()),
        settings or Settings(),
        agent_id,
        measures=measures,
    )
    peer = room.peer("agent", "agent")
    agent = AvatarAudioOut(
        credentials=AvatarCredentials("avatar", "token"), room_id=room.id, sample_rate=rate
    )
    scene = SessionFixture(room, meeting, session, peer, agent, viewer.watch())
    agent.on_stream_ended = lambda position, interrupted, turn: scene.acks.append(
        (turn, position, interrupted)
    )
    agent.on_playback_started = scene.started.append
    agent._set_meeting(peer)
    running = asyncio.create_task(session.run(), name="session") if worker_joins else None
    try:
        yield scene
    finally:
        await agent.aclose()
        if running is not None:
            session.finish()
            session.finish()
            record.ended(await running)


def voice(samples: int, seed: int = 1, loudness: int = 8000) -> Pcm:
    """Noise without a single zero, so that every sample can be told from silence."""
    random = np.random.default_rng(seed)
    size = random.integers(1, loudness, samples)
    return np.asarray(size * random.choice((-1, 1), samples), np.int16)
