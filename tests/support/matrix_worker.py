"""A program: the stock avatar worker, as VideoSDK's example service is, with a tap on its sound.

Usage: matrix_worker.py ROOM PARTICIPANT_ID SIGNALING_BASE_URL TAP. Prints ``started`` when it
is in the room, and leaves when its stdin ends. Needs videosdk-agents.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
from av import AudioFrame, VideoFrame
from matrix_peer import enter, leave
from matrix_tap import NOTHING, Tap
from videosdk import VideoSDK
from videosdk.agents import utils
from videosdk.agents.avatar import (
    AudioSegmentEnd,
    AvatarAudioIn,
    AvatarRenderer,
    AvatarServer,
    AvatarSettings,
)

OPTIONS = AvatarSettings(
    video_width=512, video_height=512, video_fps=25, audio_sample_rate=24_000, audio_channels=1
)


class BoxRenderer(AvatarRenderer):  # type: ignore[misc]  # the package has no types
    """A box as bright as the sound is loud, one picture for each 40 ms of it."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._waiting: asyncio.Queue[Any] = asyncio.Queue()
        self._blocks = utils.audio.AudioByteStream(
            sample_rate=OPTIONS.audio_sample_rate,
            num_channels=OPTIONS.audio_channels,
            samples_per_channel=round(OPTIONS.audio_sample_rate / OPTIONS.video_fps),
        )

    async def push_stream_chunk(self, frame: Any) -> None:
        await self._waiting.put(frame)

    def reset_stream(self) -> None:
        self._tap.note(0, NOTHING)
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._blocks.flush()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._generate()

    async def _generate(self) -> AsyncIterator[Any]:
        while True:
            try:
                item = await asyncio.wait_for(self._waiting.get(), 0.5 / OPTIONS.video_fps)
            except TimeoutError:
                yield _box(0)
                continue
            ends = isinstance(item, AudioSegmentEnd)
            blocks = self._blocks.flush() if ends else self._blocks.push(bytes(item.planes[0]))
            for block in blocks:
                yield _box(_loudness(block))
                yield block
            if ends:
                yield AudioSegmentEnd()


def _box(brightness: int) -> VideoFrame:
    pixels = np.full((OPTIONS.video_height, OPTIONS.video_width, 3), 16, np.uint8)
    pixels[128:384, 128:384] = brightness
    return VideoFrame.from_ndarray(pixels, format="rgb24")


def _loudness(block: AudioFrame) -> int:
    return min(255, int(np.abs(block.to_ndarray().astype(int)).mean() / 20))


def _tapped(track: Any, tap: Tap) -> Any:
    """The stock track, of which is noted what the SDK's sender takes."""
    plain = track.recv

    async def recv() -> AudioFrame:
        frame: AudioFrame = await plain()
        tap.note(frame.pts or 0, np.asarray(frame.to_ndarray().reshape(-1), np.int16))
        return frame

    track.recv = recv
    return track


async def main(room: str, participant_id: str, signaling_base_url: str, path: str) -> None:
    tap = Tap(Path(path))
    hearing = AvatarAudioIn(None, channels=1, sample_rate=OPTIONS.audio_sample_rate)
    server = AvatarServer(None, audio_recv=hearing, video_gen=BoxRenderer(tap), options=OPTIONS)
    meeting = VideoSDK.init_meeting(
        meeting_id=room,
        token="worker-token",
        name="AI Avatar",
        participant_id=participant_id,
        mic_enabled=True,
        webcam_enabled=True,
        custom_microphone_audio_track=_tapped(server._audio_track, tap),
        custom_camera_video_track=server._video_track,
        signaling_base_url=signaling_base_url,
    )
    server._meeting = meeting
    hearing.set_meeting(meeting)
    await enter(meeting)
    await server.start()
    sys.stdout.write("started\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.aclose()
    await leave(meeting)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
