"""The floor of the table: a mouth that only knows how loud it is."""

from typing import Final

import numpy as np

from benchmarks.lipsync.metric import LipReading
from worker.lipsync.shape import VISEMES
from worker.media import SAMPLE_RATE, Pcm

HOP: Final = SAMPLE_RATE // 100
RANGE_DB: Final = 30.0
"""From the loudest of the last seconds down to where the mouth is shut."""
FALL_DB: Final = 0.06
"""By how much the loudest is forgotten in a hop: 6 dB a second."""
QUIETEST_DB: Final = -60.0
STEPS: Final = ((0.12, "sil"), (0.45, "I"), (0.7, "E"), (2.0, "aa"))
"""Below which opening it takes the sound to be what."""


def amplitude(pcm: Pcm) -> LipReading:
    """What a level meter with an automatic gain makes of `pcm`."""
    hops = -(-len(pcm) // HOP)
    padded = np.zeros(hops * HOP)
    padded[: len(pcm)] = pcm / 32768.0
    db = 10 * np.log10(np.square(padded.reshape(hops, HOP)).mean(axis=1) + 1e-12)
    peak = QUIETEST_DB + RANGE_DB
    opening = np.zeros(hops, np.float32)
    for hop, level in enumerate(db):
        peak = max(level, peak - FALL_DB, QUIETEST_DB + RANGE_DB)
        opening[hop] = min(1.0, max(0.0, 1 + (level - peak) / RANGE_DB))
    names = [next(name for below, name in STEPS if value < below) for value in opening]
    visemes = np.array([VISEMES.index(name) for name in names])
    return LipReading(visemes, opening, np.zeros(hops, np.float32))
