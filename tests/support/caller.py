"""An agent on the real SDK with a face from a real dispatcher, and what it and a viewer notice."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from dispatching import Dispatcher, dispatcher
from room_stage import POLL_S, WAIT_TIMEOUT_S, RoomRecording, RoomStage

from agent_side import AvatarAudioOut, AvatarCredentials
from agent_side.wire import Progress, decode
from localroom.launch import LocalRoom
from worker.media import SAMPLE_RATE, Pcm

FACE: Final = "face"
TOKEN: Final = "eyJ.face-token.sig"

STEP_S: Final = 0.1
FIRST_HZ: Final = 400
STEP_HZ: Final = 50
VOICE: Final = 1000
"""What is as loud as this is no echo of the codec."""

FRAME: Final = 1200
"""Samples (50 ms) of which a viewer can tell the pitch."""


@contextmanager
def serving(local: LocalRoom, log: Path, **settings: str) -> Iterator[Dispatcher]:
    """A dispatcher whose workers join `local`."""
    room = {
        "AVATAR_MEETING": "videosdk",
        "AVATAR_SIGNALING_HOSTS": local.signaling_base_url,
        **local.environment,
    }
    with dispatcher(log, **{**room, **settings}) as running:
        yield running


class RoomAgent:
    """An agent that is in the room; `told` is what its face's callbacks said, in order.

    `heard` has when it learned how far its turns were heard: (monotonic s, turn, samples).
    """

    def __init__(self, peer: Any, out: AvatarAudioOut) -> None:
        self.peer = peer
        self.out = out
        self.reports: list[tuple[object, ...]] = []
        self.heard: list[tuple[float, int, int]] = []
        out.on_avatar_ready = lambda version: self.reports.append(("ready", version))
        out.on_avatar_lost = lambda: self.reports.append(("lost",))
        out.on_playback_started = lambda turn: self.reports.append(("started", turn))
        out.on_stream_ended = lambda position, interrupted, turn: self.reports.append(
            ("ended", turn, position, interrupted)
        )
        peer.add_event_listener(self)

    def handle_event(self, action: str, data: Any) -> None:
        """Called by the SDK, beside `AvatarAudioOut`."""
        if action == "data" and data["from"] == FACE:
            message = decode(data["payload"], reliable=data["reliability"] == "RELIABLE")
            if isinstance(message, Progress):
                self.heard.append((time.monotonic(), message.turn, message.heard))

    async def say(self, speech: Pcm) -> None:
        """One turn, handed over in one go."""
        await self.out.handle_audio_input(speech.tobytes())
        await self.out.send_segment_end()

    async def until_heard(self, turn: int, samples: int) -> float:
        """When (monotonic s) it learned that so much of the turn was heard."""
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while True:
                for at, of, heard in self.heard:
                    if of == turn and heard >= samples:
                        return at
                await asyncio.sleep(POLL_S)

    async def until_reported(self, *what: object) -> None:
        await self.until_reported_times(1, *what)

    async def until_reported_times(self, times: int, *what: object) -> None:
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while self.reports.count(what) < times:
                await asyncio.sleep(POLL_S)


@asynccontextmanager
async def caller(stage: RoomStage, running: Dispatcher) -> AsyncIterator[RoomAgent]:
    """An agent that has joined, whose face has been asked for and is ready."""
    async with calling(stage, str(running.http.base_url)) as agent:
        yield agent


@asynccontextmanager
async def calling(stage: RoomStage, dispatcher_url: str) -> AsyncIterator[RoomAgent]:
    """The same, whose face is asked for at a dispatcher that is somewhere else."""
    peer = await stage.enter("agent", is_agent=True)
    out = AvatarAudioOut(
        credentials=AvatarCredentials(FACE, TOKEN),
        avatar_dispatcher_url=f"{dispatcher_url.rstrip('/')}/launch",
        room_id=stage.room_id,
    )
    calling = RoomAgent(peer, out)
    out._set_meeting(peer)
    await out.connect()
    try:
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            await out.wait_until_ready()
        yield calling
    finally:
        await out.aclose()


def keep_sections(viewer: Any) -> None:
    """Make `viewer` hear whoever comes after somebody has left, as a browser does.

    The SDK cannot close a second track: its `stopReceiving` raises, and the next participant's
    sound is then taken for the old one's, which has ended.
    """

    async def leave_it(_: str) -> None:
        return

    viewer._Meeting__room_client._RoomClient__recv_transport.handler.stopReceiving = leave_it


def scale(seconds: float) -> Pcm:
    """A voice that climbs by a step every 100 ms, so that every step can be told by its pitch."""
    steps = np.arange(round(seconds / STEP_S))
    hz = np.repeat(FIRST_HZ + STEP_HZ * steps, round(STEP_S * SAMPLE_RATE))
    return np.asarray(8000 * np.sin(2 * np.pi * np.cumsum(hz) / SAMPLE_RATE), np.int16)


def steps_heard(recording: RoomRecording) -> list[int]:
    """The steps of a `scale` in what a viewer heard, each run of one step once."""
    sound = [pcm for _, _, pcm in recording.sound]
    pitches = [_pitch(frame) for frame in _frames(np.concatenate(sound))] if sound else []
    found = [round((hz - FIRST_HZ) / STEP_HZ) for hz in pitches if hz]
    return [step for at, step in enumerate(found) if at == 0 or found[at - 1] != step]


def voiced(recording: RoomRecording) -> list[bool]:
    """Which of the pieces of 20 ms that a viewer heard have a voice."""
    return [bool(np.abs(pcm).max() > VOICE) for _, _, pcm in recording.sound]


def _frames(sound: Pcm) -> Iterator[Pcm]:
    for first in range(0, len(sound) - FRAME + 1, FRAME // 2):
        yield sound[first : first + FRAME]


def _pitch(frame: Pcm) -> float:
    """The strongest frequency (Hz); 0 where nothing sounds or two steps meet."""
    if np.abs(frame).max() < VOICE:
        return 0.0
    window: npt.NDArray[np.float64] = np.hanning(FRAME)
    spectrum = np.abs(np.fft.rfft(frame * window, 8 * FRAME))
    at = int(np.argmax(spectrum))
    around = spectrum[max(0, at - 16) : at + 17]
    pure = float((around**2).sum() / (spectrum**2).sum()) > 0.8
    return at * SAMPLE_RATE / (8 * FRAME) if pure else 0.0
