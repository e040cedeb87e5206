"""Session: a meeting, a conversation in it, and the engine that speaks for its agent."""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable

from worker import clock
from worker.departure import Departure
from worker.engine import Engine, Started
from worker.errors import WorkerError
from worker.media import SAMPLE_RATE
from worker.meeting import Away, Back, Joined, Left, Meeting, MeetingEvent, Received
from worker.meeting_support.send_queue import SendQueue
from worker.process.metrics import Measures, Metrics
from worker.renderer import Renderer
from worker.settings import Settings
from worker.turns.attendance import Attendance
from worker.turns.conversation import Conversation
from worker.turns.cues import face_of
from worker.turns.playout import Ended
from worker.turns.reasons import Reason

logger = logging.getLogger("avatar.worker.session")


class Session:
    """One agent's conversation through one face in one meeting.

    What the meeting receives goes to the `Conversation`, which fills, ends and cuts segments of
    the `Engine`. The engine's frames go to the meeting at each tick, and its events to the
    conversation, whose messages the meeting sends.

    `on_place(active, reason)` is called when the worker is in the meeting, and when it has
    lost its connection there and why. `measures` gets all that operators watch.
    """

    def __init__(
        self,
        meeting: Meeting,
        renderer: Renderer,
        settings: Settings,
        agent_id: str | None,
        on_place: Callable[[bool, str | None], None] = lambda active, reason: None,
        measures: Measures | None = None,
    ) -> None:
        self._meeting = meeting
        self._on_place = on_place
        self._renderer = renderer
        self._settings = settings
        self._attendance = Attendance(settings, agent_id)
        self._measures = measures or Measures(Metrics())
        self._engine = Engine(
            renderer,
            silence=meeting.cut,
            take_cues=lambda: self._conversation.take_cues(),
            on_rendered=self._measures.rendered,
        )
        self._conversation = Conversation(
            self._engine.segments,
            self._engine.handed,
            worker=secrets.token_hex(8),
            face=face_of(renderer),
            rate=settings.input_rate,
            agent_id=agent_id,
        )
        self._send_queue = SendQueue(meeting.send, self._measures.sent)
        self._clock = clock.Clock()
        self._departure = Departure()
        self._away = False

    @property
    def counters(self) -> Counter[str]:
        """What was refused, repeated or late, and how often; for the operator."""
        return self._conversation.counters + Counter(
            underruns=self._engine.underruns,
            clock_slips=self._clock.slips,
            send_failures=self._send_queue.failures,
            outbox_overflow=self._send_queue.overflow,
        )

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
            if await self._departure.join(self._meeting):
                self._measures.joined(clock.now())
                self._on_place(True, None)
                await self._converse()
        except BaseException as error:
            self._departure.reason = Reason.of(error)
            raise
        finally:
            await self._meeting.leave()
            self._renderer.close()
            self._measures.over(self._conversation, self._departure.reason.word, clock.now())
        return self._departure.reason

    def finish(self) -> None:
        """Accept no new turn, speak out those that were begun, then leave."""
        if not self.finishing:
            self._conversation.accept_no_turn()
            self._departure.by(clock.now() + self._settings.finish_s)

    def leave(self) -> None:
        """Leave now, whatever is being said."""
        self._conversation.accept_no_turn()
        self._departure.by(clock.now())

    @property
    def finishing(self) -> bool:
        """`finish` or `leave` was called."""
        return self._departure.requested

    def name_agent(self, agent_id: str) -> None:
        """A renewed join request names the agent: from now on, only that participant is obeyed."""
        now = clock.now()
        self._conversation.name(agent_id, now)
        self._attendance.name(agent_id, now)
        self._engine.interrupt(self._engine.first_live_segment)
        self._pass_on(now)

    async def _converse(self) -> None:
        failure: BaseException | None = None
        self._attendance.begin(clock.now())
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(self._listen(), name="listen"),
                    tasks.create_task(self._engine.run(), name="render"),
                    tasks.create_task(self._play(), name="play"),
                    tasks.create_task(self._send_queue.run(), name="send"),
                ]
                await self._departure.wait()
                for task in running:
                    task.cancel()
        except* WorkerError as errors:
            failure = errors.exceptions[0]
        logger.info("session over: %s", dict(self.counters))
        if failure is not None:
            raise failure

    async def _listen(self) -> None:
        self._conversation.announce(clock.now())
        async for event in self._meeting.messages():
            now = clock.now()
            self._receive(event, now)
            self._engine.interrupt(self._engine.first_live_segment)
            self._measures.listened(event, self._conversation.bound, self._engine.segments, now)
            self._pass_on(now)
        self._departure.begin()

    def _receive(self, event: MeetingEvent, now: float) -> None:
        match event:
            case Joined(participant_id, is_agent):
                self._attendance.joined(participant_id, is_agent)
                self._conversation.joined(participant_id, is_agent, now)
            case Left(participant_id):
                self._attendance.left(participant_id)
                self._conversation.left(participant_id, now)
            case Received(sender, message):
                self._conversation.receive(sender, message, now)
            case Away(reason):
                self._away = True
                self._engine.hold()
                self._measures.away()
                self._attendance.away()
                self._conversation.away()
                self._on_place(False, reason)
            case Back():
                self._away = False
                self._attendance.back(now)
                self._conversation.announce(now)
                self._on_place(True, None)

    async def _play(self) -> None:
        async for now in self._clock.ticks():
            if not self._away:
                self._tick(now)
            for participant_id in self._attendance.missing(now):
                self._receive(Left(participant_id), now)
            self._conversation.advance(now)
            self._measures.look(self._engine.segments, self._conversation, self._meeting, now)
            self._pass_on(now)
            self._departure.look(now, self._engine.silent and self._send_queue.empty)
            if reason := self._attendance.over(self._conversation.bound, now):
                self._departure.begin(reason)

    def _tick(self, now: float) -> None:
        self._meeting.publish(self._engine.tick())
        self._measures.published(now, self._clock.late_s)
        self._report(now)

    def _pass_on(self, now: float) -> None:
        """The engine's events to the conversation, and the conversation's messages on."""
        self._report(now)
        for message in self._conversation.outgoing(now):
            self._send_queue.put(message)
        self._engine.wake()

    def _report(self, now: float) -> None:
        for event in self._engine.take_events():
            match event:
                case Started(segment):
                    self._measures.started(segment, now)
                    self._conversation.started(segment, now)
                case Ended(segment, samples, interrupted):
                    how = "interrupted" if interrupted else "ended"
                    logger.info("segment %d %s after %.3f s", segment, how, samples / SAMPLE_RATE)
                    self._conversation.ended(event, now)
                    self._measures.ended(event)
