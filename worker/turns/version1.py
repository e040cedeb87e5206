"""Version 1: turns guessed from bare PCM, `segment_end` and INTERRUPT that may overtake it.

With in-order delivery every turn is exact as long as it starts at least `GRACE_S` after the
`segment_end` before it and its speech neither starts within the guard after an INTERRUPT and
then pauses, nor is shorter than `STRAY_S`. Without order, what cannot be known is bounded:

- speech that comes up to `GRACE_S` / 2 after its `segment_end` still joins its turn; later
  speech is heard as the begin of the next turn;
- speech that INTERRUPT overtakes is held back, not dropped. If it stops at once it was stale
  and is forgotten; if it goes on, it is the next turn and keeps its first syllable. So stale
  speech is heard only where it still comes when the guard is over, is more than `STALE_S`, or
  is more than `STRAY_S` and a `segment_end` follows within `QUIET_S`;
- a lost `segment_end` ends its turn `IDLE_S` after it has been heard.

Nothing is numbered, so lost speech can only be guessed from the time: a gap is counted where
speech goes on `FLOW_S` after all that was here of its turn was due to be heard. A sender that
pauses in mid-turn looks the same, and what is lost while more is here is not seen at all.
"""

from collections import Counter
from typing import Final

from agent_side.wire import MAX_PCM, Interrupt, Message, Pcm, SegmentEnd, StreamEnded
from worker.media import SAMPLE_RATE
from worker.turns.playout import Ended
from worker.turns.segments import MAX_WAITING_S, AudioSegment, SegmentQueue

GRACE_S: Final = 0.1
"""Speech so soon after `segment_end` may still belong to the turn that it ended."""

IDLE_S: Final = 2.0
"""A turn whose speech has run out for so long is over, `segment_end` or not."""

GUARD_MIN_S: Final = 0.06
GUARD_MAX_S: Final = 0.2
"""Speech so soon after INTERRUPT is held back; longer where the network stutters."""

QUIET_S: Final = 0.25
"""Held speech followed by such a pause was the rest of the dead turn."""

STALE_S: Final = 0.4
"""More held speech than this is a new turn, whatever follows."""

STRAY_S: Final = 0.06
"""Held speech shorter than this that is ended at once was the rest of the dead turn."""

FLOW_S: Final = 0.2
"""Speech counts as flowing when the last of it came so recently."""


class Version1:
    """The messages of an agent that does not number its turns (a `TurnTaking`)."""

    def __init__(self, speech: SegmentQueue, rate: int, counters: Counter[str]) -> None:
        self.outgoing: list[Message] = []
        self.gaps = 0
        self._speech = speech
        self._rate = rate
        self._counters = counters
        self._open: AudioSegment | None = None
        self._unacked: list[int] = []
        self._interrupt_unacked = False
        self._closing_since: float | None = None
        self._tail = _Pieces(rate)
        self._guard_until: float | None = None
        self._flowed = False
        self._held = _Pieces(rate)
        self._newest_pcm = float("-inf")
        self._gap_s = 0.0
        self._heard_by = float("-inf")
        self._idle_ended = False
        self._accepts_turns = True

    @property
    def speaking(self) -> bool:
        """A turn is open: speech of it may still come."""
        return self._open is not None

    @property
    def unacked(self) -> int:
        return len(self._unacked)

    def receive(self, message: Message, now: float) -> bool:
        match message:
            case Pcm(data):
                self._resolve_tail(now)
                self._pcm(data, now)
            case SegmentEnd():
                self._resolve_tail(now)
                self._segment_end(now)
            case Interrupt():
                self._interrupt(now)
            case _:
                return False
        return True

    def started(self, segment: int, now: float) -> None:
        """Version 1 has no word for it."""

    def ended(self, ended: Ended, now: float) -> None:
        if ended.segment not in self._unacked:
            return
        self._unacked.remove(ended.segment)
        if self._open is not None and self._open.number == ended.segment:
            self._open = None
        if ended.interrupted:
            if not self._interrupt_unacked:
                return
            self._interrupt_unacked = False
        self.outgoing.append(StreamEnded(ended.samples / SAMPLE_RATE, ended.interrupted))

    def advance(self, now: float) -> None:
        self._resolve_tail(now)
        if self._guard_until is not None and now >= self._guard_until:
            if not self._held:
                self._guard_until = None
            elif self._held.seconds > STALE_S:
                self._release_held(now)
            elif now - self._held.newest > IDLE_S:
                self._forget_held()
        newest = max(self._heard_by, self._newest_pcm)
        if self._open is not None and self._closing_since is None and now > newest + IDLE_S:
            self._counters["segment_end_missing"] += 1
            self._idle_ended = True
            self._close()

    def accept_no_turn(self) -> None:
        self._accepts_turns = False

    def release(self) -> None:
        self._unacked.clear()
        self._held.clear()
        self._guard_until = None
        if self._open is not None:
            self._take_tail()
            self._close()

    def _pcm(self, data: bytes, now: float) -> None:
        if self._speech.waiting_s > MAX_WAITING_S:
            self._counters["audio_refused_full"] += 1
            return
        gap = now - self._newest_pcm
        if gap < FLOW_S:
            self._gap_s = max(gap, 0.9 * self._gap_s)
        self._newest_pcm = now
        self._idle_ended = False
        if self._guard_until is not None:
            self._pcm_after_interrupt(data, now)
        elif self._closing_since is not None:
            self._tail.add(data, now)
            if self._tail.size > MAX_PCM:
                self._split(now)
        else:
            self._append(data, now)

    def _append(self, data: bytes, now: float) -> None:
        if self._open is None:
            if not self._accepts_turns:
                self._counters["turn_while_leaving"] += 1
                return
            if self._speech.full:
                self._counters["audio_refused_full"] += 1
                return
            self._open = self._begin_turn()
        elif now > self._heard_by + FLOW_S:
            self.gaps += 1
        self._open.append(data)
        self._heard_by = max(now, self._heard_by) + len(data) / 2 / self._rate

    def _begin_turn(self) -> AudioSegment:
        segment = self._speech.open(self._rate)
        self._unacked.append(segment.number)
        return segment

    # segment_end ---------------------------------------------------------------------------

    def _segment_end(self, now: float) -> None:
        if self._guard_until is not None:
            stray = self._flowed and self._held.seconds <= STRAY_S
            early = now < self._guard_until and (stray or not self._held)
            if early or self._rest_is_stale(now):
                self._counters["control_stray"] += 1
                self._forget_held()
                return
            self._release_held(now)
        if self._closing_since is not None:
            if not self._tail:
                self._counters["control_duplicate"] += 1
                return
            self._split(now)
        if self._open is not None:
            self._closing_since = now
        elif self._idle_ended:
            self._counters["control_stray"] += 1
            self._idle_ended = False
        elif not self._accepts_turns:
            self._counters["turn_while_leaving"] += 1
        elif self._speech.full:
            self._counters["turn_refused"] += 1
        else:
            self._open = self._begin_turn()
            self._closing_since = now

    def _resolve_tail(self, now: float) -> None:
        """Once the grace is over, say whose the speech after `segment_end` was."""
        since = self._closing_since
        if since is None or now < since + GRACE_S:
            return
        if self._tail and self._tail.newest > since + GRACE_S / 2:
            self._split(now)
            return
        self._take_tail()
        self._close()

    def _take_tail(self) -> None:
        if self._open is not None and self._tail:
            self._counters["audio_late"] += 1
            for data in self._tail.take():
                self._open.append(data)

    def _split(self, now: float) -> None:
        """The speech after `segment_end` is the next turn."""
        tail = self._tail.take()
        self._close()
        for data in tail:
            self._append(data, now)

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
        self._open = None
        self._closing_since = None

    # INTERRUPT -----------------------------------------------------------------------------

    def _interrupt(self, now: float) -> None:
        if self._unacked:
            self._interrupt_unacked = True
        elif self._held:
            self.outgoing.append(StreamEnded(0.0, interrupted=True))
        else:
            self._counters["control_stray"] += 1
        self._speech.cut()
        self._open = None
        self._closing_since = None
        self._tail.clear()
        self._held.clear()
        self._heard_by = now
        self._flowed = now - self._newest_pcm < FLOW_S
        guard_s = GUARD_MIN_S
        if self._flowed:
            guard_s = min(GUARD_MAX_S, GUARD_MIN_S + 2 * self._gap_s)
        self._guard_until = now + guard_s

    def _pcm_after_interrupt(self, data: bytes, now: float) -> None:
        assert self._guard_until is not None
        if self._rest_is_stale(now):
            self._forget_held()
        over = now >= self._guard_until
        self._held.add(data, now)
        if over:
            self._release_held(now)

    def _rest_is_stale(self, now: float) -> bool:
        quiet = bool(self._held) and now - self._held.newest >= QUIET_S
        return quiet and self._held.seconds <= STALE_S

    def _forget_held(self) -> None:
        if self._held:
            self._counters["audio_stale"] += 1
        self._held.clear()

    def _release_held(self, now: float) -> None:
        self._guard_until = None
        for data in self._held.take():
            self._append(data, now)


class _Pieces:
    """Speech whose turn is not known yet, with the time of the newest piece."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pieces: list[bytes] = []
        self.size = 0
        """Bytes."""
        self.newest = float("-inf")

    def __bool__(self) -> bool:
        return bool(self._pieces)

    @property
    def seconds(self) -> float:
        return self.size / 2 / self._rate

    def add(self, data: bytes, now: float) -> None:
        self._pieces.append(data)
        self.size += len(data)
        self.newest = now

    def take(self) -> list[bytes]:
        pieces = self._pieces
        self.clear()
        return pieces

    def clear(self) -> None:
        self._pieces, self.size = [], 0
