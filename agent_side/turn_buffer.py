"""TurnBuffer: the agent's turns from their first sample until it is known how they ended."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from agent_side.protocol.fields import MAX_TURN_WORDS, MAX_WORD
from agent_side.wire import TurnEnded, Word

REST_S: Final = 5.0
"""A synthesizer whose turn was given up may pause for so long; one that failed sends no end."""

Outcome = Literal["heard", "interrupted", "unconfirmed"]
"""How a turn ended: heard to its end; cut at its position; or no worker has confirmed the end."""


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The turn begins to be heard. Only version 2 reports it."""

    turn: int


@dataclass(frozen=True, slots=True)
class TurnOver:
    """The turn will not be heard any further.

    `position` seconds of it were heard. Where this is not `confirmed`, at least so much was
    heard, perhaps more: the worker has not reported it. It counts as interrupted then.
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


@dataclass(slots=True)
class SentPiece:
    """A piece of a turn that was sent in version 2 and that no report has confirmed."""

    end: int
    since: float
    at: float
    resend_s: float
    missing: bool = False


@dataclass(slots=True)
class Turn:
    """A turn that has not ended; all places are samples from its first one.

    `pcm` begins at `kept`. The present worker began at `place`, was sent all up to `sent` and
    has played all up to `heard`; any worker was sent all up to `furthest`. Of the samples up to
    `heard`, no worker has confirmed `unproven`.
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
    """When a version-1 worker should have played all that it was sent."""
    outstanding: dict[int, SentPiece] = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)
    words_sent: int = 0

    @property
    def written(self) -> int:
        """Samples that the agent has written."""
        return self.kept + len(self.pcm) // 2

    @property
    def is_open(self) -> bool:
        """More speech may be written to it."""
        return not (self.closed or self.killed)

    @property
    def begun(self) -> bool:
        """The present worker was sent some of it, or its end."""
        return self.sent > self.place or self.end_sent

    @property
    def proven(self) -> int:
        """Samples that were heard for certain."""
        return max(0, self.heard - self.unproven)

    def piece(self, first: int, end: int) -> bytes:
        """The PCM of these samples."""
        return bytes(self.pcm[2 * (first - self.kept) : 2 * (end - self.kept)])

    def sent_to(self, sample: int) -> None:
        """The worker was sent everything before `sample`."""
        self.sent = sample
        self.furthest = max(self.furthest, sample)

    def forget_before(self, sample: int) -> None:
        """No worker will need what is before `sample`."""
        if sample > self.kept:
            del self.pcm[: 2 * (sample - self.kept)]
            self.kept = sample

    def kill(self) -> None:
        """The turn was interrupted: none of it is sent any more."""
        self.killed = True
        self.kept = self.written
        self.pcm.clear()
        self.outstanding.clear()

    def resume_at(self, sample: int) -> None:
        """Another worker continues there; what is skipped of it counts as not heard."""
        sample = max(sample, self.kept)
        self.unproven += max(0, sample - self.heard)
        self.place = self.sent = self.heard = sample
        self.forget_before(sample)
        self.outstanding.clear()
        self.end_sent = False
        self.words_sent = 0
        self.heard_at = None


class TurnBuffer:
    """The turns that have not ended, in order. Samples are counted at `rate`.

    `report` is called with the start and the end of each turn.
    """

    def __init__(self, rate: int, report: Callable[[TurnStarted | TurnOver], None]) -> None:
        self.rate = rate
        self.newest = 0
        """The number of the newest turn; 0 before the first."""
        self._report = report
        self._turns: dict[int, Turn] = {}
        self._odd_byte = b""
        self._early_words: list[Word] = []
        self._swallows_end = False
        self._swallows_rest = False
        self._written_at = 0.0

    def __len__(self) -> int:
        return len(self._turns)

    @property
    def all(self) -> list[Turn]:
        """The turns that have not ended."""
        return list(self._turns.values())

    @property
    def alive(self) -> list[Turn]:
        """Those of them that were not interrupted."""
        return [turn for turn in self._turns.values() if not turn.killed]

    def get(self, number: int) -> Turn | None:
        """The turn of that number; None when it has ended."""
        return self._turns.get(number)

    # The agent ------------------------------------------------------------------------------

    def write(self, data: bytes, now: float) -> None:
        """More speech of the current turn, s16le; an odd byte waits for the next call.

        What is written to a turn that was given up before it was complete is dropped; after a
        pause of `REST_S` it is taken for another turn.
        """
        written_at, self._written_at = self._written_at, now
        if self._swallows_rest and now < written_at + REST_S:
            return
        self._swallows_rest = False
        data = self._odd_byte + data
        whole = len(data) // 2 * 2
        self._odd_byte = data[whole:]
        if not whole:
            return
        turn = self._open_turn or self._begin(now)
        turn.pcm += data[:whole]
        self._swallows_end = False

    def end(self, now: float) -> None:
        """The current turn is complete. Without speech it is an empty turn, which ends too.

        Where the current turn was interrupted before it was complete, this only closes it.
        """
        self._odd_byte = b""
        if self._swallows_end or self._swallows_rest:
            self._swallows_end = self._swallows_rest = False
            return
        turn = self._open_turn or self._begin(now)
        turn.closed = True

    def interrupt(self) -> list[Turn]:
        """Interrupt every turn so far. Returns all that have not ended; none if all were dead."""
        self._odd_byte = b""
        self._early_words = []
        if self._swallows_rest or self._open_turn is not None:
            self._swallows_end = True
        self._swallows_rest = False
        if not self.alive:
            return []
        for turn in self._turns.values():
            turn.kill()
        return self.all

    def add_words(self, words: Iterable[Word]) -> None:
        """Words of the current turn, or of the next one where none has begun; texts are cut.

        Raises ValueError for times that are out of range.
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
        if self._swallows_rest:
            return
        turn = self._open_turn
        known = self._early_words if turn is None else turn.words
        known += fitting[: MAX_TURN_WORDS - len(known)]

    def give_up(self) -> None:
        """End all turns as far as they are known; what is written next is another turn."""
        self._end_all()
        self._swallows_end = self._swallows_rest = False

    def expire(self, now: float) -> None:
        """End all turns as far as they are known; what is written next belongs to the last."""
        self._written_at = now
        self._end_all()

    def _end_all(self) -> None:
        for turn in self.all:
            self.over_as_known(turn)

    @property
    def _open_turn(self) -> Turn | None:
        turn = self._turns.get(self.newest)
        return turn if turn is not None and turn.is_open else None

    def _begin(self, now: float) -> Turn:
        self.newest += 1
        turn = self._turns[self.newest] = Turn(self.newest, now, words=self._early_words)
        self._early_words = []
        return turn

    # The worker -----------------------------------------------------------------------------

    def started(self, turn: Turn, now: float) -> None:
        """The worker plays the turn."""
        if turn.heard_at is None:
            turn.heard_at = now
        if not turn.started:
            turn.started = True
            self._report(TurnStarted(turn.number))

    def over(
        self, turn: Turn, position_s: float, *, interrupted: bool, confirmed: bool = True
    ) -> None:
        """The turn has ended. If it was open, the rest that is written to it is dropped."""
        if self._turns.pop(turn.number, None) is not None and turn.is_open:
            self._swallows_rest = True
        self._report(TurnOver(turn.number, position_s, interrupted, confirmed))

    def over_as_known(self, turn: Turn) -> None:
        """No worker will report how the turn ended: it ends where it was heard for certain."""
        whole = turn.closed and not turn.killed and turn.proven == turn.written
        exact = turn.proven == turn.furthest
        position_s = turn.proven / self.rate
        self.over(turn, position_s, interrupted=not whole, confirmed=whole or exact)

    def over_as_reported(self, turn: Turn, ended: TurnEnded) -> None:
        """The worker has reported how the turn ended."""
        sure = not turn.unproven
        position_s = min(ended.position, turn.written / self.rate) - turn.unproven / self.rate
        self.over(
            turn,
            max(0.0, position_s),
            interrupted=ended.interrupted or not sure,
            confirmed=sure,
        )

    def resume(self, reached: dict[int, int]) -> None:
        """Another worker is sent what the last one did not reach.

        Of a turn that is not in `reached` that is all that the last worker has not confirmed.
        """
        over = max((t.number for t in self._turns.values() if t.ended or t.killed), default=0)
        for turn in self.all:
            place = reached.get(turn.number, turn.heard)
            if turn.number > over:
                turn.resume_at(place)
            elif turn.ended is not None:
                self.over_as_reported(turn, turn.ended)
            else:
                turn.heard = min(turn.heard, place)
                self.over_as_known(turn)
