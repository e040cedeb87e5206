"""What a viewer heard of each turn, found by content alone, for tests of the whole line."""

from dataclasses import dataclass, field

import numpy as np

from worker.media import FRAME_SAMPLES, PIECE_SAMPLES, Pcm
from worker.meeting_support.viewed_tracks import TrackRecording
from worker.sound import fade_in, ramp_down

PREFIX = 16
"""Samples that tell one turn from another."""


@dataclass(slots=True)
class HeardTurns:
    """How much of each turn was heard, and when the last of it left the track."""

    samples: dict[int, int] = field(default_factory=dict)
    last_left: dict[int, float] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)


def heard(film: TrackRecording, turns: dict[int, Pcm]) -> HeardTurns:
    """Check that the viewer heard nothing but the turns' own samples, each once and in order.

    Beside them only silence is allowed, and the two ramps of 5 ms that keep sound from
    clicking: up where a turn resumes after it had run dry, down where sound stops.
    """
    result = HeardTurns()
    by_pts = {piece.pts: piece for piece in film.sound}
    unheard = {_frame_before(film, cut.time_s): cut.unheard for cut in film.cuts}
    turn_of: dict[int, int] = {}
    previous, last = 0, 0
    for index, (_, frame) in enumerate(film.published):
        first, second = (
            by_pts.get(index * FRAME_SAMPLES),
            by_pts.get(index * FRAME_SAMPLES + PIECE_SAMPLES),
        )
        if first is None or second is None:
            break
        sound = np.concatenate([first.pcm, second.pcm])
        if frame.segment == 0:
            assert np.array_equal(sound, ramp_down(last, FRAME_SAMPLES)), f"noise at {index}"
        else:
            if frame.segment not in turn_of:
                turn_of[frame.segment] = _which(frame.pcm, turns)
            turn = turn_of[frame.segment]
            at = result.samples.get(turn, 0)
            expected = turns[turn][at : at + FRAME_SAMPLES]
            fresh = FRAME_SAMPLES - unheard.get(index, 0)
            count = min(len(expected), fresh)
            if at and previous != frame.segment:
                expected = fade_in(expected)
            whole = np.concatenate(
                [expected, ramp_down(int(expected[-1]), FRAME_SAMPLES - len(expected))]
            )
            assert np.array_equal(sound[:fresh], whole[:fresh]), f"turn {turn} at {at}"
            before = int(sound[fresh - 1]) if fresh else last
            assert np.array_equal(sound[fresh:], ramp_down(before, FRAME_SAMPLES - fresh))
            if count and turn not in result.samples:
                result.order.append(turn)
            if count:
                result.samples[turn] = at + count
                result.last_left[turn] = (second if count > PIECE_SAMPLES else first).time_s
        previous, last = frame.segment, int(sound[-1])
    return result


def _frame_before(film: TrackRecording, time_s: float) -> int:
    return sum(published.time_s <= time_s for published in film.published) - 1


def _which(sound: Pcm, turns: dict[int, Pcm]) -> int:
    for turn, pcm in turns.items():
        length = min(PREFIX, len(pcm))
        if np.array_equal(sound[:length], pcm[:length]):
            return turn
    raise AssertionError("sound that belongs to no turn")
