"""One frame per tick, every sample once, and a cut that is exact wherever it falls."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import voice
from thorough import thorough

from worker.media import FRAME_SAMPLES, AvatarFrame, Picture
from worker.renderer import Renderer
from worker.sound import fade_in, ramp_down
from worker.turns.playout import HOLD_TICKS, Ended, Playout
from worker.turns.playout_state import TRANSITIONS, PlayoutState
from worker.turns.prefetch import MAX_PREFETCH

REST = Picture.blank(2, 2, 1)
"""The face at rest when a test begins."""


class Line:
    """A playout, and the speech of its segments as a renderer would draw it."""

    def __init__(self):
        self.playout = Playout(REST, Renderer.prefetch_frames)
        self.frames = {}

    def say(self, segment, *lengths, last=False, empty_last=False):
        """Add a frame of so many samples each; `last`: the newest is the segment's last."""
        before = self.frames.setdefault(segment, [])
        for place, length in enumerate(lengths, 1):
            sound = voice(length, seed=100 * segment + len(before))
            picture = Picture.blank(2, 2, 100 + len(before))
            frame = AvatarFrame(segment, picture, sound, last and place == len(lengths))
            before.append(frame)
            self.playout.add([frame])
        if empty_last:
            self.playout.add([AvatarFrame(segment, REST, voice(0), last=True)])

    def ticks(self, count):
        return [self.playout.tick() for _ in range(count)]

    def sounds(self, count):
        """The segments that so many ticks are of; 0 is silence."""
        return [frame.segment for frame in self.ticks(count)]


@pytest.fixture
def line():
    return Line()


def is_whole(frame, expected):
    return np.array_equal(frame.pcm, expected.pcm) and frame.picture is expected.picture


# The begin of a turn --------------------------------------------------------------------------


def test_at_rest_every_tick_is_silence_and_the_face_at_rest(line):
    for frame in line.ticks(3):
        assert frame.segment == 0
        assert frame.picture is REST
        assert len(frame.pcm) == FRAME_SAMPLES
        assert not frame.pcm.any()


def test_a_turn_waits_for_two_frames_before_it_sounds(line):
    line.say(1, 960)
    assert line.sounds(1) == [0]
    line.say(1, 960)
    assert line.sounds(2) == [1, 1]
    assert line.playout.prefetch.stalls == 0


def test_a_turn_that_is_complete_sounds_at_once(line):
    line.say(1, 500, last=True)
    assert line.sounds(2) == [1, 0]


def test_a_turn_that_flows_waits_for_nothing(line):
    line.say(1, 960, 960)
    for _ in range(5):
        assert line.sounds(1) == [1]
        line.say(1, 960)


def test_frames_go_out_as_they_came(line):
    line.say(1, 960, 960, 960, last=True)
    for frame, expected in zip(line.ticks(3), line.frames[1], strict=True):
        assert is_whole(frame, expected)
        assert frame.last == expected.last
    assert line.playout.handed(1) == 3 * 960


def test_a_turn_is_told_once_when_it_begins_to_be_heard(line):
    line.say(1, 960)
    line.ticks(1)
    assert line.playout.started() == []
    line.say(1, 960)
    line.ticks(1)
    assert line.playout.started() == [1]
    line.ticks(1)
    assert line.playout.started() == []


def test_the_lead_and_the_sounding_segment_are_known(line):
    line.say(1, 960, 960, last=True)
    assert (line.playout.lead, line.playout.sounding) == (2, 0)
    line.ticks(1)
    assert (line.playout.lead, line.playout.sounding) == (1, 1)
    line.ticks(2)
    assert (line.playout.lead, line.playout.sounding) == (0, 0)


# The end of a turn ----------------------------------------------------------------------------


def test_the_last_block_is_filled_up_with_a_ramp_that_does_not_click(line):
    line.say(1, 500, last=True)
    (frame,) = line.ticks(1)
    pcm = line.frames[1][0].pcm
    assert np.array_equal(frame.pcm[:500], pcm)
    assert np.array_equal(frame.pcm[500:], ramp_down(int(pcm[-1]), 460))
    assert line.playout.handed(1) == 500


def test_sound_that_ends_in_mid_wave_is_followed_by_a_ramp(line):
    line.say(1, 960, last=True)
    spoken, after, later = line.ticks(3)
    assert np.array_equal(after.pcm, ramp_down(int(spoken.pcm[-1]), 960))
    assert not later.pcm.any()


def test_a_turn_has_ended_one_tick_after_its_last_samples_were_handed_out(line):
    line.say(1, 960, 500, last=True)
    line.ticks(2)
    assert line.playout.ended() == []
    line.ticks(1)
    assert line.playout.ended() == [Ended(1, 1460, interrupted=False)]
    assert line.playout.ended() == []
    assert line.playout.handed(1) == 0


def test_a_last_frame_without_sound_takes_no_tick(line):
    line.say(1, 960, empty_last=True)
    line.say(2, 960, last=True)
    assert line.sounds(1) == [1]
    assert line.playout.ended() == []
    assert line.sounds(1) == [2]
    assert line.playout.ended() == [Ended(1, 960, interrupted=False)]


def test_turns_without_speech_end_without_a_tick(line):
    line.say(1, empty_last=True)
    line.say(2, empty_last=True)
    line.say(3, 960, last=True)
    assert line.sounds(2) == [3, 0]
    assert line.playout.started() == [3]
    assert line.playout.ended() == [Ended(1, 0, False), Ended(2, 0, False), Ended(3, 960, False)]


def test_turns_in_a_row_end_in_order_and_without_a_pause(line):
    line.say(1, 960, 10, last=True)
    line.say(2, 960, last=True)
    assert line.sounds(4) == [1, 1, 2, 0]
    assert line.playout.ended() == [Ended(1, 970, False), Ended(2, 960, False)]


# Speech that runs out -------------------------------------------------------------------------


def test_speech_that_runs_out_holds_the_picture_and_then_rests(line):
    line.say(1, 960, 960)
    spoken = line.ticks(2)[-1]
    held = line.ticks(HOLD_TICKS)
    assert all(frame.picture is spoken.picture for frame in held)
    assert [frame.segment for frame in held] == [0] * HOLD_TICKS
    assert np.array_equal(held[0].pcm, ramp_down(int(spoken.pcm[-1]), 960))
    assert not any(frame.pcm.any() for frame in held[1:])
    assert line.ticks(1)[0].picture is REST


def test_speech_that_resumes_fades_in_and_loses_nothing(line):
    line.say(1, 960, 960)
    line.ticks(4)
    line.say(1, 960)
    assert line.sounds(1) == [0]
    line.say(1, 960)
    resumed, next_one = line.ticks(2)
    assert np.array_equal(resumed.pcm, fade_in(line.frames[1][2].pcm))
    assert resumed.picture is line.frames[1][2].picture
    assert is_whole(next_one, line.frames[1][3])
    assert line.playout.handed(1) == 4 * 960
    assert line.playout.prefetch.stalls == 1
    assert line.playout.started() == [1]


def test_speech_that_runs_out_twice_holds_the_picture_twice(line):
    line.say(1, 960, 960)
    line.ticks(2 + HOLD_TICKS + 1)
    line.say(1, 960, 960)
    spoken = line.ticks(2)[-1]
    assert all(frame.picture is spoken.picture for frame in line.ticks(HOLD_TICKS))
    assert line.ticks(1)[0].picture is REST


def test_a_turn_that_ends_while_it_is_held_did_not_stumble(line):
    line.say(1, 960, 960)
    line.ticks(3)
    line.say(1, empty_last=True)
    line.ticks(1)
    assert line.playout.ended() == [Ended(1, 1920, interrupted=False)]
    assert line.playout.prefetch.stalls == 0
    assert line.playout.prefetch.frames == Renderer.prefetch_frames


def test_the_turn_after_one_that_was_held_begins_without_a_fade(line):
    line.say(1, 960, 960)
    line.ticks(3)
    line.say(1, empty_last=True)
    line.say(2, 960, last=True)
    assert is_whole(line.ticks(1)[0], line.frames[2][0])


def stumble(line, segment):
    """One underrun in a segment that is complete in the end."""
    line.say(segment, *[960] * MAX_PREFETCH)
    line.ticks(MAX_PREFETCH + 1)
    line.say(segment, *[960] * MAX_PREFETCH, last=True)
    line.ticks(MAX_PREFETCH + 1)


def speak(line, segment):
    line.say(segment, 960, last=True)
    line.ticks(2)


def test_each_stumble_makes_the_prefetch_grow_up_to_its_most(line):
    prefetch = []
    for segment in (1, 2, 3):
        stumble(line, segment)
        prefetch.append(line.playout.prefetch.frames)
    assert prefetch == [4, MAX_PREFETCH, MAX_PREFETCH]
    assert line.playout.prefetch.stalls == 3


def test_a_grown_prefetch_is_waited_for(line):
    stumble(line, 1)
    line.say(2, 960, 960, 960)
    assert line.sounds(1) == [0]
    line.say(2, 960)
    assert line.sounds(4) == [2] * 4


def test_each_clean_turn_makes_the_prefetch_shrink_down_to_its_least(line):
    stumble(line, 1)
    prefetch = []
    for segment in (2, 3, 4):
        speak(line, segment)
        prefetch.append(line.playout.prefetch.frames)
    assert prefetch == [3, 2, 2]


def test_the_face_at_rest_is_wanted_when_there_is_nothing_to_say(line):
    assert not line.playout.wants_rest
    line.ticks(1)
    assert line.playout.wants_rest
    fresh = Picture.blank(2, 2, 2)
    line.playout.rest(fresh)
    assert not line.playout.wants_rest
    assert line.ticks(1)[0].picture is fresh
    line.say(1, 960, 960, last=True)
    assert not line.playout.wants_rest
    line.ticks(1)
    assert not line.playout.wants_rest
    line.ticks(1)
    assert line.playout.wants_rest


# Cuts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unheard", "heard"), [(0, 1920), (480, 1440), (960, 960)])
def test_what_was_still_in_the_tracks_was_not_heard(line, unheard, heard):
    line.say(1, 960, 960, 960)
    line.ticks(2)
    assert line.playout.cut(2, unheard) == [Ended(1, heard, interrupted=True)]
    assert line.sounds(2) == [0, 0]
    assert line.playout.ended() == []


@pytest.mark.parametrize(("unheard", "heard"), [(0, 1260), (480, 1260), (700, 1220), (960, 960)])
def test_padding_counts_for_nothing_when_a_last_short_block_is_cut(line, unheard, heard):
    line.say(1, 960, 300, last=True)
    line.ticks(2)
    assert line.playout.cut(2, unheard) == [Ended(1, heard, interrupted=heard < 1260)]
    line.ticks(2)
    assert line.playout.ended() == []


def test_a_turn_that_was_heard_whole_and_not_told_yet_was_not_interrupted(line):
    line.say(1, 960, last=True)
    line.ticks(1)
    assert line.playout.cut(2, 0) == [Ended(1, 960, interrupted=False)]


def test_a_turn_that_has_ended_is_not_cut_again(line):
    line.say(1, 960, last=True)
    line.ticks(2)
    assert line.playout.cut(2) == []
    assert line.playout.ended() == [Ended(1, 960, interrupted=False)]


def test_a_cut_of_a_turn_that_waits_is_silent(line):
    line.say(1, 960)
    line.say(2, 960, 960)
    assert line.playout.cut(3) == []
    assert line.playout.lead == 0
    assert line.sounds(2) == [0, 0]


def test_a_cut_of_a_turn_that_is_held_shows_the_face_at_rest_at_once(line):
    line.say(1, 960, 960)
    line.ticks(3)
    assert line.playout.cut(2) == [Ended(1, 1920, interrupted=True)]
    assert line.ticks(1)[0].picture is REST


def test_a_cut_closes_the_mouth_at_the_next_tick(line):
    line.say(1, 960, 960, 960)
    line.ticks(2)
    line.playout.cut(2, 480)
    assert line.ticks(1)[0].picture is REST
    assert line.playout.wants_rest


def test_silence_after_a_cut_ramps_down_only_what_the_tracks_did_not(line):
    for unheard in (0, 480):
        line = Line()
        line.say(1, 960, 960, 960)
        spoken = line.ticks(1)[0]
        line.playout.cut(2, unheard)
        silence = line.ticks(1)[0].pcm
        assert np.array_equal(silence, ramp_down(0 if unheard else int(spoken.pcm[-1]), 960))


def test_the_next_turn_begins_whole_in_the_tick_after_a_cut(line):
    line.say(1, 960, 960, 960)
    line.ticks(1)
    line.playout.cut(2, 480)
    line.say(2, 960, last=True)
    assert is_whole(line.ticks(1)[0], line.frames[2][0])


def test_a_cut_below_the_first_live_segment_leaves_the_turns_from_there_on(line):
    line.say(1, 960, 960)
    line.say(2, 960, last=True)
    line.ticks(1)
    assert line.playout.cut(2, 960) == [Ended(1, 0, interrupted=True)]
    assert line.sounds(2) == [2, 0]


@pytest.mark.parametrize("unheard", [0, 480, 960])
def test_a_late_cut_leaves_a_living_turn_alone(line, unheard):
    line.say(1, 960, last=True)
    line.say(2, 960, 960, 960)
    line.ticks(2)
    assert line.playout.cut(2, unheard) == []
    assert line.playout.sounding == 2
    assert line.playout.handed(2) == 960
    assert is_whole(line.ticks(1)[0], line.frames[2][1])


def test_a_late_cut_leaves_a_living_turn_that_is_held_alone(line):
    line.say(1, 960, last=True)
    line.say(2, 960, 960)
    spoken = line.ticks(4)[2]
    assert line.playout.cut(2) == []
    assert line.ticks(1)[0].picture is spoken.picture
    line.say(2, 960, 960)
    assert np.array_equal(line.ticks(1)[0].pcm, fade_in(line.frames[2][2].pcm))
    assert line.playout.handed(2) == 3 * 960


def test_a_late_cut_leaves_a_living_turn_that_is_finishing_alone(line):
    line.say(1, 960, last=True)
    line.say(2, 960, last=True)
    line.ticks(2)
    assert line.playout.cut(2) == []
    line.ticks(1)
    assert line.playout.ended() == [Ended(1, 960, False), Ended(2, 960, False)]


def test_frames_of_the_dead_are_dropped_when_they_come_late(line):
    line.playout.cut(3)
    line.say(2, 960, last=True)
    line.say(3, 960, last=True)
    assert line.sounds(2) == [3, 0]


def test_the_first_live_segment_never_sinks(line):
    line.playout.cut(3)
    line.playout.cut(2)
    assert line.playout.first_live_segment == 3
    line.say(2, 960, last=True)
    assert line.sounds(1) == [0]


def test_a_second_cut_takes_nothing_away_twice(line):
    line.say(1, 960, 960, 960)
    line.say(2, 960, 960)
    line.ticks(2)
    assert line.playout.cut(2, 480) == [Ended(1, 1440, interrupted=True)]
    assert line.playout.cut(3, 0) == []


# Everything at once ---------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from(["tick"] * 3 + ["say"] * 2 + ["finish", "cut all", "cut old"]),
        st.integers(1, 3),
        st.sampled_from([0, 480, 960]),
        st.booleans(),
    ),
    max_size=80,
)


class Watched(Line):
    """Keeps count of all that is handed out, and checks it."""

    def __init__(self):
        super().__init__()
        self.shown, self.handed, self.reports = {}, {}, {}

    def tick(self):
        frame = self.playout.tick()
        assert len(frame.pcm) == FRAME_SAMPLES
        assert frame.segment == 0 or frame.segment >= self.playout.first_live_segment
        if frame.segment:
            place = self.shown.get(frame.segment, 0)
            pcm = self.frames[frame.segment][place].pcm
            heard = frame.pcm[: len(pcm)]
            assert np.array_equal(heard, pcm) or np.array_equal(heard, fade_in(pcm))
            self.shown[frame.segment] = place + 1
            self.handed[frame.segment] = self.handed.get(frame.segment, 0) + len(pcm)
            assert self.playout.handed(frame.segment) == self.handed[frame.segment]
        self._tell(self.playout.ended())

    def cut(self, floor, unheard):
        sounding = self.playout.sounding
        if 0 < sounding < floor:
            newest = len(self.frames[sounding][self.shown[sounding] - 1].pcm)
            self.handed[sounding] -= max(0, newest - (FRAME_SAMPLES - unheard))
        else:
            unheard = 0
        self._tell(self.playout.cut(floor, unheard))

    def _tell(self, ended):
        for each in ended:
            assert each.segment not in self.reports, "told twice"
            assert each.samples == self.handed.get(each.segment, 0)
            if not each.interrupted:
                assert each.samples == sum(len(frame.pcm) for frame in self.frames[each.segment])
            self.reports[each.segment] = each


@thorough(2000)
@given(steps=steps)
def test_whatever_happens_positions_are_what_was_handed_out_and_nobody_dead_is_heard(steps):
    line, newest = Watched(), 1
    for step, count, unheard, whole in steps:
        match step:
            case "tick":
                for _ in range(count):
                    line.tick()
            case "say":
                line.say(newest, *[960] * count)
            case "finish":
                if whole:
                    line.say(newest, 320 * count, last=True)
                else:
                    line.say(newest, empty_last=True)
                newest += 1
            case "cut all":
                line.cut(newest + 1, unheard)
                newest += 1
            case "cut old":
                line.cut(newest, unheard)
    assert list(line.reports) == sorted(line.reports)


# The states -----------------------------------------------------------------------------------


class Recorded(Playout):
    """Keeps the transitions that happen."""

    def __init__(self, seen):
        super().__init__(REST, Renderer.prefetch_frames)
        self.seen = seen

    def _go(self, state, segment=0):
        self.seen.add((self.state, state))
        super()._go(state, segment)


def test_every_transition_is_reached_and_every_other_refused():
    seen = set()
    for seed in range(100):
        dice = random.Random(seed)
        line = Line()
        line.playout = Recorded(seen)
        segment = 1
        for _ in range(60):
            match dice.choice(["tick"] * 9 + ["say", "say", "finish", "empty", "cut"]):
                case "tick":
                    line.playout.tick()
                case "say":
                    line.say(segment, *[960] * dice.randint(1, 4))
                case "finish":
                    line.say(segment, 480, last=True)
                    segment += 1
                case "empty":
                    line.say(segment, empty_last=True)
                    segment += 1
                case "cut":
                    line.playout.cut(segment + 1)
                    segment += 1
    allowed = {(before, after) for before, those in TRANSITIONS.items() for after in those}
    assert seen == allowed
    for before, after in set(itertools.product(PlayoutState, PlayoutState)) - allowed:
        line = Line()
        line.playout.state = before
        with pytest.raises(AssertionError, match=f"{before.name} is never followed"):
            line.playout._go(after)
