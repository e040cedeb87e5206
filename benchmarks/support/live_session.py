"""A scene for real: the local room, the dispatcher, an agent and a viewer, each a process."""

import asyncio
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import analysis
import httpx
from videosdk import VideoSDK

from agent_side import AvatarAudioOut, AvatarCredentials
from avatar_runtime import logs
from avatar_runtime.programs import command
from localroom.launch import LocalRoom, local_room
from worker.media import SAMPLE_RATE, Pcm

HERE: Final = Path(__file__).parent
FACE: Final = "face"
END_S: Final = 20.0
POLL_S: Final = 0.005

PIECE_BYTES: Final = 960
FASTER: Final = 17
"""Times real time: how common synthesizers deliver, 20 ms of speech every 1.2 ms."""

T = TypeVar("T")


@contextmanager
def running(log: Path, **settings: str) -> Iterator[tuple[LocalRoom, httpx.URL]]:
    """A local room and a dispatcher that leads to it; both end with the block.

    `settings` are environment variables of the dispatcher and its workers.
    """
    logs.quiet()
    with local_room() as room, log.open("wb") as file:
        os.environ.update(room.environment)
        process = subprocess.Popen(
            command("dispatcher", "--port", "0"),
            stderr=file,
            env={
                **os.environ,
                **room.environment,
                "AVATAR_SIGNALING_HOSTS": room.signaling_base_url,
                **settings,
            },
        )
        try:
            yield room, _address(process, log)
        finally:
            process.terminate()
            process.wait(END_S)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> httpx.URL:
    while process.poll() is None:
        found = re.search(r"listening on (\S+),", log.read_text())
        if found:
            return httpx.URL(found[1])
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
    raise RuntimeError(f"The dispatcher did not start; see {shlex.quote(str(log))}.")


@asynccontextmanager
async def participant(room: LocalRoom, room_id: str) -> AsyncIterator[Any]:
    """An agent's meeting on the SDK, joined."""
    meeting = VideoSDK.init_meeting(
        meeting_id=room_id,
        token="agent-token",
        participant_id="agent",
        name="agent",
        peer_type="agent",
        mic_enabled=False,
        webcam_enabled=False,
        signaling_base_url=room.signaling_base_url,
        loop=asyncio.get_running_loop(),
    )
    await meeting.async_join()
    try:
        yield meeting
    finally:
        await meeting._Meeting__room_client.async_leave()


def voice_of(room_id: str, address: httpx.URL) -> AvatarAudioOut:
    """An `AvatarAudioOut` that asks the dispatcher at `address` for its face."""
    return AvatarAudioOut(
        credentials=AvatarCredentials(FACE, "worker-token"),
        avatar_dispatcher_url=str(address.join("/launch")),
        room_id=room_id,
    )


@asynccontextmanager
async def viewer(room: LocalRoom, room_id: str, file: Path) -> AsyncIterator[None]:
    """A viewer of the face in that room; when the block ends, `file` has what it saw."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "viewer.py")),
        *(room_id, room.signaling_base_url, FACE, str(file)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        if line != b"watching\n":
            raise RuntimeError("The viewer did not get into the room; see what it said above.")
        yield
    finally:
        process.stdin.close()
        await process.wait()


def watched(file: Path) -> analysis.View:
    """What the viewer has recorded."""
    return analysis.decode(analysis.load(file))


@dataclass(slots=True)
class SpokenTurn:
    """What the agent said and when, by `time.monotonic`; when it interrupted, if it did."""

    said: Pcm
    said_s: float
    interrupted_s: float = float("nan")

    @property
    def was_interrupted(self) -> bool:
        return not math.isnan(self.interrupted_s)


class TimedAgent:
    """Speaks as a synthesizer delivers, and notes when."""

    def __init__(self, out: AvatarAudioOut) -> None:
        self.out = out
        self.acks: list[tuple[float, bool, int]] = []
        out.on_stream_ended = lambda *how: self.acks.append(how)

    async def say(self, speech: Pcm) -> SpokenTurn:
        """Hand a turn over."""
        loop = asyncio.get_running_loop()
        data = speech.tobytes()
        turn = SpokenTurn(speech, loop.time())
        for at in range(0, len(data), PIECE_BYTES):
            await self.out.handle_audio_input(data[at : at + PIECE_BYTES])
            due_s = turn.said_s + at / 2 / SAMPLE_RATE / FASTER
            await asyncio.sleep(max(0.0, due_s - loop.time()))
        await self.out.send_segment_end()
        return turn

    async def interrupt(self, turn: SpokenTurn) -> None:
        turn.interrupted_s = asyncio.get_running_loop().time()
        await self.out.interrupt()

    async def silence(self, pause_s: float = 0.3) -> None:
        """Wait until nothing is heard any more, and a little."""
        await self.out.wait_for_playout()
        await asyncio.sleep(pause_s)


async def play(
    room: LocalRoom,
    address: Any,
    room_id: str,
    file: Path,
    part: Callable[[TimedAgent], Awaitable[T]],
) -> tuple[analysis.View, T]:
    """Play `part` in a room with a viewer; returns what was seen and what `part` returned."""
    async with viewer(room, room_id, file):
        out = voice_of(room_id, address)
        agent = TimedAgent(out)
        async with participant(room, room_id) as meeting:
            out._set_meeting(meeting)
            result = await part(agent)
            await out.aclose()
    return watched(file), result


async def end_sessions(address: httpx.URL) -> None:
    """End all sessions of the dispatcher, and wait until their workers have left."""
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        for session in (await client.get("/v1/sessions")).json()["sessions"]:
            await client.delete(f"/v1/sessions/{session['session_id']}")
