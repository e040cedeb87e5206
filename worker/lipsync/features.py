"""Sound to log-mel features: causal, 40 ms at a time, normalised to the speaker as it goes.

Each group of four hops goes through arrays of one fixed shape, so that the results do not
depend on how the sound was cut: sums of another shape may round differently.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.lipsync.shape import Floats
from worker.media import SAMPLE_RATE

HOP: Final = SAMPLE_RATE // 100
GROUP: Final = 4
"""Hops that are worked on at once: 40 ms, what a renderer pushes."""
GROUP_SAMPLES: Final = GROUP * HOP
WINDOW: Final = 600
"""25 ms: the spectrum of hop i is that of the sound from 10 i - 15 to 10 i + 10 ms."""
FFT: Final = 1024

BANDS: Final = 40
LOWEST_HZ: Final = 60.0
HIGHEST_HZ: Final = 7600.0
"""The training voices have no more."""
FEATURES: Final = BANDS + 1

FLOOR_POWER: Final = 1e-9
"""Added to a band's power, full scale being 1: about the noise of 16-bit rounding."""
DEEPEST_DB: Final = -65.0
"""Below the speaker's loudest; what is less is nothing."""

FIRST_PEAK_DB: Final = -50.0
QUIETEST_PEAK_DB: Final = -62.0
"""Of vowels whose samples reach -45 dB of full scale, with some margin."""
PEAK_RISE: Final = 0.5
PEAK_FALL_DB: Final = 0.02
"""Per hop of speech, 2 dB a second."""
SPEECH_RANGE_DB: Final = 28.0
"""A hop this far below the peak, or more, says nothing of the speaker."""

FLOOR_RISE_DB: Final = 0.1
"""Per hop: what was quietest is forgotten by 10 dB a second."""
SILENT_DB: Final = -66.0
"""Of full scale: so quiet it is only where there is nothing but a voice."""
RANGE_GROUPS: Final = 8
"""Before, hardly anything was heard of a new sound."""

MEAN_HOPS: Final = 300
FIRST_HOPS: Final = 40
"""What the mean of all speakers counts for at the start of a session, in hops."""
TENS_OF_DB: Final = 0.1
"""Features come in tens of decibels: near 1, as nets like it."""


def mel_edges() -> npt.NDArray[np.float64]:
    """BANDS + 2 frequencies in Hz, evenly spaced in mel: where the triangles meet."""
    lowest, highest = (2595.0 * math.log10(1.0 + hz / 700.0) for hz in (LOWEST_HZ, HIGHEST_HZ))
    mel = np.linspace(lowest, highest, BANDS + 2)
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))


def mel_filters(edges: npt.NDArray[np.float64]) -> Floats:
    """Triangles between those edges, shape (BINS, BANDS)."""
    hz = np.arange(BINS)[:, None] * (SAMPLE_RATE / FFT)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (hz - low) / (middle - low), (high - hz) / (high - middle)
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


BINS: Final = int(HIGHEST_HZ * FFT / SAMPLE_RATE) + 1
FILTERS: Final = mel_filters(mel_edges())

HANN: Final = np.hanning(WINDOW).astype(np.float32)
_SCALE: Final = np.float32(1.0 / (32768.0**2 * float(np.square(HANN).sum())))


def band_powers(windowed: Floats, filters: Floats) -> Floats:
    """Power in each band, (n, BANDS), of windowed frames (n, FFT); full scale is 1."""
    spectrum = np.fft.rfft(windowed)[:, :BINS]
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    bands: Floats = np.matmul(power.astype(np.float32), filters)
    bands *= _SCALE
    bands += np.float32(FLOOR_POWER)
    return bands


def first_mean() -> Floats:
    """Levels of the bands of speech below its peak, in dB, averaged over many voices."""
    return np.interp(
        np.arange(BANDS), [0, 3, 12, 20, 28, BANDS - 1], [-22, -14, -20, -26, -30, -33]
    ).astype(np.float32)


class Features:
    """One session's ear: keeps the end of the sound, the speaker's peak and mean spectrum."""

    def __init__(self, filters: Floats = FILTERS) -> None:
        self._filters = filters
        self._padded = np.zeros((GROUP, FFT), np.float32)
        self.reset()

    @property
    def range_db(self) -> float | None:
        """How far the speaker's loudest lies above the quietest of the last seconds.

        None where that is not known yet.
        """
        if self._groups < RANGE_GROUPS or self._peak_db <= FIRST_PEAK_DB:
            return None
        return math.inf if self._floor_db < SILENT_DB else self._peak_db - self._floor_db

    def reset(self) -> None:
        """Forget the sound and the speaker."""
        self.hush()
        self._peak_db = FIRST_PEAK_DB
        self._mean = first_mean().copy()
        self._heard = FIRST_HOPS

    def hush(self) -> None:
        """Forget the sound; who spoke speaks on after a while."""
        self._sound = np.zeros(WINDOW - HOP + GROUP_SAMPLES, np.float32)
        self._frames = np.lib.stride_tricks.sliding_window_view(self._sound, WINDOW)[::HOP]
        self._floor_db = math.inf
        self._groups = 0

    def push(self, pcm: npt.NDArray[np.int16]) -> Floats:
        """The features, (GROUP, FEATURES), of the next GROUP_SAMPLES samples."""
        self._sound[:-GROUP_SAMPLES] = self._sound[GROUP_SAMPLES:]
        self._sound[-GROUP_SAMPLES:] = pcm
        np.multiply(self._frames, HANN, out=self._padded[:, :WINDOW])
        bands = band_powers(self._padded, self._filters)
        levels_db = (10.0 * np.log10(bands.sum(axis=1))).tolist()
        np.log10(bands, out=bands)
        bands *= np.float32(10.0)
        peaks_db, shares = zip(*map(self._follow, levels_db), strict=True)
        bands -= np.array(peaks_db, np.float32)[:, None]
        np.maximum(bands, np.float32(DEEPEST_DB), out=bands)
        features = np.empty((GROUP, FEATURES), np.float32)
        mean = self._mean
        for hop, share in enumerate(shares):
            if share:
                mean += (bands[hop] - mean) * share
            np.subtract(bands[hop], mean, out=features[hop, :BANDS])
        features[:, BANDS] = np.subtract(levels_db, peaks_db)
        np.maximum(features[:, BANDS], np.float32(DEEPEST_DB), out=features[:, BANDS])
        features *= np.float32(TENS_OF_DB)
        self._groups += 1
        return features

    def _follow(self, level_db: float) -> tuple[float, np.float32]:
        """Peak of the speaker after this hop, in dB, and the hop's share of the mean spectrum."""
        self._floor_db = min(level_db, self._floor_db + FLOOR_RISE_DB)
        if level_db > self._peak_db:
            self._peak_db += PEAK_RISE * (level_db - self._peak_db)
        if level_db <= self._peak_db - SPEECH_RANGE_DB:
            return self._peak_db, np.float32(0.0)
        if self._peak_db > QUIETEST_PEAK_DB:
            self._peak_db -= PEAK_FALL_DB
        self._heard = min(self._heard + 1, MEAN_HOPS)
        return self._peak_db, np.float32(1.0 / self._heard)
