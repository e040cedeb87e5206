"""Playout: what is seen and heard at this tick, how far each segment got, and what has ended."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from worker.media import FRAME_SAMPLES, AvatarFrame, Pcm, Picture
from worker.turns.edges import EdgeSmoother
from worker.turns.playout_state import TRANSITIONS, PlayoutState
from worker.turns.prefetch import Prefetch

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
    what was silenced after it; never what was added. A segment is heard once as many frames
    wait as `prefetch` says, at least `least`, or its last.
    """

    def __init__(self, rest: Picture, least: int) -> None:
        self.first_live_segment = 1
        self.prefetch = Prefetch(least)
        self.state = PlayoutState.RESTING
        self._segment = 0
        self._queue: deque[AvatarFrame] = deque()
        self._handed: dict[int, int] = {}
        self._started: list[int] = []
        self._ended: list[Ended] = []
        self._rest = rest
        self._rest_is_fresh = True
        self._shown = rest
        self._hold_ticks = 0
        self._newest_samples = 0
        self._edges = EdgeSmoother()

    @property
    def lead(self) -> int:
        """Frames that wait."""
        return len(self._queue)

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
            return self._silent_frame()
        sound = self._sound_of(frame)
        self._go(PlayoutState.ENDING if frame.last else PlayoutState.SPEAKING, frame.segment)
        self._shown = frame.picture
        self._rest_is_fresh = False
        return AvatarFrame(frame.segment, frame.picture, sound, frame.last)

    def hold(self) -> None:
        """Nothing is seen or heard of the face until the next tick, which fades in."""
        self._edges.stop()
        self._edges.resume()

    def cut(self, first_live_segment: int, unheard: int = 0) -> list[Ended]:
        """Every segment below `first_live_segment` is dead: drop its frames.

        `unheard` of the newest tick's samples were still in the tracks and were silenced.
        Returns the dead segments that had begun, in order. One that had been heard whole is
        not `interrupted`.
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
        """How many samples of the newest tick's speech are not heard; silence follows them."""
        lost = max(0, self._newest_samples - (FRAME_SAMPLES - unheard))
        self._handed[self._segment] -= lost
        if unheard:
            self._edges.stop()
        return lost

    def _end(self, segment: int) -> None:
        self._ended.append(Ended(segment, self._handed.pop(segment, 0), interrupted=False))
        self.prefetch.segment_ended()
        self._go(PlayoutState.RESTING)

    def _next_frame(self) -> AvatarFrame | None:
        while self._queue and (self.state is PlayoutState.SPEAKING or self._enough()):
            frame = self._queue.popleft()
            if len(frame.pcm) or not frame.last:
                return frame
            self._end(frame.segment)
        return None

    def _enough(self) -> bool:
        return len(self._queue) >= self.prefetch.frames or any(frame.last for frame in self._queue)

    def _sound_of(self, frame: AvatarFrame) -> Pcm:
        if frame.segment not in self._handed:
            self._handed[frame.segment] = 0
            self._started.append(frame.segment)
        elif self.state is PlayoutState.STALLED:
            self.prefetch.stalled()
            self._edges.resume()
        self._newest_samples = len(frame.pcm)
        self._handed[frame.segment] += self._newest_samples
        return self._edges.speech(frame.pcm)

    def _silent_frame(self) -> AvatarFrame:
        if self.state in (PlayoutState.SPEAKING, PlayoutState.STALLED):
            self._go(PlayoutState.STALLED, self._segment)
        else:
            self._go(PlayoutState.RESTING)
        if self._hold_ticks:
            self._hold_ticks -= 1
        else:
            self._shown = self._rest
            self._rest_is_fresh = False
        return AvatarFrame(0, self._shown, self._edges.silence())
