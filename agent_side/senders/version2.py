"""Version2Sender: turns for a worker of ours, which reports what it received and played."""

import math
from collections import deque
from itertools import pairwise
from typing import Final

from agent_side.protocol.fields import MAX_WORDS
from agent_side.senders.port import WINDOW_S, Outgoing, piece_samples
from agent_side.turn_buffer import SentPiece, Turn, TurnBuffer
from agent_side.wire import (
    TURN_END,
    TURN_INTERRUPT,
    Ack,
    AudioChunk,
    Message,
    PlaybackStarted,
    Progress,
    Repeater,
    TurnEnd,
    TurnEnded,
    TurnInterrupt,
    Words,
    ack_of,
)

PROMPT_S: Final = 0.25
"""The worker reports every 0.2 s, so speech that is reported so soon was not late."""

MAX_LAG_S: Final = 1.0
"""The most by which a slow network widens the window."""

LAG_FADES: Final = 0.98
"""With each report of a smaller delay; halves the known delay of the network in 7 s."""

EXTRAPOLATE_S: Final = 0.3
"""Between two reports the worker is taken to play on for so long."""

RESEND_S: Final = 0.5
RESEND_MAX_S: Final = 2.0
"""Speech that no report confirms is sent again after this time, doubling up to the second."""

RESEND_GAP_S: Final = 0.25
"""Speech that was reported missing is sent again when its last copy is this old."""

HANDED_S: Final = 0.04
"""A worker reports what it has handed to its sound track. One that dies loses so much of it."""


class Version2Sender:
    """Sends the turns of `turns` in version 2, to the worker that obeys `stream`."""

    def __init__(self, stream: str, turns: TurnBuffer) -> None:
        self.stream = stream
        self._turns = turns
        self._piece = piece_samples(turns.rate)
        self._handed = math.ceil(HANDED_S * turns.rate)
        self._repeater = Repeater()
        self._acks: deque[Message] = deque()
        self._sequence = 0
        self._lag_s = 0.0
        self._sends_words = False

    @property
    def takes_turns(self) -> bool:
        """Always."""
        return True

    def start(self, round_trip_s: float, over: int, now: float, *, sends_words: bool) -> None:
        """A worker obeys the stream; turns up to `over` are none of its."""
        self._lag_s = _lag_s(round_trip_s)
        self._sends_words = sends_words
        if over:
            self._repeat_interrupt(over, now)

    def lost(self) -> None:
        """The worker is gone."""
        self._repeater.clear()
        self._acks.clear()

    def give_up(self) -> None:
        """All turns have ended: their ends need not arrive."""
        for message in self._repeater.messages:
            if isinstance(message, TurnEnd):
                self._repeater.done((TURN_END, message.turn))

    # Sending --------------------------------------------------------------------------------

    @property
    def next_due(self) -> float | None:
        """When `next_control` has something again; None if nothing waits."""
        return self._repeater.next_due

    def next_control(self, now: float) -> Outgoing | None:
        """What has to be sent before speech: repeated messages, then acks."""
        message = self._repeater.pop_due(now)
        if message is None and self._acks:
            message = self._acks.popleft()
        return None if message is None else Outgoing(message)

    def next_speech(self, now: float) -> Outgoing | None:
        """The next piece, words or end of a turn; None while nothing may be sent."""
        live = self._turns.alive
        message = self._next_resent(live, now) or self._next_new(live, now)
        return None if message is None else Outgoing(message)

    def _next_resent(self, live: list[Turn], now: float) -> Message | None:
        for turn in live:
            for first, piece in turn.outstanding.items():
                timeout_s = RESEND_GAP_S if piece.missing else piece.resend_s
                if now - piece.at >= timeout_s + self._lag_s:
                    piece.at = now
                    piece.resend_s = min(2 * piece.resend_s, RESEND_MAX_S)
                    piece.missing = False
                    return self._chunk(turn, first, piece.end)
        return None

    def _next_new(self, live: list[Turn], now: float) -> Message | None:
        """Of the first turn that was not sent whole: words, then speech, then its end."""
        for turn in live:
            if self._sends_words and turn.words_sent < len(turn.words):
                return self._next_words(turn)
            if turn.sent < turn.written:
                ahead = sum(each.sent - self._heard_estimate(each, now) for each in live)
                is_full = ahead >= (WINDOW_S + self._lag_s) * self._turns.rate
                return None if is_full else self._next_piece(turn, now)
            if not turn.closed:
                return None
            if not turn.end_sent:
                turn.end_sent = True
                message = TurnEnd(self.stream, turn.number, turn.written)
                self._repeater.add((TURN_END, turn.number), message, now)
                return self._repeater.pop_due(now)
        return None

    def _next_words(self, turn: Turn) -> Words:
        first = turn.words_sent
        turn.words_sent = min(len(turn.words), first + MAX_WORDS)
        return Words(self.stream, turn.number, tuple(turn.words[first : turn.words_sent]))

    def _next_piece(self, turn: Turn, now: float) -> AudioChunk:
        first = turn.sent
        turn.sent_to(min(turn.written, first + self._piece))
        turn.outstanding[first] = SentPiece(turn.sent, now, now, RESEND_S)
        return self._chunk(turn, first, turn.sent)

    def _chunk(self, turn: Turn, first: int, end: int) -> AudioChunk:
        self._sequence += 1
        pcm = turn.piece(first, end)
        return AudioChunk(self.stream, turn.number, self._sequence, first, self._turns.rate, pcm)

    def _heard_estimate(self, turn: Turn, now: float) -> int:
        if turn.heard_at is None:
            return turn.heard
        since_s = min(now - turn.heard_at, EXTRAPOLATE_S)
        return min(turn.sent, turn.heard + int(since_s * self._turns.rate))

    def interrupt(self, dead: list[Turn], now: float) -> bool:
        """The worker has to drop these turns and all before them."""
        for turn in dead:
            self._repeater.done((TURN_END, turn.number))
        self._repeat_interrupt(self._turns.newest, now)
        return True

    def _repeat_interrupt(self, turn: int, now: float) -> None:
        message = TurnInterrupt(self.stream, turn)
        self._repeater.add((TURN_INTERRUPT, turn), message, now)

    def expire(self, now: float) -> None:
        """Nothing: the worker reports every end, and repeats it."""

    # Reports --------------------------------------------------------------------------------

    def receive(self, message: Ack | PlaybackStarted | Progress | TurnEnded, now: float) -> None:
        """A message of a worker that obeys the stream."""
        match message:
            case Ack(_, of, number):
                self._repeater.done((of, number))
            case PlaybackStarted(_, number):
                self._acks.append(ack_of(message))
                turn = self._turns.get(number)
                if turn is not None:
                    self._turns.started(turn, now)
            case TurnEnded():
                self._acks.append(ack_of(message))
                self._ended(message)
            case Progress():
                self._progress(message, now)

    def _ended(self, message: TurnEnded) -> None:
        turn = self._turns.get(message.turn)
        if turn is None:
            return
        turn.ended = message
        for turn in self._turns.all:
            if turn.ended is None:
                break
            self._turns.over_as_reported(turn, turn.ended)
            self._repeater.done((TURN_END, turn.number))

    def _progress(self, progress: Progress, now: float) -> None:
        turn = self._turns.get(progress.turn)
        if turn is None or turn.killed:
            return
        if progress.heard > turn.heard:
            turn.heard = min(progress.heard, turn.sent)
            turn.heard_at = now
            turn.forget_before(min(turn.heard - self._handed, progress.received))
        oldest = now
        for first, piece in list(turn.outstanding.items()):
            if piece.end <= progress.received or _between(progress.missing, first, piece.end):
                del turn.outstanding[first]
                oldest = min(oldest, piece.since)
            else:
                piece.missing = any(first < end and piece.end > a for a, end in progress.missing)
        self._lag_s = max(_lag_s(now - oldest - PROMPT_S), LAG_FADES * self._lag_s)

    def reached(self, now: float) -> dict[int, int]:
        """What a worker has handed to its track and not played is lost with it."""
        return {t.number: max(t.place, t.heard - self._handed) for t in self._turns.all}


def _lag_s(late_s: float) -> float:
    return min(max(0.0, late_s), MAX_LAG_S)


def _between(missing: tuple[tuple[int, int], ...], first: int, end: int) -> bool:
    """first..end lies between two gaps: it has arrived."""
    return any(before[1] <= first and end <= after[0] for before, after in pairwise(missing))
