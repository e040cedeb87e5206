"""A film holds what was written: every picture, every sample, in their colours and their places."""

import wave
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from plain_renderer import luma

from worker.errors import InputError
from worker.media import FPS, FRAME_SAMPLES, SAMPLE_RATE, SILENCE, Pcm, Picture
from worker.tools.film import Film, FilmWriter, read_film, read_pictures

SPEECH = Path(__file__).parents[2] / "benchmarks" / "speech.wav"
TICKS = 75
AAC_BLOCK = 1024


def speech(ticks: int = TICKS) -> Pcm:
    with wave.open(str(SPEECH)) as file:
        return np.frombuffer(file.readframes(ticks * FRAME_SAMPLES), np.int16)


def blocks(pcm: Pcm) -> Iterator[Pcm]:
    return iter(pcm.reshape(-1, FRAME_SAMPLES))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with FilmWriter(path, 128, 96) as film:
        for block in blocks(speech()):
            film.add_picture(Picture.blank(128, 96, luma(block)))
            film.add_sound(block)
    return path


@pytest.fixture(scope="module")
def film(path: Path) -> Film:
    return read_film(path)


def lag(written: Pcm, read: Pcm) -> int:
    """By how many samples `read` is late where the two agree best."""
    size = len(written) + len(read)
    spectrum = np.fft.rfft(read, size) * np.conj(np.fft.rfft(written, size))
    best = int(np.argmax(np.fft.irfft(spectrum, size)))
    return best if best < len(read) else best - size


def test_there_are_exactly_25_pictures_a_second(film: Film) -> None:
    assert len(film.times_s) == TICKS
    assert film.times_s == pytest.approx(np.arange(TICKS) / FPS, abs=1e-9)


def test_the_container_says_25_pictures_a_second(path: Path) -> None:
    with av.open(str(path)) as file:
        assert file.streams.video[0].average_rate == FPS
        assert file.streams.video[0].codec_context.name == "h264"
        assert file.streams.audio[0].codec_context.name == "aac"
        assert file.duration / av.time_base == pytest.approx(TICKS / FPS, abs=0.05)


def test_the_first_sample_sounds_at_zero(film: Film) -> None:
    assert film.sound_start_s == 0
    assert lag(speech(), film.sound) == 0


def test_no_sample_is_lost(film: Film) -> None:
    written = speech()
    assert film.sample_rate == SAMPLE_RATE
    assert 0 <= len(film.sound) - len(written) < AAC_BLOCK
    assert np.corrcoef(written, film.sound[: len(written)])[0, 1] > 0.999


def test_each_picture_shows_its_own_sound(film: Film) -> None:
    shown = film.luma.mean(axis=(1, 2))
    assert shown == pytest.approx([luma(block) for block in blocks(speech())], abs=2)
    assert np.ptp(shown) > 50


@pytest.mark.parametrize(
    "colour", [(16, 128, 128), (235, 128, 128), (81, 90, 240), (145, 54, 34), (41, 240, 110)]
)
def test_colours_survive(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    picture = Picture(
        *(
            np.full(shape, value, np.uint8)
            for shape, value in zip([(64, 80), (32, 40), (32, 40)], colour, strict=True)
        )
    )
    with FilmWriter(tmp_path / "flat.mp4", 80, 64) as film:
        for _ in range(5):
            film.add_picture(picture)
            film.add_sound(SILENCE)
    for _, seen in read_pictures(tmp_path / "flat.mp4"):
        means = [float(plane.mean()) for plane in (seen.y, seen.u, seen.v)]
        assert means == pytest.approx(colour, abs=2)


def test_players_are_told_which_colours_these_are(path: Path) -> None:
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
    assert frame.format.name == "yuv420p"
    assert (frame.colorspace, frame.color_range) == (6, 1)


def test_the_index_comes_before_the_pictures(path: Path) -> None:
    content = path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_sound_may_come_in_any_pieces(tmp_path: Path) -> None:
    written = speech(25)
    edges = [0, 1, 1, 700, 5000, 5003, len(written)]
    with FilmWriter(tmp_path / "pieces.mp4", 64, 64) as film:
        for begin, end in pairwise(edges):
            film.add_sound(written[begin:end])
        for _ in range(25):
            film.add_picture(Picture.blank(64, 64))
    read = read_film(tmp_path / "pieces.mp4").sound
    assert np.corrcoef(written, read[: len(written)])[0, 1] > 0.999


def test_a_film_takes_the_place_of_the_one_before_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    target.write_text("the one before")
    with FilmWriter(target, 64, 64) as film:
        for _ in range(3):
            film.add_picture(Picture.blank(64, 64))
            film.add_sound(SILENCE)
        assert target.read_text() == "the one before"
    assert len(read_film(target).times_s) == 3
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("pictures", [0, 1, 60])
def test_nothing_is_left_of_a_film_that_fails(
    tmp_path: Path, error: type[BaseException], pictures: int
) -> None:
    def fail() -> None:
        with FilmWriter(tmp_path / "film.mp4", 64, 64) as film:
            for _ in range(pictures):
                film.add_picture(Picture.blank(64, 64))
                film.add_sound(SILENCE)
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_film_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a picture"), FilmWriter(tmp_path / "x.mp4", 64, 64):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="32x64 does not fit a film of 64x64"),
        FilmWriter(tmp_path / "film.mp4", 64, 64) as film,
    ):
        film.add_picture(Picture.blank(32, 64))


def test_where_no_file_can_be_made_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    places = [
        tmp_path,
        tmp_path / "file" / "film.mp4",
        tmp_path / "nowhere" / "film.mp4",
        tmp_path / ("x" * 300 + ".mp4"),
        tmp_path / "loop" / "film.mp4",
        Path("/dev/null"),
    ]
    for place in places:
        with pytest.raises(InputError), FilmWriter(place, 64, 64):
            pytest.fail(f"{place} was written")
    assert {each.name for each in tmp_path.iterdir()} == {"file", "loop"}
