"""The sound and picture tracks of a face: bounded, in order, paced, silenced by an interrupt."""

import asyncio
from collections import deque
from fractions import Fraction
from typing import Final

import av
import numpy as np

from worker import clock
from worker.media import (
    FRAME_SAMPLES,
    PIECE_SAMPLES,
    SAMPLE_RATE,
    TICK_S,
    AvatarFrame,
    Pcm,
    Picture,
)
from worker.sound import ramp_down
from worker.video import to_video_frame

PIECE_S: Final = PIECE_SAMPLES / SAMPLE_RATE
MAX_PIECES: Final = 20
"""400 ms of sound: more waits only where nobody reads the track, so the oldest may go. Twice
what the clock catches up after a stall in which nobody could read."""
MAX_PICTURES: Final = 5

SOUND_TIME_BASE: Final = Fraction(1, SAMPLE_RATE)
PICTURE_TIME_BASE: Final = Fraction(1, 90_000)
PICTURE_TICKS: Final = 90_000 * FRAME_SAMPLES // SAMPLE_RATE


class TracksClosed(Exception):  # noqa: N818 - the end of a stream, not a fault
    """The tracks have ended: nothing will be published any more."""


class Tracks:
    """Both tracks of one face.

    `publish` puts 40 ms of sound and their picture in, `next_sound` and `next_picture` hand
    out what the platform's senders ask for. Sound is the master: each 20 ms piece has an
    absolute deadline counted from the tick that published it, and time stamps count what was
    published, so sound and picture share one time line whatever is dropped.
    """

    def __init__(self) -> None:
        self._pieces: deque[tuple[int, float, Pcm]] = deque(maxlen=MAX_PIECES)
        self._pictures: deque[tuple[int, Picture]] = deque(maxlen=MAX_PICTURES)
        self._count = 0
        self._last_sample = 0
        self._unheard = 0
        self._sound_ready = asyncio.Event()
        self._picture_ready = asyncio.Event()
        self._closed = False
        self._sound_began: float | None = None
        self._picture_began: float | None = None

    @property
    def offset_s(self) -> float | None:
        """How much later than the sound that belongs to it the newest picture was taken.

        None before both were; below zero where the picture was taken sooner.
        """
        if self._sound_began is None or self._picture_began is None:
            return None
        return self._picture_began - self._sound_began

    def publish(self, frame: AvatarFrame) -> None:
        """Queue 40 ms of sound and their picture. Never blocks."""
        begin = clock.now()
        for half in range(2):
            pcm = frame.pcm[half * PIECE_SAMPLES : (half + 1) * PIECE_SAMPLES]
            self._pieces.append((2 * self._count + half, begin + half * PIECE_S, pcm))
        self._pictures.append((self._count, frame.picture))
        self._count += 1
        self._unheard = 0
        self._sound_ready.set()
        self._picture_ready.set()

    def cut(self) -> int:
        """Replace the sound that has not left by silence and drop the pictures that have not.

        Returns how many of the newest frame's samples had not left when it was first cut.
        """
        unheard = 0
        last = self._last_sample
        for place, (index, deadline, pcm) in enumerate(self._pieces):
            self._pieces[place] = (index, deadline, ramp_down(last, len(pcm)))
            last = 0
            if index >= 2 * (self._count - 1):
                unheard += len(pcm)
        self._pictures.clear()
        self._unheard = max(self._unheard, unheard)
        return self._unheard

    def close(self) -> None:
        """End both tracks; whoever waits for sound or a picture gets TracksClosed."""
        self._closed = True
        self._sound_ready.set()
        self._picture_ready.set()

    async def next_sound(self) -> av.AudioFrame:
        """The next 20 ms, when they are due: mono s16 at 24 kHz. Raises TracksClosed."""
        pts, pcm = await self.next_piece()
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm))
        frame.planes[0].update(np.ascontiguousarray(pcm).tobytes())
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = SOUND_TIME_BASE
        frame.pts = pts
        return frame

    async def next_picture(self) -> av.VideoFrame:
        """The next picture, once it is published: yuv420p, 90 kHz time stamps.

        Raises TracksClosed.
        """
        pts, planes = await self.next_planes()
        picture = to_video_frame(planes)
        picture.time_base = PICTURE_TIME_BASE
        picture.pts = pts
        return picture

    async def next_piece(self) -> tuple[int, Pcm]:
        """`next_sound` as (pts, samples)."""
        while True:
            await self._wait(self._sound_ready)
            if not self._pieces:
                self._sound_ready.clear()
                continue
            _, deadline, _ = self._pieces[0]
            if deadline <= clock.now():
                break
            await clock.sleep_until(deadline)
        index, _, pcm = self._pieces.popleft()
        self._last_sample = int(pcm[-1])
        self._sound_began = clock.now() - index * PIECE_S
        return index * PIECE_SAMPLES, pcm

    async def next_planes(self) -> tuple[int, Picture]:
        """`next_picture` as (pts, planes)."""
        while True:
            await self._wait(self._picture_ready)
            if self._pictures:
                break
            self._picture_ready.clear()
        index, picture = self._pictures.popleft()
        self._picture_began = clock.now() - index * TICK_S
        return index * PICTURE_TICKS, picture

    async def _wait(self, ready: asyncio.Event) -> None:
        if self._closed:
            raise TracksClosed
        await ready.wait()
        if self._closed:
            raise TracksClosed
