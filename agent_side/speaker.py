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
from typing import Final, Literal

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
    NotObeyed,
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
HELLO_PATIENCE_S: Final = 10.0
"""A worker that was greeted for so long and said nothing of version 2 is taken for a stock one.

On a machine that is overrun a worker of ours may take seconds to answer. One that was greeted
ignores version 1, so speech that is sent to it in version 1 too early is lost.
"""

STOCK_PATIENCE_S: Final = 1.5
"""The same where something says that it is a stock worker: the dispatcher's answer, or the acks
of the worker before it."""

ACK_PATIENCE_S: Final = 3.0
"""A version-1 turn whose ack is so late ends unconfirmed: stock workers swallow some."""

NEXT_TURN_S: Final = 0.5
"""A version-1 turn waits so long for the ack of the one before: an ack does not name its turn."""

SLOWNESS: Final = 0.1
"""Stock workers play slower than real time, by a twentieth: acks are awaited longer by this."""

STRAY_S: Final = 5.0
"""Speech of version 1 that is late may be counted so much later, in an ack that seems another
turn's: it may be a second under way, a worker of ours waits two seconds for more of it, and the
ack may be a second under way too."""

DEAF_S: Final = 0.35
"""A stock worker drops what it hears for 0.3 s after an interrupt, the next turn's begin too."""

KEPT_S: Final = 30.0
"""Speech that was sent in version 1 is kept so long, in case the worker speaks version 2."""

HANDED_S: Final = 0.04
"""A worker reports what it has handed to its sound track. One that dies takes so much with it."""

WORKER_PATIENCE_S: Final = 60
"""Turns end unheard when no worker has been there for so long."""

REST_S: Final = 5.0
"""A synthesizer whose turn was given up may pause for so long; one that failed says no end."""

Outcome = Literal["heard", "interrupted", "unconfirmed"]
"""How a turn ended: heard to its end; not further than its position; or nobody can say."""


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker is there and speaks `version`."""

    version: int


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker that was ready is gone; speech is kept for the next."""


@dataclass(frozen=True, slots=True)
class Disobeyed:
    """The worker obeys another participant; `named` says that the join request names that one."""

    named: bool


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The turn begins to be heard. Only version 2 knows."""

    turn: int


@dataclass(frozen=True, slots=True)
class TurnOver:
    """The turn will not be heard any further.

    `position` seconds of it were heard. Where this is not `confirmed`, at least so much was
    heard, perhaps more: the worker has not said. It counts as interrupted then.
    """

    turn: int
    position: float
    interrupted: bool
    confirmed: bool = True

    @property
    def outcome(self) -> Outcome:
        """Heard to its end, interrupted, or unconfirmed."""
        if not self.confirmed:
            return "unconfirmed"
        return "interrupted" if self.interrupted else "heard"


Event = WorkerReady | WorkerLost | Disobeyed | TurnStarted | TurnOver | ActUnknown | GestureDropped


@dataclass(slots=True)
class _Sent:
    end: int
    since: float
    at: float
    resend_s: float
    missing: bool = False


@dataclass(slots=True)
class _Turn:
    """A turn that has not ended; all places are samples from its first one.

    `pcm` begins at `kept`. The present worker began at `place`, was sent all up to `sent` and
    has played all up to `heard`; any worker was sent all up to `furthest`. Of the samples up to
    `heard`, nobody has confirmed `unproven`.
    """

    number: int
    began: float
    pcm: bytearray = field(default_factory=bytearray)
    kept: int = 0
    place: int = 0
    sent: int = 0
    furthest: int = 0
    heard: int = 0
    unproven: int = 0
    heard_at: float | None = None
    started: bool = False
    closed: bool = False
    end_sent: bool = False
    killed: bool = False
    ended: TurnEnded | None = None
    due: float = 0.0
    """When a version-1 worker should have heard all that it was sent."""
    outstanding: dict[int, _Sent] = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)
    words_sent: int = 0

    @property
    def written(self) -> int:
        return self.kept + len(self.pcm) // 2

    @property
    def begun(self) -> bool:
        """A version-1 worker was sent some of it, or its end."""
        return self.sent > self.place or self.end_sent

    @property
    def proven(self) -> int:
        """Samples that were heard for certain."""
        return max(0, self.heard - self.unproven)

    def piece(self, first: int, end: int) -> bytes:
        return bytes(self.pcm[2 * (first - self.kept) : 2 * (end - self.kept)])

    def sent_to(self, sample: int) -> None:
        self.sent = sample
        self.furthest = max(self.furthest, sample)

    def forget_before(self, sample: int) -> None:
        if sample > self.kept:
            del self.pcm[: 2 * (sample - self.kept)]
            self.kept = sample

    def go_on_at(self, sample: int) -> None:
        """Another worker goes on there; what is skipped of it counts as not heard."""
        sample = max(sample, self.kept)
        self.unproven += max(0, sample - self.heard)
        self.place = self.sent = self.heard = sample
        self.forget_before(sample)
        self.outstanding.clear()
        self.end_sent = False
        self.words_sent = 0
        self.heard_at = None


@dataclass(slots=True)
class _Account:
    """What a version-1 worker was sent of a turn, less what acks have counted of it.

    Acks do not name their turn. While no ack has `settled` the account, any later ack may count
    its samples; then only those that were late.
    """

    first_at: float
    last_at: float
    samples: int = 0
    settled: bool = False

    def may_be_counted_with(self, other: "_Account") -> bool:
        """An ack for `other` may count samples of this one."""
        return not self.settled or other.first_at <= self.last_at + STRAY_S


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
        self._handed = math.ceil(HANDED_S * rate)
        self._piece = min(int(CHUNK_S * rate), MAX_CHUNK_PCM // 2)
        self._turns: dict[int, _Turn] = {}
        self._newest = 0
        self._odd = b""
        self._early_words: list[Word] = []
        self._swallow_end = False
        self._swallow_rest = False
        self._written_at = 0.0
        self._attached = False
        self._has_met = False
        self._present_since: float | None = None
        self._absent_since = 0.0
        self._worker: str | None = None
        self._postponed_ready: AvatarReady | None = None
        self._hello_due: float | None = None
        self._hello_interval_s = HELLO_FIRST_S
        self._hello_sent_at: float | None = None
        self._launched_version: int | None = None
        self._announced_at: float | None = None
        """When this worker said that it speaks version 2, in whatever way."""
        self._acked = False
        """This worker has acked in version 1."""
        self._follows_stock = False
        """The last worker had acked in version 1."""
        self._repeater = Repeater()
        self._acks: deque[Message] = deque()
        self._sequence = 0
        self._interrupt_is_due = False
        self._greeted_at = 0.0
        self._lag_s = 0.0
        self._heard_by = 0.0
        self._deaf_until = 0.0
        self._accounts: dict[int, _Account] = {}
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
    def backlog(self) -> int:
        """Speech that has not been sent, in bytes."""
        live = [turn for turn in self._turns.values() if not turn.killed]
        return 2 * sum(turn.written - turn.sent for turn in live)

    def write(self, data: bytes, now: float) -> None:
        """More speech of the current turn, s16le; an odd byte waits for the next call.

        The rest of a turn that was given up before it was complete is nobody's; after a pause
        of `REST_S` it is taken for another turn.
        """
        written_at, self._written_at = self._written_at, now
        if self._swallow_rest and now < written_at + REST_S:
            return
        self._swallow_rest = False
        data = self._odd + data
        whole = len(data) // 2 * 2
        self._odd = data[whole:]
        if not whole:
            return
        turn = self._turns.get(self._newest)
        if turn is None or not self._is_open(turn):
            turn = self._begin_turn(now)
        turn.pcm += data[:whole]
        self._swallow_end = False

    def end(self, now: float) -> None:
        """The current turn is complete. Without speech it is an empty turn, which ends too.

        Where the current turn died before it was complete, this only closes that one.
        """
        self._odd = b""
        if self._swallow_end or self._swallow_rest:
            self._swallow_end = self._swallow_rest = False
            return
        turn = self._turns.get(self._newest)
        if turn is None or not self._is_open(turn):
            turn = self._begin_turn(now)
        turn.closed = True

    def interrupt(self, now: float) -> None:
        """Every turn so far is dead. Nothing happens when none is alive."""
        self._odd = b""
        self._early_words = []
        if self._swallow_rest or self._is_open(self._turns.get(self._newest)):
            self._swallow_end = True
        self._swallow_rest = False
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
        if self._swallow_rest:
            return
        turn = self._turns.get(self._newest)
        known = turn.words if turn is not None and self._is_open(turn) else self._early_words
        known += fitting[: MAX_TURN_WORDS - len(known)]

    def give_up(self) -> None:
        """Nobody will hear the turns that are alive; what is written next is another turn."""
        for turn in list(self._turns.values()):
            self._over_as_known(turn)
        self._accounts.clear()
        self._swallow_end = self._swallow_rest = False

    # The room -------------------------------------------------------------------------------

    def launched(self, version: int | None) -> None:
        """The worker was asked of somebody whose workers speak `version`, if that is known."""
        self._launched_version = version

    @property
    def is_present(self) -> bool:
        """The worker's participant is in the room."""
        return self._present_since is not None

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
            self._hello_sent_at = None
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
            case NotObeyed(stream, named) if stream == self._stream:
                self._disobeyed(named, now)
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
        if self.version == 0 and self._hello_sent_at is not None:
            due.append(self._hello_sent_at + self._hello_patience_s)
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
            self._when_sent = self._hello_sent
            turn, sample = self._first_unheard()
            return AgentHello(self._stream, turn, sample, self._rate)
        return None

    def _next_chunk(self, now: float) -> Message | None:
        live = [turn for turn in self._turns.values() if not turn.killed]
        for turn in live:
            for first, sent in turn.outstanding.items():
                timeout_s = RESEND_GAP_S if sent.missing else sent.resend_s
                if now - sent.at >= timeout_s + self._lag_s:
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
                turn.sent_to(min(turn.written, first + self._piece))
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
            if not turn.begun and (self._changes_version or self._awaits_ack(now)):
                return None
            if self._changes_version and not self._acked:
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

    def _awaits_ack(self, now: float) -> bool:
        """An ack is due that is sure to be that turn's as long as the next has not begun."""
        return any(
            turn.end_sent and not turn.killed and now < turn.due + NEXT_TURN_S + self._slack_s(turn)
            for turn in self._turns.values()
        )

    def _slack_s(self, turn: _Turn) -> float:
        return SLOWNESS * (turn.sent - turn.place) / self._rate

    def _hello_sent(self, now: float) -> None:
        if self._hello_sent_at is None and self._present_since is not None:
            self._hello_sent_at = now

    def _interrupt_sent(self, now: float) -> None:
        self._interrupt_is_due = False
        self._deaf_until = now + DEAF_S

    def _speech_sent(self, turn: _Turn, end: int, now: float) -> None:
        samples = end - turn.sent
        self._heard_by = max(now, self._heard_by) + samples / self._rate
        self._close_accounts()
        account = self._accounts.setdefault(turn.number, _Account(now, now))
        account.samples += samples
        account.last_at = now
        turn.due = self._heard_by
        turn.sent_to(end)
        turn.forget_before(end - int(KEPT_S * self._rate))

    def _end_sent(self, turn: _Turn, now: float) -> None:
        turn.end_sent = True
        turn.due = max(now, self._heard_by)

    # Turns ----------------------------------------------------------------------------------

    def _begin_turn(self, now: float) -> _Turn:
        self._newest += 1
        turn = self._turns[self._newest] = _Turn(self._newest, now, words=self._early_words)
        self._early_words = []
        return turn

    @staticmethod
    def _is_open(turn: _Turn | None) -> bool:
        """More speech is to come of it."""
        return turn is not None and not (turn.closed or turn.killed)

    def _kill(self, newest: int, now: float) -> None:
        dead = [turn for turn in self._turns.values() if turn.number <= newest]
        for turn in dead:
            turn.killed = True
            turn.due = now
            turn.kept = turn.written
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
                self._over_as_known(turn)

    def _over(
        self, turn: _Turn, position_s: float, *, interrupted: bool, confirmed: bool = True
    ) -> None:
        if self._turns.pop(turn.number, None) is not None and self._is_open(turn):
            self._swallow_rest = True
        self._repeater.done((TURN_END, turn.number))
        self.events.append(TurnOver(turn.number, position_s, interrupted, confirmed))

    def _over_as_known(self, turn: _Turn) -> None:
        """No worker will say any more how the turn ended: what is known for certain is told."""
        whole = turn.closed and not turn.killed and turn.proven == turn.written
        exact = turn.proven == turn.furthest
        position_s = turn.proven / self._rate
        self._over(turn, position_s, interrupted=not whole, confirmed=whole or exact)

    def _over_as_told(self, turn: _Turn, ended: TurnEnded) -> None:
        sure = not turn.unproven
        position_s = min(ended.position, turn.written / self._rate) - turn.unproven / self._rate
        self._over(
            turn,
            max(0.0, position_s),
            interrupted=ended.interrupted or not sure,
            confirmed=sure,
        )

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
            self._over_as_told(turn, turn.ended)

    def _stream_ended(self, position: float, interrupted: bool) -> None:
        """Version 1 does not say whose end it is, and stock workers swallow some."""
        self._acked = True
        played = math.floor(position * self._rate + 1e-6)
        if interrupted:
            self._interrupt_acked(played)
        elif played:
            self._end_acked(played)

    def _interrupt_acked(self, played: int) -> None:
        """All that is dead has ended."""
        dead = [turn for turn in self._turns.values() if turn.killed]
        alone = self._count(dead, played)
        for turn in dead:
            if turn in alone and not turn.unproven:
                self._over(turn, turn.proven / self._rate, interrupted=True)
            else:
                self._over_as_known(turn)

    def _end_acked(self, played: int) -> None:
        """The first turn whose end was sent has ended; those before it had died.

        Where no end was sent, the worker has stopped waiting for the rest of the turn that is
        being sent, and this is how far it was heard.
        """
        turns = list(self._turns.values())
        ended = next((turn for turn in turns if turn.end_sent), None)
        told = ended or next((turn for turn in turns if turn.begun and not turn.killed), None)
        if told is None:
            return
        before = told.heard
        self._count([told], played)
        if ended is None:
            return
        for turn in turns[: turns.index(ended)]:
            self._over_as_known(turn)
        if ended.heard > before and not ended.unproven:
            self._over(ended, ended.proven / self._rate, interrupted=False)
        else:
            self._over_as_known(ended)

    def _count(self, told: list[_Turn], played: int) -> list[_Turn]:
        """An ack for `told` counts `played` samples.

        At least those are a turn's own that no other turn can account for. Returns the turns
        of which the ack says all: no other can account for any.
        """
        shares = {}
        for number, account in self._accounts.items():
            others = [a for n, a in self._accounts.items() if n != number]
            shares[number] = sum(a.samples for a in others if a.may_be_counted_with(account))
        for number, others_samples in shares.items():
            account, turn = self._accounts[number], self._turns.get(number)
            surely = max(0, min(account.samples, played - others_samples))
            if turn is not None:
                turn.heard = min(turn.sent, turn.heard + surely)
                account.samples -= surely
        counted = [self._accounts[turn.number] for turn in told if turn.number in shares]
        newest = max((account.first_at for account in counted), default=0.0)
        for account in self._accounts.values():
            account.settled = account.settled or account.first_at <= newest
        return [turn for turn in told if not shares.get(turn.number, turn.furthest)]

    def _close_accounts(self) -> None:
        """Those of turns that are over are kept as long as an ack may count them, as one."""
        live = [account for number, account in self._accounts.items() if number in self._turns]
        oldest = min((account.first_at for account in live), default=math.inf)
        rest = None
        for number in [number for number in self._accounts if number not in self._turns]:
            account = self._accounts.pop(number)
            if account.settled and account.last_at + STRAY_S < min(oldest, self._heard_by):
                continue
            rest = rest or _Account(account.first_at, account.last_at, 0, settled=True)
            rest.first_at = min(rest.first_at, account.first_at)
            rest.last_at = max(rest.last_at, account.last_at)
            rest.samples += account.samples
            rest.settled = rest.settled and account.settled
        if rest is not None:
            self._accounts[0] = rest

    def _progress(self, progress: Progress, now: float) -> None:
        turn = self._turns.get(progress.turn)
        if turn is None or turn.killed:
            return
        if progress.heard > turn.heard:
            turn.heard = min(progress.heard, turn.sent)
            turn.heard_at = now
            turn.forget_before(min(turn.heard - self._handed, progress.received))
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

    def _supposed(self, now: float) -> dict[int, int]:
        """A version-1 worker does not tell what it has played: all but what is still ahead."""
        ahead = int(max(0.0, self._heard_by - now) * self._rate)
        supposed = {}
        for turn in reversed(self._turns.values()):
            if not turn.killed:
                supposed[turn.number] = max(turn.heard, turn.sent - ahead)
                ahead = max(0, ahead - (turn.sent - turn.place))
        return supposed

    def _first_unheard(self) -> tuple[int, int]:
        """Where version 2 goes on; a turn that is surely heard in version 1 ends there."""
        in_version1 = self.version == 1 and self._acked
        for turn in self._turns.values():
            if not turn.killed and not (in_version1 and turn.begun):
                return turn.number, turn.heard
        return self._newest + 1, 0

    # The worker -----------------------------------------------------------------------------

    def _say_hello(self, now: float) -> None:
        self._hello_due = self._greeted_at = now
        self._hello_interval_s = HELLO_FIRST_S

    @property
    def _hello_patience_s(self) -> float:
        """How long a greeting may stay unanswered before the worker is spoken to in version 1."""
        if self._announced_at is not None or self._launched_version == 2:
            return math.inf
        stock = self._launched_version == 1 or self._follows_stock
        return STOCK_PATIENCE_S if stock else HELLO_PATIENCE_S

    @property
    def _changes_version(self) -> bool:
        """A worker that has announced version 2 takes no new turn in version 1."""
        return self._announced_at is not None

    def _ready(self, ready: AvatarReady, now: float) -> None:
        if self._present_since is None:
            self._present_since = now
        if self.version == 2 and ready.worker != self._worker:
            self._worker_lost(now)
        if self._announced_at is None:
            self._announced_at = now
        if self.version == 2:
            return
        if ready.stream != self._stream:
            self._say_hello(now)
            return
        self._hello_due = None
        if self.version == 1 and self._acked and any(t.begun for t in self._turns.values()):
            self._postponed_ready = ready
            return
        self._postponed_ready = None
        self._worker = ready.worker
        self._lag_s = _lag_s(now - self._greeted_at)
        self._resume({})
        self._accounts.clear()
        self.version = 2
        self.events.append(WorkerReady(2))
        self.acts.found(self._stream, ready.face, now)
        over = self._first_unheard()[0] - 1
        if over:
            message = TurnInterrupt(self._stream, over)
            self._repeater.add((TURN_INTERRUPT, over), message, now)

    def _disobeyed(self, named: bool, now: float) -> None:
        """The greeting goes on: it is answered as soon as that changes."""
        if self._present_since is None:
            self._present_since = now
        if self._announced_at is None:
            self._announced_at = now
        if self.version != 2:
            if self._hello_due is None:
                self._say_hello(now)
            self.events.append(Disobeyed(named))

    def _worker_lost(self, now: float) -> None:
        reached: dict[int, int] = {}
        if self.version == 1:
            reached = self._supposed(now)
            self._follows_stock = self._acked
        elif self.version == 2:
            places = self._turns.values()
            reached = {t.number: max(t.place, t.heard - self._handed) for t in places}
            self._follows_stock = False
        self._heard_by = now
        self._absent_since = now
        if self.version:
            self.events.append(WorkerLost())
        self.version = 0
        self._acked = False
        self._announced_at = self._hello_sent_at = None
        self._postponed_ready = None
        self._interrupt_is_due = False
        self._acks.clear()
        self._accounts.clear()
        self.acts.lost()
        self._resume(reached)
        self._say_hello(now)

    def _resume(self, reached: dict[int, int]) -> None:
        """What the last worker was sent and did not reach is sent to the next one.

        Of a turn that is not in `reached` that is all that it has not confirmed.
        """
        self._repeater.clear()
        self._when_sent = None
        over = [turn.number for turn in self._turns.values() if turn.ended or turn.killed]
        for turn in list(self._turns.values()):
            place = reached.get(turn.number, turn.heard)
            if turn.number > max(over, default=0):
                turn.go_on_at(place)
            elif turn.ended is not None:
                self._over_as_told(turn, turn.ended)
            else:
                turn.heard = min(turn.heard, place)
                self._over_as_known(turn)

    def _advance(self, now: float) -> None:
        self.acts.expire(now)
        greeted_at = self._hello_sent_at
        waits = self.version == 0 and self._attached
        if waits and greeted_at is not None and now >= greeted_at + self._hello_patience_s:
            self.version = 1
            self._hello_due = None
            self.events.append(WorkerReady(1))
        self._lose_patience(now)
        if self.version == 1:
            self._end_turns_of_version1(now)
            if self._postponed_ready is not None:
                self._ready(self._postponed_ready, now)

    def _lose_patience(self, now: float) -> None:
        """Turns end where no worker has taken them for too long, each as a whole."""
        waits = self.version == 0 or (self.version == 1 and self._changes_version)
        if not (self._attached and waits and self._turns):
            return
        began = next(iter(self._turns.values())).began
        since = max(self._absent_since, self._announced_at or 0.0, began)
        if now - since > WORKER_PATIENCE_S:
            self._written_at = now
            for turn in list(self._turns.values()):
                self._over_as_known(turn)

    def _end_turns_of_version1(self, now: float) -> None:
        for turn in list(self._turns.values()):
            empty = turn.closed and not turn.written
            known = turn.end_sent and turn.proven == turn.written
            late = now > turn.due + ACK_PATIENCE_S + self._slack_s(turn)
            if not (empty or known or (late and (turn.end_sent or turn.killed))):
                break
            self._over_as_known(turn)


def _lag_s(late_s: float) -> float:
    return min(max(0.0, late_s), MAX_LAG_S)


def _between(missing: tuple[tuple[int, int], ...], first: int, end: int) -> bool:
    """first..end lies between two gaps: it has arrived."""
    return any(before[1] <= first and end <= after[0] for before, after in pairwise(missing))
