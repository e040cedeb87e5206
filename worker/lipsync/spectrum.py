"""Mouth shapes from level and spectrum: causal, 40 ms at a time, no model to load.

Level says how far the mouth is open, measured against a slow automatic gain; the spectrum says
what kind of sound it is. Vowels are told apart by their formants, coarsely: energy around
800 Hz opens the mouth (a), energy around 2.3 kHz spreads it (i, e), neither rounds it (o, u).
Fricatives, whose energy lies above 4 kHz, show narrow teeth.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.lipsync.shape import SHUT, MouthShape
from worker.media import FRAME_SAMPLES, SAMPLE_RATE, Pcm

HOP: Final = SAMPLE_RATE // 100
"""10 ms: short enough to see the closure of a p within a block."""

QUIETEST_DB: Final = -66.0
"""Below this, relative to full scale, nothing is speech."""
FIRST_PEAK_DB: Final = -24.0
SPEECH_RANGE_DB: Final = 26.0
"""From the loudest vowels down to where the mouth is shut."""
NOISE_MARGIN_DB: Final = 7.0
PEAK_RISE: Final = 0.35
PEAK_FALL_DB: Final = 0.06
"""Per block while there is speech: 1.5 dB a second."""
FIRST_FALL_DB: Final = 1.5
"""The same until a peak was heard: a quiet speaker opens up within a second."""
SURELY_SPEECH_DB: Final = 8.0
"""Above the noise floor, and not hissing as noise does: what the gain may follow down."""
MEAN_SHARE: Final = 0.3
"""Of a block's mean power in its level; the rest is that of its quieter half."""
FLOOR_RISE_DB: Final = 0.25
FLOOR_BELOW_PEAK_DB: Final = 20.0
NEAR_PEAK_DB: Final = 5.0

FIRST_TILT_DB: Final = -13.0
"""Of most voices, from the back vowels' band to the front vowels'; then it follows the speaker."""
TILT_SPEED: Final = 0.02
TILT_REACH_DB: Final = 9.0

OPEN_SPEED: Final = 0.8
"""Share of the way that the mouth opens in one picture; it shuts all the way in one."""
WIDTH_SPEED: Final = 0.6
STILL: Final = 0.05
"""Smaller changes of opening are flutter."""
WIDEST: Final = 0.9
"""A mouth all the way open is for shouting."""
FRICATIVE_OPENING: Final = 0.2
FRICATIVE_WIDTH: Final = 0.45


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
        self._peak_heard = False
        self._tilt_db = FIRST_TILT_DB
        self._shape = SHUT

    def push(self, pcm: Pcm) -> MouthShape:
        """The mouth that goes with `pcm`: the next 1 to 960 samples, or none at a speech's end."""
        if not pcm.any():
            self._shape = SHUT
            return SHUT
        block = np.zeros(FRAME_SAMPLES, np.float32)
        block[: len(pcm)] = pcm
        block /= 32768.0
        power = np.square(np.abs(np.fft.rfft(block * _WINDOW)))
        hiss = _ramp(_energy_db(power, _HISS) - _energy_db(power, _VOICE), -3.0, 5.0)
        level_db = _level_db(block)
        gate_db = self._follow(level_db, voiced=hiss < 0.5)
        if level_db <= gate_db:
            self._shape = SHUT
            return SHUT
        loudness = min(1.0, (level_db - gate_db) / (self._peak_db - 3.0 - gate_db))
        self._shape = self._towards(self._target(power, hiss, loudness))
        return self._shape

    def _follow(self, level_db: float, *, voiced: bool) -> float:
        """Let gain and noise floor follow the speaker; the level at which the mouth shuts."""
        self._peak_heard |= level_db > self._peak_db - NEAR_PEAK_DB
        if level_db > self._peak_db:
            self._peak_db += PEAK_RISE * (level_db - self._peak_db)
        elif voiced and level_db > self._floor_db + SURELY_SPEECH_DB:
            self._peak_db -= PEAK_FALL_DB if self._peak_heard else FIRST_FALL_DB
        rise = self._floor_db + FLOOR_RISE_DB
        self._floor_db = max(QUIETEST_DB, min(level_db, rise, self._peak_db - FLOOR_BELOW_PEAK_DB))
        return max(self._peak_db - SPEECH_RANGE_DB, self._floor_db + NOISE_MARGIN_DB, QUIETEST_DB)

    def _target(self, power: npt.NDArray[np.float32], hiss: float, loudness: float) -> MouthShape:
        """The mouth that the spectrum asks for, at once and without the speaker's inertia."""
        openness = 0.45 + 0.55 * _ramp(
            _energy_db(power, _OPEN_VOWEL) - _energy_db(power, _CLOSE_VOWEL), -14.0, 2.0
        )
        tilt_db = _energy_db(power, _FRONT) - _energy_db(power, _BACK)
        if loudness > 0.5 and hiss < 0.5:
            self._tilt_db += TILT_SPEED * (tilt_db - self._tilt_db)
        width = math.tanh((tilt_db - self._tilt_db) / TILT_REACH_DB)
        opening = WIDEST * loudness * openness
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


def _level_db(block: npt.NDArray[np.float32]) -> float:
    """The block's level, led by its quieter hops: a closure of 20 ms shuts the mouth."""
    change = np.empty_like(block)
    change[0] = block[0]
    np.subtract(block[1:], 0.7 * block[:-1], out=change[1:])
    powers = np.square(change).reshape(-1, HOP).mean(axis=1)
    mean, quiet = float(powers.mean()), float(np.sort(powers)[:2].mean())
    return 10 * math.log10(MEAN_SHARE * mean + (1 - MEAN_SHARE) * quiet + 1e-12)


def _energy_db(power: npt.NDArray[np.float32], bins: slice) -> float:
    return 10 * math.log10(float(power[bins].sum()) + 1e-9)


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def openings(pcm: Pcm, offset: int = 0) -> npt.NDArray[np.float64]:
    """The mouth's opening at 25 pictures a second for speech that begins at sample `offset`.

    For measuring: the same numbers as a renderer draws when it is fed `pcm[offset:]` (24 kHz).
    """
    lips = SpectrumLipSync()
    starts = range(offset, len(pcm), FRAME_SAMPLES)
    return np.array([lips.push(pcm[start : start + FRAME_SAMPLES]).opening for start in starts])
