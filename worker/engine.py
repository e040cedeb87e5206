"""Engine: speech in, a picture with its sound out at each tick.

It owns the segment queue, the thread that calls the renderer, the playout, and the one number
`first_live_segment`. It knows no meeting, no agent and no clock: its owner appends speech to the
segments, calls `tick` every 40 ms, publishes the frame, and takes the events.

    append -> AudioSegment -> SegmentQueue -> Renderer.push / drain (one thread) -> Playout
    tick   -> Playout -> AvatarFrame
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from worker.media import AvatarFrame
from worker.renderer import Cue, Renderer, WordsCue
from worker.rendering import Block, RenderJob
from worker.turns.playout import Ended, Playout
from worker.turns.segments import AudioSegment, SegmentQueue


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
        silence: Callable[[], int] = lambda: 0,
        take_cues: Callable[[], list[Cue]] = list,
        on_rendered: Callable[[int, float], None] = lambda pictures, seconds: None,
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
        return self._playout.prefetch.stalls

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
        """Nothing is seen or heard of the face until the next tick, which fades in."""
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
                while not (job := self._next_job()).empty:
                    done = await loop.run_in_executor(thread, job.run, self._renderer)
                    self._on_rendered(len(done.frames) + (done.rest is not None), done.seconds)
                    self._playout.add(done.frames)
                    if done.rest is not None:
                        self._playout.rest(done.rest)

    def _next_job(self) -> RenderJob:
        blocks = self._take_blocks()
        resets = 0 < self._pushed < self.first_live_segment
        rests = self._playout.wants_rest and not blocks
        self._pushed = blocks[-1][0] if blocks else 0 if resets else self._pushed
        return RenderJob(resets, self._take_cues(), blocks, rests)

    def _take_blocks(self) -> list[Block]:
        blocks: list[Block] = []
        room = self._playout.prefetch.most - self._playout.lead
        while len(blocks) < room and (block := self.segments.take()) is not None:
            blocks.append(block)
        return blocks

    def _take_cues(self) -> list[Cue]:
        """Words of dead segments are left out."""
        live = self.first_live_segment
        return [cue for cue in self._cues() if not isinstance(cue, WordsCue) or cue.segment >= live]
