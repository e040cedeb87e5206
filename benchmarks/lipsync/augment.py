"""New speakers, rooms, noises and lines out of the few voices that may be trained on.

    python -m benchmarks.lipsync.augment CORPUS SESSIONS --shards 40

writes sessions of 10 s, as `train` reads them: features, and what is seen at each hop.
All sound here is mono float32 at 16 kHz, full scale 1. Everything that changes the sound keeps
its time, or says by how much it stretches it, so that labels stay true.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import soxr
from scipy.signal import fftconvolve, lfilter, sosfilt, butter

from worker.lipsync.features import HIGHEST_HZ, mel_edges, mel_filters
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
    return fftconvolve(sound, room)[: len(sound)].astype(np.float32)


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
        level_db = np.interp(np.linspace(0, count, samples), np.arange(count + 1),
                             rng.normal(0.0, 4.0, count + 1))
        sound = sound * 10.0 ** (level_db / 20.0)
    return sound.astype(np.float32)


def music(samples: int, rng: Rng) -> Floats:
    """Chords, a bass, a melody and perhaps drums, of random timbres."""
    sound = np.zeros(samples + RATE, np.float64)
    beat = int(RATE * rng.uniform(0.2, 0.6))
    root = rng.uniform(80.0, 180.0)
    scale = np.array([0, 2, 4, 5, 7, 9, 11] if rng.random() < 0.5 else [0, 2, 3, 5, 7, 8, 10])
    partials = int(rng.integers(1, 12))
    roll = rng.uniform(0.3, 2.0)
    decay = rng.uniform(0.15, 2.0)
    attack = rng.uniform(0.003, 0.08)

    def play(at: int, hz: float, seconds: float, loud: float) -> None:
        count = min(int(seconds * RATE), len(sound) - at)
        if count <= 0:
            return
        times = np.arange(count) / RATE
        tone = np.zeros(count)
        vibrato = rng.uniform(0, 0.004) * np.sin(2 * np.pi * 5.5 * times) / 5.5
        for number in range(1, partials + 1):
            if hz * number > 7500:
                break
            phase = 2 * np.pi * (hz * number * (times + vibrato)) + rng.uniform(0, 6.28)
            tone += np.sin(phase) / number**roll
        fade = np.minimum(1.0, times / attack) * np.exp(-times / decay)
        fade *= np.minimum(1.0, (count - np.arange(count)) / (0.02 * RATE))
        sound[at : at + count] += loud * tone * fade

    chord = 0
    drums, melody = rng.random() < 0.6, rng.random() < 0.8
    for number, at in enumerate(range(0, samples, beat)):
        if number % 4 == 0:
            chord = int(rng.integers(0, 7))
            for third in (0, 2, 4):
                step = chord + third
                pitch = scale[step % 7] + 12 * (step // 7) + 12
                play(at, root * 2 ** (pitch / 12), 4 * beat / RATE, rng.uniform(0.2, 0.6))
        play(at, root * 2 ** (scale[chord] / 12) / 2, beat / RATE, rng.uniform(0.0, 0.8))
        if melody and rng.random() < 0.7:
            pitch = scale[int(rng.integers(0, 7))] + 24
            play(at, root * 2 ** (pitch / 12), beat / RATE * rng.choice([0.5, 1, 2]), 0.5)
        if drums:
            count = min(int(0.15 * RATE), len(sound) - at)
            hit = rng.normal(size=count) * np.exp(-np.arange(count) / RATE / rng.uniform(0.01, 0.06))
            if number % 2 == 0:
                times = np.arange(count) / RATE
                hit = 2.0 * np.sin(2 * np.pi * 60 * times) * np.exp(-times / 0.08) + 0.2 * hit
            sound[at : at + count] += rng.uniform(0.3, 1.2) * hit
    return sound[:samples].astype(np.float32)


def level(sound: Floats) -> float:
    """Root mean square of the louder half of 20-ms pieces: that of speech without its pauses."""
    size = RATE // 50
    pieces = np.square(sound[: len(sound) // size * size].reshape(-1, size)).mean(axis=1)
    return float(np.sqrt(np.sort(pieces)[len(pieces) // 2 :].mean() + 1e-12))


def mixed(sound: Floats, other: Floats, snr_db: float) -> Floats:
    """`sound` with `other` under it, that many decibels below its speech."""
    return sound + other * np.float32(level(sound) / (level(other) * 10.0 ** (snr_db / 20.0)))


def telephone(sound: Floats, rng: Rng) -> Floats:
    """300 to 3400 Hz and the eight bits of G.711 (mu-law)."""
    low, high = rng.uniform(150, 350), rng.uniform(3200, 3800)
    band = sosfilt(butter(4, [low, high], "bandpass", fs=RATE, output="sos"), sound)
    band = np.clip(band / max(1e-6, float(np.abs(band).max())) * rng.uniform(0.2, 0.9), -1, 1)
    mu = 255.0
    squeezed = np.round(np.log1p(mu * np.abs(band)) / np.log1p(mu) * 127) / 127
    wide = np.sign(band) * np.expm1(squeezed * np.log1p(mu)) / mu
    return wide.astype(np.float32)


def sixteen_bits(sound: Floats, peak_db: float) -> npt.NDArray[np.int16]:
    """At 24 kHz and with that peak, in dB of full scale; above 0 it clips."""
    wide = np.asarray(soxr.resample(sound, RATE, 24_000), np.float32)
    wide *= 10.0 ** (peak_db / 20.0) / max(1e-6, float(np.abs(wide).max()))
    return np.round(np.clip(wide, -1.0, 1.0) * 32767.0).astype(np.int16)
