"""Metrics: what a worker measures of its session, under the names that operators watch.

The names and labels are a contract with dashboards and alert rules. No label has more values
than are written here: never a room, a participant or a session.
"""

from collections import Counter as Counts
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

import prometheus_client.values
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agent_side.wire import (
    AudioChunk,
    Interrupt,
    Message,
    Pcm,
    StreamEnded,
    TurnEnded,
    TurnInterrupt,
)
from worker import clock
from worker.media import TICK_S
from worker.meeting import Meeting, MeetingEvent, Received
from worker.process.shared_numbers import Block
from worker.turns.conversation import Conversation
from worker.turns.playout import Ended
from worker.turns.reasons import WORDS, Word
from worker.turns.segments import SegmentQueue

prometheus_client.values.ValueClass = prometheus_client.values.MutexValue
"""A worker counts in memory, whatever its environment says to the library."""

LATE_S: Final = TICK_S
"""A tick that begins so long after its deadline is late: one picture stood twice as long."""

LOOK_S: Final = 1.0
"""How often is looked at what does not happen but is: queues, what is owed, the tracks."""

JOIN_S: Final = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 10, 20)
SESSION_S: Final = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)
INTERVAL_S: Final = (0.02, 0.035, 0.04, 0.045, 0.06, 0.08, 0.12, 0.2)
RENDER_S: Final = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2)
SPOKEN_S: Final = (0.05, 0.08, 0.1, 0.12, 0.16, 0.2, 0.3, 0.5, 1, 2)
OFFSET_S: Final = (-0.125, -0.045, -0.02, -0.01, -0.005, 0, 0.005, 0.01, 0.02, 0.045, 0.125)
"""Sound more than 45 ms early or 125 ms late is noticed (ITU-R BT.1359)."""
CUT_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
QUEUE_S: Final = (0.04, 0.2, 0.4, 0.8, 2, 5, 10, 30, 60, 300, 900)

REJECTED: Final[Mapping[str, str]] = {
    "packet_refused": "unreadable",
    "sender_ignored": "stranger",
    "message_unexpected": "unexpected",
    "audio_of_version_1": "version",
    "audio_refused_full": "full",
    "turn_while_leaving": "leaving",
    "control_stray": "stray",
    "audio_stale": "stale",
    "audio_of_ended_turn": "ended_turn",
    "words_of_ended_turn": "ended_turn",
    "words_refused": "full",
    "control_duplicate": "duplicate",
    "stream_retired": "refused",
    "turn_refused": "refused",
    "audio_refused": "refused",
    "control_refused": "refused",
    "act_unknown": "act",
    "act_repeated": "act",
    "gesture_dropped": "act",
}
"""The counters of `Conversation` that count messages which changed nothing, and their reason."""

Span = Callable[[str, float], None]
"""Told when a step of the session is done: its name, and the seconds that it took."""


class Metrics:
    """The metrics of one worker process; see each one's help.

    A worker that was forked counts in memory that it shares with its dispatcher, where it was
    given some; any other worker in its own.
    """

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()

        def histogram(name: str, text: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(f"avatar_{name}_seconds", text, buckets=buckets, registry=registry)

        def counter(name: str, text: str) -> Counter:
            return Counter(f"avatar_{name}_total", text, registry=registry)

        def counters(name: str, text: str, label: str, values: Sequence[str]) -> dict[str, Counter]:
            each = Counter(f"avatar_{name}_total", text, [label], registry=registry)
            return {value: each.labels(value) for value in sorted(set(values))}

        self.time_to_join = histogram(
            "time_to_join", "From taking the join request to being in the meeting", JOIN_S
        )
        self.time_to_first_frame = histogram(
            "time_to_first_frame", "From taking the join request to the first picture", JOIN_S
        )
        self.session_duration = histogram(
            "session_duration", "From being in the meeting to having left", SESSION_S
        )
        self.sessions_ended = counters("sessions_ended", "Sessions by their end", "reason", WORDS)
        self.frames = counter("frames", "Pictures with their 40 ms of sound that were published")
        self.late_frames = counter("late_frames", "Those that began over 40 ms late")
        self.frame_interval = histogram("frame_interval", "Time between two of them", INTERVAL_S)
        self.render = histogram("render", "Drawing one picture", RENDER_S)
        self.audio_to_video = histogram(
            "audio_to_video", "From a turn's first speech to its first picture", SPOKEN_S
        )
        self.av_offset = histogram(
            "av_offset", "How much later a picture left than its sound", OFFSET_S
        )
        self.interrupt = histogram("interrupt", "From reading an interrupt to silence", CUT_S)
        self.audio_chunks = counter("audio_chunks", "Packets of speech of the agent obeyed")
        self.audio_gaps = counter(
            "audio_gaps", "Holes in the speech; guessed from time where packets have no number"
        )
        self.rejected = counters(
            "messages_rejected", "Messages that changed nothing", "reason", [*REJECTED.values()]
        )
        self.queue = histogram("queue", "Speech that waits to be drawn, each second", QUEUE_S)
        self.acks = counters(
            "acks", "Turns whose end was told to the agent", "interrupted", ["false", "true"]
        )
        self.segments_unacked = Gauge(
            "avatar_segments_unacked",
            "Turns whose end the agent has still to hear of",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.segments_unacked.set(0)

    @classmethod
    def shared(cls, descriptor: int) -> Self:
        """Those of a worker that was given a block of shared memory. Raises OSError.

        The next worker that is given the block counts on.
        """
        block = Block(descriptor)
        prometheus_client.values.ValueClass = block.number
        try:
            metrics = cls()
        finally:
            prometheus_client.values.ValueClass = prometheus_client.values.MutexValue
        block.publish()
        return metrics


def no_span(name: str, seconds: float) -> None:
    """A `Span` that goes nowhere."""


class Measures:
    """Told by a session what happens in it; keeps what is needed until a number is known.

    `counts` are the session's own numbers, for whoever looks at it alone. Holds no clock.
    """

    def __init__(self, metrics: Metrics, span: Span = no_span) -> None:
        self.counts: Counts[str] = Counts()
        self._metrics = metrics
        self._span = span
        self._taken = 0.0
        self._joined: float | None = None
        self._framed = False
        self._worded = False
        self._published: float | None = None
        self._heard: dict[int, float | None] = {}
        """When the first speech of a living segment came; None where it had to wait its turn."""
        self._reported: tuple[str, int] = ("", 0)
        self._look_at = 0.0
        self._rejected: Counts[str] = Counts()

    def taken(self, now: float) -> None:
        """The join request is here."""
        self._taken = now

    def joined(self, now: float) -> None:
        """The worker is in the meeting for the first time."""
        self._joined = now
        self._metrics.time_to_join.observe(now - self._taken)
        self._span("join", now - self._taken)

    def away(self) -> None:
        """Nothing is published for a while."""
        self._published = None

    def published(self, now: float, late_s: float) -> None:
        """One picture and its sound, in a tick that began `late_s` after its deadline."""
        metrics = self._metrics
        metrics.frames.inc()
        self.counts["frames"] += 1
        if late_s > LATE_S:
            metrics.late_frames.inc()
            self.counts["late_frames"] += 1
        if self._published is not None:
            metrics.frame_interval.observe(now - self._published)
        self._published = now
        if not self._framed and self._joined is not None:
            self._framed = True
            metrics.time_to_first_frame.observe(now - self._taken)
            self._span("first_frame", now - self._joined)

    def rendered(self, pictures: int, seconds: float) -> None:
        """So many pictures were drawn at once; each counts for its share."""
        for _ in range(pictures):
            self._metrics.render.observe(seconds / pictures)

    def listened(
        self, event: MeetingEvent, obeyed: str | None, speech: SegmentQueue, now: float
    ) -> None:
        """What was read at `now` has had its effect by now."""
        if not isinstance(event, Received) or event.sender != obeyed:
            return
        match event.message:
            case Pcm() | AudioChunk():
                self._metrics.audio_chunks.inc()
                self.counts["audio_chunks"] += 1
                for segment in speech.begun:
                    self._heard.setdefault(segment, now if segment == speech.living[0] else None)
            case Interrupt() | TurnInterrupt():
                self._metrics.interrupt.observe(clock.now() - now)
                self.counts["interrupts"] += 1

    def started(self, segment: int, now: float) -> None:
        """The segment is heard and seen for the first time."""
        first = self._heard.get(segment)
        if first is not None:
            self._metrics.audio_to_video.observe(now - first)
        if not self._worded and self._joined is not None:
            self._worded = True
            self._span("first_word", now - self._joined)

    def ended(self, ended: Ended) -> None:
        """The segment will not be heard any further."""
        self.counts["segments"] += 1
        self._heard.pop(ended.segment, None)

    def sent(self, message: Message) -> None:
        """The data channel has taken the message; one that is repeated counts once."""
        match message:
            case TurnEnded(stream=stream, turn=turn):
                if stream == self._reported[0] and turn <= self._reported[1]:
                    return
                self._reported = stream, turn
            case StreamEnded():
                pass
            case _:
                return
        self._metrics.acks["true" if message.interrupted else "false"].inc()

    def look(
        self, speech: SegmentQueue, conversation: Conversation, meeting: Meeting, now: float
    ) -> None:
        """What is, rather than what happens; called at every tick, looks once a second."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        metrics = self._metrics
        if speech.living:
            metrics.queue.observe(speech.waiting_s)
        if (offset_s := meeting.offset_s) is not None:
            metrics.av_offset.observe(offset_s)
        metrics.segments_unacked.set(conversation.unacked)
        self._count(conversation)

    def over(self, conversation: Conversation, word: Word, now: float) -> None:
        """The worker has left, or never was there."""
        if self._joined is not None:
            self._metrics.session_duration.observe(now - self._joined)
        self._metrics.sessions_ended[word].inc()
        self._metrics.segments_unacked.set(0)
        self._count(conversation)

    def _count(self, conversation: Conversation) -> None:
        """What the conversation has counted since the last look."""
        self._metrics.audio_gaps.inc(conversation.gaps - self.counts["audio_gaps"])
        self.counts["audio_gaps"] = conversation.gaps
        for name, reason in REJECTED.items():
            news = conversation.counters[name] - self._rejected[name]
            if news:
                self._metrics.rejected[reason].inc(news)
                self._rejected[name] += news
