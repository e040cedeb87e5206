"""How well a mouth in a film goes with the phonemes of its sound.

Pure: a row of what is seen, and what is said. Who measures the pixels says how far the mouth is
open in each picture, 0 shut to 1 wide open.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.lipsync.metric import SHUT_BELOW, bilabials, truly_silent
from training.labels import Interval, blended, per_hop, seen
from worker.lipsync.shape import HOP_S

PICTURE_S: Final = 0.04
MOST_MS: Final = 200
"""Offset that is looked for, to both sides, in steps of 1 ms."""


@dataclass(frozen=True, slots=True)
class FilmedMouth:
    """What a film's mouth did.

    `correlation` is Pearson's r of the visible with the reference opening, as shown; `offset_ms`
    the shift that makes it greatest, + where the picture is late. `pause_opening` is the largest
    opening in a pause (nan without one), `shut` on how many of `bilabials` a picture was shut.
    """

    correlation: float
    offset_ms: float
    pause_opening: float
    shut: int
    bilabials: int


def judged(
    openings: Sequence[float],
    first_s: float,
    phonemes: Sequence[Interval],
    *,
    shut_below: float = SHUT_BELOW,
) -> FilmedMouth:
    """`openings` of pictures at 25 FPS; the first is shown from `first_s` on, in the time of
    `phonemes` (0 is the first sample of the sound).

    A picture speaks of its middle. What no interval covers is a pause, before and after the
    sound, too.

    Raises:
        ValueError: there is no picture, or the mouth never moves.
        UnknownPhonemeError: a phoneme of no known alphabet.
    """
    shown = np.asarray(openings, np.float64)
    if len(shown) == 0 or np.ptp(shown) == 0:
        raise ValueError("the mouth does not move in the film, so nothing can be correlated")
    middles = np.asarray(first_s + (np.arange(len(shown)) + 0.5) * PICTURE_S, np.float64)
    begin_s = min(0.0, float(middles[0])) - 1.0
    end_s = max(max((end for _, end, _ in phonemes), default=0.0), float(middles[-1])) + 1.0
    said = [(start - begin_s, end - begin_s, name) for start, end, name in seen(phonemes)]
    visemes = per_hop(said, round((end_s - begin_s) / HOP_S))
    opening, _ = blended(visemes)
    moments = (np.arange(len(visemes)) + 0.5) * HOP_S + begin_s

    def r(late_s: float) -> float:
        reference = np.interp(middles - late_s, moments, opening)
        return float(np.corrcoef(reference, shown)[0, 1]) if np.ptp(reference) > 0 else 0.0

    shifts = sorted(range(-MOST_MS, MOST_MS + 1), key=abs)
    offset_ms = max(shifts, key=lambda ms: r(ms / 1000))
    hops = np.clip(((middles - begin_s) / HOP_S).astype(int), 0, len(visemes) - 1)
    pauses = shown[truly_silent(visemes)[hops]]
    closures = [(start + begin_s, end + begin_s) for start, end in bilabials(said)]
    return FilmedMouth(
        correlation=r(0.0),
        offset_ms=float(offset_ms),
        pause_opening=float(pauses.max()) if len(pauses) else float("nan"),
        shut=sum(_seen_shut(shown < shut_below, middles, closure) for closure in closures),
        bilabials=len(closures),
    )


def _seen_shut(
    shut: npt.NDArray[np.bool_], middles: npt.NDArray[np.float64], closure: tuple[float, float]
) -> bool:
    """Whether one of the pictures that are shown during `closure` is shut."""
    half = PICTURE_S / 2
    during = (middles > closure[0] - half) & (middles < closure[1] + half)
    return bool(shut[during].any())
