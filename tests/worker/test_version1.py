"""Version 1 guesses the turns well: each of its promises in order, and its bounds without."""

import asyncio
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import virtual_time
from hypothesis import given
from hypothesis import strategies as st
from stage import QuickRenderer, stage, voice
from stock_agent import StockAgent
from thorough import thorough

from agent_side.wire import MAX_PCM, AgentHello, Interrupt, Pcm, SegmentEnd, StreamEnded
from worker.media import FRAME_SAMPLES, SAMPLE_RATE
from worker.meeting_support.memory_network import NetworkFaults
from worker.sound import FADE_SAMPLES, fade_in
from worker.turns.playout import Ended
from worker.turns.segments import MAX_WAITING_S, SegmentQueue
from worker.turns.version1 import (
    GRACE_S,
    GUARD_MAX_S,
    GUARD_MIN_S,
    IDLE_S,
    QUIET_S,
    STALE_S,
    STRAY_S,
    Version1,
)

JUST = 0.001
"""A moment (s)."""


class Worker:
    """Version 1 and what a session does around it, moved through time by hand."""

    def __init__(self, rate=SAMPLE_RATE):
        self.now = 1000.0
        self.speech = SegmentQueue()
        self.counters = Counter()
        self.version = Version1(self.speech, rate, self.counters)
        self.rate = rate
        self.turns = {}
        """Speech of each segment, as the renderer was given it."""
        self.handed = {}
        """Samples of each segment that count as heard when it is cut."""

    def wait(self, seconds):
        """Time passes in ticks of 10 ms."""
        start = self.now
        for tick in range(1, math.ceil(seconds / 0.01 - 1e-6) + 1):
            self.now = start + min(seconds, 0.01 * tick)
            self.version.advance(self.now)

    def hears(self, pcm):
        self.version.receive(Pcm(pcm.tobytes()), self.now)

    def hears_flow(self, pcm, every_s=0.02):
        """Speech in pieces, each followed by a pause."""
        for at in range(0, len(pcm), 480):
            self.hears(pcm[at : at + 480])
            self.wait(every_s)

    def hears_end(self):
        self.version.receive(SegmentEnd(), self.now)

    def hears_interrupt(self):
        self.version.receive(Interrupt(), self.now)
        for segment in self.speech.drop_dead():
            handed = self.handed.get(segment, 0)
            self.version.ended(Ended(segment, handed, interrupted=True), self.now)

    def speak(self):
        """Everything that can be heard by now is heard; returns the speech of each turn."""
        while (work := self.speech.take()) is not None:
            segment, pcm, finished = work
            self.turns.setdefault(segment, np.zeros(0, np.int16))
            if pcm is not None:
                self.turns[segment] = np.concatenate([self.turns[segment], pcm])
            if finished:
                self.speech.end(segment)
                ended = Ended(segment, len(self.turns[segment]), interrupted=False)
                self.version.ended(ended, self.now)
        return [len(pcm) for pcm in self.turns.values()]

    def said(self, *pcms):
        """Whether exactly these turns were heard."""
        self.speak()
        turns = list(self.turns.values())
        return len(turns) == len(pcms) and all(map(np.array_equal, turns, pcms))

    @property
    def acks(self):
        """(samples, interrupted) of all acks so far."""
        assert all(isinstance(each, StreamEnded) for each in self.version.outgoing)
        return [
            (round(each.position * SAMPLE_RATE), each.interrupted) for each in self.version.outgoing
        ]


@pytest.fixture
def worker():
    return Worker()


def seconds(length, seed=1):
    return voice(round(length * SAMPLE_RATE), seed)


# A turn ---------------------------------------------------------------------------------------


def test_speech_and_its_end_are_a_turn(worker):
    pcm = seconds(1)
    worker.hears_flow(pcm)
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.said(pcm)
    assert worker.acks == [(24_000, False)]
    assert not worker.counters


def test_a_turn_is_heard_before_its_end_is_known(worker):
    pcm = seconds(0.4)
    worker.hears(pcm)
    assert worker.said(pcm)
    assert worker.version.speaking
    assert worker.acks == []


def test_speech_at_another_rate_is_heard_at_24_khz():
    worker = Worker(rate=16_000)
    worker.hears(voice(16_000))
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.speak() == [24_000]
    assert worker.acks == [(24_000, False)]


def test_turns_that_keep_their_distance_are_turns_of_their_own(worker):
    turns = [seconds(0.3, seed) for seed in (1, 2, 3)]
    for pcm in turns:
        worker.hears(pcm)
        worker.hears_end()
        worker.wait(GRACE_S)
    assert worker.said(*turns)
    assert worker.acks == [(7200, False)] * 3


def test_an_empty_turn_is_acknowledged(worker):
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.said(seconds(0))
    assert worker.acks == [(0, False)]


def test_messages_of_version_2_mean_nothing(worker):
    assert not worker.version.receive(AgentHello("0123456789abcdef", 1, 0, 24_000), worker.now)


# Around segment_end ---------------------------------------------------------------------------


def test_a_pause_in_mid_turn_may_have_been_speech_that_was_lost():
    worker = Worker()
    worker.hears_flow(voice(SAMPLE_RATE))
    assert worker.version.gaps == 0
    worker.wait(0.15)
    worker.hears(voice(480))
    assert worker.version.gaps == 0
    worker.wait(0.25)
    worker.hears_flow(voice(SAMPLE_RATE))
    assert worker.version.gaps == 1
    worker.hears_end()
    worker.wait(1.0)
    worker.hears_flow(voice(SAMPLE_RATE))
    assert worker.version.gaps == 1, "another turn may begin when it likes"


def test_a_turn_is_owed_its_end_until_that_was_told():
    worker = Worker()
    assert worker.version.unacked == 0
    worker.hears(voice(480))
    assert worker.version.unacked == 1
    worker.hears_interrupt()
    assert worker.version.unacked == 0


def test_late_pcm_joins_the_segment(worker):
    pcm = seconds(1)
    worker.hears(pcm[:20_000])
    worker.hears_end()
    worker.wait(GRACE_S / 2 - JUST)
    worker.hears(pcm[20_000:])
    worker.wait(GRACE_S / 2 + JUST)
    assert worker.said(pcm)
    assert worker.acks == [(24_000, False)]
    assert worker.counters == {"audio_late": 1}


def test_late_pcm_that_is_all_there_is_fills_an_empty_segment(worker):
    pcm = seconds(0.2)
    worker.hears_end()
    worker.wait(GRACE_S / 4)
    worker.hears(pcm)
    worker.wait(GRACE_S)
    assert worker.said(pcm)
    assert worker.acks == [(4800, False)]


def test_pcm_later_than_half_the_grace_opens_the_next_turn(worker):
    first, second = seconds(0.5, 1), seconds(0.3, 2)
    worker.hears(first)
    worker.hears_end()
    worker.wait(GRACE_S / 2 + JUST)
    worker.hears(second)
    worker.wait(GRACE_S)
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.said(first, second)
    assert worker.acks == [(12_000, False), (7200, False)]
    assert not worker.counters


def test_pcm_that_goes_on_after_the_end_is_the_next_turn_from_its_first_sample(worker):
    first, second = seconds(0.5, 1), seconds(0.2, 2)
    worker.hears(first)
    worker.hears_end()
    worker.hears_flow(second)
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.said(first, second)


def test_more_pcm_than_a_packet_is_the_next_turn_at_once(worker):
    first, second = seconds(0.5, 1), voice(10 * 960, 2)
    worker.hears(first)
    worker.hears_end()
    worker.hears(second[: MAX_PCM // 2])
    assert worker.version.speaking
    assert worker.speak() == [11_520]
    worker.hears(second[MAX_PCM // 2 :])
    assert worker.said(first, second)


def test_an_end_after_pcm_in_the_grace_is_the_end_of_the_next_turn(worker):
    first, second = seconds(0.5, 1), seconds(0.1, 2)
    worker.hears(first)
    worker.hears_end()
    worker.hears(second)
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.said(first, second)
    assert worker.acks == [(12_000, False), (2400, False)]


def test_a_duplicate_end_ends_nothing(worker):
    pcm = seconds(0.5)
    worker.hears(pcm)
    for _ in range(3):
        worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.said(pcm)
    assert worker.acks == [(12_000, False)]
    assert worker.counters == {"control_duplicate": 2}


def test_a_turn_whose_end_is_lost_is_over_when_it_was_heard_for_long(worker):
    pcm = seconds(1)
    worker.hears(pcm)
    worker.wait(1 + IDLE_S)
    assert worker.version.speaking
    worker.wait(0.02)
    assert not worker.version.speaking
    assert worker.said(pcm)
    assert worker.acks == [(24_000, False)]
    assert worker.counters == {"segment_end_missing": 1}


def test_speech_that_waits_behind_other_speech_is_not_idle(worker):
    worker.hears(seconds(3))
    worker.hears_end()
    worker.wait(GRACE_S)
    worker.hears(seconds(1))
    worker.wait(4 + IDLE_S - 2 * GRACE_S)
    assert worker.version.speaking


def test_an_end_that_comes_after_its_turn_was_given_up_is_stray(worker):
    worker.hears(seconds(0.1))
    worker.wait(0.2 + IDLE_S)
    worker.hears_end()
    worker.wait(GRACE_S)
    worker.speak()
    assert worker.acks == [(2400, False)]
    assert worker.counters == {"segment_end_missing": 1, "control_stray": 1}


def test_only_one_end_after_a_turn_was_given_up_is_stray(worker):
    worker.hears(seconds(0.1))
    worker.wait(0.2 + IDLE_S)
    worker.hears_end()
    worker.hears_end()
    worker.wait(GRACE_S)
    worker.speak()
    assert worker.acks == [(2400, False), (0, False)]


# INTERRUPT ------------------------------------------------------------------------------------


def test_an_interrupt_is_acknowledged_with_what_was_heard(worker):
    worker.hears(seconds(1))
    worker.handed[1] = 5000
    worker.hears_interrupt()
    assert worker.acks == [(5000, True)]
    assert not worker.version.speaking


def test_an_interrupt_that_comes_twice_is_acknowledged_once(worker):
    worker.hears(seconds(1))
    worker.hears_interrupt()
    worker.wait(0.05)
    worker.hears_interrupt()
    assert worker.acks == [(0, True)]
    assert worker.counters == {"control_stray": 1}


def test_an_interrupt_at_rest_is_not_acknowledged(worker):
    worker.hears_interrupt()
    assert worker.acks == []
    worker.hears(seconds(0.5))
    worker.hears_end()
    worker.wait(GRACE_S)
    worker.speak()
    worker.wait(1)
    worker.hears_interrupt()
    assert worker.acks == [(12_000, False)]


def queue_three(worker):
    for seed in (1, 2, 3):
        worker.hears(seconds(0.5, seed))
        worker.hears_end()
        worker.wait(GRACE_S)


def test_queued_turns_each_get_their_ack(worker):
    queue_three(worker)
    assert worker.speak() == [12_000] * 3
    assert worker.acks == [(12_000, False)] * 3


def test_an_interrupt_of_queued_turns_is_acknowledged_once_with_the_position_of_the_first(worker):
    queue_three(worker)
    worker.handed[1] = 4000
    worker.hears_interrupt()
    worker.wait(1)
    assert worker.acks == [(4000, True)]
    assert worker.speak() == []


def test_a_turn_that_was_heard_whole_when_interrupted_ends_and_those_behind_it_are_interrupted(
    worker,
):
    queue_three(worker)
    worker.version.receive(Interrupt(), worker.now)
    first, second, third = worker.speech.drop_dead()
    worker.version.ended(Ended(first, 12_000, interrupted=False), worker.now)
    worker.version.ended(Ended(second, 0, interrupted=True), worker.now)
    worker.version.ended(Ended(third, 0, interrupted=True), worker.now)
    assert worker.acks == [(12_000, False), (0, True)]


def test_an_interrupt_kills_the_speech_after_an_end_too(worker):
    worker.hears(seconds(0.5))
    worker.hears_end()
    worker.hears(seconds(0.1))
    worker.hears_interrupt()
    worker.wait(3)
    assert worker.speak() == []
    assert worker.acks == [(0, True)]


def test_speech_that_an_interrupt_killed_is_not_part_of_the_next_turn(worker):
    worker.hears(seconds(0.5))
    worker.hears_end()
    worker.hears(seconds(0.1))
    worker.hears_interrupt()
    worker.wait(1)
    fresh = seconds(0.4, 2)
    worker.hears(fresh)
    worker.hears_end()
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.said(fresh)
    assert worker.counters == {"control_duplicate": 1}


def interrupted(worker, gap_s=0.02):
    """Speech flows in pieces of 20 ms every `gap_s`, and INTERRUPT stops it."""
    worker.hears_flow(seconds(0.4, 9), gap_s)
    worker.hears_interrupt()
    worker.version.outgoing.clear()
    worker.turns.clear()


def test_stale_pcm_is_forgotten_when_it_stops(worker):
    interrupted(worker)
    worker.wait(0.01)
    worker.hears_flow(seconds(0.08, 8), 0.01)
    worker.wait(QUIET_S)
    assert worker.speak() == []
    fresh = seconds(0.5)
    worker.hears_flow(fresh)
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.said(fresh)
    assert worker.acks == [(12_000, False)]
    assert worker.counters == {"audio_stale": 1}


def test_stale_pcm_after_which_nothing_comes_is_forgotten(worker):
    interrupted(worker)
    worker.hears(seconds(0.3, 8))
    worker.wait(IDLE_S + 0.1)
    assert worker.counters == {"audio_stale": 1}
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.speak() == [0]


def test_pcm_that_goes_on_after_an_interrupt_keeps_its_first_syllable(worker):
    interrupted(worker)
    fresh = seconds(0.5)
    worker.hears_flow(fresh)
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.said(fresh)
    assert not worker.counters


def test_pcm_in_the_guard_is_not_heard_before_the_guard_is_over(worker):
    interrupted(worker)
    worker.hears_flow(seconds(0.04), 0.01)
    assert worker.speak() == []
    assert not worker.version.speaking


def test_much_pcm_at_once_after_an_interrupt_is_the_next_turn_when_the_guard_is_over(worker):
    interrupted(worker)
    fresh = seconds(STALE_S + 0.12)
    worker.hears(fresh)
    assert worker.speak() == []
    worker.wait(GUARD_MAX_S + 0.01)
    assert worker.said(fresh)


def test_a_whole_turn_within_the_guard_is_heard(worker):
    interrupted(worker)
    fresh = seconds(STRAY_S + 0.02)
    worker.hears(fresh)
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.said(fresh)
    assert worker.acks == [(len(fresh), False)]


def test_an_end_straight_after_an_interrupt_is_stray(worker):
    interrupted(worker)
    worker.wait(GUARD_MIN_S / 2)
    worker.hears_end()
    worker.wait(1)
    assert worker.speak() == []
    assert worker.acks == []
    assert worker.counters == {"control_stray": 1}


def test_a_short_stale_rest_with_a_stray_end_is_forgotten(worker):
    interrupted(worker)
    worker.hears(seconds(STRAY_S, 8))
    worker.hears_end()
    worker.wait(1)
    assert worker.speak() == []
    assert worker.acks == []
    assert worker.counters == {"control_stray": 1, "audio_stale": 1}


def test_a_stale_rest_whose_stray_end_comes_after_a_pause_is_forgotten(worker):
    interrupted(worker)
    worker.hears(seconds(STALE_S, 8))
    worker.wait(QUIET_S)
    worker.hears_end()
    worker.wait(1)
    assert worker.speak() == []
    assert worker.acks == []
    assert worker.counters == {"control_stray": 1, "audio_stale": 1}


def test_a_short_turn_is_heard_after_an_interrupt_of_one_whose_speech_had_long_come(worker):
    worker.hears(seconds(2, 9))
    worker.wait(0.5)
    worker.hears_interrupt()
    fresh = seconds(0.02)
    worker.hears(fresh)
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.said(fresh)


def test_an_interrupt_of_held_speech_is_acknowledged_at_zero(worker):
    interrupted(worker)
    worker.hears(seconds(0.3))
    worker.hears_interrupt()
    worker.wait(3)
    assert worker.acks == [(0, True)]
    assert worker.speak() == []


def test_held_speech_that_an_interrupt_killed_is_not_part_of_the_next_turn(worker):
    interrupted(worker)
    worker.hears(seconds(0.3, 8))
    worker.hears_interrupt()
    fresh = seconds(0.4)
    worker.hears_flow(fresh)
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.said(fresh)


def test_the_guard_remembers_a_stutter_for_a_while():
    for pieces, is_stale in ((3, True), (30, False)):
        worker = Worker()
        worker.hears_flow(seconds(0.1), 0.1)
        worker.hears_flow(seconds(0.02 * pieces), 0.01)
        worker.hears_interrupt()
        worker.wait(GUARD_MIN_S + 0.08)
        worker.hears(seconds(0.04))
        assert worker.speak() == ([] if is_stale else [960])


@pytest.mark.parametrize(
    ("gap_s", "guard_s"),
    [(0.01, GUARD_MIN_S + 0.02), (0.04, GUARD_MIN_S + 0.08), (0.1, GUARD_MAX_S)],
)
def test_the_guard_is_as_long_as_the_network_stutters(gap_s, guard_s):
    for after_s, is_stale in ((guard_s - JUST, True), (guard_s + JUST, False)):
        worker = Worker()
        interrupted(worker, gap_s)
        worker.wait(after_s)
        worker.hears(seconds(0.04))
        assert worker.speak() == ([] if is_stale else [960])


def test_the_guard_is_short_when_no_speech_was_flowing():
    for after_s, is_held in ((GUARD_MIN_S - JUST, True), (GUARD_MIN_S + JUST, False)):
        worker = Worker()
        worker.hears_flow(seconds(0.4), 0.1)
        worker.wait(0.5)
        worker.hears_interrupt()
        worker.wait(after_s)
        worker.hears(seconds(0.04))
        assert worker.speak() == ([] if is_held else [960])


# Limits ---------------------------------------------------------------------------------------


def test_speech_beyond_what_may_wait_is_refused_and_counted(worker):
    worker.hears(np.zeros((MAX_WAITING_S + 1) * SAMPLE_RATE, np.int16))
    worker.hears(seconds(0.1))
    worker.hears(seconds(0.1))
    assert worker.speech.waiting_s == MAX_WAITING_S + 1
    assert worker.counters == {"audio_refused_full": 2}


def test_a_worker_that_is_leaving_hears_its_turn_out_and_accepts_no_other(worker):
    first = seconds(0.5)
    worker.hears(first[:6000])
    worker.version.accept_no_turn()
    worker.hears(first[6000:])
    worker.hears_end()
    worker.wait(GRACE_S)
    worker.hears(seconds(0.5, 2))
    worker.hears_end()
    worker.wait(GRACE_S)
    assert worker.said(first)
    assert worker.acks == [(12_000, False)]
    assert worker.counters == {"turn_while_leaving": 2}


def test_an_agent_that_has_left_is_heard_to_its_last_sample_and_told_nothing(worker):
    pcm = seconds(0.5)
    worker.hears(pcm[:6000])
    worker.hears_end()
    worker.hears(pcm[6000:])
    worker.version.release()
    assert worker.said(pcm)
    assert worker.acks == []


def test_speech_that_was_held_when_the_agent_left_is_not_the_next_agents(worker):
    interrupted(worker)
    worker.hears(seconds(0.3, 8))
    worker.version.release()
    worker.hears_interrupt()
    assert worker.acks == []
    worker.wait(GUARD_MAX_S)
    fresh = seconds(0.4)
    worker.hears(fresh)
    assert worker.said(fresh)


# The whole line, without any order -------------------------------------------------------------


@dataclass(frozen=True)
class Say:
    samples: int
    piece: int
    every_s: float


@dataclass(frozen=True)
class End:
    pass


@dataclass(frozen=True)
class Cut:
    times: int


@dataclass(frozen=True)
class Pause:
    seconds: float


scripts = st.lists(
    st.one_of(
        st.builds(
            Say,
            samples=st.integers(1, 30_000),
            piece=st.sampled_from([480, 960, 4000, 15_000]),
            every_s=st.sampled_from([0.0, 0.001, 0.018]),
        ),
        st.builds(End),
        st.builds(Cut, st.integers(1, 2)),
        st.builds(Pause, st.floats(0, 1.5)),
    ),
    min_size=1,
    max_size=10,
)
networks = st.builds(
    NetworkFaults,
    loss=st.sampled_from([0.0, 0.1, 0.5]),
    duplication=st.sampled_from([0.0, 0.3]),
    delay_s=st.sampled_from([(0.0, 0.0), (0.0, 0.05), (0.05, 0.3), (0.0, 1.0)]),
)


class Scribe(QuickRenderer):
    """Notes the speech of every segment."""

    def __init__(self):
        super().__init__()
        self.turns = {}

    def push(self, segment, pcm):
        self.turns[segment] = np.concatenate([self.turns.get(segment, pcm[:0]), pcm])
        super().push(segment, pcm)


async def play(scene, script):
    """A stock agent plays `script`; returns its packets, its acks and how much control it sent."""
    await scene.agent.aclose()
    agent, packets, control = StockAgent(scene.peer), [], 0
    await asyncio.sleep(0.1)
    for action in script:
        match action:
            case Say(samples, piece, every_s):
                pcm = voice(samples, seed=len(packets))
                packets += [pcm[at : at + piece // 2] for at in range(0, samples, piece // 2)]
                await agent.say(pcm, piece, every_s)
            case End():
                control += 1
                await agent.end()
            case Cut(times):
                for _ in range(times):
                    control += 1
                    await agent.interrupt()
            case Pause(seconds):
                await asyncio.sleep(seconds)
    await asyncio.sleep(2 * sum(map(len, packets)) / SAMPLE_RATE + 2 * IDLE_S + 2)
    return packets, agent.acks, control


@thorough(1000)
@given(script=scripts, faults=networks, seed=st.integers(0, 2**16))
def test_without_order_only_what_was_sent_is_heard_and_the_face_comes_to_rest(script, faults, seed):
    async def conversation():
        scribe, copies = Scribe(), 1 + bool(faults.duplication)
        async with stage(faults, seed=seed, renderer=scribe) as scene:
            packets, acks, control = await play(scene, script)
            ended_by_itself = scene.session.counters["segment_end_missing"]
            assert len(acks) <= copies * (copies * control + ended_by_itself)
            assert not scene.session._engine.segments.living
            assert scene.film.published[-1].frame.segment == 0
            check_handed_out(scene.film, scribe.turns)
            check_sent(scribe.turns, packets, copies)

    virtual_time.run(conversation())


def check_handed_out(film, turns):
    """The tracks were given the turns' own samples, in order and none twice, and silence."""
    handed = {}
    for _, frame in film.published:
        if frame.segment == 0:
            assert not frame.pcm[FADE_SAMPLES:].any()
            continue
        at = handed.get(frame.segment, 0)
        pcm = turns[frame.segment][at : at + FRAME_SAMPLES]
        heard = frame.pcm[: len(pcm)]
        assert np.array_equal(heard, pcm) or np.array_equal(heard, fade_in(pcm))
        handed[frame.segment] = at + len(pcm)


def check_sent(turns, packets, copies):
    """The turns are made of whole packets, each as often as it came at most."""
    left = Counter({packet.tobytes(): copies for packet in packets})
    longest_first = sorted(left, key=len, reverse=True)
    for number, turn in turns.items():
        data = turn.tobytes()
        while data:
            packet = next((each for each in longest_first if data.startswith(each)), None)
            if packet is None:
                assert any(each.startswith(data) for each in left), f"turn {number}"
                break
            left[packet] -= 1
            data = data[len(packet) :]
    assert min(left.values(), default=0) >= 0
