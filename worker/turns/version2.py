"""Version 2: every message names its turn, so nothing has to be guessed and nothing is lost."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from agent_side.protocol.fields import MAX_RANGES, MAX_TURN_WORDS
from agent_side.wire import (
    PLAYBACK_STARTED,
    TURN_ENDED,
    Ack,
    AgentHello,
    AudioChunk,
    AvatarReady,
    Expression,
    Face,
    Gesture,
    Message,
    PlaybackStarted,
    Posture,
    Progress,
    Repeater,
    TurnEnd,
    TurnEnded,
    TurnInterrupt,
    Word,
    Words,
    ack_of,
)
from worker.renderer import Cue, WordsCue
from worker.turns.cues import ReceivedActs
from worker.turns.playout import Ended
from worker.turns.protocol import Handed
from worker.turns.segments import MAX_ASIDE, MAX_LIVING, MAX_WAITING_S, AudioSegment, SegmentQueue

REPORT_S: Final = 0.2
GAP_REPORT_S: Final = 0.1
"""Time between two `Progress` of a turn; a gap is reported sooner, so that it is filled sooner."""

MAX_NEW_TURNS: Final = 100
"""A turn number further ahead than this is refused: it would open all turns before it."""


MAX_RETIRED: Final = 64

MAX_UNACKED: Final = 256
"""What is repeated until the agent acknowledges it. The oldest is given up: an agent that has not
acknowledged that many has gone, or never will."""

MAX_PROMPTS: Final = 256
"""Packets of words that wait for the renderer; the oldest are forgotten: they are a hint."""

MAX_KNOWN_WORDS: Final = 4 * MAX_TURN_WORDS
"""Words of living turns that are known; what more comes is ignored."""


@dataclass(slots=True)
class _OpenTurn:
    segment: AudioSegment
    reported: tuple[int, int, tuple[tuple[int, int], ...]] | None = None
    reported_at: float = float("-inf")
    prompted: set[float] = field(default_factory=set)
    """When the words begin that the renderer has got, in seconds of the turn."""


class Version2:
    """The messages of an agent that numbers its turns (a `TurnTaking`)."""

    def __init__(
        self, speech: SegmentQueue, handed: Handed, worker: str, face: Face, counters: Counter[str]
    ) -> None:
        self.outgoing: list[Message] = []
        self.gaps = 0
        self.stream: str | None = None
        self._speech = speech
        self._handed = handed
        self._name = worker
        self._face = face
        self._acts = ReceivedActs(face, counters)
        self._prompts: deque[WordsCue] = deque(maxlen=MAX_PROMPTS)
        self._releases = 0
        self._counters = counters
        self._repeater = Repeater(most=MAX_UNACKED)
        self._turns: dict[int, _OpenTurn] = {}
        self._turn_of: dict[int, int] = {}
        self._next = 1
        self._greeting: AgentHello | None = None
        self._retired: list[str] = []
        self._accepts_turns = True

    @property
    def worker(self) -> str:
        """Another name after each release, so that an agent that comes back starts anew."""
        return f"{self._name}-{self._releases}" if self._releases else self._name

    @property
    def unacked(self) -> int:
        ended = sum(isinstance(message, TurnEnded) for message in self._repeater.messages)
        return len(self._turns) + ended

    def receive(self, message: Message, now: float) -> bool:
        match message:
            case AgentHello():
                self._hello(message)
            case (
                AudioChunk()
                | TurnEnd()
                | TurnInterrupt()
                | Gesture()
                | Expression()
                | Posture()
                | Words()
                | Ack()
            ):
                return message.stream == self.stream and self._obey(message, now)
            case _:
                return False
        return True

    def started(self, segment: int, now: float) -> None:
        turn = self._turn_of.get(segment)
        if turn is not None and self.stream is not None:
            message = PlaybackStarted(self.stream, turn)
            self._repeater.add((PLAYBACK_STARTED, turn), message, now)

    def ended(self, ended: Ended, now: float) -> None:
        turn = self._turn_of.pop(ended.segment, None)
        if turn is None or self.stream is None:
            return
        segment = self._turns.pop(turn).segment
        position_s = segment.position_s(ended.samples, whole=not ended.interrupted)
        message = TurnEnded(self.stream, turn, position_s, ended.interrupted)
        self._repeater.add((TURN_ENDED, turn), message, now)

    def advance(self, now: float) -> None:
        self.outgoing.extend(self._repeater.due(now))
        if self._repeater.given_up:
            self._counters["unacked_given_up"] = self._repeater.given_up
        for turn, state in self._turns.items():
            self._report(turn, state, now)

    def accept_no_turn(self) -> None:
        self._accepts_turns = False

    def take_cues(self) -> list[Cue]:
        """The cues for the renderer, in order; each is returned once."""
        cues: list[Cue] = [*self._acts.take(), *self._prompts]
        self._prompts.clear()
        return cues

    def release(self) -> None:
        self.stream = None
        self._acts.release()
        self._repeater.clear()
        self._releases += 1
        for state in self._turns.values():
            state.segment.close()
        self._turns.clear()
        self._turn_of.clear()

    def _hello(self, hello: AgentHello) -> None:
        if hello.stream in self._retired:
            self._counters["stream_retired"] += 1
            return
        if hello.stream != self.stream:
            if self.stream is not None:
                self._retired = [*self._retired, self.stream][-MAX_RETIRED:]
                self._repeater.clear()
                self._turns.clear()
                self._turn_of.clear()
                self._speech.cut()
                self._acts.release()
            self.stream = hello.stream
            self._next = hello.turn
            self._greeting = hello
        self.outgoing.append(AvatarReady(self.worker, hello.stream, self._face))

    def _obey(self, message: Message, now: float) -> bool:
        match message:
            case AudioChunk():
                self._chunk(message)
            case Ack(of=of, turn=turn):
                self._repeater.done((of, turn))
            case TurnEnd():
                if self._turn_end(message):
                    self.outgoing.append(ack_of(message))
            case TurnInterrupt():
                if self._interrupt(message.turn):
                    self.outgoing.append(ack_of(message))
            case Gesture() | Expression() | Posture():
                self.outgoing.append(self._acts.receive(message))
            case Words():
                self._prompt(message)
        return True

    def _open_to(self, turn: int) -> bool:
        """Open all turns up to `turn`, in order, as far as they are new. Returns False where
        that cannot be: what is not acknowledged then comes again."""
        new = turn + 1 - self._next
        if new > 0 and not self._accepts_turns:
            self._counters["turn_while_leaving"] += 1
            return False
        full = new > 0 and len(self._speech.living) + new > MAX_LIVING
        if new > MAX_NEW_TURNS or full:
            self._counters["turn_refused"] += 1
            return False
        while self._next <= turn:
            segment = self._open_segment(self._next)
            self._turns[self._next] = _OpenTurn(segment)
            self._turn_of[segment.number] = self._next
            self._next += 1
        return True

    def _open_segment(self, turn: int) -> AudioSegment:
        hello = self._greeting
        if hello is not None and hello.turn == turn and hello.sample:
            return self._speech.open(hello.sample_rate, hello.sample)
        return self._speech.open()

    def _chunk(self, chunk: AudioChunk) -> None:
        if not self._open_to(chunk.turn):
            return
        state = self._turns.get(chunk.turn)
        if state is None:
            self._counters["audio_of_ended_turn"] += 1
        elif self._speech.waiting_s > MAX_WAITING_S or self._is_too_much_aside(chunk, state):
            self._counters["audio_refused_full"] += 1
        else:
            gaps = state.segment.gaps
            if not state.segment.insert(chunk.first_sample, chunk.sample_rate, chunk.pcm):
                self._counters["audio_refused"] += 1
            self.gaps += state.segment.gaps - gaps

    def _is_too_much_aside(self, chunk: AudioChunk, state: _OpenTurn) -> bool:
        """Whether it would wait behind a gap, as too much does; what fills a gap is welcome."""
        return chunk.first_sample > state.segment.received and self._speech.aside > MAX_ASIDE

    def _turn_end(self, end: TurnEnd) -> bool:
        """Returns whether it has had its effect, or never will."""
        if not self._open_to(end.turn):
            return False
        state = self._turns.get(end.turn)
        if state is None:
            self._counters["control_duplicate"] += 1
        elif not state.segment.close(end.samples):
            self._counters["control_refused"] += 1
        return True

    def _interrupt(self, turn: int) -> bool:
        """Returns whether it has had its whole effect; what lives of those turns dies anyway."""
        whole = self._open_to(turn)
        dead = [state.segment.number for t, state in self._turns.items() if t <= turn]
        if dead:
            self._speech.cut(max(dead) + 1)
        elif whole:
            self._counters["control_duplicate"] += 1
        return whole

    def _prompt(self, message: Words) -> None:
        if not self._open_to(message.turn):
            return
        state = self._turns.get(message.turn)
        if state is None:
            self._counters["words_of_ended_turn"] += 1
            return
        if sum(len(each.prompted) for each in self._turns.values()) >= MAX_KNOWN_WORDS:
            self._counters["words_refused"] += 1
            return
        segment = state.segment
        begin_s = segment.begin / segment.rate if segment.rate else 0.0
        words = []
        for text, start_s, end_s in message.words:
            known = start_s in state.prompted or len(state.prompted) >= MAX_TURN_WORDS
            if not known and end_s > begin_s:
                state.prompted.add(start_s)
                words.append(Word(text, max(0.0, start_s - begin_s), end_s - begin_s))
        if words:
            self._prompts.append(WordsCue(segment.number, tuple(words)))

    def _report(self, turn: int, state: _OpenTurn, now: float) -> None:
        segment = state.segment
        if self.stream is None or segment.rate is None or now < state.reported_at + GAP_REPORT_S:
            return
        heard = segment.samples_heard(self._handed(segment.number))
        missing = segment.missing(MAX_RANGES)
        news = (heard, segment.received, missing)
        due = state.reported_at + (GAP_REPORT_S if missing else REPORT_S)
        if now < due or news == state.reported:
            return
        state.reported, state.reported_at = news, now
        self.outgoing.append(Progress(self.stream, turn, *news))
