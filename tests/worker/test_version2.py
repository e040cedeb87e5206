"""Version 2 names every turn: whatever comes, in whatever order, each is exact."""

from collections import Counter

import numpy as np
import pytest
from stage import voice

from agent_side.protocol.fields import MAX_RANGES, MAX_TURN_WORDS, MAX_UINT32
from agent_side.wire import (
    Ack,
    ActRefused,
    AgentHello,
    AudioChunk,
    AvatarReady,
    Expression,
    Face,
    Gesture,
    Interrupt,
    Pcm,
    PlaybackStarted,
    Posture,
    Progress,
    TurnEnd,
    TurnEnded,
    TurnInterrupt,
    Word,
    Words,
)
from worker.renderer import ExpressionCue, GestureCue, PostureCue, WordsCue
from worker.turns.playout import Ended
from worker.turns.segments import MAX_WAITING_S, SegmentQueue
from worker.turns.version2 import GAP_REPORT_S, MAX_NEW_TURNS, REPORT_S, Version2

STREAM = "00112233445566aa"
OTHER = "ffeeddccbbaa9988"
RATE = 24_000
FACE = Face(("nod", "wave_hello"), ("neutral", "happy", "sad"), ("resting", "listening"))


class Worker:
    """Version 2 and what a session does around it, moved through time by hand."""

    def __init__(self, hello=AgentHello(STREAM, 1, 0, 24_000)):  # noqa: B008 - frozen
        self.now = 1000.0
        self.speech = SegmentQueue()
        self.counters = Counter()
        self.handed = Counter()
        """Samples of each segment that were handed to the tracks, at 24 kHz."""
        self.version = Version2(self.speech, self.handed.__getitem__, "worker", FACE, self.counters)
        self.turns = {}
        if hello is not None:
            self.hears(hello)
            self.tells()

    def hears(self, message):
        obeyed = self.version.receive(message, self.now)
        self._drop_dead()
        return obeyed

    def hears_chunk(self, turn, pcm, first=0, end=None, rate=RATE, stream=STREAM):
        return self.hears(AudioChunk(stream, turn, 1, first, rate, pcm[first:end].tobytes()))

    def hears_end(self, turn, samples):
        return self.hears(TurnEnd(STREAM, turn, samples))

    def hears_interrupt(self, turn):
        return self.hears(TurnInterrupt(STREAM, turn))

    def tells(self, kind=object):
        """What it has to tell now, of one kind; the rest is lost."""
        self.version.advance(self.now)
        reports, self.version.outgoing[:] = list(self.version.outgoing), []
        return [message for message in reports if isinstance(message, kind)]

    def speak(self):
        """Everything that can be heard by now is heard; returns the speech of each segment."""
        while (work := self.speech.take()) is not None:
            segment, pcm, finished = work
            so_far = self.turns.get(segment, np.zeros(0, np.int16))
            self.turns[segment] = so_far if pcm is None else np.concatenate([so_far, pcm])
            if pcm is not None and segment not in self.handed:
                self.version.started(segment, self.now)
            self.handed[segment] = len(self.turns[segment])
            if finished:
                self.speech.end(segment)
                ended = Ended(segment, self.handed[segment], interrupted=False)
                self.version.ended(ended, self.now)
        return [len(pcm) for pcm in self.turns.values()]

    def _drop_dead(self):
        for segment in self.speech.drop_dead():
            ended = Ended(segment, self.handed.get(segment, 0), interrupted=True)
            self.version.ended(ended, self.now)


@pytest.fixture
def worker():
    return Worker()


# The greeting ---------------------------------------------------------------------------------


def test_every_hello_is_answered_with_ready():
    worker = Worker(hello=None)
    assert worker.version.stream is None
    for _ in range(2):
        assert worker.hears(AgentHello(STREAM, 1, 0, 24_000))
        assert worker.tells() == [AvatarReady("worker", STREAM, FACE)]
    assert worker.version.stream == STREAM


def test_a_duplicate_hello_changes_nothing(worker):
    pcm = voice(2000)
    worker.hears_chunk(1, pcm, 0, 1000)
    worker.hears(AgentHello(STREAM, 1, 0, 24_000))
    worker.hears(AgentHello(STREAM, 5, 700, 24_000))
    worker.hears_chunk(1, pcm, 1000)
    worker.hears_end(1, 2000)
    assert worker.speak() == [2000]


def test_before_a_hello_nothing_is_obeyed():
    worker = Worker(hello=None)
    assert not worker.hears_chunk(1, voice(1000))
    assert not worker.hears_end(1, 1000)
    assert not worker.hears_interrupt(1)
    assert not worker.hears(Ack(STREAM, "turn_ended", 1))
    assert worker.tells() == []
    assert worker.speech.living == ()


def test_another_stream_is_not_obeyed(worker):
    assert not worker.hears_chunk(1, voice(1000), stream=OTHER)
    assert not worker.hears(TurnEnd(OTHER, 1, 1000))
    assert not worker.hears(TurnInterrupt(OTHER, 1))
    assert worker.tells() == []
    assert worker.speech.living == ()


@pytest.mark.parametrize("message", [Pcm(b"\1\1"), Interrupt(), AvatarReady("other", None)])
def test_other_messages_mean_nothing(worker, message):
    assert not worker.hears(message)


def test_a_new_stream_silences_the_old_one(worker):
    worker.hears_chunk(1, voice(1000))
    worker.hears(AgentHello(OTHER, 1, 0, 24_000))
    assert worker.tells(AvatarReady) == [AvatarReady("worker", OTHER, FACE)]
    assert worker.speech.living == ()
    assert not worker.hears_chunk(1, voice(1000))
    assert worker.hears_chunk(1, voice(500), stream=OTHER)
    assert worker.speech.living == (2,)
    assert worker.tells(TurnEnded) == []


def test_a_stream_that_was_replaced_never_comes_back(worker):
    worker.hears(AgentHello(OTHER, 1, 0, 24_000))
    worker.tells()
    worker.hears(AgentHello(STREAM, 1, 0, 24_000))
    assert worker.tells() == []
    assert worker.version.stream == OTHER
    assert worker.counters == {"stream_retired": 1}


# Turns ----------------------------------------------------------------------------------------


def test_a_turn_is_heard_and_its_end_is_told(worker):
    pcm = voice(2000)
    worker.hears_chunk(1, pcm)
    worker.hears_end(1, 2000)
    assert worker.speak() == [2000]
    assert np.array_equal(worker.turns[1], pcm)
    assert worker.tells(TurnEnded) == [TurnEnded(STREAM, 1, 2000 / RATE, interrupted=False)]
    assert not worker.counters


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
def test_a_position_is_exact_at_any_rate(rate):
    worker = Worker()
    worker.hears_chunk(1, voice(rate + 7), rate=rate)
    worker.hears_end(1, rate + 7)
    worker.speak()
    assert worker.tells(TurnEnded) == [TurnEnded(STREAM, 1, (rate + 7) / rate, False)]


def test_turns_are_heard_in_order_whatever_arrives_first(worker):
    worker.hears_end(3, 300)
    worker.hears_chunk(3, voice(300))
    worker.hears_chunk(2, voice(200))
    assert worker.speak() == []
    worker.hears_end(2, 200)
    worker.hears_chunk(1, voice(100))
    assert worker.speak() == []
    worker.hears_end(1, 100)
    assert worker.speak() == [100, 200, 300]
    assert [ended.turn for ended in worker.tells(TurnEnded)] == [1, 2, 3]


def test_an_empty_turn_ends_too(worker):
    worker.hears_end(1, 0)
    worker.speak()
    assert worker.tells(TurnEnded) == [TurnEnded(STREAM, 1, 0.0, interrupted=False)]


def test_speech_and_control_of_a_turn_that_has_ended_are_counted(worker):
    pcm = voice(1000)
    worker.hears_chunk(1, pcm)
    worker.hears_end(1, 1000)
    worker.speak()
    worker.hears_chunk(1, pcm)
    worker.hears_end(1, 1000)
    worker.hears_interrupt(1)
    worker.hears_chunk(0, pcm)
    assert worker.speak() == [1000]
    assert worker.counters == {"audio_of_ended_turn": 2, "control_duplicate": 2}


def test_control_is_acknowledged_as_often_as_it_comes(worker):
    for _ in range(2):
        worker.hears_end(1, 5)
        assert worker.tells(Ack) == [Ack(STREAM, "turn_end", 1)]
        worker.hears_interrupt(1)
        assert worker.tells(Ack) == [Ack(STREAM, "turn_interrupt", 1)]


def test_speech_that_cannot_belong_to_its_turn_is_counted(worker):
    pcm = voice(1000)
    worker.hears_chunk(1, pcm)
    worker.hears_chunk(1, pcm, rate=16_000)
    worker.hears_end(1, 1000)
    worker.hears(AudioChunk(STREAM, 1, 1, 2**60, RATE, b"\1\1"))
    assert worker.counters == {"audio_refused": 2}
    worker.hears_end(1, 999)
    assert worker.counters["control_refused"] == 1
    assert worker.speak() == [1000]


def test_speech_beyond_what_may_wait_is_refused(worker):
    segment = worker.speech.open(RATE)
    segment.append(bytes(2 * RATE * (MAX_WAITING_S + 1)))
    worker.hears_chunk(1, voice(1000))
    assert worker.counters == {"audio_refused_full": 1}


@pytest.mark.parametrize("turn", [1 + MAX_NEW_TURNS, MAX_UINT32])
def test_a_turn_out_of_all_proportion_ahead_is_refused(worker, turn):
    worker.hears_chunk(turn, voice(10))
    worker.hears_end(turn, 10)
    worker.hears_interrupt(turn)
    assert worker.speech.living == ()
    assert worker.counters == {"turn_refused": 3}


def test_the_furthest_turn_that_is_accepted_opens_all_before_it(worker):
    worker.hears_chunk(MAX_NEW_TURNS, voice(10))
    assert len(worker.speech.living) == MAX_NEW_TURNS


def test_a_worker_that_is_leaving_opens_no_turn(worker):
    pcm = voice(1000)
    worker.hears_chunk(1, pcm, 0, 500)
    worker.version.accept_no_turn()
    worker.hears_chunk(2, pcm)
    worker.hears_end(2, 1000)
    worker.hears_chunk(1, pcm, 500)
    worker.hears_end(1, 1000)
    assert worker.speak() == [1000]
    assert worker.counters == {"turn_while_leaving": 2}


# Interrupts -----------------------------------------------------------------------------------


def test_an_interrupt_ends_its_turn_where_it_was_heard(worker):
    worker.hears_chunk(1, voice(9600))
    worker.handed[1] = 1440
    worker.hears_interrupt(1)
    assert worker.speech.take() is None
    assert worker.tells(TurnEnded) == [TurnEnded(STREAM, 1, 0.06, interrupted=True)]


def test_an_interrupt_before_any_speech_of_its_turn_ends_it_at_zero(worker):
    worker.hears_interrupt(1)
    assert worker.tells(TurnEnded) == [TurnEnded(STREAM, 1, 0.0, interrupted=True)]
    worker.hears_chunk(1, voice(1000))
    worker.hears_end(1, 1000)
    assert worker.speak() == []
    assert worker.counters == {"audio_of_ended_turn": 1, "control_duplicate": 1}


def test_an_interrupt_kills_all_turns_before_it_and_none_after(worker):
    for turn in (1, 2, 3):
        worker.hears_chunk(turn, voice(100 * turn))
        worker.hears_end(turn, 100 * turn)
    worker.hears_interrupt(2)
    assert worker.speak() == [300]
    assert worker.tells(TurnEnded) == [
        TurnEnded(STREAM, 1, 0.0, interrupted=True),
        TurnEnded(STREAM, 2, 0.0, interrupted=True),
        TurnEnded(STREAM, 3, 300 / RATE, interrupted=False),
    ]


def test_a_late_interrupt_of_an_older_turn_kills_nothing(worker):
    worker.hears_chunk(1, voice(1000))
    worker.hears_end(1, 1000)
    worker.speak()
    worker.hears_chunk(2, voice(2000))
    worker.hears_interrupt(1)
    worker.hears_end(2, 2000)
    assert worker.speak() == [1000, 2000]
    assert worker.counters == {"control_duplicate": 1}


# What the agent is told -----------------------------------------------------------------------


def test_what_matters_is_told_again_until_it_is_acknowledged(worker):
    worker.hears_chunk(1, voice(1000))
    worker.hears_end(1, 1000)
    worker.speak()
    started, ended = PlaybackStarted(STREAM, 1), TurnEnded(STREAM, 1, 1000 / RATE, False)
    assert worker.tells(PlaybackStarted | TurnEnded) == [started, ended]
    assert worker.tells() == []
    worker.now += 0.1
    assert worker.tells() == [started, ended]
    worker.hears(Ack(STREAM, "playback_started", 1))
    worker.now += 0.2
    assert worker.tells() == [ended]
    worker.hears(Ack(STREAM, "turn_ended", 2))
    worker.now += 10
    assert worker.tells() == [ended]
    worker.hears(Ack(STREAM, "turn_ended", 1))
    worker.now += 10
    assert worker.tells() == []


def test_a_turn_without_speech_never_begins_to_be_heard(worker):
    worker.hears_end(1, 0)
    worker.speak()
    assert worker.tells(PlaybackStarted) == []


def test_progress_says_what_was_heard_and_what_is_here(worker):
    worker.hears_chunk(1, voice(RATE))
    worker.handed[1] = 960
    assert worker.tells() == [Progress(STREAM, 1, 960, RATE)]
    worker.handed[1] = 1920
    worker.now += REPORT_S - 0.01
    assert worker.tells() == []
    worker.now += 0.01
    assert worker.tells() == [Progress(STREAM, 1, 1920, RATE)]


def test_progress_counts_in_the_senders_samples(worker):
    worker.hears_chunk(1, voice(8000), rate=8000)
    worker.handed[1] = 960
    assert worker.tells() == [Progress(STREAM, 1, 320, 8000)]


def test_no_progress_is_no_news(worker):
    worker.hears_chunk(1, voice(1000))
    worker.tells()
    worker.now += 10
    assert worker.tells() == []


def test_a_turn_without_speech_has_no_progress(worker):
    worker.hears_end(1, 1000)
    worker.hears_end(2, 1000)
    assert worker.tells(Progress) == []


def test_a_gap_is_told_soon_and_again(worker):
    pcm = voice(3000)
    worker.hears_chunk(1, pcm, 0, 100)
    worker.tells()
    worker.hears_chunk(1, pcm, 200, 300)
    worker.now += GAP_REPORT_S - 0.01
    assert worker.tells() == []
    worker.now += 0.01
    assert worker.tells() == [Progress(STREAM, 1, 0, 100, ((100, 200),))]
    worker.hears_chunk(1, pcm, 2000, 3000)
    worker.now += GAP_REPORT_S
    assert worker.tells() == [Progress(STREAM, 1, 0, 100, ((100, 200), (300, 2000)))]
    worker.hears_chunk(1, pcm, 0, 2000)
    worker.now += REPORT_S
    assert worker.tells() == [Progress(STREAM, 1, 0, 3000)]


def test_of_many_gaps_the_first_are_told(worker):
    pcm = voice(1000)
    for first in range(1, 201, 2):
        worker.hears_chunk(1, pcm, first, first + 1)
    (progress,) = worker.tells(Progress)
    assert len(progress.missing) == MAX_RANGES
    assert progress.missing[0] == (0, 1)


def test_a_turn_that_has_ended_has_no_progress(worker):
    worker.hears_chunk(1, voice(1000))
    worker.hears_interrupt(1)
    worker.now += 1
    assert worker.tells(Progress) == []


# A worker that replaces another ---------------------------------------------------------------


def test_a_second_worker_goes_on_where_the_first_was_heard_to():
    worker = Worker(AgentHello(STREAM, 4, 8000, 16_000))
    pcm = voice(16_000)
    worker.hears_chunk(4, pcm, 6000, 12_000, rate=16_000)
    worker.hears_chunk(4, pcm, 12_000, rate=16_000)
    worker.hears_chunk(3, pcm)
    assert worker.counters == {"audio_of_ended_turn": 1}
    worker.handed[1] = 240
    assert worker.tells(Progress) == [Progress(STREAM, 4, 8160, 16_000)]
    worker.hears_end(4, 16_000)
    worker.speak()
    assert worker.tells(TurnEnded) == [TurnEnded(STREAM, 4, 1.0, interrupted=False)]
    worker.hears_chunk(5, voice(500))
    worker.hears_end(5, 500)
    assert worker.speak() == [12_000, 500]


def test_a_turn_that_a_second_worker_was_interrupted_in_counts_from_its_begin():
    worker = Worker(AgentHello(STREAM, 4, 8000, 16_000))
    worker.hears_chunk(4, voice(16_000), 8000, rate=16_000)
    worker.handed[1] = 2400
    worker.hears_interrupt(4)
    assert worker.tells(TurnEnded) == [TurnEnded(STREAM, 4, 0.6, interrupted=True)]


def test_a_second_worker_that_needs_no_more_speech_ends_the_turn_where_it_ends():
    worker = Worker(AgentHello(STREAM, 4, 8000, 16_000))
    worker.hears_end(4, 8000)
    worker.speak()
    assert worker.tells(TurnEnded) == [TurnEnded(STREAM, 4, 0.5, interrupted=False)]


def test_a_second_worker_that_is_interrupted_before_any_speech_has_the_firsts_position():
    worker = Worker(AgentHello(STREAM, 4, 8000, 16_000))
    worker.hears_interrupt(4)
    assert worker.tells(TurnEnded) == [TurnEnded(STREAM, 4, 0.5, interrupted=True)]


# The agent leaves -----------------------------------------------------------------------------


def test_what_is_here_of_an_agent_that_has_left_is_heard_and_nothing_is_owed(worker):
    pcm = voice(3000)
    worker.hears_chunk(1, pcm, 0, 1000)
    worker.hears_chunk(1, pcm, 2000, 2500)
    worker.hears_end(1, 3000)
    worker.hears_chunk(2, pcm, 0, 700)
    worker.version.release()
    worker.version.outgoing.clear()
    assert worker.speak() == [1000, 700]
    assert worker.speech.living == ()
    assert worker.tells() == []
    assert worker.version.stream is None


# Beside speech --------------------------------------------------------------------------------


def words_of(*starts, turn=1):
    return Words(STREAM, turn, tuple(Word(f"word{start}", start, start + 0.5) for start in starts))


def prompts(worker):
    """The words that the renderer is told now: segment, text, start."""
    return [
        (cue.segment, word.text, word.start_s)
        for cue in worker.version.take_cues()
        if isinstance(cue, WordsCue)
        for word in cue.words
    ]


def test_acts_are_answered_and_told_once(worker):
    for act, cue in (
        (Gesture(STREAM, 1, "nod"), GestureCue("nod")),
        (Expression(STREAM, 2, "happy", 0.5), ExpressionCue("happy", 0.5)),
        (Posture(STREAM, 3, "listening"), PostureCue("listening")),
    ):
        for _ in range(2):
            assert worker.hears(act)
        kind = type(act).__name__.lower()
        assert worker.tells() == [Ack(STREAM, kind, act.number)] * 2
        assert worker.version.take_cues() == [cue]
    assert worker.counters == {"act_repeated": 3}


def test_an_unknown_act_is_refused_and_does_nothing(worker):
    assert worker.hears(Gesture(STREAM, 1, "dance"))
    assert worker.tells() == [ActRefused(STREAM, "gesture", 1, FACE.gestures)]
    assert worker.version.take_cues() == []
    assert worker.speech.living == ()


def test_acts_of_another_stream_are_not_obeyed(worker):
    for message in (
        Gesture(OTHER, 1, "nod"),
        Expression(OTHER, 2, "happy", 0.5),
        Posture(OTHER, 3, "listening"),
        Words(OTHER, 1, (Word("hi", 0.0, 0.5),)),
    ):
        assert not worker.hears(message)
    assert worker.tells() == []
    assert worker.version.take_cues() == []


def test_an_interrupt_leaves_the_face_as_it_is(worker):
    worker.hears_chunk(1, voice(1000))
    worker.hears(Gesture(STREAM, 1, "nod"))
    worker.hears(Expression(STREAM, 2, "happy", 0.5))
    worker.hears_interrupt(1)
    assert [cue.name for cue in worker.version.take_cues()] == ["nod", "happy"]


@pytest.mark.parametrize("leave", ["release", "another stream"])
def test_an_agent_that_leaves_takes_its_mood_along(worker, leave):
    worker.hears(Expression(STREAM, 5, "sad", 0.5))
    worker.version.take_cues()
    if leave == "release":
        worker.version.release()
    else:
        worker.hears(AgentHello(OTHER, 1, 0, RATE))
    assert [cue.name for cue in worker.version.take_cues()] == ["neutral"]


def test_words_are_told_with_the_segment_of_their_turn(worker):
    worker.hears_chunk(1, voice(1000))
    worker.hears(words_of(0.0, 0.5))
    worker.hears(words_of(0.0, turn=3))
    reports = [(1, "word0.0", 0.0), (1, "word0.5", 0.5), (3, "word0.0", 0.0)]
    assert prompts(worker) == reports
    assert worker.speech.living == (1, 2, 3)
    assert worker.tells(Ack) == []


def test_words_that_come_twice_or_in_disorder_are_told_once(worker):
    for message in (words_of(1.0, 1.5), words_of(0.0, 0.5), words_of(1.0, 1.5), words_of(0.5, 2.0)):
        worker.hears(message)
    assert [start for _, _, start in prompts(worker)] == [1.0, 1.5, 0.0, 0.5, 2.0]


def test_words_of_a_turn_that_is_over_are_nobodys(worker):
    worker.hears_chunk(1, voice(1000))
    worker.hears_interrupt(1)
    worker.hears(words_of(0.0))
    assert prompts(worker) == []
    assert worker.counters == {"words_of_ended_turn": 1}


def test_words_far_ahead_open_no_turns(worker):
    worker.hears(words_of(0.0, turn=MAX_NEW_TURNS + 2))
    assert prompts(worker) == []
    assert worker.speech.living == ()


def test_a_turn_has_only_so_many_words(worker):
    for start in range(0, 2 * MAX_TURN_WORDS, 16):
        worker.hears(words_of(*(float(start + place) for place in range(16))))
    assert len(prompts(worker)) == MAX_TURN_WORDS


def test_a_second_worker_counts_words_from_where_it_goes_on():
    worker = Worker(AgentHello(STREAM, 4, 8000, 16_000))
    worker.hears(words_of(0.0, 0.25, 0.75, turn=4))
    (prompt,) = worker.version.take_cues()
    assert prompt == WordsCue(1, (Word("word0.25", 0.0, 0.25), Word("word0.75", 0.25, 0.75)))


def test_a_chunk_behind_a_hole_is_a_gap():
    worker = Worker()
    pcm = voice(RATE)
    worker.hears_chunk(1, pcm, 0, 480)
    worker.hears_chunk(1, pcm, 960, 1440)
    worker.hears_chunk(1, pcm, 1440, 1920)
    assert worker.version.gaps == 1
    worker.hears_chunk(1, pcm, 480, 960)
    worker.hears_chunk(2, pcm, 480, 960)
    assert worker.version.gaps == 2


def test_a_turn_is_unacked_until_the_agent_says_that_it_knows_its_end():
    worker = Worker()
    worker.hears_chunk(1, voice(480))
    assert worker.version.unacked == 1
    worker.hears_interrupt(1)
    assert worker.version.unacked == 1
    worker.hears(Ack(STREAM, "turn_ended", 1))
    assert worker.version.unacked == 0
