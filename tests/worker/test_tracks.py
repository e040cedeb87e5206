"""The tracks hand out sound and pictures in order and on time, and a cut silences them."""

import asyncio
from collections.abc import Callable, Coroutine
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import virtual_time
from hypothesis import given
from hypothesis import strategies as st
from thorough import thorough
from virtual_time import START_S

from worker.clock import Clock, now, sleep_until
from worker.media import (
    FRAME_SAMPLES,
    PIECE_SAMPLES,
    SAMPLE_RATE,
    TICK_S,
    AvatarFrame,
    Pcm,
    Picture,
)
from worker.meeting_support.tracks import MAX_PICTURES, MAX_PIECES, PIECE_S, Tracks, TracksClosed
from worker.sound import FADE_SAMPLES

WAVE = np.rint(9000 * np.sin(np.arange(FRAME_SAMPLES * 1000) / 7)).astype(np.int16)
"""A tone in which every sample differs from its neighbours."""


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that is a coroutine."""

    def run() -> None:
        virtual_time.run(test())

    run.__name__ = test.__name__
    return run


def frame(index: int, pcm: Pcm | None = None) -> AvatarFrame:
    """The frame of WAVE with this index; its picture's brightness is the index too."""
    begin = index * FRAME_SAMPLES
    sound = WAVE[begin : begin + FRAME_SAMPLES] if pcm is None else pcm
    return AvatarFrame(1, Picture.blank(64, 64, y=16 + index % 200), sound)


class Sender:
    """Reads both tracks as the platform's senders do."""

    def __init__(self, tracks: Tracks) -> None:
        self.sound: list[tuple[float, int, Pcm]] = []
        self.pictures: list[tuple[float, int, int]] = []
        self._tracks = tracks
        self.tasks = [
            asyncio.create_task(self._read_sound(), name="sound"),
            asyncio.create_task(self._read_pictures(), name="pictures"),
        ]

    def heard(self) -> Pcm:
        return np.concatenate([np.zeros(0, np.int16), *(pcm for _, _, pcm in self.sound)])

    def shown(self) -> list[int]:
        return [index for _, _, index in self.pictures]

    async def close(self) -> None:
        """Ends the tracks; both readers have to notice."""
        self._tracks.close()
        for task in self.tasks:
            with pytest.raises(TracksClosed):
                await task

    async def _read_sound(self) -> None:
        while True:
            sound = await self._tracks.next_sound()
            assert (sound.format.name, sound.layout.name) == ("s16", "mono")
            assert sound.sample_rate == SAMPLE_RATE
            assert sound.time_base == Fraction(1, SAMPLE_RATE)
            self.sound.append((now() - START_S, sound.pts or 0, sound.to_ndarray()[0]))

    async def _read_pictures(self) -> None:
        while True:
            picture = await self._tracks.next_picture()
            assert picture.format.name == "yuv420p"
            assert picture.time_base == Fraction(1, 90_000)
            index = int(picture.to_ndarray()[0, 0]) - 16
            self.pictures.append((now() - START_S, picture.pts or 0, index))


# Order and pace ----------------------------------------------------------------------------------


@in_virtual_time
async def test_every_sample_and_every_picture_comes_out_once_and_in_order() -> None:
    tracks = Tracks()
    sender = Sender(tracks)
    ticks = Clock().ticks()
    for index in range(100):
        await anext(ticks)
        tracks.publish(frame(index))
    await anext(ticks)
    assert np.array_equal(sender.heard(), WAVE[: 100 * FRAME_SAMPLES])
    assert sender.shown() == list(range(100))
    await sender.close()


@in_virtual_time
async def test_pieces_leave_every_20_ms_and_pictures_every_40() -> None:
    tracks = Tracks()
    sender = Sender(tracks)
    ticks = Clock().ticks()
    for index in range(50):
        await anext(ticks)
        tracks.publish(frame(index))
    await anext(ticks)
    assert [time_s for time_s, _, _ in sender.sound] == pytest.approx(
        [count * PIECE_S for count in range(100)]
    )
    assert [time_s for time_s, _, _ in sender.pictures] == pytest.approx(
        [count * TICK_S for count in range(50)]
    )
    await sender.close()


@in_virtual_time
async def test_how_much_later_a_picture_left_than_its_sound_is_known() -> None:
    tracks = Tracks()
    tracks.publish(frame(0))
    await tracks.next_piece()
    assert tracks.offset_s is None
    await asyncio.sleep(0.03)
    await tracks.next_planes()
    assert tracks.offset_s == pytest.approx(0.03)
    await tracks.next_piece()
    await asyncio.sleep(0.01)
    tracks.publish(frame(1))
    await tracks.next_planes()
    assert tracks.offset_s == pytest.approx(-0.01)
    await tracks.next_piece()
    assert tracks.offset_s == pytest.approx(0.0)


@in_virtual_time
async def test_sound_and_pictures_share_one_time_line() -> None:
    tracks = Tracks()
    sender = Sender(tracks)
    ticks = Clock().ticks()
    for index in range(10):
        await anext(ticks)
        tracks.publish(frame(index))
    await anext(ticks)
    assert [pts for _, pts, _ in sender.sound] == [PIECE_SAMPLES * count for count in range(20)]
    seconds = [Fraction(pts, 90_000) for _, pts, _ in sender.pictures]
    assert seconds == [Fraction(pts, SAMPLE_RATE) for _, pts, _ in sender.sound[::2]]
    await sender.close()


@in_virtual_time
async def test_a_slow_sender_is_not_slower_in_the_end() -> None:
    tracks = Tracks()
    times = []

    async def read_slowly() -> None:
        for _ in range(500):
            await tracks.next_piece()
            times.append(now() - START_S)
            await asyncio.sleep(0.013)

    reader = asyncio.create_task(read_slowly(), name="slow sender")
    ticks = Clock().ticks()
    for index in range(250):
        await anext(ticks)
        tracks.publish(frame(index))
    await reader
    assert times == pytest.approx([count * PIECE_S for count in range(500)], abs=1e-6)


@in_virtual_time
async def test_a_late_tick_delays_only_its_own_sound() -> None:
    tracks = Tracks()
    sender = Sender(tracks)
    for index, late_s in enumerate([0.0, 0.030, 0.0, 0.015, 0.0]):
        await sleep_until(START_S + index * TICK_S + late_s)
        tracks.publish(frame(index))
    await asyncio.sleep(TICK_S)
    assert [time_s for time_s, _, _ in sender.sound] == pytest.approx(
        [0.0, 0.02, 0.07, 0.09, 0.09, 0.1, 0.135, 0.155, 0.16, 0.18]
    )
    assert np.array_equal(sender.heard(), WAVE[: 5 * FRAME_SAMPLES])
    await sender.close()


@in_virtual_time
async def test_the_second_half_never_leaves_before_its_time() -> None:
    tracks = Tracks()
    tracks.publish(frame(0))
    await tracks.next_piece()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(PIECE_S - 0.001):
            await tracks.next_piece()
    assert (await tracks.next_piece())[0] == PIECE_SAMPLES
    assert now() == pytest.approx(START_S + PIECE_S)


# Bounds ------------------------------------------------------------------------------------------


@in_virtual_time
async def test_what_nobody_reads_is_bounded_and_the_newest_stays() -> None:
    tracks = Tracks()
    for index in range(100):
        tracks.publish(frame(index))
    await asyncio.sleep(1)
    sender = Sender(tracks)
    await asyncio.sleep(0.01)
    assert len(sender.sound) == MAX_PIECES
    assert len(sender.pictures) == MAX_PICTURES
    assert sender.shown() == list(range(95, 100))
    kept = 100 - MAX_PIECES // 2
    assert np.array_equal(sender.heard(), WAVE[kept * FRAME_SAMPLES : 100 * FRAME_SAMPLES])
    await sender.close()


@in_virtual_time
async def test_time_stamps_count_what_was_published_and_not_what_was_read() -> None:
    tracks = Tracks()
    for index in range(100):
        tracks.publish(frame(index))
    sender = Sender(tracks)
    await asyncio.sleep(1)
    tracks.publish(frame(100))
    await asyncio.sleep(TICK_S)
    stamps = [pts for _, pts, _ in sender.sound]
    assert stamps == list(
        range((100 - MAX_PIECES // 2) * FRAME_SAMPLES, 101 * FRAME_SAMPLES, PIECE_SAMPLES)
    )
    pictures = [pts for _, pts, _ in sender.pictures]
    assert pictures == list(range(95 * 3600, 101 * 3600, 3600))
    await sender.close()


# Cuts --------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_cut_before_anything_left_silences_all_of_it() -> None:
    tracks = Tracks()
    sender = Sender(tracks)
    assert tracks.cut() == 0
    tracks.publish(frame(0))
    assert tracks.cut() == FRAME_SAMPLES
    await asyncio.sleep(TICK_S)
    assert not sender.heard().any()
    assert len(sender.heard()) == FRAME_SAMPLES
    assert sender.shown() == []
    await sender.close()


@in_virtual_time
async def test_a_cut_between_the_halves_leaves_the_first_and_ramps_the_second_down() -> None:
    tracks = Tracks()
    sender = Sender(tracks)
    loud = np.full(FRAME_SAMPLES, 12_000, np.int16)
    tracks.publish(frame(0, loud))
    await asyncio.sleep(0.005)
    assert tracks.cut() == PIECE_SAMPLES
    await asyncio.sleep(TICK_S)
    heard = sender.heard().astype(int)
    assert (heard[:PIECE_SAMPLES] == 12_000).all()
    assert not heard[PIECE_SAMPLES + FADE_SAMPLES :].any()
    steps = np.diff(heard)
    assert np.abs(steps).max() <= 12_000 / FADE_SAMPLES + 1
    await sender.close()


@in_virtual_time
async def test_a_cut_after_all_of_it_left_changes_nothing() -> None:
    tracks = Tracks()
    sender = Sender(tracks)
    tracks.publish(frame(0))
    await asyncio.sleep(0.03)
    assert tracks.cut() == 0
    tracks.publish(frame(1))
    await asyncio.sleep(TICK_S)
    assert np.array_equal(sender.heard(), WAVE[: 2 * FRAME_SAMPLES])
    await sender.close()


@in_virtual_time
async def test_a_cut_counts_only_the_newest_frame_but_silences_the_older_too() -> None:
    tracks = Tracks()
    for index in range(4):
        tracks.publish(frame(index))
    await tracks.next_piece()
    assert tracks.cut() == FRAME_SAMPLES
    sender = Sender(tracks)
    await asyncio.sleep(1)
    assert len(sender.heard()) == 7 * PIECE_SAMPLES
    assert not sender.heard()[FADE_SAMPLES:].any()
    assert sender.shown() == []
    await sender.close()


@in_virtual_time
async def test_a_second_cut_says_the_same_and_does_no_harm() -> None:
    tracks = Tracks()
    sender = Sender(tracks)
    tracks.publish(frame(0))
    await asyncio.sleep(0.005)
    assert tracks.cut() == tracks.cut() == PIECE_SAMPLES
    await asyncio.sleep(TICK_S)
    heard = sender.heard().astype(int)
    assert np.array_equal(heard[:PIECE_SAMPLES], WAVE[:PIECE_SAMPLES])
    assert np.abs(np.diff(heard[PIECE_SAMPLES - 1 :])).max() <= 9000 / FADE_SAMPLES + 1
    await sender.close()


@in_virtual_time
async def test_what_is_published_after_a_cut_is_whole() -> None:
    tracks = Tracks()
    sender = Sender(tracks)
    tracks.publish(frame(0))
    await asyncio.sleep(0.005)
    tracks.cut()
    await asyncio.sleep(TICK_S - 0.005)
    tracks.publish(frame(1))
    await asyncio.sleep(TICK_S)
    assert np.array_equal(sender.heard()[FRAME_SAMPLES:], WAVE[FRAME_SAMPLES : 2 * FRAME_SAMPLES])
    assert sender.shown() == [0, 1]
    assert [pts for _, pts, _ in sender.sound] == [0, 480, 960, 1440]
    await sender.close()


@in_virtual_time
async def test_a_cut_reaches_the_piece_that_the_sender_waits_for() -> None:
    tracks = Tracks()
    sender = Sender(tracks)
    tracks.publish(frame(0))
    await asyncio.sleep(PIECE_S - 0.0001)
    assert len(sender.sound) == 1
    assert tracks.cut() == PIECE_SAMPLES
    await asyncio.sleep(0.001)
    assert not sender.heard()[PIECE_SAMPLES + FADE_SAMPLES :].any()
    await sender.close()


@thorough(400)
@given(st.lists(st.sampled_from(["publish", "cut", "wait 7 ms", "wait 20 ms"]), max_size=50))
def test_whatever_happens_nothing_cut_is_heard_and_nothing_else_is_lost(steps: list[str]) -> None:
    """Each frame has a level of its own, so what is heard says which frames it came from."""

    def level(number: int) -> int:
        return 30_000 - number

    async def main() -> None:
        tracks = Tracks()
        sender = Sender(tracks)
        wanted: list[int] = []
        for step in steps:
            heard = sender.heard()
            if step == "publish" and 2 * len(wanted) - len(sender.sound) < MAX_PIECES - 1:
                pcm = np.full(FRAME_SAMPLES, level(len(wanted)), np.int16)
                tracks.publish(frame(len(wanted), pcm))
                wanted.append(FRAME_SAMPLES)
            elif step == "cut":
                unheard = tracks.cut()
                for number, samples in enumerate(wanted):
                    wanted[number] = min(samples, int((heard == level(number)).sum()))
                assert unheard == (FRAME_SAMPLES - wanted[-1] if wanted else 0)
            elif step.startswith("wait"):
                await asyncio.sleep(float(step.split()[1]) / 1000)
        await asyncio.sleep(1)
        heard = sender.heard()
        assert len(heard) == len(wanted) * FRAME_SAMPLES
        assert [int((heard == level(number)).sum()) for number in range(len(wanted))] == wanted
        assert sender.shown() == sorted(set(sender.shown()))
        await sender.close()

    virtual_time.run(main())


# The end -----------------------------------------------------------------------------------------


@in_virtual_time
async def test_closing_wakes_those_who_wait() -> None:
    tracks = Tracks()
    sender = Sender(tracks)
    await asyncio.sleep(0.1)
    await sender.close()
    assert now() == pytest.approx(START_S + 0.1)


@in_virtual_time
async def test_nothing_leaves_tracks_that_are_closed() -> None:
    tracks = Tracks()
    tracks.publish(frame(0))
    tracks.close()
    tracks.publish(frame(1))
    tracks.close()
    for track in (tracks.next_sound, tracks.next_picture):
        with pytest.raises(TracksClosed):
            await track()
    assert tracks.cut() in range(FRAME_SAMPLES + 1)


@in_virtual_time
async def test_a_sender_that_waits_for_a_deadline_notices_the_end_by_then() -> None:
    tracks = Tracks()
    sender = Sender(tracks)
    tracks.publish(frame(0))
    await asyncio.sleep(0.005)
    await sender.close()
    assert now() <= START_S + PIECE_S + 1e-6
    assert len(sender.sound) == 1
