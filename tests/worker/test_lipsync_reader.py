"""The reader of visemes: exact whatever the pieces, blind to the far future, sound in its rows."""

import numpy as np
import pytest

from worker.lipsync import lips, net
from worker.lipsync.features import FEATURES, GROUP, GROUP_SAMPLES, Features
from worker.lipsync.lips import LOOKAHEAD_S, VisemeReader, read
from worker.lipsync.shape import VISEMES, Floats, VisemeTrack
from worker.media import SAMPLE_RATE, Pcm

HOP_SAMPLES = SAMPLE_RATE // 100


def voice(seconds: float, seed: int = 1, peak: float = 0.5) -> Pcm:
    """A buzz with wandering formants, interrupted by hiss and silence: busy, not speech."""
    rng = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE)
    times = np.arange(count) / SAMPLE_RATE
    knots = np.linspace(0, seconds, max(2, round(seconds * 8)))
    sound = np.zeros(count)
    for low, high in ((250, 900), (900, 2400)):
        hz = np.interp(times, knots, rng.uniform(low, high, len(knots)))
        sound += np.sin(2 * np.pi * np.cumsum(hz) / SAMPLE_RATE)
    sound *= 1 + np.sin(2 * np.pi * 120 * times)
    sound += np.interp(times, knots, rng.random(len(knots)) > 0.7) * rng.normal(size=count)
    sound *= np.interp(times, knots, rng.random(len(knots)) > 0.3)
    return np.asarray(sound / np.abs(sound).max() * peak * 32767, np.int16)


def streamed(pcm: Pcm, sizes: list[int]) -> VisemeTrack:
    """Pushed in pieces of these sizes, over and over."""
    reader, tracks, start, turn = VisemeReader(), [], 0, 0
    while start < len(pcm):
        size = sizes[turn % len(sizes)]
        tracks.append(reader.push(pcm[start : start + size]))
        start, turn = start + size, turn + 1
    return joined([*tracks, reader.finish()])


def joined(tracks: list[VisemeTrack]) -> VisemeTrack:
    return VisemeTrack(
        np.concatenate([track.visemes for track in tracks]),
        np.concatenate([track.opening for track in tracks]),
        np.concatenate([track.rounding for track in tracks]),
        np.concatenate([track.closed for track in tracks]),
    )


def columns(track: VisemeTrack) -> list[Floats]:
    return [track.visemes, track.opening, track.rounding, track.closed]


def same(one: VisemeTrack, other: VisemeTrack) -> bool:
    return all(map(np.array_equal, columns(one), columns(other)))


@pytest.mark.parametrize("sizes", [[1], [239], [240], [960], [7, 1900, 1, 960], [100_000]])
def test_streamed_is_whole_bit_for_bit(sizes: list[int]) -> None:
    pcm = voice(0.4 if sizes == [1] else 2.3)
    assert same(streamed(pcm, sizes), read(pcm))


@pytest.mark.parametrize("seed", range(4))
def test_random_pieces_change_nothing(seed: int) -> None:
    pcm = voice(3.0, seed)
    sizes = np.random.default_rng(seed).integers(1, 2500, 50).tolist()
    assert same(streamed(pcm, sizes), read(pcm))


@pytest.mark.parametrize("hop", [20, 41, 102, 143])
def test_the_future_beyond_the_look_ahead_changes_nothing(hop: int) -> None:
    pcm = voice(2.0)
    altered = pcm.copy()
    seen = round(((hop + 0.5) / 100 + LOOKAHEAD_S) * SAMPLE_RATE)
    altered[seen:] = voice(2.0, seed=9)[seen:]
    for before, after in zip(columns(read(pcm)), columns(read(altered)), strict=True):
        assert np.array_equal(before[: hop + 1], after[: hop + 1])
        assert not np.array_equal(before, after)


def test_the_look_ahead_is_within_the_law() -> None:
    assert LOOKAHEAD_S <= 0.08


@pytest.mark.parametrize("samples", [0, 1, 239, 240, 241, 960, 961, 24_000, 24_100])
def test_there_is_one_row_for_each_10_ms_begun(samples: int) -> None:
    for column in columns(read(voice(1.5)[:samples])):
        assert len(column) == -(-samples // HOP_SAMPLES)


def test_hops_come_as_soon_as_their_look_ahead_does() -> None:
    reader = VisemeReader()
    ready = [len(reader.push(voice(1.0)[:GROUP_SAMPLES]).opening) for _ in range(4)]
    assert ready == [0, GROUP - 1, GROUP, GROUP]


def test_rows_are_sound() -> None:
    track = read(voice(3.0))
    assert track.visemes.shape == (300, len(VISEMES))
    assert np.allclose(track.visemes.sum(axis=1), 1.0, atol=1e-5)
    for column in columns(track):
        assert column.dtype == np.float32
        assert column.min() >= 0.0
        assert column.max() <= 1.0


def test_a_reader_that_was_reset_knows_nothing_of_before() -> None:
    reader, pcm = VisemeReader(), voice(1.0)
    first = joined([reader.push(pcm), reader.finish()])
    reader.push(voice(0.7, seed=5))
    reader.reset()
    second = joined([reader.push(pcm), reader.finish()])
    assert same(first, second)


def test_a_sound_that_ended_or_was_broken_off_leaves_only_the_speaker() -> None:
    ended, broken, pcm = VisemeReader(), VisemeReader(), voice(1.0)
    for reader in (ended, broken):
        reader.push(pcm)
        reader.finish()
    broken.hush()
    seconds = [joined([reader.push(pcm), reader.finish()]) for reader in (ended, broken)]
    assert same(*seconds)
    assert not same(seconds[0], read(pcm))


def test_sessions_share_the_weights_and_nothing_else() -> None:
    one, other, pcm = VisemeReader(), VisemeReader(), voice(1.0)
    alone = joined([one.push(pcm), one.finish()])
    one.reset()
    begun = one.push(pcm[:5000])
    other.push(voice(0.5, seed=3))
    assert same(joined([begun, one.push(pcm[5000:]), one.finish()]), alone)
    assert net.shipped() is net.shipped()
    with pytest.raises(ValueError, match="read-only"):
        net.shipped().quiet.layers[0].weight[0, 0] = 1.0


def test_features_hardly_know_how_loud_a_speaker_is() -> None:
    def features(pcm: Pcm) -> Floats:
        ear = Features()
        starts = range(0, len(pcm) - GROUP_SAMPLES + 1, GROUP_SAMPLES)
        return np.concatenate([ear.push(pcm[start : start + GROUP_SAMPLES]) for start in starts])

    loud, quiet = (features(voice(4.0, peak=peak)) for peak in (0.9, 0.09))
    assert loud.shape == (400, FEATURES)
    assert np.abs(loud[200:] - quiet[200:]).mean() < 0.15


def test_full_scale_and_silence_give_numbers() -> None:
    square = np.where(np.arange(24_000) % 200 < 100, 32767, -32768).astype(np.int16)
    for pcm in (square, np.zeros(24_000, np.int16), np.full(24_000, -32768, np.int16)):
        assert all(np.isfinite(column).all() for column in columns(lips.read(pcm)))
