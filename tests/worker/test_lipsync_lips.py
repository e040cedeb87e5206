"""The mouth of each picture: shut on closures and in silence, open on vowels, steady in noise."""

import numpy as np
import numpy.typing as npt
import pytest

from worker.lipsync.lips import LipSync
from worker.lipsync.shape import SHUT, MouthShape
from worker.media import FRAME_SAMPLES, SAMPLE_RATE, Pcm

Wave = npt.NDArray[np.float64]


def vowel(*formants_hz: float, seconds: float = 0.4) -> Wave:
    """A buzz at 120 Hz whose harmonics are strong near the formants; peak 1."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = np.zeros_like(time)
    for harmonic in range(1, 60):
        hertz = 120.0 * harmonic
        gain = sum(
            0.4**order / (1 + ((hertz - peak) / 90) ** 2) for order, peak in enumerate(formants_hz)
        )
        wave += gain * np.sin(2 * np.pi * hertz * time + harmonic)
    return np.asarray(wave / np.abs(wave).max())


def rest(seconds: float) -> Wave:
    return np.zeros(round(seconds * SAMPLE_RATE))


def noise(seconds: float, seed: int = 1) -> Wave:
    return np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE)) / 4


def pcm(wave: Wave, peak_db: float = -10.0) -> Pcm:
    scaled = wave * 10 ** (peak_db / 20) * 32767
    return np.asarray(np.clip(np.rint(scaled), -32768, 32767), np.int16)


def shapes(sound: Pcm, lips: LipSync | None = None) -> list[MouthShape]:
    """All pictures' shapes, the sound pushed 40 ms at a time as a renderer does."""
    lips = lips or LipSync()
    out = []
    for start in range(0, len(sound), FRAME_SAMPLES):
        out += lips.push(sound[start : start + FRAME_SAMPLES])
    return out + lips.finish()


def openings(sound: Pcm) -> list[float]:
    return [shape.opening for shape in shapes(sound)]


AH = vowel(750, 1200, 2500)
OO = vowel(310, 700, 2300)
EE = vowel(290, 2300, 2900)


@pytest.mark.parametrize("samples", [0, 1, 959, 960, 961, 1920, 24_000, 24_001])
def test_each_40_ms_begun_is_a_picture(samples: int) -> None:
    assert len(shapes(pcm(AH)[:0])) == 0
    assert len(shapes(pcm(np.tile(AH, 3))[:samples])) == -(-samples // FRAME_SAMPLES)


def test_a_picture_is_ready_once_the_next_block_is_there() -> None:
    lips, block = LipSync(), pcm(AH)[:FRAME_SAMPLES]
    assert [len(lips.push(block)) for _ in range(5)] == [0, 1, 1, 1, 1]
    assert len(lips.finish()) == 1


def test_shapes_do_not_depend_on_the_pieces() -> None:
    sound = pcm(np.concatenate([rest(0.2), AH, rest(0.05), EE, noise(0.1), OO]))
    whole = LipSync()
    assert whole.push(sound) + whole.finish() == shapes(sound)
    pieces, out = LipSync(), []
    for piece in np.split(sound, [1, 500, 501, 1900, 9000, 9100]):
        out += pieces.push(piece)
    assert out + pieces.finish() == shapes(sound)


def test_silence_is_exactly_shut() -> None:
    assert set(shapes(pcm(rest(2.0)))) == {SHUT}


def test_the_mouth_is_shut_before_and_after_a_word() -> None:
    out = shapes(pcm(np.concatenate([rest(0.4), AH, rest(0.4)])))
    assert out[:8] == [SHUT] * 8
    assert out[-7:] == [SHUT] * 7


def test_an_open_vowel_opens_wide_from_the_first_word_on() -> None:
    assert max(openings(pcm(np.concatenate([rest(0.2), AH, rest(0.2)])))) > 0.5


@pytest.mark.parametrize("peak_db", [-45.0, -30.0, -3.0])
def test_the_mouth_opens_at_every_level(peak_db: float) -> None:
    sound = np.concatenate([rest(0.2), AH, rest(0.1), EE, rest(0.1), AH, rest(0.2)])
    assert max(openings(pcm(sound, peak_db))) > 0.4


@pytest.mark.parametrize("peak_db", [-60.0, -40.0, -20.0])
def test_steady_noise_does_not_open_the_mouth(peak_db: float) -> None:
    out = openings(pcm(noise(4.0), peak_db))
    assert np.mean(np.array(out) > 0.2) <= 0.02


def test_rounded_vowels_are_narrower_than_spread_ones() -> None:
    def width(sound: Wave) -> float:
        out = shapes(pcm(np.concatenate([AH, rest(0.05), sound])))
        return float(np.mean([shape.width for shape in out[-6:-2]]))

    assert width(OO) < width(AH) < width(EE)


@pytest.mark.parametrize("phase", range(0, 960, 160))
def test_a_closure_shuts_the_lips_in_a_picture_at_any_phase(phase: int) -> None:
    hum = vowel(250, seconds=0.07) * 0.3
    said = np.concatenate([rest(0.2), np.zeros(phase), AH, hum, AH, rest(0.2)])
    begins, ends = (0.2 + 0.4) * 25 + phase / 960, (0.2 + 0.4 + 0.07) * 25 + phase / 960
    out = openings(pcm(said))
    assert min(out[int(begins) : int(ends) + 2]) < 0.15


def test_reset_shuts_the_mouth_and_forgets_what_was_said() -> None:
    interrupted, heard_out = LipSync(), LipSync()
    for lips in (interrupted, heard_out):
        shapes(pcm(AH), lips)
    interrupted.push(pcm(AH)[:0])
    interrupted.reset()
    assert shapes(pcm(EE), interrupted) == shapes(pcm(EE), heard_out)
