"""New speakers, rooms, noises and lines out of the few voices that may be trained on.

    python -m training.augment CORPUS SESSIONS --shards 40

writes sessions of 10 s, as `train` reads them: features, and what is seen at each hop; and
other sounds that `mixing` puts under them while the net learns.
All sound here is mono float32 at 16 kHz, full scale 1. Everything that changes the sound keeps
its time, or says by how much it stretches it, so that labels stay true.
"""

import argparse
import json
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import soxr
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from training import labels
from training.labels import Interval
from training.mixing import OTHERS, Others, powers
from worker.lipsync.features import (
    FILTERS,
    GROUP_SAMPLES,
    HIGHEST_HZ,
    HOP,
    Features,
    mel_edges,
    mel_filters,
)
from worker.lipsync.shape import Floats

RATE: Final = 16_000
Rng = np.random.Generator


def resampled(sound: Floats, factor: float) -> Floats:
    """Higher and shorter by `factor`, as a tape that runs faster."""
    return np.asarray(soxr.resample(sound, RATE * factor, RATE), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Vocoded:
    """A voice taken apart by WORLD: pitch (frames,), envelope and aperiodicity (frames, bins)."""

    pitch: npt.NDArray[np.float64]
    envelope: npt.NDArray[np.float32]
    aperiodicity: npt.NDArray[np.float32]
    samples: int

    @classmethod
    def of(cls, sound: Floats) -> "Vocoded":
        import pyworld

        wave = sound.astype(np.float64)
        pitch, times = pyworld.dio(wave, RATE, frame_period=5.0)
        pitch = pyworld.stonemask(wave, pitch, times, RATE)
        envelope = pyworld.cheaptrick(wave, pitch, times, RATE)
        aperiodicity = pyworld.d4c(wave, pitch, times, RATE)
        return cls(pitch, envelope.astype(np.float32), aperiodicity.astype(np.float32), len(sound))

    def spoken(self, pitch: float, intonation: float, formants: float, tilt_db: float) -> Floats:
        """The same words by another speaker.

        `pitch` and `formants` are factors, `intonation` that of the pitch's movement around its
        mean, `tilt_db` what is added per octave above 500 Hz.
        """
        import pyworld

        voiced = self.pitch > 0
        f0 = np.zeros_like(self.pitch)
        if voiced.any():
            log = np.log(self.pitch[voiced])
            f0[voiced] = np.exp(log.mean() + intonation * (log - log.mean())) * pitch
        f0 = np.where(voiced, np.clip(f0, 55.0, 500.0), 0.0)
        bins = self.envelope.shape[1]
        hz = np.linspace(0, RATE / 2, bins)
        source = warped(hz, 1.0 / formants, RATE / 2) / (RATE / 2) * (bins - 1)
        low = np.minimum(source.astype(int), bins - 2)
        share = (source - low).astype(np.float32)
        gain = 10.0 ** (tilt_db * np.log2(np.maximum(hz, 500.0) / 500.0) / 10.0)
        log_envelope = np.log(self.envelope + 1e-16)
        envelope = np.exp(log_envelope[:, low] * (1 - share) + log_envelope[:, low + 1] * share)
        aperiodicity = self.aperiodicity[:, low] * (1 - share)
        aperiodicity += self.aperiodicity[:, low + 1] * share
        out = pyworld.synthesize(
            f0,
            np.ascontiguousarray(envelope * gain, np.float64),
            np.ascontiguousarray(np.clip(aperiodicity, 0.001, 0.999), np.float64),
            RATE,
            5.0,
        )
        sound = np.zeros(self.samples, np.float32)
        sound[: len(out)] = out[: self.samples]
        return sound


def warped(
    hz: npt.NDArray[np.float64], factor: float, highest_hz: float
) -> npt.NDArray[np.float64]:
    """`hz` times `factor` up to some 60 % of the band, then straight to its end."""
    knee = 0.62 * highest_hz * min(1.0, 1.0 / factor)
    above = factor * knee + (hz - knee) * (highest_hz - factor * knee) / (highest_hz - knee)
    return np.where(hz <= knee, hz * factor, above)


def vocal_tract(factor: float) -> Floats:
    """Mel filters that hear a vocal tract of another length: formants move by 1 / `factor`."""
    return mel_filters(warped(mel_edges(), factor, HIGHEST_HZ))


def equalised(sound: Floats, rng: Rng) -> Floats:
    """Through a random microphone: a tilt, gentle hills, perhaps one resonance."""
    size = 1 << (len(sound) - 1).bit_length()
    hz = np.fft.rfftfreq(size, 1 / RATE)
    octaves = np.log2(np.maximum(hz, 60.0) / 1000.0)
    knots = np.linspace(-4.2, 3.0, 8)
    gain_db = np.interp(octaves, knots, rng.normal(0.0, 3.0, len(knots)))
    gain_db += rng.uniform(-4.0, 4.0) * octaves
    if rng.random() < 0.3:
        centre, width = rng.uniform(-3.0, 2.5), rng.uniform(0.1, 0.6)
        gain_db += rng.uniform(-10, 10) * np.exp(-0.5 * np.square((octaves - centre) / width))
    spectrum = np.fft.rfft(sound, size) * 10.0 ** (np.clip(gain_db, -24, 24) / 20.0)
    return np.fft.irfft(spectrum, size)[: len(sound)].astype(np.float32)


def reverberant(sound: Floats, rng: Rng) -> Floats:
    """In a room of 0.1 to 0.6 s, the direct sound leading."""
    seconds = rng.uniform(0.1, 0.6)
    times = np.arange(int(seconds * RATE)) / RATE
    room = rng.normal(size=len(times)) * np.exp(-6.9 * times / seconds)
    room[: int(0.002 * RATE)] = 0.0
    room = lfilter([1.0], [1.0, -rng.uniform(0.0, 0.7)], room)
    room *= 10.0 ** (-rng.uniform(2.0, 14.0) / 20.0) / np.sqrt(np.square(room).sum())
    room[0] = 1.0
    return np.asarray(fftconvolve(sound, room)[: len(sound)], np.float32)


def noise(samples: int, rng: Rng) -> Floats:
    """Steady or slowly swelling, of a random colour."""
    size = 1 << (samples - 1).bit_length()
    hz = np.fft.rfftfreq(size, 1 / RATE)
    octaves = np.log2(np.maximum(hz, 30.0) / 1000.0)
    kind = rng.random()
    if kind < 0.4:
        gain_db = np.zeros(len(hz))
    elif kind < 0.6:
        gain_db = -3.0 * octaves
    else:
        gain_db = rng.uniform(-7.0, 3.0) * octaves
        knots = np.linspace(-5.0, 3.0, 9)
        gain_db += np.interp(octaves, knots, rng.normal(0.0, 5.0, len(knots)))
    white = np.fft.rfft(rng.normal(size=size))
    sound = np.fft.irfft(white * 10.0 ** (gain_db / 20.0), size)[:samples]
    if rng.random() < 0.4:
        count = max(2, int(samples / RATE / rng.uniform(0.1, 1.0)))
        level_db = np.interp(
            np.linspace(0, count, samples), np.arange(count + 1), rng.normal(0.0, 4.0, count + 1)
        )
        sound = sound * 10.0 ** (level_db / 20.0)
    return sound.astype(np.float32)


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


def level(sound: Floats) -> float:
    """Root mean square of the louder half of 20-ms pieces: that of speech without its pauses."""
    size = RATE // 50
    pieces = np.square(sound[: len(sound) // size * size].reshape(-1, size)).mean(axis=1)
    return float(np.sqrt(np.sort(pieces)[len(pieces) // 2 :].mean() + 1e-12))


def mixed(sound: Floats, other: Floats, snr_db: float) -> Floats:
    """`sound` with `other` under it, that many decibels below its speech."""
    loud = level(sound) / (level(other) * 10.0 ** (snr_db / 20.0))
    return np.asarray(sound + other * np.float32(loud))


def telephone(sound: Floats, rng: Rng) -> Floats:
    """8000 samples a second, no lows, steep edges, and the eight bits of G.711 (mu-law)."""
    narrow = np.asarray(soxr.resample(sound, RATE, RATE // 2), np.float64)
    spectrum = np.fft.rfft(narrow)
    hz = np.fft.rfftfreq(len(narrow), 2 / RATE)
    low, high = rng.uniform(50, 350), rng.uniform(3200, 3900)
    spectrum *= np.clip((hz - low) / rng.uniform(1, 150), 0.0, 1.0)
    spectrum *= np.clip((high - hz) / rng.uniform(1, 200), 0.0, 1.0)
    band = np.fft.irfft(spectrum, len(narrow))
    band *= 10.0 ** (-rng.uniform(1.0, 24.0) / 20.0) / max(1e-6, float(np.abs(band).max()))
    mu = 255.0
    squeezed = np.round(np.log1p(mu * np.abs(band)) / np.log1p(mu) * 127) / 127
    decoded = np.sign(band) * np.expm1(squeezed * np.log1p(mu)) / mu
    wide = np.zeros(len(sound), np.float32)
    back = np.asarray(soxr.resample(decoded, RATE // 2, RATE), np.float32)[: len(sound)]
    wide[: len(back)] = back
    return wide


def muffled(sound: Floats, rng: Rng) -> Floats:
    """Without what is above some frequency, as codecs and cheap microphones leave it."""
    size = 1 << (len(sound) - 1).bit_length()
    spectrum = np.fft.rfft(sound, size)
    hz = np.fft.rfftfreq(size, 1 / RATE)
    spectrum *= np.clip((rng.uniform(3500, 7500) - hz) / rng.uniform(10, 800), 0.0, 1.0)
    return np.fft.irfft(spectrum, size)[: len(sound)].astype(np.float32)


def sixteen_bits(sound: Floats, peak_db: float) -> npt.NDArray[np.int16]:
    """At 24 kHz and with that peak, in dB of full scale; above 0 it clips."""
    wide = np.asarray(soxr.resample(sound, RATE, 24_000), np.float32)
    wide *= 10.0 ** (peak_db / 20.0) / max(1e-6, float(np.abs(wide).max()))
    return np.round(np.clip(wide, -1.0, 1.0) * 32767.0).astype(np.int16)


SESSION_HOPS: Final = 1000
PIECES: Final = 600
SHARD_SESSIONS: Final = 48
DISTURBED: Final = 0.8
"""Share of sessions with something beside the voice; an eighth of them has two such things."""
NOISES_ALONE: Final = 0.03
"""Share of sessions in which nobody speaks."""
BABBLED: Final = 0.04
"""Share of sessions in which somebody does who knows no language."""


@dataclass(frozen=True, slots=True, eq=False)
class Sentence:
    """What was spoken, at RATE; the intervals are of visemes."""

    sound: Floats
    intervals: list[Interval]


@dataclass(frozen=True, slots=True, eq=False)
class Speaker:
    """A voice, or one made of it; `group` is the voice that it counts as."""

    group: str
    sentences: list[Sentence]


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """Ten seconds of somebody: features, visemes, and (opening, rounding), at each hop.

    `clean` are the features of the same voice in the same room with nothing beside it.
    """

    features: npt.NDArray[np.float16]
    clean: npt.NDArray[np.float16]
    visemes: npt.NDArray[np.uint8]
    shapes: npt.NDArray[np.float16]
    group: str


class Studio:
    """Makes sessions out of speakers: random ones, rooms, noises, lines and levels."""

    def __init__(self, speakers: list[Speaker], shares: dict[str, float], seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._speakers = speakers
        counts = {group: sum(s.group == group for s in speakers) for group in shares}
        share = np.array([shares[s.group] / counts[s.group] for s in speakers])
        self._share = share / share.sum()
        self._music = [music(16 * RATE, self._rng) for _ in range(250)]

    def session(self) -> Session:
        rng = self._rng
        speaker = self._speakers[rng.choice(len(self._speakers), p=self._share)]
        silent = rng.random() < NOISES_ALONE
        stretch = float(rng.uniform(0.88, 1.13)) if rng.random() < 0.5 else 1.0
        if rng.random() < BABBLED:
            sound, intervals = babbled(SESSION_HOPS * RATE // 100 + RATE // 50, rng)
        else:
            sound, intervals = self.speech(speaker, stretch)
        if silent:
            sound, intervals = np.zeros_like(sound), []
        elif rng.random() < 0.75:
            sound = equalised(sound, rng)
        if not silent and rng.random() < 0.25:
            sound = reverberant(sound, rng)
        clean = sound
        if silent:
            sound = self._disturbance(len(sound), babble=False) * np.float32(0.1)
        else:
            for chance in (DISTURBED, 0.1):
                if rng.random() < chance:
                    sound = mixed(sound, self._disturbance(len(sound), babble=True), ratio_db(rng))
        if rng.random() < 0.35:
            sound = mixed(
                sound, self._disturbance(len(sound), babble=False), rng.uniform(30.0, 65.0)
            )
        if rng.random() < 0.15:
            sound = telephone(sound, rng)
        elif rng.random() < 0.1:
            sound = muffled(sound, rng)
        if silent:
            peak_db = rng.uniform(-66.0, -6.0)
        else:
            peak_db = rng.uniform(-32.0, -1.0) if rng.random() < 0.85 else rng.uniform(0.0, 14.0)
        filters = vocal_tract(float(rng.uniform(0.82, 1.2))) if rng.random() < 0.7 else FILTERS
        return heard(
            sixteen_bits(sound, peak_db),
            sixteen_bits(clean, min(peak_db, -1.0)),
            intervals,
            filters,
            speaker.group,
        )

    def speech(self, speaker: Speaker, stretch: float) -> tuple[Floats, list[Interval]]:
        """Sentences with pauses until it is long enough; begins at a random phase of a hop."""
        rng = self._rng
        wanted = SESSION_HOPS * RATE // 100 + RATE // 50
        pieces: list[Floats] = []
        intervals: list[Interval] = []
        at = 0
        while at < wanted:
            pause = int(RATE * (rng.uniform(0.0, 0.6) if pieces or rng.random() < 0.7 else 0.0))
            pause += int(rng.integers(0, RATE // 100))
            sentence = speaker.sentences[rng.integers(len(speaker.sentences))]
            sound = resampled(sentence.sound, stretch) if stretch != 1.0 else sentence.sound
            at += pause
            pieces += [np.zeros(pause, np.float32), sound]
            intervals += [
                (at / RATE + start / stretch, at / RATE + end / stretch, said)
                for start, end, said in sentence.intervals
            ]
            at += len(sound)
        return np.concatenate(pieces)[:wanted], intervals

    def _disturbance(self, samples: int, *, babble: bool) -> Floats:
        rng = self._rng
        kind = rng.random()
        if kind < 0.24:
            return noise(samples, rng)
        if kind < 0.84 or not babble:
            piece = np.roll(self._music[rng.integers(len(self._music))], rng.integers(16 * RATE))
            return np.resize(resampled(piece, rng.uniform(0.8, 1.25)), samples)
        out = np.zeros(samples, np.float32)
        for _ in range(int(rng.integers(3, 9))):
            speaker = self._speakers[rng.integers(len(self._speakers))]
            voice, _ = self.speech(speaker, 1.0)
            out += np.roll(np.resize(voice, samples), rng.integers(samples)) * np.float32(
                rng.uniform(0.5, 1.0) / level(voice)
            )
        return out


def ratio_db(rng: Rng) -> float:
    """Of speech to what disturbs it: half the time about as in the test's harder rows."""
    if rng.random() < 0.5:
        return float(rng.uniform(4.0, 13.0))
    return float(3.0 + 27.0 * rng.random() ** 1.4)


def heard(
    pcm: npt.NDArray[np.int16],
    clean: npt.NDArray[np.int16],
    intervals: list[Interval],
    filters: Floats,
    group: str,
) -> Session:
    """The session as the net hears it, with what is seen at each hop."""
    groups = range(0, SESSION_HOPS * HOP, GROUP_SAMPLES)

    def features(sound: npt.NDArray[np.int16]) -> npt.NDArray[np.float16]:
        ear = Features(filters)
        return np.concatenate([ear.push(sound[at : at + GROUP_SAMPLES]) for at in groups]).astype(
            np.float16
        )

    visemes = labels.per_hop(intervals, SESSION_HOPS)
    shapes = np.stack(labels.blended(visemes), axis=1)
    return Session(
        features(pcm),
        features(clean),
        visemes.astype(np.uint8),
        shapes.astype(np.float16),
        group,
    )


SHARES: Final = {
    "flite-rms": 1.6,
    "flite-kal16": 0.6,
    "festival-kal": 0.6,
    "festival-ked": 0.9,
    "festival-lp": 1.0,
    "festival-lj": 1.0,
    "festival-ona": 1.0,
    "espeak": 2.9,
}
"""How much is heard of each voice and of those made of it; espeak's variants share theirs."""
MADE: Final = 8
"""Speakers that are made of a natural voice."""
MADE_SENTENCES: Final = 100
"""What each of them says at most."""
MALE: Final = frozenset(("flite-rms", "flite-kal16", "festival-kal", "festival-ked"))


def sentences(folder: Path) -> dict[str, list[Sentence]]:
    """By voice: what `corpus` wrote to that folder."""
    found: dict[str, list[Sentence]] = {}
    for path in sorted(folder.glob("*.json")):
        about = json.loads(path.read_text("utf-8"))
        with wave.open(str(path.with_suffix(".wav"))) as file:
            pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        intervals = labels.seen(about["phonemes"], engine=about["engine"], file=path)
        found.setdefault(about["voice"], []).append(
            Sentence((pcm / 32768.0).astype(np.float32), intervals)
        )
    return found


def group_of(voice: str) -> str:
    return "espeak" if voice.startswith("espeak-") else voice


def made_speakers(voice: str, said: list[Sentence], rng: Rng) -> Iterator[Speaker]:
    """Others made of a natural voice: higher and smaller, or lower and larger, or livelier.

    A man's voice is raised by up to 15 semitones and lowered by 5, a woman's the other way
    round; formants go along by a quarter of that, in octaves, as they do from men to women.
    """
    low, high = (-0.45, 1.15) if voice in MALE else (-0.95, 0.4)
    pitches = [2 ** (low + (high - low) * (made + rng.random()) / MADE) for made in range(MADE)]
    spoken: list[list[Sentence]] = [[] for _ in range(MADE)]
    chosen = rng.permutation(len(said))[: MADE * MADE_SENTENCES // 2]
    ways = [
        (
            pitch,
            float(rng.uniform(0.6, 1.6)),
            float(np.clip(1.0 + 0.24 * np.log2(pitch) + 0.06 * rng.normal(), 0.84, 1.26)),
            float(rng.uniform(-3.0, 3.0)),
        )
        for pitch in pitches
    ]
    for index in chosen:
        sentence = said[index]
        vocoded = Vocoded.of(sentence.sound)
        for made in rng.choice(MADE, 2, replace=False):
            spoken[made].append(Sentence(vocoded.spoken(*ways[made]), sentence.intervals))
    yield from (Speaker(group_of(voice), some) for some in spoken if some)


def plain(speakers: list[Speaker], rounds: int) -> list[Session]:
    """Sessions without any change, `rounds` of each speaker: to see how training goes."""
    sessions = []
    for index, speaker in enumerate(speakers):
        studio = Studio([speaker], {speaker.group: 1.0}, index)
        for _ in range(rounds):
            sound, intervals = studio.speech(speaker, 1.0)
            pcm = sixteen_bits(sound, -6.0)
            sessions.append(heard(pcm, pcm, intervals, FILTERS, speaker.group))
    return sessions


def others(pieces: int, rng: Rng) -> Others:
    """So many pieces of music as long as a session, and a fifth as many noises."""
    samples = int(1.4 * SESSION_HOPS * RATE / 100)

    def heard(sound: Floats) -> Floats:
        return powers(sixteen_bits(sound, -6.0))[:SESSION_HOPS]

    played = [heard(resampled(music(samples, rng), rng.uniform(0.8, 1.25))) for _ in range(pieces)]
    return Others(
        np.stack(played), np.stack([heard(noise(samples, rng)) for _ in range(pieces // 5)])
    )


def write(path: Path, sessions: list[Session]) -> None:
    """As `train` reads them; the file is there once it is whole."""
    part = path.with_name(f"part-{path.name}")
    np.savez(
        part,
        features=np.stack([session.features for session in sessions]),
        clean=np.stack([session.clean for session in sessions]),
        visemes=np.stack([session.visemes for session in sessions]),
        shapes=np.stack([session.shapes for session in sessions]),
        group=np.array([session.group for session in sessions]),
    )
    part.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.augment")
    parser.add_argument("corpus", type=Path, help="what training.corpus made")
    parser.add_argument("sessions", type=Path, help="folder for the sessions")
    parser.add_argument("--shards", type=int, default=150, help="of 8 minutes each")
    parser.add_argument("--leave-out", nargs="*", default=[], help="voices, for a check on them")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.sessions.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(arguments.seed)
    others(PIECES, rng).write(arguments.sessions / OTHERS)
    dev = sentences(arguments.corpus / "dev")
    write(
        arguments.sessions / "dev.npz",
        plain(
            [
                s
                for v, said in dev.items()
                if not v.startswith("espeak-")
                for s in [Speaker(v, said)]
            ],
            14,
        )
        + plain([Speaker("espeak", s) for v, s in dev.items() if v.startswith("espeak-")], 1),
    )
    speakers: list[Speaker] = []
    for voice, said in sentences(arguments.corpus / "train").items():
        if voice not in arguments.leave_out:
            speakers.append(Speaker(group_of(voice), said))
            if group_of(voice) != "espeak":
                speakers += made_speakers(voice, said, rng)
            print(voice, len(said), flush=True)
    shares = {group: SHARES[group] for group in {speaker.group for speaker in speakers}}
    studio = Studio(speakers, shares, arguments.seed)
    for shard in range(arguments.shards):
        write(
            arguments.sessions / f"shard{shard:04d}.npz",
            [studio.session() for _ in range(SHARD_SESSIONS)],
        )


if __name__ == "__main__":
    main()
