"""Playout: what is seen and heard at this tick, how far each segment got, and what has ended.

What a tick hands out depends on one state:

    RESTING   nothing is spoken: the face at rest, silence
    SPEAKING  the newest tick handed out sound of `segment`, and more of it follows
    STALLED   the sound of `segment` ran out: the face is held still, then rests, in silence
    ENDING    the newest tick handed out the last sound of `segment`; the next tick ends it

    RESTING  -> SPEAKING  a frame, once enough wait
             -> ENDING    a frame that is the last
             -> RESTING   nothing waits, or the end of a segment without sound
    SPEAKING -> SPEAKING  a frame
             -> ENDING    the last frame
             -> STALLED   nothing waits
             -> RESTING   the end of the segment came without sound, or a cut
    STALLED  -> SPEAKING  a frame, once enough wait; the prefetch doubles
             -> ENDING    the last frame; the prefetch doubles
             -> STALLED   nothing waits
             -> RESTING   the end of the segment came without sound, or a cut
    ENDING   -> RESTING   the next tick, before it looks for a frame, or a cut
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import numpy as np

from worker.media import FRAME_SAMPLES, SILENCE, AvatarFrame, Pcm, Picture, fade_in, ramp_down

MAX_PREFETCH: Final = 6
"""Frames that wait before a segment sounds where speech has stalled, unless the renderer asks
for more: 240 ms. Version 2 sends 400 ms ahead, so as many always come, and a renderer may look
160 ms ahead.
"""

HOLD_TICKS: Final = 3
"""The face is held still so long when speech runs out; then it rests."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A segment will not be heard any further; `samples` of it were, at 24 kHz."""

    segment: int
    samples: int
    interrupted: bool


class PlayoutState(Enum):
    """What the newest tick did; see the module."""

    RESTING = auto()
    SPEAKING = auto()
    STALLED = auto()
    ENDING = auto()


TRANSITIONS: Final[Mapping[PlayoutState, frozenset[PlayoutState]]] = {
    PlayoutState.RESTING: frozenset(
        {PlayoutState.RESTING, PlayoutState.SPEAKING, PlayoutState.ENDING}
    ),
    PlayoutState.SPEAKING: frozenset(PlayoutState),
    PlayoutState.STALLED: frozenset(PlayoutState),
    PlayoutState.ENDING: frozenset({PlayoutState.RESTING}),
}


class Playout:
    """Holds rendered frames and hands out one per tick.

    Holds no clock: a call of `tick` is 40 ms. Positions count what `tick` handed out, less
    what `cut` is told that nobody heard; never what was added. `prefetch` is how many frames
    wait before a segment sounds, at least `least`; it doubles with each stall and shrinks with
    each segment without one.
    """

    def __init__(self, rest: Picture, least: int) -> None:
        self.first_live_segment = 1
        self.underruns = 0
        self.prefetch = least
        self.state = PlayoutState.RESTING
        self._segment = 0
        self._least = least
        self._most = max(least, MAX_PREFETCH)
        self._queue: deque[AvatarFrame] = deque()
        self._handed: dict[int, int] = {}
        self._started: list[int] = []
        self._ended: list[Ended] = []
        self._has_stalled = False
        self._rest = rest
        self._rest_is_fresh = True
        self._shown = rest
        self._hold_ticks = 0
        self._newest_sample = 0
        self._newest_samples = 0
        self._fades_in = False

    @property
    def lead(self) -> int:
        """Frames that wait."""
        return len(self._queue)

    @property
    def most(self) -> int:
        """Frames that are worth rendering ahead: as many as may be waited for."""
        return self._most

    @property
    def sounding(self) -> int:
        """The segment whose sound the newest tick handed out; 0 when it was silence."""
        return self._segment if self.state in (PlayoutState.SPEAKING, PlayoutState.ENDING) else 0

    @property
    def wants_rest(self) -> bool:
        """A new picture of the face at rest will be needed soon."""
        return not self._rest_is_fresh and not self._queue

    def handed(self, segment: int) -> int:
        """Samples of `segment` that were handed out, at 24 kHz; 0 before it began."""
        return self._handed.get(segment, 0)

    def add(self, frames: Iterable[AvatarFrame]) -> None:
        """Rendered frames, in order; those of dead segments are dropped."""
        self._queue.extend(frame for frame in frames if frame.segment >= self.first_live_segment)

    def rest(self, picture: Picture) -> None:
        """The face at rest, for the next tick that has nothing to say."""
        self._rest = picture
        self._rest_is_fresh = True

    def tick(self) -> AvatarFrame:
        """What is seen and heard for the next 40 ms: always a picture and 960 samples."""
        if self.state is PlayoutState.ENDING:
            self._end(self._segment)
        frame = self._next_frame()
        if frame is None:
            self._fades_in = False
            return self._silent_frame()
        sound = self._sound_of(frame)
        self._fades_in = False
        self._go(PlayoutState.ENDING if frame.last else PlayoutState.SPEAKING, frame.segment)
        self._shown = frame.picture
        self._rest_is_fresh = False
        return AvatarFrame(frame.segment, frame.picture, sound, frame.last)

    def hold(self) -> None:
        """Nobody sees or hears the face until the next tick, which begins softly."""
        self._fades_in = True
        self._newest_sample = 0

    def cut(self, first_live_segment: int, unheard: int = 0) -> list[Ended]:
        """Every segment below `first_live_segment` is dead: drop its frames.

        `unheard` of the newest tick's samples were still in the tracks and are not heard.
        Returns how far the dead segments got that had begun, in order. One that had been
        heard whole is not `interrupted`.
        """
        live = self.first_live_segment = max(self.first_live_segment, first_live_segment)
        self._queue = deque(frame for frame in self._queue if frame.segment >= live)
        lost = self._take_back(unheard) if 0 < self.sounding < live else 0
        heard_whole = self._segment if self.state is PlayoutState.ENDING and not lost else 0
        dead = [number for number in self._handed if number < live]
        ended = [
            Ended(number, self._handed.pop(number), interrupted=number != heard_whole)
            for number in dead
        ]
        if 0 < self._segment < live:
            self._go(PlayoutState.RESTING)
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

    def _go(self, state: PlayoutState, segment: int = 0) -> None:
        if state not in TRANSITIONS[self.state]:
            raise AssertionError(f"{self.state.name} is never followed by {state.name}")
        if state is PlayoutState.STALLED and self.state is not PlayoutState.STALLED:
            self._hold_ticks = HOLD_TICKS
        elif state is not PlayoutState.STALLED:
            self._hold_ticks = 0
        self.state = state
        self._segment = segment

    def _take_back(self, unheard: int) -> int:
        """How many samples of the newest tick's speech nobody hears; silence follows them."""
        lost = max(0, self._newest_samples - (FRAME_SAMPLES - unheard))
        self._handed[self._segment] -= lost
        if unheard:
            self._newest_sample = 0
        return lost

    def _end(self, segment: int) -> None:
        self._ended.append(Ended(segment, self._handed.pop(segment, 0), interrupted=False))
        if not self._has_stalled:
            self.prefetch = max(self._least, self.prefetch - 1)
        self._has_stalled = False
        self._go(PlayoutState.RESTING)

    def _next_frame(self) -> AvatarFrame | None:
        while self._queue and (self.state is PlayoutState.SPEAKING or self._enough()):
            frame = self._queue.popleft()
            if len(frame.pcm) or not frame.last:
                return frame
            self._end(frame.segment)
        return None

    def _enough(self) -> bool:
        return len(self._queue) >= self.prefetch or any(frame.last for frame in self._queue)

    def _sound_of(self, frame: AvatarFrame) -> Pcm:
        pcm = frame.pcm
        if frame.segment not in self._handed:
            self._handed[frame.segment] = 0
            self._started.append(frame.segment)
        elif self.state is PlayoutState.STALLED:
            self._recover()
        if self._fades_in:
            pcm = fade_in(pcm)
        self._handed[frame.segment] += len(pcm)
        self._newest_samples = len(pcm)
        if len(pcm) < FRAME_SAMPLES:
            tail = ramp_down(int(pcm[-1]), FRAME_SAMPLES - len(pcm))
            pcm = np.concatenate([pcm, tail])
        self._newest_sample = int(pcm[-1])
        return pcm

    def _recover(self) -> None:
        self._has_stalled = True
        self._fades_in = True
        self.underruns += 1
        self.prefetch = min(self._most, 2 * self.prefetch)

    def _silent_frame(self) -> AvatarFrame:
        if self.state in (PlayoutState.SPEAKING, PlayoutState.STALLED):
            self._go(PlayoutState.STALLED, self._segment)
        else:
            self._go(PlayoutState.RESTING)
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
