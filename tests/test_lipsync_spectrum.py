"""The mouth follows the sound of its own 40 ms: shut in silence, open on vowels, round or wide."""

import numpy as np
import numpy.typing as npt
import pytest

from worker.lipsync.spectrum import SHUT, SpectrumLipSync, openings
from worker.media import FRAME_SAMPLES, SAMPLE_RATE, SILENCE, Pcm


def vowel(*formants_hz: float, seconds: float = 0.4, level: float = 9000) -> Pcm:
    """A buzz at 120 Hz whose harmonics are strong near the formants."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = np.zeros_like(time)
    for harmonic in range(1, 40):
        hertz = 120.0 * harmonic
        gain = sum(
            0.4**order / (1 + ((hertz - peak) / 90) ** 2) for order, peak in enumerate(formants_hz)
        )
        wave += gain * np.sin(2 * np.pi * hertz * time + harmonic)
    return pcm(level * wave / np.abs(wave).max())


def noise(level: float, seconds: float = 0.4, seed: int = 1) -> npt.NDArray[np.float64]:
    return level * np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))


def pcm(wave: npt.NDArray[np.floating]) -> Pcm:
    return np.asarray(np.clip(np.rint(wave), -32768, 32767), np.int16)


def hiss(level: float = 2500) -> Pcm:
    """Noise above 5 kHz, like an s."""
    spectrum = np.fft.rfft(noise(level))
    spectrum[: round(5000 / SAMPLE_RATE * len(noise(level)))] = 0
    return pcm(np.fft.irfft(spectrum))


def last_shape(speech: Pcm, lips: SpectrumLipSync | None = None) -> tuple[float, float]:
    lips = lips or SpectrumLipSync()
    shape = SHUT
    for start in range(0, len(speech), FRAME_SAMPLES):
        shape = lips.push(speech[start : start + FRAME_SAMPLES])
    return shape.opening, shape.width


AH = vowel(750, 1200, 2500)
OO = vowel(310, 700)
EE = vowel(290, 2300, 2900)


def test_silence_shuts_the_mouth_in_the_very_same_picture() -> None:
    lips = SpectrumLipSync()
    assert last_shape(AH, lips)[0] > 0.5
    assert lips.push(SILENCE) == SHUT


def test_an_empty_block_shuts_the_mouth() -> None:
    lips = SpectrumLipSync()
    last_shape(AH, lips)
    assert lips.push(SILENCE[:0]) == SHUT


def test_a_vowel_opens_the_mouth_within_two_pictures() -> None:
    assert openings(AH)[1] > 0.5


def test_an_open_vowel_is_more_open_than_a_close_one() -> None:
    assert last_shape(AH)[0] > last_shape(OO)[0] + 0.2
    assert last_shape(AH)[0] > last_shape(EE)[0] + 0.2


def test_oo_is_rounded_and_ee_is_spread() -> None:
    assert last_shape(OO)[1] < -0.4
    assert last_shape(EE)[1] > 0.4


def test_a_hiss_shows_narrow_spread_teeth() -> None:
    opening, width = last_shape(hiss())
    assert 0.05 < opening < 0.3
    assert width > 0.2


def test_a_short_closure_between_vowels_nearly_shuts_the_mouth() -> None:
    closed = AH.copy()
    middle = 5 * FRAME_SAMPLES
    closed[middle : middle + FRAME_SAMPLES * 3 // 4] //= 300
    before, within, after = openings(closed)[4:7]
    assert within < 0.6 * before
    assert after > 1.2 * within


@pytest.mark.parametrize("level", [3, 30, 80])
def test_a_quiet_noise_floor_does_not_open_the_mouth(level: float) -> None:
    assert openings(pcm(noise(level, 2.0))).max() < 0.05


def test_noise_between_words_does_not_open_the_mouth() -> None:
    speech = np.concatenate([AH, np.zeros(SAMPLE_RATE // 2, np.int16), AH])
    noisy = pcm(speech + noise(60, len(speech) / SAMPLE_RATE))
    pause = openings(noisy)[len(AH) // FRAME_SAMPLES + 1 :][:10]
    assert pause.max() == 0.0


@pytest.mark.parametrize("gain", [0.1, 0.3, 3.0])
def test_gain_follows_a_quiet_or_a_loud_speaker(gain: float) -> None:
    phrase = np.concatenate([vowel(750, 1200, level=6000), np.zeros(2400, np.int16)] * 8)
    opened = openings(pcm(gain * phrase))
    assert opened[-26:].max() > 0.5


def test_a_steady_vowel_does_not_flutter() -> None:
    held = openings(vowel(750, 1200, 2500, seconds=2.0))[5:]
    assert np.abs(np.diff(held)).max() < 0.1


def test_the_future_changes_nothing() -> None:
    speech = np.concatenate([AH, OO, EE])
    changed = speech.copy()
    changed[10 * FRAME_SAMPLES :] = pcm(noise(5000, len(speech) / SAMPLE_RATE))[
        : len(speech) - 10 * FRAME_SAMPLES
    ]
    assert np.array_equal(openings(speech)[:10], openings(changed)[:10])


def test_an_offset_shifts_the_pictures_only() -> None:
    late = np.concatenate([np.zeros(123, np.int16), AH])
    assert np.array_equal(openings(late, 123), openings(AH))


def test_reset_forgets_the_speaker() -> None:
    lips = SpectrumLipSync()
    last_shape(pcm(3.0 * AH), lips)
    lips.reset()
    assert last_shape(AH, lips) == last_shape(AH)


def test_every_sound_gives_a_shape_within_its_bounds() -> None:
    dice = np.random.default_rng(5)
    lips = SpectrumLipSync()
    for length in (1, 2, 239, 240, 959, 960):
        for level in (1, 100, 32767):
            shape = lips.push(dice.integers(-level - 1, level + 1, length).astype(np.int16))
            assert 0.0 <= shape.opening <= 1.0
            assert -1.0 <= shape.width <= 1.0
