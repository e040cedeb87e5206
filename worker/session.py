"""Session: the straight line from an agent's packets to a face in the room."""

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from agent_side.wire import Message
from worker import clock
from worker.acts import Cue, Prompt, face_of, perform
from worker.attendance import Attendance
from worker.conversation import Conversation
from worker.errors import AvatarError, MeetingError, MeetingLost, RendererError
from worker.media import FRAME_SAMPLES, SAMPLE_RATE, AvatarFrame, Pcm, Picture
from worker.meeting import Away, Back, Joined, Left, Meeting, Received
from worker.metrics import Measures, Metrics
from worker.playout import MAX_PREFETCH, Ended, Playout
from worker.reasons import Reason
from worker.renderer import Renderer
from worker.segment import Speech
from worker.settings import Settings

logger = logging.getLogger("avatar.worker.session")

LEAD_FRAMES: Final = MAX_PREFETCH
"""Frames rendered ahead of what is heard: as many as may be waited for, 240 ms."""

MAX_OUTBOX: Final = 256
"""Messages that wait for the data channel; beyond it the newest are dropped. Those that
matter are repeated until they are acknowledged, so they come again."""

SEND_PAUSES_S: Final = (0.1, 0.4, 0.0)
"""A message that cannot be sent is tried again after these pauses, then given up."""

Work = tuple[int, Pcm | None, bool]
"""Segment, its next block, and whether that was all of it."""

OVER: Final = Reason("over", "The meeting is over.")
TOLD: Final = Reason("told", "The worker was told to stop.")


def _tell_nobody(active: bool, reason: str | None) -> None:
    """Nobody wants to know."""


class Session:
    """One agent's conversation through one face in one meeting.

    Speech goes listen -> `Conversation` -> `Speech` -> render -> `Playout` -> play -> tracks.
    An interrupt raises `Speech.floor`; whatever bears an older number is dropped where it
    stands, in the same turn of the event loop in which the interrupt was read.

    `on_place(active, reason)` is called when the worker is in the meeting, and when it has
    lost its place there and why. `measures` is told of all that operators watch.
    """

    def __init__(
        self,
        meeting: Meeting,
        renderer: Renderer,
        settings: Settings,
        agent_id: str | None,
        on_place: Callable[[bool, str | None], None] = _tell_nobody,
        measures: Measures | None = None,
    ) -> None:
        self._meeting = meeting
        self._on_place = on_place
        self._renderer = renderer
        self._settings = settings
        self._agent_id = agent_id
        self._attendance: Attendance | None = None
        self._measures = measures or Measures(Metrics())
        self._speech = Speech()
        self._playout = Playout(renderer.idle())
        self._conversation = Conversation(
            self._speech,
            self._playout.handed,
            worker=secrets.token_hex(8),
            face=face_of(renderer),
            rate=settings.input_rate,
            agent_id=agent_id,
        )
        self._clock = clock.Clock()
        self._outbox: asyncio.Queue[Message] = asyncio.Queue(MAX_OUTBOX)
        self._work_changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._reason = OVER
        self._away = False
        self._joining: asyncio.Task[None] | None = None
        self._leave_by: float | None = None
        self._pushed = 0
        self._send_failures = 0
        self._outbox_overflow = 0

    @property
    def counters(self) -> Counter[str]:
        """What was refused, repeated or late, and how often; for the operator."""
        mine = Counter(
            underruns=self._playout.underruns,
            clock_slips=self._clock.slips,
            send_failures=self._send_failures,
            outbox_overflow=self._outbox_overflow,
        )
        return self._conversation.counters + mine

    @property
    def tally(self) -> Counter[str]:
        """`counters`, and how much of everything there was."""
        return self.counters + self._measures.counts

    async def run(self) -> str:
        """Join, speak for the agent while there is one, leave; returns why.

        Raises JoinError or MeetingLost; has left the meeting and closed the renderer then too.
        """
        self._measures.taken(clock.now())
        try:
            with ThreadPoolExecutor(1, "avatar-render") as thread:
                if await self._join():
                    self._measures.joined(clock.now())
                    self._on_place(True, None)
                    await self._converse(thread)
        except BaseException as error:
            self._reason = Reason.of(error)
            raise
        finally:
            await self._meeting.leave()
            self._renderer.close()
            self._measures.over(self._conversation, self._reason.word, clock.now())
        return self._reason

    def finish(self) -> None:
        """Accept no new turn, speak out those that were begun, leave; called again: leave now."""
        self._reason = TOLD
        if self._joining is not None:
            self._joining.cancel()
        if self._leave_by is None:
            self._conversation.accept_no_turn()
            self._leave_by = clock.now() + self._settings.finish_s
        else:
            self._leave_by = clock.now()

    def name_agent(self, agent_id: str) -> None:
        """A renewed join request names the agent: from now on, only that participant is obeyed."""
        now = clock.now()
        self._agent_id = agent_id
        self._conversation.name(agent_id, now)
        if self._attendance is not None:
            self._attendance.name(agent_id, now)
        self._cut_the_dead(now)
        self._collect(now)
        self._work_changed.set()

    async def _join(self) -> bool:
        """False where `finish` was called first."""
        if self._leave_by is not None:
            return False
        self._joining = asyncio.create_task(self._meeting.join(), name="join")
        try:
            await asyncio.wait([self._joining])
        finally:
            joining, self._joining = self._joining, None
            joining.cancel()
        if not joining.cancelled():
            joining.result()
        return self._leave_by is None

    async def _converse(self, thread: ThreadPoolExecutor) -> None:
        failure: BaseException | None = None
        attendance = Attendance(self._settings, self._agent_id, clock.now())
        self._attendance = attendance
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(self._listen(attendance), name="listen"),
                    tasks.create_task(self._render(thread), name="render"),
                    tasks.create_task(self._play(attendance), name="play"),
                    tasks.create_task(self._send(), name="send"),
                ]
                await self._ending.wait()
                for task in running:
                    task.cancel()
        except* AvatarError as errors:
            failure = errors.exceptions[0]
        logger.info("session over: %s", dict(self.counters))
        if failure is not None:
            raise failure

    async def _listen(self, attendance: Attendance) -> None:
        self._conversation.announce(clock.now())
        async for event in self._meeting.messages():
            now = clock.now()
            match event:
                case Joined(participant_id, is_agent):
                    attendance.joined(participant_id, is_agent)
                    self._conversation.joined(participant_id, is_agent, now)
                case Left(participant_id):
                    attendance.left(participant_id)
                    self._conversation.left(participant_id, now)
                case Received(sender, message):
                    self._conversation.receive(sender, message, now)
                case Away(reason):
                    self._away = True
                    self._playout.hold()
                    self._measures.away()
                    attendance.away()
                    self._conversation.away()
                    self._on_place(False, reason)
                case Back():
                    self._away = False
                    attendance.back(now)
                    self._conversation.announce(now)
                    self._on_place(True, None)
            self._cut_the_dead(now)
            self._measures.listened(event, self._conversation.bound, self._speech, now)
            self._collect(now)
            self._work_changed.set()
        self._ending.set()

    def _cut_the_dead(self, now: float) -> None:
        floor = self._speech.floor
        if floor == self._playout.floor:
            return
        unheard = self._meeting.cut() if 0 < self._playout.sounding < floor else 0
        began = {ended.segment: ended for ended in self._playout.cut(floor, unheard)}
        for segment in self._speech.bury():
            self._end(began.get(segment, Ended(segment, 0, interrupted=True)), now)

    async def _render(self, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._work_changed.wait()
            self._work_changed.clear()
            while True:
                work = self._take_work()
                reset = 0 < self._pushed < self._speech.floor
                rest = self._playout.wants_rest and not work
                cues = self._take_cues()
                if not (work or reset or rest or cues):
                    break
                self._pushed = work[-1][0] if work else 0 if reset else self._pushed
                job = partial(_step, self._renderer, reset, cues, work, rest)
                frames, picture, seconds = await loop.run_in_executor(thread, job)
                self._measures.rendered(len(frames) + (picture is not None), seconds)
                self._playout.add(frames)
                if picture is not None:
                    self._playout.rest(picture)

    def _take_work(self) -> list[Work]:
        work: list[Work] = []
        while self._playout.lead + len(work) < LEAD_FRAMES:
            item = self._speech.take()
            if item is None:
                break
            work.append(item)
        return work

    def _take_cues(self) -> list[Cue]:
        """What the face does beside speaking; words of dead segments are nobody's."""
        floor = self._speech.floor
        return [
            cue
            for cue in self._conversation.take_cues()
            if not isinstance(cue, Prompt) or cue.segment >= floor
        ]

    async def _play(self, attendance: Attendance) -> None:
        async for now in self._clock.ticks():
            if not self._away:
                self._tick(now)
            for participant_id in attendance.missing(now):
                attendance.left(participant_id)
                self._conversation.left(participant_id, now)
            self._conversation.advance(now)
            self._measures.look(self._speech, self._conversation, self._meeting, now)
            self._collect(now)
            self._work_changed.set()
            if self._leave_by is not None and (now >= self._leave_by or self._all_said):
                self._ending.set()
            reason = attendance.over(self._conversation.bound, now)
            if reason is not None:
                self._reason = reason
                self._ending.set()

    def _tick(self, now: float) -> None:
        self._meeting.publish(self._playout.tick())
        self._measures.published(now, self._clock.late_s)
        for segment in self._playout.started():
            self._measures.started(segment, now)
            self._conversation.started(segment, now)
        for ended in self._playout.ended():
            self._speech.end(ended.segment)
            self._end(ended, now)

    async def _send(self) -> None:
        while True:
            message = await self._outbox.get()
            for pause_s in SEND_PAUSES_S:
                try:
                    await self._meeting.send(message)
                    self._measures.sent(message)
                    break
                except MeetingLost:
                    raise
                except MeetingError as error:
                    self._send_failures += 1
                    logger.warning("sending %s failed: %s", type(message).__name__, error)
                await clock.sleep_until(clock.now() + pause_s)

    def _end(self, ended: Ended, now: float) -> None:
        logger.info(
            "segment %d %s after %.3f s",
            ended.segment,
            "interrupted" if ended.interrupted else "ended",
            ended.samples / SAMPLE_RATE,
        )
        self._conversation.ended(ended, now)
        self._measures.ended(ended)

    def _collect(self, now: float) -> None:
        for message in self._conversation.outgoing(now):
            if self._outbox.full():
                self._outbox_overflow += 1
            else:
                self._outbox.put_nowait(message)

    @property
    def _all_said(self) -> bool:
        return not self._speech.living and self._outbox.empty()


def _step(
    renderer: Renderer, reset: bool, cues: list[Cue], work: list[Work], rest: bool
) -> tuple[list[AvatarFrame], Picture | None, float]:
    """What the render thread does in one go, and how many seconds it took.

    The only place that calls the renderer.
    """
    began = time.perf_counter()
    try:
        if reset:
            renderer.reset()
        for cue in cues:
            perform(renderer, cue)
        for segment, pcm, finished in work:
            if pcm is not None:
                renderer.push(segment, pcm)
            if finished:
                renderer.finish(segment)
        frames, picture = _sound(renderer.drain()), renderer.idle() if rest else None
        return frames, picture, time.perf_counter() - began
    except AvatarError:
        raise
    except Exception as error:  # a renderer is anybody's code; its failure ends the session
        raise RendererError(
            f"The renderer failed with {type(error).__name__}: {error}. "
            "Set AVATAR_RENDERER=character to speak with the one that ships."
        ) from error


def _sound(frames: list[AvatarFrame]) -> list[AvatarFrame]:
    """The frames, if the sound of each can be played at one tick."""
    for frame in frames:
        samples = len(frame.pcm)
        if samples > FRAME_SAMPLES or (samples == 0 and not frame.last):
            raise ValueError(f"a frame has {samples} samples instead of {FRAME_SAMPLES}")
    return frames
