"""Sound is resampled as one stream, fades do not click, and pictures keep every pixel."""

import numpy as np
import pytest

from worker.media import FRAME_SAMPLES, PIECE_SAMPLES, SAMPLE_RATE, SILENCE, Pcm, Picture
from worker.sound import FADE_SAMPLES, Doubler, Resampler, fade_in, ramp_down
from worker.video import to_video_frame

RATES = [8_000, 16_000, 22_050, 44_100, 48_000]
OTHER_RATES = [4_000, 11_025, 12_000, 32_000, 96_000, 192_000]


def noise(samples: int, seed: int = 1) -> Pcm:
    """Loud enough to reach both ends of int16."""
    loud = np.random.default_rng(seed).normal(0, 12_000, samples)
    return loud.clip(-32_768, 32_767).astype(np.int16)


def tone(hz: float, rate: int, seconds: float) -> Pcm:
    time_s = np.arange(round(rate * seconds)) / rate
    return np.rint(10_000 * np.sin(2 * np.pi * hz * time_s)).astype(np.int16)


def streamed(pcm: Pcm, rate: int, chunk: int) -> Pcm:
    resampler = Resampler(rate)
    pieces = [resampler.push(pcm[at : at + chunk]) for at in range(0, len(pcm), chunk)]
    return np.concatenate([*pieces, resampler.push(pcm[:0], last=True)])


@pytest.mark.parametrize("chunk", [1, 7, 160, 441, 960, 5000])
@pytest.mark.parametrize("rate", RATES)
def test_what_is_streamed_equals_the_whole_file(rate: int, chunk: int) -> None:
    pcm = noise(rate // 4)
    whole = Resampler(rate).push(pcm, last=True)
    assert np.array_equal(streamed(pcm, rate, chunk), whole)


@pytest.mark.parametrize("rate", [*RATES, *OTHER_RATES])
def test_a_file_keeps_its_length(rate: int) -> None:
    whole = Resampler(rate).push(noise(rate), last=True)
    assert abs(len(whole) - SAMPLE_RATE) <= 1
    assert whole.dtype == np.int16


@pytest.mark.parametrize("rate", [*RATES, *OTHER_RATES])
def test_a_tone_keeps_its_pitch_its_loudness_and_its_place(rate: int) -> None:
    whole = Resampler(rate).push(tone(440, rate, 0.5), last=True)
    wanted = tone(440, SAMPLE_RATE, 0.5)
    middle = slice(1000, len(wanted) - 1000)
    assert np.abs(whole[middle].astype(int) - wanted[middle]).max() < 100


@pytest.mark.parametrize("rate", RATES)
def test_digital_silence_stays_digital_silence(rate: int) -> None:
    assert not streamed(np.zeros(rate, np.int16), rate, 640).any()


def test_loud_sound_is_clipped_and_does_not_wrap() -> None:
    square = np.repeat(np.array([32_767, -32_768] * 50, np.int16), 80)
    resampled = Resampler(16_000).push(square, last=True).astype(int)
    steps = np.abs(np.diff(resampled))
    assert resampled.max() == 32_767
    assert resampled.min() == -32_768
    assert (steps > 40_000).sum() <= 99, "each edge is one step at most; a wrap would add more"


@pytest.mark.parametrize("chunk", [1, 7, 959, 960])
def test_our_own_rate_passes_bit_for_bit_and_at_once(chunk: int) -> None:
    pcm = noise(2000)
    resampler = Resampler(SAMPLE_RATE)
    for at in range(0, len(pcm), chunk):
        assert np.array_equal(resampler.push(pcm[at : at + chunk]), pcm[at : at + chunk])
    assert len(resampler.push(pcm[:0], last=True)) == 0


@pytest.mark.parametrize("rate", RATES)
def test_nothing_in_is_nothing_out(rate: int) -> None:
    resampler = Resampler(rate)
    assert len(resampler.push(np.zeros(0, np.int16))) == 0
    assert len(resampler.push(np.zeros(0, np.int16), last=True)) == 0


@pytest.mark.parametrize("value", [0, 1, -1, 20_000, 32_767, -32_768])
@pytest.mark.parametrize("samples", [0, 1, 5, FADE_SAMPLES, PIECE_SAMPLES, FRAME_SAMPLES])
def test_a_ramp_down_goes_to_zero_without_a_step(value: int, samples: int) -> None:
    pcm = ramp_down(value, samples).astype(int)
    assert len(pcm) == samples
    if samples:
        length = min(samples, FADE_SAMPLES)
        steps = np.diff([value, *pcm])
        assert pcm[-1] == 0
        assert np.abs(steps).max() <= abs(value) / length + 1
        assert (steps * np.sign(value) <= 0).all()
        assert not pcm[FADE_SAMPLES:].any()


@pytest.mark.parametrize("samples", [0, 1, 2, FADE_SAMPLES, FRAME_SAMPLES])
def test_a_fade_in_begins_at_zero_and_leaves_the_rest_alone(samples: int) -> None:
    pcm = noise(samples)
    before = pcm.copy()
    faded = fade_in(pcm)
    assert np.array_equal(pcm, before)
    assert len(faded) == samples
    assert not faded[:1].any()
    assert (np.abs(faded.astype(int)) <= np.abs(pcm.astype(int))).all()
    assert np.array_equal(faded[FADE_SAMPLES:], pcm[FADE_SAMPLES:])


def test_silence_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        SILENCE[0] = 1


@pytest.mark.parametrize(
    ("width", "height"), [(64, 64), (130, 98), (126, 66), (512, 512), (2048, 64), (66, 2048)]
)
def test_a_video_frame_has_every_pixel_whatever_its_rows_are_padded_to(
    width: int, height: int
) -> None:
    random = np.random.default_rng(2)
    half = (height // 2, width // 2)
    picture = Picture(
        random.integers(0, 256, (height, width), np.uint8),
        random.integers(0, 256, half, np.uint8),
        random.integers(0, 256, half, np.uint8),
    )
    frame = to_video_frame(picture)
    planes = np.concatenate([picture.y.ravel(), picture.u.ravel(), picture.v.ravel()])
    assert (picture.width, picture.height) == (frame.width, frame.height) == (width, height)
    assert frame.format.name == "yuv420p"
    assert frame.pts is None
    assert np.array_equal(frame.to_ndarray().ravel(), planes)


def test_a_video_frame_takes_planes_that_are_views() -> None:
    wide = np.random.default_rng(3).integers(0, 256, (100, 300), np.uint8)
    picture = Picture(wide[:64, 10:140], wide[:32, ::2][:, :65], wide[::2, ::3][:32, :65])
    pixels = to_video_frame(picture).to_ndarray()
    assert np.array_equal(pixels[:64], picture.y)


def test_a_blank_picture_is_one_grey() -> None:
    black, white = Picture.blank(130, 66), Picture.blank(130, 66, y=235)
    for picture, level in ((black, 16), (white, 235)):
        rgb = to_video_frame(picture).reformat(format="rgb24").to_ndarray()
        wanted = round((level - 16) * 255 / 219)
        assert np.abs(rgb.astype(int) - wanted).max() <= 2


def test_doubled_sound_is_the_same_sound_at_twice_the_rate() -> None:
    samples = 4800
    seconds = np.arange(samples) / SAMPLE_RATE
    fine = np.arange(2 * samples) / (2 * SAMPLE_RATE) - Doubler.DELAY_S
    for hertz in (0, 100, 1000, 5000, 9000):
        pcm = np.asarray(np.rint(10_000 * np.cos(2 * np.pi * hertz * seconds)), np.int16)
        doubled = Doubler().push(pcm)
        ideal = 10_000 * np.cos(2 * np.pi * hertz * fine)
        settled = slice(4 * Doubler.NEIGHBOURS, None)
        assert np.abs(doubled[settled] - ideal[settled]).max() < 10, hertz


def test_sound_is_doubled_alike_in_pieces_of_any_length() -> None:
    pcm = np.random.default_rng(1).integers(-32_768, 32_768, 2000).astype(np.int16)
    whole = Doubler().push(pcm)
    doubler, at, pieces = Doubler(), 0, []
    for length in (1, 7, 480, 5, 960, 547):
        pieces.append(doubler.push(pcm[at : at + length]))
        at += length
    assert at == len(pcm)
    assert np.array_equal(np.concatenate(pieces), whole)


def test_doubled_silence_is_silence() -> None:
    doubler = Doubler()
    doubler.push(np.full(480, 30_000, np.int16))
    doubler.push(np.zeros(2 * Doubler.NEIGHBOURS, np.int16))
    assert not doubler.push(np.zeros(480, np.int16)).any()
