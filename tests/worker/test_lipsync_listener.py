"""Two nets, one for a voice alone and one among other sounds, and who listens when."""

import numpy as np
import pytest

from worker.lipsync import net
from worker.lipsync.features import FEATURES, GROUP, GROUP_SAMPLES, Features
from worker.lipsync.net import AdaptiveVisemeNet, Pair, VisemeNet
from worker.lipsync.shape import Floats
from worker.media import SAMPLE_RATE, Pcm

ALONE_DB, CROWDED_DB = 60.0, 10.0


def features(groups: int, seed: int = 1) -> list[Floats]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(GROUP, FEATURES)).astype(np.float32) for _ in range(groups)]


def heard(
    listener: AdaptiveVisemeNet, groups: list[Floats], range_db: float | None
) -> list[Floats]:
    return [listener.push(group, range_db).copy() for group in groups]


def always(weights: net.Weights, groups: list[Floats]) -> list[Floats]:
    run = VisemeNet(weights)
    return [run.push(group).copy() for group in groups]


def test_the_net_for_noise_listens_until_it_is_known_how_quiet_pauses_are() -> None:
    groups = features(10)

    assert np.array_equal(
        heard(AdaptiveVisemeNet(net.shipped()), groups, None), always(net.shipped().noisy, groups)
    )


@pytest.mark.parametrize("before", [1, 20, 60])
def test_whoever_takes_over_has_heard_all_that_matters(before: int) -> None:
    groups, pair = features(before + 20), net.shipped()
    listener = AdaptiveVisemeNet(pair)

    heard(listener, groups[:before], CROWDED_DB)
    alone = heard(listener, groups[before:], ALONE_DB)

    assert np.array_equal(alone, always(pair.quiet, groups)[before:])


def test_it_takes_more_to_be_alone_again_than_to_stay_so() -> None:
    between = (net.NOISY_BELOW_DB + net.QUIET_ABOVE_DB) / 2
    groups, pair = features(9), net.shipped()

    from_noise, from_quiet = AdaptiveVisemeNet(pair), AdaptiveVisemeNet(pair)
    heard(from_noise, groups[:3], CROWDED_DB)
    heard(from_quiet, groups[:3], ALONE_DB)

    assert np.array_equal(heard(from_noise, groups[3:], between), always(pair.noisy, groups)[3:])
    assert np.array_equal(heard(from_quiet, groups[3:], between), always(pair.quiet, groups)[3:])


def test_after_a_sound_its_surroundings_are_remembered_and_nothing_else() -> None:
    groups, pair = features(12), net.shipped()
    listener = AdaptiveVisemeNet(pair)

    heard(listener, features(5, seed=2), ALONE_DB)
    listener.hush()

    assert np.array_equal(heard(listener, groups, None), always(pair.quiet, groups))


def test_a_listener_keeps_no_more_of_the_past_than_a_net_sees() -> None:
    listener, groups = AdaptiveVisemeNet(net.shipped()), features(200)
    heard(listener, groups, CROWDED_DB)

    assert len(listener._past) * GROUP >= net.shipped().noisy.history
    assert len(listener._past) * GROUP < net.shipped().noisy.history + GROUP


def buzz(seconds: float, seed: int = 1) -> Pcm:
    """Syllables of a buzz with silence between."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    spoken = np.sin(2 * np.pi * 4 * times) > 0
    return np.asarray(8000 * np.sign(np.sin(2 * np.pi * 130 * times)) * spoken, np.int16)


def ranges(pcm: Pcm) -> list[float | None]:
    ear, reports = Features(), []
    for at in range(0, len(pcm) - GROUP_SAMPLES + 1, GROUP_SAMPLES):
        ear.push(pcm[at : at + GROUP_SAMPLES])
        reports.append(ear.range_db)
    return reports


@pytest.mark.parametrize(
    ("other_db", "lowest", "highest"), [(-10.0, 5.0, 16.0), (-30.0, 25.0, 36.0)]
)
def test_the_range_is_that_of_the_voice_to_what_is_around_it(
    other_db: float, lowest: float, highest: float
) -> None:
    pcm = buzz(3.0)
    level = np.sqrt(np.square(pcm[pcm != 0].astype(float)).mean()) * 10 ** (other_db / 20)
    hum = np.random.default_rng(2).normal(size=len(pcm)) * level

    reports = ranges((pcm + hum).astype(np.int16))[30:]

    assert min(reports) >= lowest
    assert max(reports) <= highest


def test_silence_in_pauses_is_alone_however_quiet_the_voice() -> None:
    reports = ranges((buzz(2.0) // 60).astype(np.int16))[30:]

    assert set(reports) == {np.inf}


def test_nothing_is_said_of_the_range_before_a_voice_was_heard() -> None:
    assert set(ranges(np.zeros(SAMPLE_RATE, np.int16))) == {None}
    assert set(ranges(buzz(0.28))) == {None}


def test_what_was_quiet_is_forgotten() -> None:
    rng = np.random.default_rng(3)
    rain = (rng.normal(size=6 * SAMPLE_RATE) * 2000).astype(np.int16)

    reports = ranges(np.concatenate([buzz(2.0), rain]))

    assert reports[49] == np.inf
    assert reports[-1] < net.NOISY_BELOW_DB


def test_weights_in_eight_bits_are_as_good_as_in_sixteen() -> None:
    rng = np.random.default_rng(4)
    weight = rng.normal(size=(6, 3)).astype(np.float32) * np.array([0.1, 1.0, 30.0], np.float32)
    scale = np.abs(weight).max(axis=0) / 127
    stored = {
        "taps": np.array([1, 1]),
        "dilations": np.array([1, 1]),
        "w0": np.round(weight / scale).astype(np.int8),
        "s0": scale,
        "b0": np.zeros(3, np.float32),
        "w1": weight.astype(np.float16),
        "b1": np.ones(3, np.float32),
    }

    weights = net.from_arrays(stored)

    assert weights.layers[0].weight[:-1] == pytest.approx(weight, abs=float(scale.max()))
    assert np.abs((weights.layers[0].weight[:-1] - weight) / scale).max() <= 0.5001
    assert weights.head.weight[-1].tolist() == [1.0, 1.0, 1.0]


def test_both_nets_see_as_far_back() -> None:
    pair: Pair = net.shipped()

    assert pair.quiet.history == pair.noisy.history == 136
