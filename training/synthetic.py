"""Sounds made from nothing: instruments and music, and a babble of vowels and hisses.

Mono float32 at 16 kHz, full scale about 1; the same generator gives the same sound.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, lfilter, sosfilt

from training.labels import Interval
from training.sounds import RATE, Rng
from worker.lipsync.shape import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """Plucked, struck, bowed or blown.

    `partials` (n,) are amplitudes, `attack` and `decay` seconds, `vibrato` a share of the pitch,
    `voices` how many play it, each a little out of tune.
    """

    partials: Floats
    attack: float
    decay: float
    vibrato: float
    voices: int

    @classmethod
    def found(cls, rng: Rng) -> "Instrument":
        """Any at all, as many plucked as not."""
        number = np.arange(1, int(rng.integers(1, 25)) + 1)
        partials = number ** -rng.uniform(0.2, 2.2) * 10.0 ** (
            rng.normal(0.0, 4.0, len(number)) / 20
        )
        if rng.random() < 0.2:
            partials[1::2] *= rng.uniform(0.0, 0.3)
        plucked = rng.random() < 0.5
        return cls(
            partials.astype(np.float32),
            rng.uniform(0.002, 0.02) if plucked else rng.uniform(0.02, 0.3),
            rng.uniform(0.1, 1.2) if plucked else rng.uniform(1.0, 20.0),
            rng.uniform(0.0, 0.012) if rng.random() < 0.5 else 0.0,
            int(rng.integers(2, 5)) if rng.random() < 0.25 else 1,
        )

    def note(self, hz: float, samples: int, rng: Rng) -> Floats:
        """(samples,) at RATE, of about full scale; one period is made, then read at that pitch."""
        size = 4096
        heard_of = self.partials[: max(1, int(7500 / hz))]
        spectrum = np.zeros(size // 2 + 1, np.complex128)
        phases = np.exp(2j * np.pi * rng.random(len(heard_of)))
        spectrum[1 : len(heard_of) + 1] = heard_of / np.sqrt(np.square(heard_of).sum()) * phases
        period = np.fft.irfft(spectrum, size).astype(np.float32) * np.float32(size / 2)
        times = np.arange(samples) / RATE
        rate = rng.uniform(4.5, 6.5)
        swing = self.vibrato * np.sin(2 * np.pi * rate * times) / (2 * np.pi * rate)
        sound = np.zeros(samples, np.float32)
        for _ in range(self.voices):
            detuned = hz * (1.0 if self.voices == 1 else 2 ** rng.normal(0.0, 0.008))
            cycles = detuned * (times + swing) + rng.random()
            sound += period[(cycles * size).astype(np.int64) % size]
        fade = np.minimum(1.0, times / self.attack) * np.exp(-times / self.decay)
        fade *= np.minimum(1.0, (samples - np.arange(samples)) / (0.03 * RATE))
        return np.asarray(sound / self.voices * fade, np.float32)


def music(samples: int, rng: Rng) -> Floats:
    """Chords, a bass, a melody, arpeggios, drums and cymbals, or some of them.

    Each is played by an instrument of its own, in a random key, metre and balance.
    """
    sound = np.zeros(samples + RATE, np.float32)
    beat = int(RATE * rng.uniform(0.15, 0.7))
    root = rng.uniform(65.0, 200.0)
    scale = np.array([0, 2, 4, 5, 7, 9, 11] if rng.random() < 0.5 else [0, 2, 3, 5, 7, 8, 10])
    pad, bass, lead, broken = (Instrument.found(rng) for _ in range(4))
    loud = [
        rng.uniform(0.15, 1.0) if rng.random() < share else 0.0
        for share in (0.8, 0.6, 0.6, 0.5, 0.5, 0.4)
    ]
    if not any(loud[:4]):
        loud[0] = 0.5
    bar = int(rng.choice([2, 3, 4, 4, 8]))
    octave = int(rng.choice([0, 12, 12, 24]))
    hiss_decay, hit_decay = rng.uniform(0.01, 0.08), rng.uniform(0.01, 0.06)

    def play(by: Instrument, at: int, step: int, lift: int, beats: float, gain: float) -> None:
        hz = root * 2 ** ((scale[step % 7] + 12 * (step // 7) + lift) / 12)
        count = min(int(beats * beat), len(sound) - at)
        if count > 0 and gain > 0.0:
            sound[at : at + count] += np.float32(gain) * by.note(hz, count, rng)

    def strike(at: int, hit: npt.NDArray[np.float64], gain: float) -> None:
        count = min(len(hit), len(sound) - at)
        sound[at : at + count] += (gain * hit[:count]).astype(np.float32)

    chord, times = 0, np.arange(int(0.25 * RATE)) / RATE
    for number, at in enumerate(range(0, samples, beat)):
        if number % bar == 0:
            chord = int(rng.integers(0, 7))
            for third in (0, 2, 4, 6)[: int(rng.integers(2, 5))]:
                play(pad, at, chord + third, octave, bar * 1.05, loud[0] * rng.uniform(0.4, 0.9))
        play(bass, at, chord, -12 if root > 90 else 0, 1.0, loud[1] * rng.uniform(0.4, 1.2))
        if rng.random() < 0.7:
            beats = float(rng.choice([0.5, 1.0, 2.0]))
            play(lead, at, int(rng.integers(0, 10)), 24, beats, loud[2])
        for half in range(2):
            step = chord + int(rng.choice([0, 2, 4, 7, 9]))
            play(broken, at + half * beat // 2, step, octave, 2.0, loud[3])
            if loud[5]:
                hiss = np.diff(rng.normal(size=len(times) + 1)) * np.exp(-times / hiss_decay)
                strike(at + half * beat // 2, hiss, 0.4 * loud[5])
        if loud[4]:
            hit = rng.normal(size=len(times)) * np.exp(-times / hit_decay)
            if number % 2 == 0:
                kick = np.sin(2 * np.pi * 60 * times + 8 * np.exp(-times / 0.02))
                hit = 2.0 * kick * np.exp(-times / 0.08) + 0.2 * hit
            strike(at, hit, loud[4])
    return sound[:samples]


FORMANTS: Final = {
    "aa": (750, 1250, 2550, 3500),
    "E": (560, 1800, 2550, 3500),
    "I": (300, 2250, 2950, 3600),
    "O": (500, 850, 2500, 3400),
    "U": (320, 780, 2300, 3300),
    "RR": (420, 1200, 1650, 3200),
}
"""Of a man, in Hz (about those of Peterson and Barney, 1952)."""


def babbled(samples: int, rng: Rng) -> tuple[Floats, list[Interval]]:
    """Vowels, hisses and closures of a buzzing source, at any length: speech bare of language.

    So that a drawn out "aah", or a voice like no other, is not taken for music.
    """
    scale = rng.uniform(0.92, 1.25)
    pitch = 90.0 * scale ** rng.uniform(1.0, 5.0)
    intervals: list[Interval] = []
    sound = np.zeros(samples)
    knots = rng.normal(0.0, 0.12, samples // 3000 + 2)
    hz = pitch * np.exp(np.interp(np.arange(samples), np.arange(len(knots)) * 3000, knots))
    cycles = np.cumsum(hz) / RATE
    pulses = np.diff(np.floor(cycles), prepend=0.0) * rng.normal(1.0, 0.05, samples)
    source = lfilter([1.0], [1.0, -rng.uniform(0.8, 0.97)], pulses)
    source += rng.normal(0.0, rng.uniform(0.001, 0.03), samples)
    at = 0
    while at < samples:
        said = str(rng.choice([*FORMANTS, *FORMANTS, "SS", "CH", "PP", "sil"]))
        seconds = rng.uniform(0.08, 0.25) if rng.random() < 0.7 else rng.uniform(0.25, 1.2)
        seconds = seconds if said in FORMANTS or said == "sil" else rng.uniform(0.06, 0.14)
        past = min(samples, at + int(seconds * RATE))
        if said in FORMANTS:
            piece = source[at:past]
            for formant in FORMANTS[said]:
                centre = min(formant * scale * rng.uniform(0.94, 1.06), 7500.0)
                radius = np.exp(-np.pi * (50.0 + 0.05 * centre) / RATE)
                real = 2 * radius * np.cos(2 * np.pi * centre / RATE)
                piece = lfilter([1.0 - real + radius**2], [1.0, -real, radius**2], piece)
            piece = piece / (np.sqrt(np.square(piece).mean()) + 1e-9) * rng.uniform(0.5, 1.0)
        elif said in ("SS", "CH"):
            band = (4200.0, 7400.0) if said == "SS" else (1900.0, 5500.0)
            hiss = sosfilt(
                butter(2, band, "bandpass", fs=RATE, output="sos"), rng.normal(size=past - at)
            )
            piece = hiss / (np.sqrt(np.square(hiss).mean()) + 1e-9) * rng.uniform(0.1, 0.4)
        else:
            piece = np.zeros(past - at)
        fade = np.minimum(1.0, np.minimum(np.arange(len(piece)), np.arange(len(piece))[::-1]) / 250)
        sound[at:past] = piece * fade
        intervals.append((at / RATE, past / RATE, said))
        at = past
    return (0.1 * sound).astype(np.float32), intervals
