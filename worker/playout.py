"""Playout: what is seen and heard at this tick, how far each turn got, and what has ended."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from worker.media import FRAME_SAMPLES, SILENCE, AvatarFrame, Pcm, Picture, fade_in, ramp_down

MIN_PREFETCH: Final = 2
MAX_PREFETCH: Final = 6
"""Frames that wait before a turn sounds: 80 ms, up to 240 ms where the sender stumbles.

Version 2 sends 400 ms ahead, so as many always come, and a renderer may look 160 ms ahead.
"""

HOLD_TICKS: Final = 3
"""The face is held still so long when speech runs out; then it rests."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A segment will not be heard any further; `samples` of it were, at 24 kHz."""

    segment: int
    samples: int
    interrupted: bool


class Playout:
    """Holds rendered frames and hands out one per tick.

    Holds no clock: a call of `tick` is 40 ms. Positions count what `tick` handed out, less
    what `cut` is told that nobody heard; never what was added.
    """

    def __init__(self, rest: Picture) -> None:
        self.floor = 1
        self.underruns = 0
        self.prefetch = MIN_PREFETCH
        self._queue: deque[AvatarFrame] = deque()
        self._current = 0
        self._flowing = False
        self._sounding = 0
        self._finishing = 0
        self._handed: dict[int, int] = {}
        self._started: list[int] = []
        self._ended: list[Ended] = []
        self._clean = True
        self._rest = rest
        self._rest_is_fresh = True
        self._shown = rest
        self._hold_ticks = 0
        self._newest_sample = 0
        self._newest_samples = 0
        self._soft = False

    @property
    def lead(self) -> int:
        """Frames that wait."""
        return len(self._queue)

    @property
    def sounding(self) -> int:
        """The segment whose sound the newest tick handed out; 0 when it was silence."""
        return self._sounding

    @property
    def wants_rest(self) -> bool:
        """A new picture of the face at rest will be needed soon."""
        return not self._rest_is_fresh and not self._queue

    def handed(self, segment: int) -> int:
        """Samples of `segment` that were handed out, at 24 kHz; 0 before it began."""
        return self._handed.get(segment, 0)

    def add(self, frames: Iterable[AvatarFrame]) -> None:
        """Rendered frames, in order; those of dead segments are dropped."""
        self._queue.extend(frame for frame in frames if frame.segment >= self.floor)

    def rest(self, picture: Picture) -> None:
        """The face at rest, for the next tick that has nothing to say."""
        self._rest = picture
        self._rest_is_fresh = True

    def tick(self) -> AvatarFrame:
        """What is seen and heard for the next 40 ms: always a picture and 960 samples."""
        self._settle()
        frame = self._next_frame()
        if frame is None:
            self._soft = False
            return self._silent_frame()
        sound = self._sound_of(frame)
        self._soft = False
        self._current = 0 if frame.last else frame.segment
        self._flowing = not frame.last
        self._finishing = frame.segment if frame.last else 0
        self._sounding = frame.segment
        self._hold_ticks = 0
        self._shown = frame.picture
        self._rest_is_fresh = False
        return AvatarFrame(frame.segment, frame.picture, sound, frame.last)

    def hold(self) -> None:
        """Nobody sees or hears the face until the next tick, which begins softly."""
        self._soft = True
        self._newest_sample = 0

    def cut(self, floor: int, unheard: int = 0) -> list[Ended]:
        """Every segment below `floor` is dead: drop its frames.

        `unheard` of the newest tick's samples were still in the tracks and are not heard.
        Returns how far the dead segments got that had begun, in order. One that had been
        heard whole is not `interrupted`.
        """
        self.floor = max(self.floor, floor)
        self._queue = deque(frame for frame in self._queue if frame.segment >= self.floor)
        lost = 0
        if 0 < self._sounding < self.floor:
            lost = max(0, self._newest_samples - (FRAME_SAMPLES - unheard))
            self._handed[self._sounding] -= lost
            if unheard:
                self._newest_sample = 0
        ended = []
        for segment in [number for number in self._handed if number < self.floor]:
            whole = segment == self._finishing and not lost
            ended.append(Ended(segment, self._handed.pop(segment), interrupted=not whole))
        if self._sounding < self.floor:
            self._sounding = self._finishing = 0
        if self._current < self.floor:
            self._current = self._hold_ticks = 0
            self._flowing = False
        return ended

    def started(self) -> list[int]:
        """The segments that began to be heard since the last call."""
        started, self._started = self._started, []
        return started

    def ended(self) -> list[Ended]:
        """The segments that were heard to their end since the last call.

        A segment ends one tick after its last samples were handed out: when they were heard.
        """
        ended, self._ended = self._ended, []
        return ended

    def _settle(self) -> None:
        if self._finishing:
            self._end(self._finishing)
            self._finishing = 0

    def _end(self, segment: int) -> None:
        self._ended.append(Ended(segment, self._handed.pop(segment, 0), interrupted=False))
        if self._clean:
            self.prefetch = max(MIN_PREFETCH, self.prefetch - 1)
        self._clean = True

    def _next_frame(self) -> AvatarFrame | None:
        while self._queue and (self._flowing or self._enough()):
            frame = self._queue.popleft()
            if len(frame.pcm) or not frame.last:
                return frame
            self._end(frame.segment)
            self._current = self._hold_ticks = 0
            self._flowing = False
        return None

    def _enough(self) -> bool:
        return len(self._queue) >= self.prefetch or any(frame.last for frame in self._queue)

    def _sound_of(self, frame: AvatarFrame) -> Pcm:
        pcm = frame.pcm
        if frame.segment not in self._handed:
            self._handed[frame.segment] = 0
            self._started.append(frame.segment)
        elif frame.segment == self._current and not self._flowing:
            self._stumbled()
            self._soft = True
        if self._soft:
            pcm = fade_in(pcm)
        self._handed[frame.segment] += len(pcm)
        self._newest_samples = len(pcm)
        if len(pcm) < FRAME_SAMPLES:
            tail = ramp_down(int(pcm[-1]), FRAME_SAMPLES - len(pcm))
            pcm = np.concatenate([pcm, tail])
        self._newest_sample = int(pcm[-1])
        return pcm

    def _stumbled(self) -> None:
        self._clean = False
        self.underruns += 1
        self.prefetch = min(MAX_PREFETCH, 2 * self.prefetch)

    def _silent_frame(self) -> AvatarFrame:
        if self._flowing:
            self._flowing = False
            self._hold_ticks = HOLD_TICKS
        self._sounding = 0
        sound = SILENCE
        if self._newest_sample:
            sound = ramp_down(self._newest_sample, FRAME_SAMPLES)
            self._newest_sample = 0
        if self._hold_ticks:
            self._hold_ticks -= 1
        else:
            self._shown = self._rest
            self._rest_is_fresh = False
        return AvatarFrame(0, self._shown, sound)
