"""What changes a sound, and the noises that go under it: speakers, rooms, lines and levels.

All sound here is mono float32 at 16 kHz, full scale 1. What changes a sound keeps its time, or
says by how much it stretches it, so that labels stay true.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import soxr
from scipy.signal import fftconvolve, lfilter

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
