"""Mouth shapes from level and spectrum: causal, 40 ms at a time, no model to load.

Level says how far the mouth is open, measured against a slow automatic gain; the spectrum says
what kind of sound it is. Vowels are told apart by their formants, coarsely: energy around
800 Hz opens the mouth (a), energy around 2.3 kHz spreads it (i, e), neither rounds it (o, u).
Fricatives, whose energy lies above 4 kHz, show narrow teeth.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.media import FRAME_SAMPLES, SAMPLE_RATE, Pcm

HOP: Final = SAMPLE_RATE // 100
"""10 ms: short enough to see the closure of a p within a block."""

QUIETEST_DB: Final = -54.0
"""Below this, relative to full scale, nothing is speech."""
FIRST_PEAK_DB: Final = -24.0
SPEECH_RANGE_DB: Final = 26.0
"""From the loudest vowels down to where the mouth is shut."""
NOISE_MARGIN_DB: Final = 7.0
PEAK_RISE: Final = 0.35
PEAK_FALL_DB: Final = 0.06
"""Per block while there is speech, 1.5 dB a second: a quieter speaker opens up in a few seconds."""
FLOOR_RISE_DB: Final = 0.12
FLOOR_BELOW_PEAK_DB: Final = 20.0

OPEN_SPEED: Final = 0.8
"""Share of the way that the mouth opens in one picture; it shuts all the way in one."""
WIDTH_SPEED: Final = 0.6
STILL: Final = 0.05
"""Smaller changes of opening are flutter."""
FRICATIVE_OPENING: Final = 0.2
FRICATIVE_WIDTH: Final = 0.45


@dataclass(frozen=True, slots=True)
class MouthShape:
    """`opening` 0 is shut, 1 wide open; `width` -1 is rounded, 1 spread."""

    opening: float
    width: float


SHUT: Final = MouthShape(0.0, 0.0)

_WINDOW: Final = np.hanning(FRAME_SAMPLES).astype(np.float32)
_BIN_HZ: Final = SAMPLE_RATE / FRAME_SAMPLES


def _bins(low_hz: float, high_hz: float) -> slice:
    return slice(round(low_hz / _BIN_HZ), round(high_hz / _BIN_HZ))


_VOICE: Final = _bins(150, 4000)
_CLOSE_VOWEL: Final = _bins(200, 500)
_OPEN_VOWEL: Final = _bins(600, 1150)
_BACK: Final = _bins(500, 1400)
_FRONT: Final = _bins(1700, 3000)
_HISS: Final = _bins(4000, 11_000)


class SpectrumLipSync:
    """One speaker's mouth. Not one sample beyond the block that was pushed is looked at."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the speaker: gain, noise and the mouth as it was."""
        self._peak_db = FIRST_PEAK_DB
        self._floor_db = QUIETEST_DB
        self._tilt_db = -13.0
        self._shape = SHUT

    def push(self, pcm: Pcm) -> MouthShape:
        """The mouth that goes with `pcm`: the next 1 to 960 samples, or none at a speech's end."""
        if not pcm.any():
            self._shape = SHUT
            return SHUT
        block = np.zeros(FRAME_SAMPLES, np.float32)
        block[: len(pcm)] = pcm
        block /= 32768.0
        level_db = self._level_db(block)
        gate_db = self._follow(level_db)
        if level_db <= gate_db:
            self._shape = SHUT
            return SHUT
        loudness = min(1.0, (level_db - gate_db) / (self._peak_db - 3.0 - gate_db))
        self._shape = self._towards(self._target(block, loudness))
        return self._shape

    def _level_db(self, block: npt.NDArray[np.float32]) -> float:
        """The block's level, led by its quieter hops: a closure of 20 ms shuts the mouth."""
        change = np.empty_like(block)
        change[0] = block[0]
        np.subtract(block[1:], 0.7 * block[:-1], out=change[1:])
        powers = np.square(change).reshape(-1, HOP).mean(axis=1)
        mean, quiet = float(powers.mean()), float(np.sort(powers)[:2].mean())
        return 10 * math.log10(0.5 * mean + 0.5 * quiet + 1e-12)

    def _follow(self, level_db: float) -> float:
        """Let gain and noise floor follow the speaker; the level at which the mouth shuts."""
        if level_db > self._peak_db:
            self._peak_db += PEAK_RISE * (level_db - self._peak_db)
        elif level_db > self._peak_db - SPEECH_RANGE_DB:
            self._peak_db -= PEAK_FALL_DB
        rise = self._floor_db + FLOOR_RISE_DB
        self._floor_db = max(QUIETEST_DB, min(level_db, rise, self._peak_db - FLOOR_BELOW_PEAK_DB))
        return max(self._peak_db - SPEECH_RANGE_DB, self._floor_db + NOISE_MARGIN_DB, QUIETEST_DB)

    def _target(self, block: npt.NDArray[np.float32], loudness: float) -> MouthShape:
        power = np.square(np.abs(np.fft.rfft(block * _WINDOW)))

        def energy_db(bins: slice) -> float:
            return 10 * math.log10(float(power[bins].sum()) + 1e-9)

        hiss = _ramp(energy_db(_HISS) - energy_db(_VOICE), -3.0, 5.0)
        openness = 0.45 + 0.55 * _ramp(energy_db(_OPEN_VOWEL) - energy_db(_CLOSE_VOWEL), -14.0, 2.0)
        tilt_db = energy_db(_FRONT) - energy_db(_BACK)
        if loudness > 0.5 and hiss < 0.5:
            self._tilt_db += 0.02 * (tilt_db - self._tilt_db)
        width = math.tanh((tilt_db - self._tilt_db) / 9.0)
        opening = loudness * openness
        return MouthShape(
            opening + hiss * (FRICATIVE_OPENING * min(1.0, 2 * loudness) - opening),
            width + hiss * (FRICATIVE_WIDTH - width),
        )

    def _towards(self, target: MouthShape) -> MouthShape:
        opening, width = self._shape.opening, self._shape.width
        change = target.opening - opening
        if abs(change) > STILL:
            opening += change * (OPEN_SPEED if change > 0 else 1.0)
        return MouthShape(opening, width + WIDTH_SPEED * (target.width - width))


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def openings(pcm: Pcm, offset: int = 0) -> npt.NDArray[np.float64]:
    """The mouth's opening at 25 pictures a second for speech that begins at sample `offset`.

    For measuring: the same numbers as a renderer draws when it is fed `pcm[offset:]` (24 kHz).
    """
    lips = SpectrumLipSync()
    starts = range(offset, len(pcm), FRAME_SAMPLES)
    return np.array([lips.push(pcm[start : start + FRAME_SAMPLES]).opening for start in starts])
