"""Other sounds under speech in the bands are what they would be in the air."""

import numpy as np
import pytest

from training.mixing import Mixer, Others, levels, normalised, powers
from worker.lipsync.features import BANDS, GROUP_SAMPLES, Features
from worker.lipsync.shape import Floats
from worker.media import Pcm

HOPS = 600


def speech_like(seed: int) -> Pcm:
    """Coloured noise that swells and falls silent."""
    rng = np.random.default_rng(seed)
    swell = np.repeat(rng.uniform(0.0, 1.0, HOPS // 4) ** 3, GROUP_SAMPLES)
    sound = np.convolve(rng.normal(size=HOPS * 240), [0.4, 0.3, 0.2, 0.1], mode="same")
    return (3000 * sound * swell).astype(np.int16)


def heard(pcm: Pcm) -> Floats:
    ear = Features()
    starts = range(0, len(pcm), GROUP_SAMPLES)
    return np.concatenate([ear.push(pcm[at : at + GROUP_SAMPLES]) for at in starts])


def test_powers_normalised_are_the_features() -> None:
    pcm = speech_like(1)

    assert normalised(powers(pcm)[None])[0] == pytest.approx(heard(pcm), abs=1e-5)


def test_levels_are_what_the_features_were_made_of() -> None:
    pcm = speech_like(2)
    features = heard(pcm).astype(np.float16)

    again = normalised(10.0 ** (levels(features[None]).astype(np.float32) / 10.0))[0]

    assert np.percentile(np.abs(again - features), 99) < 0.02


def test_two_sounds_mixed_in_bands_are_as_loud_as_in_the_air() -> None:
    """Medians over all hops and bands that both reach, within half a decibel."""
    one, other = speech_like(3), np.roll(speech_like(4), 999)
    together = powers((one // 2 + other // 2).astype(np.int16))
    apart = powers(one // 2) + powers(other // 2)

    assert np.median(10 * np.log10(together / apart)) == pytest.approx(0.0, abs=0.5)


def test_a_mixer_leaves_alone_whom_it_is_told_to() -> None:
    features = heard(speech_like(5))
    visemes = np.where(features[:, BANDS] > -2.0, 5, 0).astype(np.uint8)
    hum = np.full((1, HOPS, BANDS), 1e-3, np.float32)

    def pauses(alone: float) -> float:
        """How loud they are, in tens of dB below the peak."""
        mixer = Mixer(levels(features[None]), visemes[None], Others(hum, hum), alone)
        mixed = mixer.features(np.zeros(8, int), np.random.default_rng(1))
        assert np.isfinite(mixed).all()
        return float(mixed[:, visemes == 0, BANDS].mean())

    assert pauses(1.0) == pytest.approx(features[visemes == 0, BANDS].mean(), abs=0.5)
    assert pauses(0.0) > pauses(1.0) + 0.8
