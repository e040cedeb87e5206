"""A segment gives every sample once and in order, however the network delivered it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import voice
from thorough import thorough

from worker.media import FRAME_SAMPLES, SAMPLE_RATE
from worker.sound import Resampler
from worker.turns.segments import MAX_AHEAD_S, MAX_PIECES_AHEAD, AudioSegment, SegmentQueue

RATES = (8000, 16_000, 22_050, 24_000, 44_100, 48_000)


def whole(pcm, rate):
    """`pcm` as a file, resampled in one go."""
    return Resampler(rate).push(pcm, last=True)


def take_all(segment):
    blocks = []
    while (block := segment.take()) is not None:
        blocks.append(block)
    return np.concatenate([np.zeros(0, np.int16), *blocks]), [len(block) for block in blocks]


def insert(segment, pcm, first, end, rate=SAMPLE_RATE):
    return segment.insert(first, rate, pcm[first:end].tobytes())


def pieces_of(length):
    """Pieces that cover 0..length, cut anywhere, then some that overlap them, in any order."""
    cuts = st.lists(st.integers(0, length), max_size=12).map(lambda at: sorted({0, *at, length}))
    cover = cuts.map(lambda at: list(pairwise(at)))
    piece = st.tuples(st.integers(0, length), st.integers(0, length)).map(sorted).map(tuple)
    extra = st.lists(piece.filter(lambda ends: ends[0] < ends[1]), max_size=8)
    return st.tuples(cover, extra).flatmap(lambda both: st.permutations(both[0] + both[1]))


class Naive:
    """The samples that are here, one flag each: slow and plainly right."""

    def __init__(self, length):
        self.here = np.zeros(length, bool)

    def insert(self, first, end):
        self.here[first:end] = True

    @property
    def received(self):
        return len(self.here) if self.here.all() else int(np.argmin(self.here))

    def missing(self):
        newest = int(np.flatnonzero(self.here)[-1]) + 1 if self.here.any() else 0
        edges = np.flatnonzero(np.diff(np.concatenate([[1], self.here[:newest], [1]])))
        return tuple((int(a), int(b)) for a, b in edges.reshape(-1, 2))


# Chunks of the network ----------------------------------------------------------------------


@thorough(400)
@given(data=st.data(), length=st.integers(1, 6000), end_comes=st.sampled_from(["first", "last"]))
def test_any_order_repetition_and_overlap_give_the_exact_samples_once(data, length, end_comes):
    pcm = voice(length)
    segment, naive = AudioSegment(1), Naive(length)
    if end_comes == "first":
        assert segment.close(length)
    taken = []
    for first, end in data.draw(pieces_of(length)):
        assert insert(segment, pcm, first, end)
        naive.insert(first, end)
        assert segment.received == naive.received
        assert segment.missing(100) == naive.missing()
        taken.append(take_all(segment))
    if end_comes == "last":
        assert not segment.complete
        assert segment.close(length)
        taken.append(take_all(segment))
    assert np.array_equal(np.concatenate([sound for sound, _ in taken]), pcm)
    lengths = [length for _, lengths in taken for length in lengths]
    assert all(each == FRAME_SAMPLES for each in lengths[:-1])
    assert segment.complete
    assert segment.exhausted
    assert segment.take() is None


@pytest.mark.parametrize("rate", RATES)
def test_any_rate_sounds_as_if_the_whole_file_had_been_resampled(rate):
    pcm = voice(rate)
    segment = AudioSegment(1)
    pieces = [(at, min(at + 777, len(pcm))) for at in range(0, len(pcm), 777)]
    for first, end in reversed(pieces):
        assert insert(segment, pcm, first, end, rate)
    assert segment.close(len(pcm))
    sound, lengths = take_all(segment)
    assert np.array_equal(sound, whole(pcm, rate))
    assert abs(len(sound) - SAMPLE_RATE) <= 1
    assert set(lengths[:-1]) == {FRAME_SAMPLES}
    assert segment.rate == rate


@thorough(150)
@given(rate=st.sampled_from(RATES), seed=st.integers(0, 999), pieces=st.data())
def test_the_way_in_which_speech_is_cut_into_packets_is_not_heard(rate, seed, pieces):
    pcm = voice(9000, seed)
    inserted, appended = AudioSegment(1), AudioSegment(2, rate)
    cuts = sorted({0, *pieces.draw(st.lists(st.integers(0, 9000), max_size=10)), 9000})
    for first, end in pairwise(cuts):
        assert insert(inserted, pcm, first, end, rate)
        appended.append(pcm[first:end].tobytes())
    inserted.close(9000)
    appended.close()
    expected = whole(pcm, rate)
    assert np.array_equal(take_all(inserted)[0], expected)
    assert np.array_equal(take_all(appended)[0], expected)


def test_a_block_comes_only_when_it_is_full_or_the_last():
    segment = AudioSegment(1, SAMPLE_RATE)
    segment.append(voice(959).tobytes())
    assert segment.take() is None
    segment.append(voice(2).tobytes())
    assert len(segment.take()) == FRAME_SAMPLES
    assert segment.take() is None
    assert not segment.exhausted
    segment.close()
    assert len(segment.take()) == 1
    assert segment.exhausted


def test_what_waits_to_be_taken_is_known_in_seconds():
    segment = AudioSegment(1, SAMPLE_RATE)
    segment.append(voice(24_000).tobytes())
    assert segment.waiting_s == 1.0
    segment.take()
    assert segment.waiting_s == pytest.approx(0.96)


# Gaps ---------------------------------------------------------------------------------------


def test_the_gaps_before_the_newest_chunk_are_missing():
    pcm = voice(5000)
    segment = AudioSegment(1)
    assert segment.missing(9) == ()
    for first, end in ((0, 100), (300, 400), (1000, 1100), (350, 500)):
        insert(segment, pcm, first, end)
    assert segment.missing(9) == ((100, 300), (500, 1000))
    assert segment.missing(1) == ((100, 300),)
    insert(segment, pcm, 100, 300)
    assert segment.received == 500
    assert segment.missing(9) == ((500, 1000),)


def test_each_hole_is_a_gap_once_however_it_is_filled():
    segment = AudioSegment(1)
    chunk = bytes(2 * 100)
    for first, gaps in [(0, 0), (200, 1), (300, 1), (500, 2), (100, 2), (400, 2), (600, 2)]:
        assert segment.insert(first, 24_000, chunk)
        assert segment.gaps == gaps
    assert segment.received == 700


def test_a_segment_has_begun_when_some_of_its_speech_is_here():
    speech = SegmentQueue()
    ahead, silent, begun = speech.open(), speech.open(), speech.open(24_000, 960)
    assert speech.begun == ()
    ahead.insert(960, 24_000, bytes(4))
    begun.append(bytes(4))
    silent.close(0)
    assert speech.begun == (ahead.number, begun.number)


def test_of_two_chunks_that_begin_alike_the_longer_counts():
    pcm = voice(400)
    segment = AudioSegment(1)
    insert(segment, pcm, 100, 200)
    insert(segment, pcm, 100, 300)
    insert(segment, pcm, 100, 150)
    insert(segment, pcm, 0, 100)
    assert segment.received == 300
    assert segment.missing(9) == ()


def test_a_turn_may_begin_in_its_middle_where_another_worker_left_it():
    pcm = voice(3000)
    segment = AudioSegment(1, begin=1000)
    assert segment.missing(9) == ()
    insert(segment, pcm, 1500, 3000)
    assert segment.missing(9) == ((1000, 1500),)
    insert(segment, pcm, 0, 500)
    insert(segment, pcm, 500, 1500)
    assert segment.close(3000)
    assert np.array_equal(take_all(segment)[0], pcm[1000:])


# What is refused ----------------------------------------------------------------------------


def test_speech_after_the_end_of_the_turn_is_refused():
    pcm = voice(2000)
    segment = AudioSegment(1)
    segment.close(1000)
    assert not insert(segment, pcm, 900, 1001)
    assert not insert(segment, pcm, 1500, 1600)
    assert insert(segment, pcm, 900, 1000)


def test_speech_at_another_rate_is_refused():
    pcm = voice(2000)
    segment = AudioSegment(1)
    assert insert(segment, pcm, 0, 1000, 16_000)
    assert not insert(segment, pcm, 1000, 2000, 24_000)
    assert segment.received == 1000


def test_speech_out_of_all_proportion_ahead_is_refused():
    segment = AudioSegment(1)
    furthest = MAX_AHEAD_S * 8000
    assert not segment.insert(furthest + 1, 8000, b"\1\1")
    assert segment.rate is None
    assert segment.insert(furthest, 8000, b"\1\1")
    assert not segment.insert(2**63, 8000, b"\1\1")


def test_pieces_beyond_count_behind_a_gap_are_refused():
    pcm = voice(2 * MAX_PIECES_AHEAD + 10)
    segment = AudioSegment(1)
    for first in range(1, MAX_PIECES_AHEAD + 1):
        assert insert(segment, pcm, first, first + 9)
    assert not insert(segment, pcm, MAX_PIECES_AHEAD + 1, MAX_PIECES_AHEAD + 2)
    assert insert(segment, pcm, 5, 20)
    assert insert(segment, pcm, 0, 1)
    assert segment.received == MAX_PIECES_AHEAD + 9
    segment.close(segment.received)
    assert np.array_equal(take_all(segment)[0], pcm[: MAX_PIECES_AHEAD + 9])


def test_an_end_before_speech_that_is_here_is_refused():
    pcm = voice(2000)
    segment = AudioSegment(1)
    insert(segment, pcm, 0, 1000)
    assert not segment.close(999)
    insert(segment, pcm, 1500, 2000)
    assert not segment.close(1999)
    assert segment.close(2000)


def test_an_end_that_changes_its_mind_is_refused():
    segment = AudioSegment(1)
    assert segment.close(1000)
    assert segment.close(1000)
    assert not segment.close(1001)
    assert segment.total == 1000


def test_an_end_that_comes_twice_ends_a_turn_once():
    pcm = voice(1600)
    segment = AudioSegment(1)
    insert(segment, pcm, 0, 1600, 16_000)
    assert segment.close(1600)
    assert segment.close(1600)
    assert insert(segment, pcm, 0, 1600, 16_000)
    assert np.array_equal(take_all(segment)[0], whole(pcm, 16_000))


# The end ------------------------------------------------------------------------------------


def test_a_turn_is_complete_when_its_last_gap_is_filled():
    pcm = voice(2000)
    segment = AudioSegment(1)
    insert(segment, pcm, 1000, 2000)
    segment.close(2000)
    assert not segment.complete
    insert(segment, pcm, 0, 1000)
    assert segment.complete


def test_an_end_without_a_number_is_where_the_speech_that_is_here_ends():
    pcm = voice(3000)
    segment = AudioSegment(1)
    insert(segment, pcm, 0, 1000)
    insert(segment, pcm, 2000, 3000)
    assert segment.close()
    assert segment.total == 1000
    assert segment.missing(9) == ()
    assert np.array_equal(take_all(segment)[0], pcm[:1000])


def test_an_end_without_a_number_does_not_wait_for_what_was_announced():
    pcm = voice(3000)
    segment = AudioSegment(1)
    insert(segment, pcm, 0, 1000)
    assert segment.close(3000)
    assert not segment.complete
    assert segment.close()
    assert segment.complete
    assert np.array_equal(take_all(segment)[0], pcm[:1000])


def test_a_turn_without_speech_is_exhausted_when_it_ends():
    segment = AudioSegment(1)
    assert not segment.exhausted
    assert segment.close(0)
    assert segment.take() is None
    assert segment.exhausted
    assert segment.position_s(0, whole=True) == 0.0


# Positions ----------------------------------------------------------------------------------


def test_a_position_counts_in_the_senders_samples():
    segment = AudioSegment(1, begin=800)
    segment.insert(800, 8000, voice(8000).tobytes())
    assert segment.samples_heard(0) == 800
    assert segment.samples_heard(960) == 800 + 320
    assert segment.samples_heard(10**9) == 8800
    assert segment.position_s(960, whole=False) == 0.1 + 0.04
    assert segment.position_s(960, whole=True) == 1.1


def test_before_the_first_speech_nothing_of_a_turn_was_heard():
    segment = AudioSegment(1, begin=5)
    assert segment.samples_heard(0) == 5
    assert segment.position_s(0, whole=False) == 0.0


# The order of the turns -----------------------------------------------------------------------


def speech_of(*lengths):
    """Closed segments of so many samples, in a row."""
    speech = SegmentQueue()
    for length in lengths:
        segment = speech.open(SAMPLE_RATE)
        segment.append(voice(length, seed=segment.number).tobytes())
        segment.close()
    return speech


def work_of(speech):
    """What the renderer is given: (segment, samples, finished)."""
    work = []
    while (item := speech.take()) is not None:
        number, block, finished = item
        work.append((number, None if block is None else len(block), finished))
    return work


def test_segments_are_taken_one_after_the_other_and_each_finishes_once():
    speech = speech_of(1000, 0, 960)
    assert work_of(speech) == [(1, 960, False), (1, 40, True), (2, None, True), (3, 960, True)]
    assert speech.living == (1, 2, 3)
    assert speech.waiting_s == 0


def test_a_segment_that_waits_for_speech_keeps_the_next_one_waiting():
    speech = SegmentQueue()
    first, second = speech.open(SAMPLE_RATE), speech.open(SAMPLE_RATE)
    second.append(voice(2000).tobytes())
    second.close()
    assert speech.take() is None
    first.append(voice(960).tobytes())
    assert work_of(speech) == [(1, 960, False)]
    first.close()
    assert work_of(speech) == [(1, None, True), (2, 960, False), (2, 960, False), (2, 80, True)]


def test_a_segment_that_ends_after_its_last_block_was_taken_still_finishes():
    speech = SegmentQueue()
    segment = speech.open(SAMPLE_RATE)
    segment.append(voice(960).tobytes())
    assert work_of(speech) == [(1, 960, False)]
    segment.close()
    assert work_of(speech) == [(1, None, True)]


def test_a_cut_kills_every_segment_that_there_is():
    speech = speech_of(960, 960)
    speech.cut()
    assert speech.first_live_segment == 3
    assert speech.take() is None
    assert speech.waiting_s == 0
    assert speech.drop_dead() == [1, 2]
    assert speech.drop_dead() == []
    assert speech.open().number == 3


def test_a_cut_below_the_first_live_segment_leaves_the_segments_from_there_on():
    speech = speech_of(960, 960, 960)
    speech.cut(3)
    assert work_of(speech) == [(3, 960, True)]
    assert speech.drop_dead() == [1, 2]
    assert speech.living == (3,)


def test_the_first_live_segment_never_sinks():
    speech = speech_of(960, 960)
    speech.cut()
    speech.cut(2)
    assert speech.first_live_segment == 3


def test_a_segment_that_was_heard_is_not_dropped():
    speech = speech_of(960, 960)
    speech.end(1)
    speech.end(1)
    speech.cut()
    assert speech.drop_dead() == [2]


def test_what_waits_counts_all_segments_that_were_not_taken():
    speech = speech_of(24_000, 12_000)
    assert speech.waiting_s == 1.5
    speech.cut(2)
    assert speech.waiting_s == 0.5
