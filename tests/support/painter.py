"""A participant who paints one shade of grey and sounds one tone, and what came of both."""

import asyncio
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np
from meeting_contract import until
from room_stage import RoomRecording
from videosdk import CustomAudioTrack, CustomVideoTrack

DARK, BRIGHT = 60, 180
LOW_HZ, HIGH_HZ = 440, 1000


class Paint(CustomVideoTrack):  # type: ignore[misc]  # the SDK has no types
    """One shade of grey, 30 pictures a second."""

    def __init__(self, luma: int) -> None:
        super().__init__()
        self._luma = luma

    async def recv(self) -> av.VideoFrame:
        pts, time_base = await self.next_timestamp()
        picture = av.VideoFrame.from_ndarray(np.full((180, 160), 128, np.uint8), "yuv420p")
        picture.planes[0].update(bytes([self._luma]) * picture.planes[0].buffer_size)
        picture.pts, picture.time_base = pts, time_base
        return picture


class Tone(CustomAudioTrack):  # type: ignore[misc]  # the SDK has no types
    """A sine, in pieces of 20 ms."""

    kind = "audio"
    SAMPLES = 960

    def __init__(self, pitch_hz: int) -> None:
        super().__init__()
        self._pitch_hz = pitch_hz
        self._count = 0
        self._begin = time.monotonic()

    async def recv(self) -> av.AudioFrame:
        index = np.arange(self._count, self._count + self.SAMPLES)
        wave = (8000 * np.sin(2 * np.pi * self._pitch_hz * index / 48_000)).astype(np.int16)
        piece = av.AudioFrame.from_ndarray(wave.reshape(1, -1), "s16", "mono")
        piece.sample_rate, piece.pts = 48_000, self._count
        piece.time_base = Fraction(1, 48_000)
        self._count += self.SAMPLES
        await asyncio.sleep(self._begin + self._count / 48_000 - time.monotonic())
        return piece


def tracks(luma: int, pitch_hz: int) -> dict[str, Any]:
    return {
        "mic_enabled": True,
        "webcam_enabled": True,
        "custom_camera_video_track": Paint(luma),
        "custom_microphone_audio_track": Tone(pitch_hz),
    }


def luma(recording: RoomRecording) -> float:
    """As it was painted: the mean of the newest picture's first plane."""
    picture = recording.pictures[-1][2]
    return float(picture.to_ndarray()[: picture.height].mean())


def pitch_hz(recording: RoomRecording) -> float:
    """Of the last half second."""
    pcm = np.concatenate([piece[2] for piece in recording.sound[-25:]]).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * 24_000 / len(pcm))


async def received(recording: RoomRecording) -> None:
    await until(lambda: len(recording.pictures) >= 20 and len(recording.sound) >= 35)
