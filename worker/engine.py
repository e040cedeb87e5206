"""Engine: speech in, a picture with its sound out at each tick.

It owns the segment queue, the thread that calls the renderer, the playout, and the one number
`first_live_segment`. It knows no meeting, no agent and no clock: whoever holds it appends speech
to its segments, calls `tick` every 40 ms, publishes the frame, and takes the events.

    append -> AudioSegment -> SegmentQueue -> Renderer.push / drain (one thread) -> Playout
    tick   -> Playout -> AvatarFrame
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from worker.errors import RendererError, WorkerError
from worker.media import FRAME_SAMPLES, AvatarFrame, Pcm, Picture
from worker.renderer import Cue, Renderer, WordsCue
from worker.turns.playout import Ended, Playout
from worker.turns.segments import AudioSegment, SegmentQueue

Work = tuple[int, Pcm | None, bool]
"""Segment, its next block, and whether that was all of it."""

Drawn = tuple[list[AvatarFrame], Picture | None, float]
"""Frames of speech, the face at rest where it was wanted, and how many seconds it took."""


@dataclass(frozen=True, slots=True)
class Started:
    """The segment begins to be heard."""

    segment: int


@dataclass(frozen=True, slots=True)
class Cut:
    """What an interrupt did.

    `ended` are the segments that died, in order, with how far each was heard. `silenced` of the
    newest frame's 960 samples were taken back from the tracks.
    """

    ended: tuple[Ended, ...] = ()
    silenced: int = 0


Event = Started | Ended
"""What happened to a segment: at most one `Started` and exactly one `Ended` for each."""


def _nothing_to_silence() -> int:
    """What `tick` handed out was heard at once."""
    return 0


def _no_cues() -> list[Cue]:
    """The face does nothing beside speaking."""
    return []


def _tell_nobody(pictures: int, seconds: float) -> None:
    """Nobody measures."""


class Engine:
    """One face that speaks one segment after the other.

    `silence` is called when a segment that is sounding is cut: it silences what `tick` handed
    out and has not been heard, and returns how many of the newest frame's samples that were.
    `take_cues` gives what the face does beside speaking, each cue once, when the renderer is
    ready for it. `on_rendered(pictures, seconds)` is called after each turn of the renderer's
    thread. All methods belong to one event loop; `run` has to be running for anything to be
    drawn.
    """

    def __init__(
        self,
        renderer: Renderer,
        silence: Callable[[], int] = _nothing_to_silence,
        take_cues: Callable[[], list[Cue]] = _no_cues,
        on_rendered: Callable[[int, float], None] = _tell_nobody,
    ) -> None:
        self.segments = SegmentQueue()
        self._renderer = renderer
        self._silence = silence
        self._cues = take_cues
        self._on_rendered = on_rendered
        self._playout = Playout(renderer.idle(), renderer.prefetch_frames)
        self._events: deque[Event] = deque()
        self._work_changed = asyncio.Event()
        self._pushed = 0

    @property
    def first_live_segment(self) -> int:
        """Every segment below it is dead."""
        return self.segments.first_live_segment

    @property
    def underruns(self) -> int:
        """How often speech ran out in the middle of a segment."""
        return self._playout.underruns

    @property
    def silent(self) -> bool:
        """No segment is open, waits or is heard."""
        return not self.segments.living

    def open(self, rate: int | None = None, begin: int = 0) -> AudioSegment:
        """A new segment, heard after all that were opened before it.

        Call `wake` after its `append`, `insert` or `close`.
        """
        return self.segments.open(rate, begin)

    def wake(self) -> None:
        """There may be something to draw, speech or a cue."""
        self._work_changed.set()

    def handed(self, segment: int) -> int:
        """Samples of `segment` that `tick` handed out, at 24 kHz; 0 before it began."""
        return self._playout.handed(segment)

    def interrupt(self, first_live: int | None = None) -> Cut:
        """Every segment below `first_live`, or every one that there is, is dead from now on.

        Nothing of a dead segment is handed out any more. Each that had not ended is in the cut
        and in an `Ended` event.
        """
        self.segments.cut(first_live)
        live = self.first_live_segment
        if live == self._playout.first_live_segment:
            return Cut()
        silenced = self._silence() if 0 < self._playout.sounding < live else 0
        heard = {ended.segment: ended for ended in self._playout.cut(live, silenced)}
        dead = self.segments.drop_dead()
        ended = tuple(heard.get(each, Ended(each, 0, interrupted=True)) for each in dead)
        self._events.extend(ended)
        self.wake()
        return Cut(ended, silenced)

    def hold(self) -> None:
        """Nobody sees or hears the face until the next tick, which begins softly."""
        self._playout.hold()

    def tick(self) -> AvatarFrame:
        """What is seen and heard for the next 40 ms: a picture and 960 samples."""
        frame = self._playout.tick()
        self._events.extend(Started(segment) for segment in self._playout.started())
        for ended in self._playout.ended():
            self.segments.end(ended.segment)
            self._events.append(ended)
        self.wake()
        return frame

    def take_events(self) -> list[Event]:
        """What happened since the last call, in order."""
        events = list(self._events)
        self._events.clear()
        return events

    async def run(self) -> None:
        """Draw what is wanted, in a thread of its own, until cancelled.

        Raises RendererError where the renderer fails, or the WorkerError that it raises.
        """
        with ThreadPoolExecutor(1, "avatar-render") as thread:
            loop = asyncio.get_running_loop()
            while True:
                await self._work_changed.wait()
                self._work_changed.clear()
                while (job := self._next_job()) is not None:
                    frames, picture, seconds = await loop.run_in_executor(thread, job)
                    self._on_rendered(len(frames) + (picture is not None), seconds)
                    self._playout.add(frames)
                    if picture is not None:
                        self._playout.rest(picture)

    def _next_job(self) -> Callable[[], Drawn] | None:
        """What the renderer has to do now; None while there is nothing."""
        work = self._take_work()
        reset = 0 < self._pushed < self.first_live_segment
        rest = self._playout.wants_rest and not work
        cues = self._take_cues()
        if not (work or reset or rest or cues):
            return None
        self._pushed = work[-1][0] if work else 0 if reset else self._pushed
        return partial(draw, self._renderer, reset, cues, work, rest)

    def _take_work(self) -> list[Work]:
        work: list[Work] = []
        while self._playout.lead + len(work) < self._playout.most:
            item = self.segments.take()
            if item is None:
                break
            work.append(item)
        return work

    def _take_cues(self) -> list[Cue]:
        """Words of dead segments are nobody's."""
        live = self.first_live_segment
        return [cue for cue in self._cues() if not isinstance(cue, WordsCue) or cue.segment >= live]


def draw(renderer: Renderer, reset: bool, cues: list[Cue], work: list[Work], rest: bool) -> Drawn:
    """What the render thread does in one go: the only place that calls the renderer.

    Raises RendererError where it fails, or the WorkerError that it raises.
    """
    began = time.perf_counter()
    try:
        if reset:
            renderer.reset()
        for cue in cues:
            renderer.cue(cue)
        for segment, pcm, finished in work:
            if pcm is not None:
                renderer.push(segment, pcm)
            if finished:
                renderer.finish(segment)
        frames, picture = _checked(renderer.drain()), renderer.idle() if rest else None
        return frames, picture, time.perf_counter() - began
    except WorkerError:
        raise
    except Exception as error:  # a renderer is anybody's code; its failure ends the session
        raise RendererError(
            f"The renderer failed with {type(error).__name__}: {error}. "
            "Set AVATAR_RENDERER=character to speak with the one that ships."
        ) from error


def _checked(frames: list[AvatarFrame]) -> list[AvatarFrame]:
    """The frames, if the sound of each can be played at one tick."""
    for frame in frames:
        samples = len(frame.pcm)
        if samples > FRAME_SAMPLES or (samples == 0 and not frame.last):
            raise ValueError(f"a frame has {samples} samples instead of {FRAME_SAMPLES}")
    return frames
