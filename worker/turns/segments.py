"""Speech on its way in: lossy chunks become exact 40 ms blocks, and the order of the turns."""

import bisect
from collections import deque
from typing import Final

import numpy as np

from worker.media import FRAME_SAMPLES, SAMPLE_RATE, Pcm
from worker.sound import Resampler

MAX_AHEAD_S: Final = 30
"""Speech further than this behind a gap is refused: no honest sender is so far ahead."""

MAX_PIECES_AHEAD: Final = 4096
"""Pieces that wait behind a gap; 30 s of an honest sender's are a quarter of that."""

MAX_ASIDE: Final = 6_000_000
"""Samples that wait behind gaps, of all turns together: 30 s at the highest rate."""

MAX_WAITING_S: Final = 900
"""Speech that waits to be heard; more is refused, and a sender without flow control knows."""

MAX_LIVING: Final = 256
"""Segments that have not ended; no more are opened meanwhile, as each costs time at each tick."""


class AudioSegment:
    """The speech of one turn, from the chunks of the network to blocks for the renderer.

    Samples are counted at the sender's rate and begin at `begin`; what comes out is 24 kHz.
    """

    def __init__(self, number: int, rate: int | None = None, begin: int = 0) -> None:
        self.number = number
        self.begin = begin
        self.received = begin
        """Samples that are here without a gap, at the sender's rate."""
        self.total: int | None = None
        """How many there will be; None while nobody has said."""
        self.gaps = 0
        """Chunks that came behind a hole: one before them was lost or is late."""
        self._resampler = None if rate is None else Resampler(rate)
        self._starts: list[int] = []
        self._ahead: dict[int, Pcm] = {}
        self.aside = 0
        """Samples that wait behind a gap."""
        self._gaps_of: tuple[int, tuple[tuple[int, int], ...]] | None = None
        self._ready: deque[Pcm] = deque()
        self._ready_samples = 0
        self._flushed = False

    @property
    def rate(self) -> int | None:
        """The sender's sample rate in Hz; None before the first chunk."""
        return None if self._resampler is None else self._resampler.rate

    @property
    def begun(self) -> bool:
        """Some of its speech is here."""
        return self.received > self.begin or bool(self._starts)

    @property
    def complete(self) -> bool:
        """Everything that the turn has is here."""
        return self._flushed

    @property
    def exhausted(self) -> bool:
        """Everything that the turn has was taken."""
        return self._flushed and self._ready_samples == 0

    @property
    def waiting_s(self) -> float:
        """Speech that is here and was not taken, in seconds."""
        return self._ready_samples / SAMPLE_RATE

    def append(self, data: bytes) -> None:
        """More speech, s16le, in the order in which it came."""
        self._accept(np.frombuffer(data, "<i2"))

    def insert(self, first: int, rate: int, data: bytes) -> bool:
        """Speech, s16le at `rate`, whose place in the turn is `first`; any order, any repetition.

        Returns False when it cannot belong to this turn: another rate, after the turn's end,
        or out of all proportion ahead, by time or by number of pieces.
        """
        pcm: Pcm = np.frombuffer(data, "<i2")
        end = first + len(pcm)
        if self.total is not None and end > self.total:
            return False
        if first > self.received + MAX_AHEAD_S * rate or self.rate not in (None, rate):
            return False
        if self._resampler is None:
            self._resampler = Resampler(rate)
        if end <= self.received:
            return True
        self._gaps_of = None
        if first > self.received:
            return self._put_aside(first, pcm)
        self._accept(pcm[self.received - first :])
        while self._starts and self._starts[0] <= self.received:
            start = self._starts.pop(0)
            pcm = self._ahead.pop(start)
            self.aside -= len(pcm)
            if start + len(pcm) > self.received:
                self._accept(pcm[self.received - start :])
        self._flush_if_complete()
        return True

    def missing(self, most: int) -> tuple[tuple[int, int], ...]:
        """Up to `most` gaps before the newest chunk, as (first, end) pairs of samples."""
        if self._gaps_of is None or self._gaps_of[0] != most:
            self._gaps_of = most, self._find_gaps(most)
        return self._gaps_of[1]

    def close(self, total: int | None = None) -> bool:
        """The turn has `total` samples, or just those that are here, whatever was said before.

        Returns False when more than `total` are here already, and changes nothing then.
        """
        if total is None:
            self.total = total = self.received
            self._starts.clear()
            self._ahead.clear()
            self.aside = 0
            self._gaps_of = None
        newest = max((s + len(pcm) for s, pcm in self._ahead.items()), default=self.received)
        if max(newest, self.received) > total or self.total not in (None, total):
            return False
        self.total = total
        self._flush_if_complete()
        return True

    def take(self) -> Pcm | None:
        """The next 960 samples at 24 kHz, fewer once the turn is complete; None: wait."""
        wanted = min(FRAME_SAMPLES, self._ready_samples)
        if wanted == 0 or (wanted < FRAME_SAMPLES and not self._flushed):
            return None
        parts = []
        self._ready_samples -= wanted
        while wanted:
            head = self._ready.popleft()
            if len(head) > wanted:
                self._ready.appendleft(head[wanted:])
                head = head[:wanted]
            parts.append(head)
            wanted -= len(head)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def samples_heard(self, handed: int) -> int:
        """The place in the turn, at the sender's rate, after `handed` samples at 24 kHz."""
        if self.rate is None:
            return self.begin
        return min(self.begin + handed * self.rate // SAMPLE_RATE, self.received)

    def position_s(self, handed: int, *, whole: bool) -> float:
        """The place in the turn in seconds after `handed` samples at 24 kHz, or its very end."""
        if self.rate is None:
            return 0.0
        if whole:
            return self.received / self.rate
        return self.begin / self.rate + handed / SAMPLE_RATE

    def _find_gaps(self, most: int) -> tuple[tuple[int, int], ...]:
        gaps: list[tuple[int, int]] = []
        at = self.received
        for start in self._starts:
            if start > at:
                gaps.append((at, start))
            if len(gaps) == most:
                break
            at = max(at, start + len(self._ahead[start]))
        return tuple(gaps)

    def _put_aside(self, first: int, pcm: Pcm) -> bool:
        if first in self._ahead:
            longer = len(pcm) - len(self._ahead[first])
            if longer > 0:
                self._ahead[first] = pcm
                self.aside += longer
            return True
        if len(self._starts) >= MAX_PIECES_AHEAD:
            return False
        newest = self._starts[-1] if self._starts else None
        if newest is None or first > newest + len(self._ahead[newest]):
            self.gaps += 1
        bisect.insort(self._starts, first)
        self._ahead[first] = pcm
        self.aside += len(pcm)
        return True

    def _accept(self, pcm: Pcm) -> None:
        self.received += len(pcm)
        if self._resampler is not None:
            self._make_ready(self._resampler.push(pcm))

    def _flush_if_complete(self) -> None:
        if self.total is None or self.received < self.total or self._flushed:
            return
        if self._resampler is not None:
            self._make_ready(self._resampler.push(np.zeros(0, np.int16), last=True))
        self._flushed = True

    def _make_ready(self, pcm: Pcm) -> None:
        if not len(pcm):
            return
        self._ready_samples += len(pcm)
        if self._ready and len(self._ready[-1]) < FRAME_SAMPLES:
            # Pieces of a few samples would take a hundred times their own memory.
            pcm = np.concatenate([self._ready.pop(), pcm])
        self._ready.append(pcm)


class SegmentQueue:
    """The segments in the order in which they are heard, and where the live ones begin.

    An interrupt is a number: every segment below `first_live_segment` is dead, wherever it
    stands.
    """

    def __init__(self) -> None:
        self.first_live_segment = 1
        self._next = 1
        self._living: dict[int, AudioSegment] = {}
        self._untaken: deque[AudioSegment] = deque()

    def open(self, rate: int | None = None, begin: int = 0) -> AudioSegment:
        """A new segment, heard after all that were opened before it."""
        segment = AudioSegment(self._next, rate, begin)
        self._next += 1
        self._living[segment.number] = segment
        self._untaken.append(segment)
        return segment

    @property
    def full(self) -> bool:
        """As many segments as there may be have not ended; open no other."""
        return len(self._living) >= MAX_LIVING

    @property
    def living(self) -> tuple[int, ...]:
        """The segments that have not ended, in order."""
        return tuple(self._living)

    @property
    def begun(self) -> tuple[int, ...]:
        """The living segments of which some speech is here, in order."""
        return tuple(number for number, segment in self._living.items() if segment.begun)

    @property
    def waiting_s(self) -> float:
        """Speech that is here and was not taken, in seconds."""
        return sum(segment.waiting_s for segment in self._untaken)

    @property
    def aside(self) -> int:
        """Samples that wait behind gaps."""
        return sum(segment.aside for segment in self._untaken)

    def cut(self, first_live: int | None = None) -> None:
        """Every segment below `first_live`, or every one that there is, is dead from now on."""
        first_live = self._next if first_live is None else first_live
        self.first_live_segment = max(self.first_live_segment, first_live)
        while self._untaken and self._untaken[0].number < self.first_live_segment:
            self._untaken.popleft()

    def drop_dead(self) -> list[int]:
        """The dead segments that were not reported yet, in order."""
        dead = [number for number in self._living if number < self.first_live_segment]
        for number in dead:
            del self._living[number]
        return dead

    def end(self, number: int) -> None:
        """The segment was heard to its end."""
        self._living.pop(number, None)

    def take(self) -> tuple[int, Pcm | None, bool] | None:
        """(segment, block, finished) for the renderer; None while there is nothing to do.

        `block` is None where a segment only finishes.
        """
        if not self._untaken:
            return None
        segment = self._untaken[0]
        block = segment.take()
        finished = segment.exhausted
        if finished:
            self._untaken.popleft()
        elif block is None:
            return None
        return segment.number, block, finished
