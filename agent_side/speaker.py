"""Speaker: the agent's side of the protocol, without a socket, a task or a clock.

Speech and messages go in with the time, packets and events come out. `AvatarAudioOut` gives
it a meeting and a clock.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Final

from agent_side.acts import Acts, ActUnknown, GestureDropped
from agent_side.wire import (
    ACTS,
    MAX_CHUNK_PCM,
    MAX_TURN_WORDS,
    MAX_WORD,
    MAX_WORDS,
    SAMPLE_RATES,
    STREAM_DIGITS,
    TURN_END,
    TURN_INTERRUPT,
    Ack,
    ActRefused,
    AgentHello,
    AudioChunk,
    AvatarReady,
    Interrupt,
    Message,
    Packet,
    Pcm,
    PlaybackStarted,
    Progress,
    Repeater,
    SegmentEnd,
    StreamEnded,
    TurnEnd,
    TurnEnded,
    TurnInterrupt,
    Word,
    Words,
    ack_of,
    encode,
)

WINDOW_S: Final = 0.4
"""Speech is sent at most so far ahead of what was heard, so an interrupt waits behind little.

To that comes what the network takes, or the worker would run dry on a long way.
"""

PROMPT_S: Final = 0.25
"""The worker reports every 0.2 s, so speech that is reported so soon was not late."""

MAX_LAG_S: Final = 1.0
"""The most by which a slow network widens the window."""

LAG_FADES: Final = 0.98
"""With each report that tells of no worse; halves what is known of the network in 7 s."""

CHUNK_S: Final = 0.04
"""Speech goes out in pieces of this length: one picture's worth."""

EXTRAPOLATE_S: Final = 0.3
"""Between two reports a turn that sounds is taken to be heard on for so long."""

RESEND_S: Final = 0.5
RESEND_MAX_S: Final = 2.0
"""Speech that nobody reported is sent again after this time, doubling up to the second."""

RESEND_GAP_S: Final = 0.25
"""Speech that was reported missing is sent again when its last copy is this old."""

HELLO_FIRST_S: Final = 0.1
HELLO_SLOWEST_S: Final = 2.0
HELLO_PATIENCE_S: Final = 1.5
"""A worker that has been in the room for so long without an answer speaks version 1.

Also how long new turns wait for its answer once it has announced version 2 after all.
"""

SUCCESSOR_PATIENCE_S: Final = 10.0
"""The same for one that follows a worker of version 2, and is most likely another of its kind: on
a machine that is overrun it may take its time. Once greeted it takes bare speech for noise, so
that a long turn that was begun in version 1 would be lost on it."""

ACK_PATIENCE_S: Final = 3.0
"""A version-1 turn has ended when its ack is so late: stock workers swallow some."""

DEAF_S: Final = 0.35
"""A stock worker drops what it hears for 0.3 s after an interrupt, the next turn's begin too."""

MAX_KEPT_S: Final = 120
"""Speech kept for a worker that is not there yet; the oldest turn goes when it is more."""

WORKER_PATIENCE_S: Final = 60
"""Turns end unheard when no worker has been there for so long."""


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker is there and speaks `version`."""

    version: int


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker that was ready is gone; speech is kept for the next."""


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The turn begins to be heard. Only version 2 knows."""

    turn: int


@dataclass(frozen=True, slots=True)
class TurnOver:
    """The turn will not be heard any further; `position` seconds of it were."""

    turn: int
    position: float
    interrupted: bool


Event = WorkerReady | WorkerLost | TurnStarted | TurnOver | ActUnknown | GestureDropped


@dataclass(slots=True)
class _Sent:
    end: int
    since: float
    at: float
    resend_s: float
    missing: bool = False


@dataclass(slots=True)
class _Turn:
    number: int
    began: float
    pcm: bytearray = field(default_factory=bytearray)
    kept: int = 0
    sent: int = 0
    heard: int = 0
    heard_at: float | None = None
    started: bool = False
    closed: bool = False
    end_sent: bool = False
    killed: bool = False
    ended: TurnEnded | None = None
    outstanding: dict[int, _Sent] = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)
    words_sent: int = 0

    @property
    def written(self) -> int:
        return self.kept + len(self.pcm) // 2

    @property
    def begun(self) -> bool:
        """A version-1 worker was sent some of it, or its end."""
        return self.sent > self.kept or self.end_sent

    def piece(self, first: int, end: int) -> bytes:
        return bytes(self.pcm[2 * (first - self.kept) : 2 * (end - self.kept)])

    def forget_before(self, sample: int) -> None:
        if sample > self.kept:
            del self.pcm[: 2 * (sample - self.kept)]
            self.kept = sample


class Speaker:
    """Everything that an agent says through one avatar, and what it hears back.

    Samples are counted at `rate`. Version 0 means that no worker is there. `acts` is what the
    face does beside speaking. Raises ValueError for a rate that the protocol cannot say.
    """

    def __init__(self, stream: str, rate: int) -> None:
        if rate not in SAMPLE_RATES:
            raise ValueError(
                f"A sample rate of {rate} Hz is out of range; resample the speech to one from "
                f"{SAMPLE_RATES.start} to {SAMPLE_RATES.stop - 1} Hz."
            )
        self.version = 0
        self.events: deque[Event] = deque()
        self.acts = Acts(self.events.append)
        self._stream = stream
        self._rate = rate
        self._piece = min(int(CHUNK_S * rate), MAX_CHUNK_PCM // 2)
        self._turns: dict[int, _Turn] = {}
        self._newest = 0
        self._odd = b""
        self._early_words: list[Word] = []
        self._swallow_end = False
        self._attached = False
        self._has_met = False
        self._present_since: float | None = None
        self._absent_since = 0.0
        self._worker: str | None = None
        self._postponed_ready: AvatarReady | None = None
        self._hello_due: float | None = None
        self._hello_interval_s = HELLO_FIRST_S
        self._hello_until = 0.0
        self._follows_2 = False
        """The last worker spoke version 2."""
        self._repeater = Repeater()
        self._acks: deque[Message] = deque()
        self._sequence = 0
        self._interrupt_is_due = False
        self._greeted_at = 0.0
        self._lag_s = 0.0
        self._heard_by = 0.0
        self._deaf_until = 0.0
        self._when_sent: Callable[[float], None] | None = None

    # The agent ------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """A turn has not ended."""
        return bool(self._turns)

    @property
    def current_turn(self) -> int:
        """The number of the newest turn; 0 before the first."""
        return self._newest

    @property
    def backlog_s(self) -> float:
        """Speech that has not been sent, in seconds."""
        live = [turn for turn in self._turns.values() if not turn.killed]
        return sum(turn.written - turn.sent for turn in live) / self._rate

    def write(self, data: bytes, now: float) -> None:
        """More speech of the current turn, s16le; an odd byte waits for the next call."""
        data = self._odd + data
        whole = len(data) // 2 * 2
        self._odd = data[whole:]
        if not whole:
            return
        turn = self._turns.get(self._newest)
        if turn is None or turn.closed or turn.killed:
            turn = self._begin_turn(now)
        turn.pcm += data[:whole]
        self._swallow_end = False
        if self.version == 0 and self.backlog_s > MAX_KEPT_S:
            self._kill(min(number for number, turn in self._turns.items() if not turn.killed), now)

    def end(self, now: float) -> None:
        """The current turn is complete. Without speech it is an empty turn, which ends too.

        Straight after an interrupt it only closes the turn that died.
        """
        self._odd = b""
        if self._swallow_end:
            self._swallow_end = False
            return
        turn = self._turns.get(self._newest)
        if turn is None or turn.closed or turn.killed:
            turn = self._begin_turn(now)
        turn.closed = True

    def interrupt(self, now: float) -> None:
        """Every turn so far is dead. Nothing happens when none is alive."""
        self._odd = b""
        self._early_words = []
        self._swallow_end = True
        if any(not turn.killed for turn in self._turns.values()):
            self._kill(self._newest, now)

    def words(self, words: Iterable[Word]) -> None:
        """What the current turn says, or the next one where none is begun; texts are cut.

        Raises ValueError for times that are none.
        """
        fitting = []
        for text, start_s, end_s in words:
            if not 0 <= start_s <= end_s < math.inf:
                raise ValueError(
                    f"{text!r} cannot be said from {start_s} to {end_s} s; "
                    "count from the turn's first sample, and end no word before it starts."
                )
            if text:
                fitting.append(Word(text[:MAX_WORD], float(start_s), float(end_s)))
        turn = self._turns.get(self._newest)
        waits = turn is None or turn.closed or turn.killed
        known = self._early_words if turn is None or waits else turn.words
        known += fitting[: MAX_TURN_WORDS - len(known)]

    def give_up(self) -> None:
        """Nobody will hear the turns that are alive."""
        for turn in list(self._turns.values()):
            self._over(turn, turn.heard / self._rate, interrupted=True)

    # The room -------------------------------------------------------------------------------

    def attached(self, now: float) -> None:
        """There is a meeting to send to.

        After another one this is a new stream: the worker that saw the agent leave obeys the
        old one never again.
        """
        if self._has_met:
            self._stream = f"{(int(self._stream, 16) + 1) % 2**64:0{STREAM_DIGITS}x}"
        self._has_met = True
        self._attached = True
        self._absent_since = now
        self._say_hello(now)

    def detached(self, now: float) -> None:
        """The meeting is gone; what was not heard waits for the next."""
        self._attached = False
        self._present_since = None
        self._worker_lost(now)

    def present(self, now: float) -> None:
        """The worker's participant is in the room."""
        if self._present_since is None:
            self._present_since = now
            if self.version != 2:
                self._say_hello(now)

    def absent(self, now: float) -> None:
        """The worker's participant has left the room."""
        self._present_since = None
        self._worker_lost(now)

    def receive(self, message: Message, now: float) -> None:
        """A message of the worker's participant."""
        match message:
            case AvatarReady():
                self._ready(message, now)
            case StreamEnded(position, interrupted) if self.version == 1:
                self._stream_ended(position, interrupted)
            case PlaybackStarted(stream, turn) if stream == self._stream:
                self._acks.append(ack_of(message))
                self._started(turn, now)
            case TurnEnded(stream, turn) if stream == self._stream:
                self._acks.append(ack_of(message))
                self._turn_ended(message)
            case Progress(stream) if stream == self._stream:
                self._progress(message, now)
            case ActRefused(stream) if stream == self._stream:
                self.acts.answered(message)
            case Ack(stream, of) if stream == self._stream and of in ACTS:
                self.acts.answered(message)
            case Ack(stream, of, turn) if stream == self._stream:
                self._repeater.done((of, turn))
            case _:
                pass

    # Packets --------------------------------------------------------------------------------

    def next_packet(self, now: float) -> Packet | None:
        """What has to be sent next, control before speech; None while there is nothing.

        Call `sent` when it was sent; version 1 offers the same packet again otherwise.
        """
        self._when_sent = None
        self._advance(now)
        if not self._attached:
            return None
        message = self._next_control(now) or self.acts.pop_due(now)
        if message is None and self.version == 2:
            message = self._next_chunk(now)
        if message is None and self.version == 1:
            message = self._next_of_version1(now)
        return None if message is None else encode(message)

    def sent(self, now: float) -> None:
        """The packet that `next_packet` gave has been sent."""
        when_sent, self._when_sent = self._when_sent, None
        if when_sent is not None:
            when_sent(now)

    def next_due(self, now: float) -> float:
        """When `next_packet` is worth another call, unless something happens before."""
        due = [now + 1.0]
        if not self._attached:
            return due[0]
        if self._hello_due is not None:
            due.append(self._hello_due)
        if self._repeater.next_due is not None:
            due.append(self._repeater.next_due)
        if self.acts.next_due is not None:
            due.append(self.acts.next_due)
        if self.version and self._turns:
            due.append(now + CHUNK_S)
        if self.version == 0 and self._present_since is not None:
            due.append(self._present_since + self._hello_patience_s)
        return max(now, min(due))

    def _next_control(self, now: float) -> Message | None:
        if self._interrupt_is_due:
            self._when_sent = self._interrupt_sent
            return Interrupt()
        repeated = self._repeater.pop_due(now)
        if repeated is not None:
            return repeated
        if self._acks:
            return self._acks.popleft()
        if self._hello_due is not None and now >= self._hello_due:
            self._hello_due = now + self._hello_interval_s
            self._hello_interval_s = min(2 * self._hello_interval_s, HELLO_SLOWEST_S)
            turn, sample = self._first_unheard()
            return AgentHello(self._stream, turn, sample, self._rate)
        return None

    def _next_chunk(self, now: float) -> Message | None:
        live = [turn for turn in self._turns.values() if not turn.killed]
        for turn in live:
            for first, sent in turn.outstanding.items():
                patience_s = RESEND_GAP_S if sent.missing else sent.resend_s
                if now - sent.at >= patience_s + self._lag_s:
                    sent.at = now
                    sent.resend_s = min(2 * sent.resend_s, RESEND_MAX_S)
                    sent.missing = False
                    return self._chunk(turn, first, sent.end)
        ahead = sum(turn.sent - self._heard_estimate(turn, now) for turn in live)
        for turn in live:
            if turn.words_sent < len(turn.words) and self.acts.face is not None:
                first = turn.words_sent
                turn.words_sent = min(len(turn.words), first + MAX_WORDS)
                return Words(self._stream, turn.number, tuple(turn.words[first : turn.words_sent]))
            if turn.sent < turn.written:
                if ahead >= (WINDOW_S + self._lag_s) * self._rate:
                    return None
                first = turn.sent
                turn.sent = min(turn.written, first + self._piece)
                turn.outstanding[first] = _Sent(turn.sent, now, now, RESEND_S)
                return self._chunk(turn, first, turn.sent)
            if not turn.closed:
                return None
            if not turn.end_sent:
                turn.end_sent = True
                message = TurnEnd(self._stream, turn.number, turn.written)
                self._repeater.add((TURN_END, turn.number), message, now)
                return self._repeater.pop_due(now)
        return None

    def _chunk(self, turn: _Turn, first: int, end: int) -> AudioChunk:
        self._sequence += 1
        pcm = turn.piece(first, end)
        return AudioChunk(self._stream, turn.number, self._sequence, first, self._rate, pcm)

    def _next_of_version1(self, now: float) -> Message | None:
        if now < self._deaf_until:
            return None
        for turn in self._turns.values():
            if turn.killed or turn.end_sent:
                continue
            if self._changes_version and not turn.begun:
                return None
            if turn.sent < turn.written:
                if self._heard_by - now > WINDOW_S:
                    return None
                end = min(turn.written, turn.sent + self._piece)
                self._when_sent = partial(self._speech_sent, turn, end)
                return Pcm(turn.piece(turn.sent, end))
            if not turn.closed:
                return None
            self._when_sent = partial(self._end_sent, turn)
            return SegmentEnd()
        return None

    def _interrupt_sent(self, now: float) -> None:
        self._interrupt_is_due = False
        self._deaf_until = now + DEAF_S

    def _speech_sent(self, turn: _Turn, end: int, now: float) -> None:
        self._heard_by = max(now, self._heard_by) + (end - turn.sent) / self._rate
        turn.sent = end

    def _end_sent(self, turn: _Turn, now: float) -> None:
        turn.end_sent = True

    # Turns ----------------------------------------------------------------------------------

    def _begin_turn(self, now: float) -> _Turn:
        self._newest += 1
        turn = self._turns[self._newest] = _Turn(self._newest, now, words=self._early_words)
        self._early_words = []
        return turn

    def _kill(self, newest: int, now: float) -> None:
        dead = [turn for turn in self._turns.values() if turn.number <= newest]
        if self.version == 1:
            self._suppose_heard(now)
        for turn in dead:
            turn.killed = True
            turn.pcm.clear()
            turn.outstanding.clear()
            self._repeater.done((TURN_END, turn.number))
        self._when_sent = None
        if self.version == 2:
            message = TurnInterrupt(self._stream, newest)
            self._repeater.add((TURN_INTERRUPT, newest), message, now)
        elif self.version == 1 and any(turn.begun for turn in dead):
            self._interrupt_is_due = True
            self._heard_by = now
        else:
            for turn in dead:
                self._over(turn, turn.heard / self._rate, interrupted=True)

    def _over(self, turn: _Turn, position: float, *, interrupted: bool) -> None:
        self._turns.pop(turn.number, None)
        self._repeater.done((TURN_END, turn.number))
        self.events.append(TurnOver(turn.number, position, interrupted))

    def _started(self, number: int, now: float) -> None:
        turn = self._turns.get(number)
        if turn is None:
            return
        if turn.heard_at is None:
            turn.heard_at = now
        if not turn.started:
            turn.started = True
            self.events.append(TurnStarted(number))

    def _turn_ended(self, message: TurnEnded) -> None:
        turn = self._turns.get(message.turn)
        if turn is None:
            return
        turn.ended = message
        for turn in list(self._turns.values()):
            if turn.ended is None:
                break
            self._over(turn, turn.ended.position, interrupted=turn.ended.interrupted)

    def _stream_ended(self, position: float, interrupted: bool) -> None:
        """Version 1 does not say whose end it is, and stock workers swallow some.

        An interrupt ends all that is dead. Anything else ends the first turn whose end was
        sent, or else the one that is being sent; those before it had died.
        """
        turns = list(self._turns.values())
        if interrupted:
            for turn in turns:
                if turn.killed:
                    self._over(turn, self._place_s(turn, position), interrupted=True)
                    position = 0.0
            return
        begun = [turn for turn in turns if turn.begun and not turn.killed]
        ended = next((turn for turn in turns if turn.end_sent), begun[0] if begun else None)
        if ended is None:
            return
        for turn in turns[: turns.index(ended)]:
            self._over(turn, turn.heard / self._rate, interrupted=True)
        self._over(ended, self._place_s(ended, position), interrupted=False)

    def _place_s(self, turn: _Turn, position: float) -> float:
        """Where in the turn a version-1 worker is that has played `position` seconds of it."""
        return min(turn.kept / self._rate + position, turn.sent / self._rate)

    def _progress(self, progress: Progress, now: float) -> None:
        turn = self._turns.get(progress.turn)
        if turn is None or turn.killed:
            return
        if progress.heard > turn.heard:
            turn.heard = min(progress.heard, turn.sent)
            turn.heard_at = now
            turn.forget_before(min(turn.heard, progress.received))
        oldest = now
        for first, sent in list(turn.outstanding.items()):
            if sent.end <= progress.received or _between(progress.missing, first, sent.end):
                del turn.outstanding[first]
                oldest = min(oldest, sent.since)
            else:
                sent.missing = any(first < end and sent.end > a for a, end in progress.missing)
        self._lag_s = max(_lag_s(now - oldest - PROMPT_S), LAG_FADES * self._lag_s)

    def _heard_estimate(self, turn: _Turn, now: float) -> int:
        if turn.heard_at is None:
            return turn.heard
        since_s = min(now - turn.heard_at, EXTRAPOLATE_S)
        return min(turn.sent, turn.heard + int(since_s * self._rate))

    def _suppose_heard(self, now: float) -> None:
        """A version-1 worker does not tell what it has played: all but what is still ahead."""
        ahead = int(max(0.0, self._heard_by - now) * self._rate)
        for turn in reversed(self._turns.values()):
            if not turn.killed:
                turn.heard = max(turn.kept, turn.sent - ahead)
                ahead -= turn.sent - turn.heard

    def _first_unheard(self) -> tuple[int, int]:
        """Where version 2 goes on; a turn that was begun in version 1 ends there."""
        for turn in self._turns.values():
            if not turn.killed and not (self.version == 1 and turn.begun):
                return turn.number, turn.heard
        return self._newest + 1, 0

    # The worker -----------------------------------------------------------------------------

    def _say_hello(self, now: float) -> None:
        self._hello_due = self._greeted_at = now
        self._hello_interval_s = HELLO_FIRST_S
        self._hello_until = now + HELLO_PATIENCE_S

    @property
    def _hello_patience_s(self) -> float:
        return max(HELLO_PATIENCE_S, SUCCESSOR_PATIENCE_S if self._follows_2 else 0.0)

    @property
    def _changes_version(self) -> bool:
        """A worker that was greeted takes no new turn in version 1."""
        return self._hello_due is not None or self._postponed_ready is not None

    def _ready(self, ready: AvatarReady, now: float) -> None:
        if self._present_since is None:
            self._present_since = now
        if ready.stream != self._stream:
            if ready.worker != self._worker or self.version != 2:
                self._say_hello(now)
            return
        if self.version == 2 and ready.worker == self._worker:
            return
        self._hello_due = None
        if self.version == 1 and any(turn.begun for turn in self._turns.values()):
            self._postponed_ready = ready
            return
        self._postponed_ready = None
        if self.version == 2:
            self.events.append(WorkerLost())
        self._worker = ready.worker
        self._lag_s = _lag_s(now - self._greeted_at)
        self._resume_unheard()
        self.version = 2
        self._follows_2 = True
        self.events.append(WorkerReady(2))
        self.acts.found(self._stream, ready.face, now)
        over = self._first_unheard()[0] - 1
        if over:
            message = TurnInterrupt(self._stream, over)
            self._repeater.add((TURN_INTERRUPT, over), message, now)

    def _worker_lost(self, now: float) -> None:
        if self.version == 1:
            self._suppose_heard(now)
        self._heard_by = now
        self._absent_since = now
        if self.version:
            self.events.append(WorkerLost())
        self.version = 0
        self._postponed_ready = None
        self._interrupt_is_due = False
        self._repeater.clear()
        self._acks.clear()
        self.acts.lost()
        self._resume_unheard()
        self._say_hello(now)

    def _resume_unheard(self) -> None:
        """What the last worker was sent and nobody heard is sent to the next one."""
        self._repeater.clear()
        self._when_sent = None
        over = [turn.number for turn in self._turns.values() if turn.ended or turn.killed]
        for turn in list(self._turns.values()):
            if turn.number <= max(over, default=0):
                self._over_unheard_of(turn)
            turn.outstanding.clear()
            turn.end_sent = False
            turn.words_sent = 0
            turn.heard_at = None
            turn.forget_before(turn.heard)
            turn.sent = turn.kept

    def _over_unheard_of(self, turn: _Turn) -> None:
        """Its worker cannot tell any more how it ended; turns end in order."""
        if turn.ended is not None:
            self._over(turn, turn.ended.position, interrupted=turn.ended.interrupted)
        elif turn.killed:
            self._over(turn, turn.heard / self._rate, interrupted=True)
        else:
            self._over(turn, turn.written / self._rate, interrupted=False)

    def _advance(self, now: float) -> None:
        self.acts.expire(now)
        since = self._present_since
        if self.version == 0 and self._attached:
            if since is not None and now >= since + self._hello_patience_s:
                self.version = 1
                self._follows_2 = False
                self._hello_due = None
                self.events.append(WorkerReady(1))
            waiting_since = max(
                self._absent_since, next((t.began for t in self._turns.values()), now)
            )
            if now - waiting_since > WORKER_PATIENCE_S:
                self.give_up()
        if self.version == 1:
            if now >= self._hello_until:
                self._hello_due = None
            for turn in list(self._turns.values()):
                late = now > self._heard_by + ACK_PATIENCE_S
                if late and (turn.end_sent or turn.killed):
                    position = turn.heard if turn.killed else turn.written
                    self._over(turn, position / self._rate, interrupted=turn.killed)
            if self._postponed_ready is not None:
                self._ready(self._postponed_ready, now)


def _lag_s(late_s: float) -> float:
    return min(max(0.0, late_s), MAX_LAG_S)


def _between(missing: tuple[tuple[int, int], ...], first: int, end: int) -> bool:
    """first..end lies between two gaps: it has arrived."""
    return any(before[1] <= first and end <= after[0] for before, after in pairwise(missing))
