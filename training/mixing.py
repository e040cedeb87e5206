"""Other sounds under speech, band by band, while the net learns: no two batches are alike.

What `Features` makes of speech is undone up to the power of its bands, another sound's power is
added there, and the sum is normalised again as `Features` does. Where two sounds meet in a band,
their power is p + q + 2 sqrt(p q) cos(phase); over the width of a band the cosine averages to
about a normal number. That costs a hundredth of making, mixing and hearing sound.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.lipsync import features as ear
from worker.lipsync.features import BANDS, DEEPEST_DB, FEATURES, HOP, WINDOW
from worker.lipsync.shape import Floats

Halves = npt.NDArray[np.float16]
Rng = np.random.Generator

WINDOW_HZ: Final = 60.0
"""What one independent value of a spectrum spans, with a Hann window of 25 ms."""
_EDGES: Final = ear.mel_edges()
_WIDTHS: Final = (_EDGES[2:] - _EDGES[:-2]) / 2
SWING: Final = np.sqrt(0.5 / np.maximum(1.0, _WIDTHS / WINDOW_HZ)).astype(np.float32)
"""Standard deviation of the cosine in each band: that of a mean of independent cosines."""
KEPT: Final = 0.87
"""Of the cosine from one hop to the next: windows overlap by 15 ms of 25."""
OTHERS: Final = "others.npz"
"""Beside the sessions."""
KINDS: Final = ("music", "noise", "babble")
SHARES: Final = (0.72, 0.15, 0.13)
MORE: Final = 0.1
"""Share of sessions with a second other sound."""
HARD: Final = 0.65
HARD_DB: Final = (4.0, 13.0)
ANY_DB: Final = (0.0, 22.0)
"""Of speech to another sound: that share lies in the first range, the rest in the second."""


def powers(pcm: npt.NDArray[np.int16]) -> Floats:
    """(hops, BANDS), the power of each band of sound at 24 kHz as `Features` hears it."""
    hops = len(pcm) // HOP
    sound = np.concatenate([np.zeros(WINDOW - HOP, np.float32), pcm[: hops * HOP]])
    frames = np.lib.stride_tricks.sliding_window_view(sound.astype(np.float32), WINDOW)[::HOP]
    padded = np.zeros((hops, ear.FFT), np.float32)
    np.multiply(frames, ear.HANN, out=padded[:, :WINDOW])
    return ear.band_powers(padded, ear.FILTERS)


def normalised(power: Floats) -> Floats:
    """Features (n, hops, FEATURES) of sessions whose bands have that power (n, hops, BANDS)."""
    level = 10.0 * np.log10(power.sum(axis=2))
    bands = 10.0 * np.log10(power)
    count, hops, _ = power.shape
    speakers = _Speakers(count)
    out = np.empty((count, hops, FEATURES), np.float32)
    for hop in range(hops):
        speakers.peak += ear.PEAK_RISE * np.maximum(level[:, hop] - speakers.peak, 0.0)
        share = speakers.follow(level[:, hop] > speakers.peak - ear.SPEECH_RANGE_DB)
        below = np.maximum(bands[:, hop] - speakers.peak[:, None], DEEPEST_DB)
        speakers.mean += (below - speakers.mean) * share
        out[:, hop, :BANDS] = below - speakers.mean
        out[:, hop, BANDS] = np.maximum(level[:, hop] - speakers.peak, DEEPEST_DB)
    out *= ear.TENS_OF_DB
    return out


def levels(features: npt.NDArray[np.floating]) -> Halves:
    """The inverse: what is in each band, (n, hops, BANDS) in dB of full scale."""
    told = features.astype(np.float32) / np.float32(ear.TENS_OF_DB)
    count, hops, _ = told.shape
    speakers = _Speakers(count)
    out = np.empty((count, hops, BANDS), np.float16)
    for hop in range(hops):
        level = told[:, hop, BANDS]
        # Above its peak, a level is half way there after it moved up by half, and fell a little.
        speakers.peak += np.where(level > 1.5 * ear.PEAK_FALL_DB, level, 0.0)
        share = speakers.follow(level > -ear.SPEECH_RANGE_DB)
        speakers.mean += told[:, hop, :BANDS] * share / (1.0 - share)
        bands = np.maximum(told[:, hop, :BANDS] + speakers.mean, DEEPEST_DB)
        out[:, hop] = bands + speakers.peak[:, None]
    return out


class _Speakers:
    """What `Features` knows of the speakers of many sessions: `peak` (n,), `mean` (n, BANDS)."""

    def __init__(self, count: int) -> None:
        self.peak = np.full(count, ear.FIRST_PEAK_DB, np.float32)
        self.mean = np.tile(ear.first_mean(), (count, 1))
        self._heard = np.full(count, ear.FIRST_HOPS, np.float32)

    def follow(self, speech: npt.NDArray[np.bool_]) -> Floats:
        """The share (n, 1) that a hop has in the mean, where it is speech."""
        falls = speech & (self.peak > ear.QUIETEST_PEAK_DB)
        self.peak -= np.where(falls, np.float32(ear.PEAK_FALL_DB), np.float32(0.0))
        self._heard = np.minimum(self._heard + speech, ear.MEAN_HOPS)
        return np.asarray(speech / self._heard, np.float32)[:, None]


def curves(rng: Rng, count: int, spread_db: float) -> Floats:
    """(count, BANDS) in dB: gentle hills and valleys, as microphones differ."""
    places = np.linspace(0.0, 5.0, BANDS)
    out = np.empty((count, BANDS), np.float32)
    for row in out:
        row[:] = np.interp(places, np.arange(6), rng.normal(0.0, spread_db, 6))
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Others:
    """Power of other sounds, (pieces, hops, BANDS) each."""

    music: Floats
    noise: Floats

    @classmethod
    def read(cls, path: Path) -> "Others":
        with np.load(path) as arrays:
            return cls(arrays["music"], arrays["noise"])

    def write(self, path: Path) -> None:
        np.savez(path, music=self.music, noise=self.noise)


class Mixer:
    """Puts other sounds under the sessions of `speech`, levels in dB (n, hops, BANDS).

    `visemes` (n, hops) say where somebody speaks; `alone` is the share without another sound.
    """

    def __init__(
        self, speech: Halves, visemes: npt.NDArray[np.uint8], others: Others, alone: float
    ) -> None:
        self._speech, self._visemes = speech, visemes
        self._others = others
        self._alone = alone
        self._talkers = np.flatnonzero((visemes != 0).mean(axis=1) > 0.2)

    def features(self, sessions: npt.NDArray[np.integer], rng: Rng) -> Floats:
        """(len(sessions), hops, FEATURES): those sessions, mixed anew."""
        count = len(sessions)
        change = curves(rng, count, 1.5) + rng.uniform(-6.0, 6.0, (count, 1)).astype(np.float32)
        speech = _power(self._speech[sessions].astype(np.float32) + change[:, None])
        for own, session in zip(speech, sessions, strict=True):
            if rng.random() >= self._alone:
                self._under(own, self._visemes[session] != 0, rng)
                if rng.random() < MORE:
                    self._under(own, self._visemes[session] != 0, rng)
        return normalised(speech + np.float32(ear.FLOOR_POWER))

    def _under(self, own: Floats, spoken: npt.NDArray[np.bool_], rng: Rng) -> None:
        """Another sound, added to the powers `own` (hops, BANDS) of one session."""
        loud = own.sum(axis=1)
        reference = loud[spoken].mean() if spoken.any() else loud.mean() + 1e-6
        ratio_db = rng.uniform(*(HARD_DB if rng.random() < HARD else ANY_DB))
        other = self._other(len(own), rng)
        other *= np.float32(reference / other.sum(axis=1).mean() / 10.0 ** (ratio_db / 10.0))
        cosine = rng.standard_normal(own.shape, dtype=np.float32)
        cosine[1:] = KEPT * cosine[1:] + np.sqrt(1.0 - KEPT**2) * cosine[:-1]
        cosine = np.clip(cosine * SWING, -0.98, 0.98)
        own += other + 2.0 * np.sqrt(own * other) * cosine

    def _other(self, hops: int, rng: Rng) -> Floats:
        kind = rng.choice(KINDS, p=SHARES)
        if kind == "babble":
            voices = np.zeros((hops, BANDS), np.float32)
            for _ in range(int(rng.integers(3, 9))):
                voice = _power(self._speech[rng.choice(self._talkers)].astype(np.float32))
                voice *= np.float32(rng.uniform(0.3, 1.0) / voice.mean())
                voices += np.roll(voice, rng.integers(hops), axis=0)
            return voices
        pieces = self._others.music if kind == "music" else self._others.noise
        piece = pieces[rng.integers(len(pieces))]
        at = rng.integers(len(piece))
        turned = np.take(piece, np.arange(at, at + hops), axis=0, mode="wrap")
        return np.asarray(turned * _power(curves(rng, 1, 4.0)), np.float32)


def _power(decibels: Floats) -> Floats:
    return np.power(np.float32(10.0), decibels / np.float32(10.0))
