"""What a recording tells: latencies, and how far picture and sound are apart."""

from collections.abc import Sequence
from typing import Final

import av
import numpy as np
import numpy.typing as npt

from worker.characters.gauge import mouth_opening
from worker.lipsync.lips import read
from worker.lipsync.shape import HOP_S
from worker.media import FPS, SAMPLE_RATE, Picture
from worker.meeting_support.tracks import PIECE_S
from worker.meeting_support.viewed_tracks import TrackRecording
from worker.tools.film import Film

Floats = npt.NDArray[np.float64]

OPEN_MOUTH: Final = 0.1
"""A mouth that is open further than this is seen to be; 1 is wide open."""


def percentile(values: Sequence[float] | Floats, percent: float) -> float:
    return round(float(np.percentile(np.asarray(values), percent)), 1)


def first_frame_ms(film: TrackRecording, since_s: float) -> float:
    """From `since_s` until the first frame of a turn was handed to the tracks."""
    return 1000 * (
        next(p.time_s for p in film.published if p.time_s >= since_s and p.frame.segment) - since_s
    )


def silence_ms(film: TrackRecording, since_s: float, until_s: float) -> float:
    """From `since_s` until the last voiced sample before `until_s` had been played."""
    ends = [
        piece.time_s + (1 + int(np.flatnonzero(piece.pcm)[-1])) / SAMPLE_RATE
        for piece in film.sound
        if since_s - PIECE_S < piece.time_s < until_s and piece.pcm.any()
    ]
    return 1000 * max(0.0, max(ends, default=since_s) - since_s)


def closed_ms(film: TrackRecording, since_s: float) -> float:
    """From `since_s` until a picture with a closed mouth left the picture track."""
    for shown in film.pictures:
        if shown.time_s < since_s:
            continue
        if mouth_opening(planes(shown.picture).y) <= OPEN_MOUTH:
            return 1000 * (shown.time_s - since_s)
    raise ValueError("The mouth never closed.")


def planes(picture: av.VideoFrame | Picture) -> Picture:
    """The planes of a picture that a viewer received."""
    if isinstance(picture, Picture):
        return picture
    rows = [np.frombuffer(bytes(p), np.uint8).reshape(-1, p.line_size) for p in picture.planes]
    y, u, v = (r[: p.height, : p.width] for r, p in zip(rows, picture.planes, strict=True))
    return Picture(y, u, v)


def seen_openings(film: Film) -> Floats:
    """How far the mouth is open in each picture of a film: 0 shut, 1 wide open."""
    return np.array([mouth_opening(luma) for luma in film.luma])


def offsets_ms(film: Film, window_s: float = 2.0, step_ms: float = 2.5) -> list[float]:
    """How late the pictures are against the sound, for each window of a film in which it speaks.

    The mouth is read from the pixels and compared with the mouth that the film's own sound
    calls for when it is shifted; the shift with the highest correlation is the offset. A
    picture speaks of its middle; one that comes before its sound is negative.
    """
    seen = seen_openings(film)
    called = read(film.sound).opening
    moments = (np.arange(len(called)) + 0.5) * HOP_S
    middles = (np.arange(len(seen)) + 0.5) / FPS
    shifts = np.arange(-40, 40.1, step_ms)
    rows = [np.interp(middles - late_ms / 1000, moments, called) for late_ms in shifts]
    length = min(len(seen), int(len(film.sound) / SAMPLE_RATE * FPS))
    offsets = []
    for begin in range(0, length - int(window_s * FPS) + 1, int(window_s * FPS)):
        window = slice(begin, begin + int(window_s * FPS))
        if seen[window].std() < OPEN_MOUTH / 2:
            continue
        scores = [_correlation(seen[window], row[window]) for row in rows]
        offsets.append(float(shifts[int(np.argmax(scores))]))
    return offsets


def _correlation(a: Floats, b: Floats) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else 0.0
