"""A face obeys one agent and nobody else; another agent is told so, and so is the log."""

from collections import Counter
from dataclasses import replace

import pytest
from stage import voice

from agent_side.wire import (
    Ack,
    AgentHello,
    AudioChunk,
    AvatarReady,
    Expression,
    Face,
    Gesture,
    Interrupt,
    NotObeyed,
    Pcm,
    Posture,
    Progress,
    SegmentEnd,
    StreamEnded,
    TurnEnd,
    TurnEnded,
    TurnInterrupt,
    Word,
    Words,
)
from worker.turns.conversation import (
    ANNOUNCE_S,
    CLAIM_S,
    EAGER_S,
    ECHO_S,
    MAX_CLAIM,
    MAX_DENIED,
    Conversation,
)
from worker.turns.playout import Ended
from worker.turns.segments import SegmentQueue
from worker.turns.version1 import GRACE_S

STREAM = "00112233445566aa"
SPEECH = Pcm(voice(960).tobytes())
FACE = Face(("nod",), ("neutral", "happy"), ("resting", "listening"))
HELLO = AgentHello(STREAM, 1, 0, 24_000)


ACTS = (
    Gesture(STREAM, 1, "nod"),
    Expression(STREAM, 2, "happy", 1.0),
    Posture(STREAM, 3, "listening"),
    Words(STREAM, 1, (Word("hi", 0.0, 0.5),)),
)


def chunk(turn=1, stream=STREAM):
    return AudioChunk(stream, turn, 1, 0, 24_000, voice(960, seed=turn).tobytes())


class Room:
    """A conversation, moved through time by hand."""

    def __init__(self, agent_id=None):
        self.now = 1000.0
        self.speech = SegmentQueue()
        self.handed = Counter()
        self.conversation = Conversation(
            self.speech,
            self.handed.__getitem__,
            worker="worker",
            face=FACE,
            rate=24_000,
            agent_id=agent_id,
        )

    def joins(self, participant, is_agent=False):
        self.conversation.joined(participant, is_agent, self.now)

    def leaves(self, participant):
        self.conversation.left(participant, self.now)

    def hears(self, sender, *messages):
        for message in messages:
            self.conversation.receive(sender, message, self.now)
        for segment in self.speech.drop_dead():
            ended = Ended(segment, self.handed[segment], interrupted=True)
            self.conversation.ended(ended, self.now)

    def tells(self, kind=object):
        self.conversation.advance(self.now)
        reports = self.conversation.outgoing(self.now)
        return [message for message in reports if isinstance(message, kind)]

    def wait(self, seconds):
        """Time passes; returns what was told meanwhile."""
        reports, end = [], self.now + seconds
        while self.now < end - 1e-9:
            self.now = min(end, self.now + 0.04)
            reports += self.tells()
        return reports

    def speak(self):
        """The samples of the segments that can be heard by now."""
        lengths = {}
        while (work := self.speech.take()) is not None:
            segment, pcm, finished = work
            lengths[segment] = lengths.get(segment, 0) + (0 if pcm is None else len(pcm))
            if finished:
                self.speech.end(segment)
                ended = Ended(segment, lengths[segment], interrupted=False)
                self.conversation.ended(ended, self.now)
        return list(lengths.values())

    @property
    def bound(self):
        return self.conversation.bound

    @property
    def counters(self):
        return self.conversation.counters


@pytest.fixture
def room():
    return Room()


# Who is obeyed --------------------------------------------------------------------------------


def test_a_named_agent_is_the_only_one_that_is_obeyed():
    room = Room(agent_id="ours")
    room.joins("other", is_agent=True)
    room.hears("other", SPEECH, HELLO, chunk())
    assert room.bound is None
    assert room.counters == {"sender_ignored": 3}
    room.hears("ours", SPEECH)
    assert room.bound == "ours"


def test_of_several_agents_the_first_in_the_room_is_obeyed(room):
    room.joins("first", is_agent=True)
    room.joins("second", is_agent=True)
    room.hears("second", SPEECH)
    room.hears("first", SPEECH)
    assert room.bound == "first"
    assert room.counters == {"sender_ignored": 1}


def test_where_an_agent_is_in_the_room_nobody_else_is_obeyed(room):
    room.joins("user")
    room.joins("agent", is_agent=True)
    room.hears("user", SPEECH, Interrupt())
    assert room.bound is None
    assert room.counters == {"sender_ignored": 2}


def test_where_no_agent_is_in_the_room_the_first_with_speech_is_obeyed(room):
    room.hears("first", SPEECH)
    room.hears("second", SPEECH)
    assert room.bound == "first"
    assert room.counters == {"sender_ignored": 1}


def test_who_has_the_face_yields_to_nobody(room):
    room.hears("plain", SPEECH)
    room.joins("agent", is_agent=True)
    room.hears("agent", SPEECH, HELLO, Interrupt())
    assert room.bound == "plain"
    assert room.speech.living == (1,)


def test_without_an_agent_the_first_in_the_room_is_obeyed_however_often_others_greet(room):
    room.joins("viewer")
    room.joins("plain")
    room.joins("stranger")
    for number in range(10):
        room.hears("stranger", replace(HELLO, stream=f"{number:016x}"), SPEECH)
        room.wait(0.04)
    room.hears("plain", SPEECH, SPEECH)
    room.wait(CLAIM_S)
    assert room.bound == "plain"
    room.hears("plain", SegmentEnd())
    room.wait(GRACE_S)
    assert room.speak() == [1920]


def test_the_first_in_the_room_does_not_wait_for_others(room):
    room.joins("plain")
    room.joins("viewer")
    room.hears("plain", SPEECH)
    assert room.bound == "plain"


def test_somebody_alone_with_viewers_is_obeyed_after_a_while_and_nothing_is_lost(room):
    room.joins("viewer")
    room.joins("plain")
    room.hears("plain", SPEECH, SPEECH, SegmentEnd())
    assert room.bound is None
    room.wait(CLAIM_S + 0.04)
    assert room.bound == "plain"
    room.wait(GRACE_S + 0.04)
    assert room.speak() == [1920]


def test_an_agent_that_comes_meanwhile_goes_before_any_claim(room):
    room.joins("viewer")
    room.joins("stranger")
    room.hears("stranger", SPEECH)
    room.joins("agent", is_agent=True)
    room.wait(2 * CLAIM_S)
    assert room.bound is None
    room.hears("agent", SPEECH)
    assert room.bound == "agent"


def test_somebody_who_leaves_claims_nothing_any_more(room):
    room.joins("viewer")
    room.joins("stranger")
    room.hears("stranger", SPEECH)
    room.leaves("stranger")
    room.wait(2 * CLAIM_S)
    assert room.bound is None
    assert room.speech.living == ()


def test_what_is_kept_of_a_claim_is_bounded(room):
    room.joins("viewer")
    room.joins("stranger")
    room.hears("stranger", *(MAX_CLAIM + 7) * [SPEECH])
    assert room.counters == {"sender_ignored": 7}


# A renewed join request -----------------------------------------------------------------------


def test_a_renewal_gives_the_face_to_whom_it_names_at_once():
    room = Room(agent_id="ours")
    room.joins("ours", is_agent=True)
    room.hears("ours", HELLO, chunk(1))
    room.joins("reborn", is_agent=True)
    room.hears("reborn", replace(HELLO, stream="ff" * 8))
    assert [each.named for each in room.tells(NotObeyed)] == [True]
    room.conversation.name("reborn", room.now)
    assert room.bound is None
    room.hears("ours", chunk(1), TurnEnd(STREAM, 1, 960))
    assert room.speak() == []
    assert AvatarReady("worker-1", None, FACE) in room.tells()
    room.hears("reborn", replace(HELLO, stream="ff" * 8), chunk(1, "ff" * 8))
    assert room.bound == "reborn"
    assert AvatarReady("worker-1", "ff" * 8, FACE) in room.tells()
    room.hears("ours", HELLO, TurnInterrupt(STREAM, 1))
    room.hears("reborn", TurnEnd("ff" * 8, 1, 960))
    assert room.speak() == [960]


def test_a_renewal_takes_the_face_from_a_stranger(room):
    room.hears("stranger", SPEECH)
    room.conversation.name("ours", room.now)
    assert room.speech.living == (1,)
    room.hears("ours", SPEECH)
    assert room.bound == "ours"
    assert room.speech.living == (2,)


def test_a_renewal_that_names_the_same_agent_changes_nothing():
    room = Room(agent_id="ours")
    room.hears("ours", HELLO, chunk(1), TurnEnd(STREAM, 1, 960))
    room.conversation.name("ours", room.now)
    assert room.bound == "ours"
    assert room.speak() == [960]


# Who is told ----------------------------------------------------------------------------------


def test_a_second_agent_is_told_that_it_is_not_obeyed_and_the_log_says_so(room, caplog):
    room.joins("agent", is_agent=True)
    room.joins("other", is_agent=True)
    room.hears("agent", HELLO)
    room.tells()
    with caplog.at_level("WARNING", "avatar.worker.conversation"):
        for _ in range(60):
            room.hears("other", replace(HELLO, stream="ff" * 8))
            room.now += 0.05
    reports = room.tells()
    assert set(reports) == {NotObeyed("ff" * 8, named=False)}
    assert 3 <= len(reports) <= 4
    assert len(caplog.records) == 1
    assert "'other' is not obeyed: 'agent' has the face until it leaves" in caplog.text


def test_how_many_are_told_is_bounded(room):
    room.hears("agent", SPEECH)
    for number in range(10 * MAX_DENIED):
        room.hears(f"stranger-{number}", HELLO)
    assert len(room.tells(NotObeyed)) == MAX_DENIED


def test_who_was_told_is_greeted_once_the_face_is_its(room):
    room.joins("agent", is_agent=True)
    room.joins("other", is_agent=True)
    room.hears("agent", HELLO)
    room.hears("other", replace(HELLO, stream="ff" * 8))
    room.leaves("agent")
    room.tells()
    room.hears("other", replace(HELLO, stream="ff" * 8))
    assert room.tells(NotObeyed) == []
    assert room.bound == "other"


def test_while_the_worker_is_away_the_face_stays_the_agent_s(room):
    room.joins("agent", is_agent=True)
    room.hears("agent", HELLO, chunk(1))
    room.conversation.away()
    room.joins("stranger", is_agent=True)
    room.joins("agent", is_agent=True)
    room.hears("stranger", HELLO)
    assert room.bound == "agent"
    room.hears("agent", replace(HELLO, sample=480), chunk(1), TurnEnd(STREAM, 1, 960))
    assert AvatarReady("worker-1", STREAM, FACE) in room.tells()
    assert room.speak() == [480]


def test_an_agent_does_not_yield_to_another(room):
    room.joins("agent", is_agent=True)
    room.hears("agent", SPEECH)
    room.joins("other", is_agent=True)
    room.hears("other", SPEECH, HELLO, Interrupt(), SegmentEnd())
    assert room.bound == "agent"
    assert room.counters == {"sender_ignored": 4}
    assert room.speech.living == (1,)


@pytest.mark.parametrize("message", [SPEECH, chunk(), HELLO])
def test_speech_or_a_greeting_binds(room, message):
    room.hears("agent", message)
    assert room.bound == "agent"


@pytest.mark.parametrize(
    "message",
    [
        Interrupt(),
        SegmentEnd(),
        TurnEnd(STREAM, 1, 0),
        TurnInterrupt(STREAM, 1),
        Ack(STREAM, "turn_ended", 1),
        AvatarReady("other", None),
        StreamEnded(1.0, interrupted=False),
        *ACTS,
    ],
)
def test_nothing_else_binds(room, message):
    room.hears("user", message)
    assert room.bound is None
    assert room.counters == {"sender_ignored": 1}


def test_a_browser_user_can_neither_interrupt_nor_speak_nor_end_a_turn(room):
    room.joins("agent", is_agent=True)
    room.hears("agent", SPEECH)
    room.joins("user")
    room.hears("user", Interrupt(), SPEECH, SegmentEnd(), HELLO, chunk())
    room.wait(GRACE_S)
    assert room.counters == {"sender_ignored": 5}
    assert room.speech.living == (1,)
    assert room.tells(StreamEnded) == []
    room.hears("agent", SPEECH, SegmentEnd())
    room.wait(GRACE_S)
    assert room.speak() == [1920]


def test_a_browser_user_cannot_change_the_face(room):
    room.hears("agent", HELLO)
    room.tells()
    room.hears("user", *ACTS)
    assert room.counters == {"sender_ignored": len(ACTS)}
    assert room.conversation.take_cues() == []
    assert room.tells() == []
    room.hears("agent", *ACTS)
    assert len(room.conversation.take_cues()) == len(ACTS)


def test_a_packet_that_makes_no_sense_is_counted_and_binds_nobody(room):
    room.hears("agent", None)
    assert room.bound is None
    assert room.counters == {"packet_refused": 1}


def test_a_message_that_nobody_expects_of_an_agent_is_counted(room):
    room.hears("agent", HELLO, StreamEnded(1.0, interrupted=False), AvatarReady("other", None))
    room.hears("agent", Progress(STREAM, 1, 0, 0), TurnEnded(STREAM, 1, 0.0, interrupted=False))
    assert room.counters == {"message_unexpected": 4}


# Coming and going -----------------------------------------------------------------------------


def test_when_the_agent_leaves_the_face_is_free_for_another(room):
    room.joins("first", is_agent=True)
    room.hears("first", SPEECH)
    room.leaves("first")
    assert room.bound is None
    room.joins("second", is_agent=True)
    room.hears("second", SPEECH)
    assert room.bound == "second"


def test_when_somebody_else_leaves_nothing_changes(room):
    room.joins("agent", is_agent=True)
    room.hears("agent", SPEECH)
    room.leaves("user")
    assert room.bound == "agent"


def test_an_agent_that_leaves_in_mid_sentence_is_heard_to_what_it_said(room):
    room.joins("agent", is_agent=True)
    room.hears("agent", SPEECH, SPEECH)
    room.leaves("agent")
    assert room.speak() == [1920]
    assert room.speech.living == ()
    assert room.tells(StreamEnded) == []


def test_an_agent_of_version_2_that_leaves_in_mid_sentence_is_heard_to_what_it_said(room):
    room.joins("agent", is_agent=True)
    room.hears("agent", HELLO, chunk(1), TurnEnd(STREAM, 1, 5000))
    room.leaves("agent")
    assert room.conversation.version == 1
    assert room.speak() == [960]
    assert room.speech.living == ()
    assert room.tells(TurnEnded) == []


def test_the_next_agent_silences_what_the_last_one_left(room):
    room.joins("first", is_agent=True)
    room.hears("first", SPEECH)
    room.leaves("first")
    room.joins("second", is_agent=True)
    room.hears("second", HELLO, chunk())
    assert room.speech.living == (2,)
    assert room.tells(StreamEnded) == []


def test_packets_that_outlive_their_sender_bind_nobody(room):
    room.joins("agent", is_agent=True)
    room.hears("agent", SPEECH, SPEECH)
    room.leaves("agent")
    room.hears("agent", SPEECH, HELLO)
    assert room.bound is None
    assert room.counters == {"sender_ignored": 2}
    assert room.speak() == [1920]


def test_an_agent_whose_coming_was_not_noticed_is_obeyed_after_a_while(room):
    room.hears("agent", SPEECH)
    room.leaves("agent")
    room.wait(ECHO_S + 0.04)
    room.hears("agent", SPEECH)
    assert room.bound == "agent"


def test_an_agent_that_comes_back_is_obeyed_again(room):
    room.joins("agent", is_agent=True)
    room.hears("agent", SPEECH)
    room.leaves("agent")
    room.joins("agent", is_agent=True)
    room.hears("agent", SPEECH)
    assert room.bound == "agent"


def test_an_agent_that_comes_back_with_its_stream_finds_a_worker_that_starts_anew(room):
    room.joins("agent", is_agent=True)
    room.hears("agent", HELLO, chunk(1))
    room.leaves("agent")
    room.tells()
    room.joins("agent", is_agent=True)
    room.hears("agent", AgentHello(STREAM, 1, 480, 24_000))
    assert room.tells() == [AvatarReady("worker-1", STREAM, FACE)]
    room.hears("agent", chunk(1), TurnEnd(STREAM, 1, 960))
    assert room.speak() == [480]
    assert [ended.position for ended in room.tells(TurnEnded)] == [0.04]


# Versions -------------------------------------------------------------------------------------


def test_version_2_is_spoken_from_the_greeting_on(room):
    assert room.conversation.version == 1
    room.hears("agent", HELLO)
    assert room.conversation.version == 2
    assert room.tells() == [AvatarReady("worker", STREAM, FACE)]


def test_speech_of_version_1_means_nothing_to_an_agent_of_version_2(room):
    room.hears("agent", HELLO, SPEECH, SPEECH)
    assert room.speech.living == ()
    assert room.counters == {"audio_of_version_1": 2}


def test_a_turn_that_began_in_version_1_ends_in_it(room):
    room.hears("agent", SPEECH, HELLO, SPEECH, SegmentEnd())
    room.wait(GRACE_S)
    assert room.speak() == [1920]
    assert room.tells(StreamEnded) == [StreamEnded(0.08, interrupted=False)]
    room.hears("agent", chunk(1), TurnEnd(STREAM, 1, 960))
    assert room.speak() == [960]


def test_a_late_version_1_interrupt_does_not_reach_a_version_2_turn(room):
    room.hears("agent", HELLO, chunk(1), Interrupt(), SegmentEnd(), TurnEnd(STREAM, 1, 960))
    assert room.speak() == [960]
    assert room.tells(TurnEnded) == [TurnEnded(STREAM, 1, 0.04, interrupted=False)]
    assert room.tells(StreamEnded) == []
    assert room.conversation.counters["message_unexpected"] == 2


# The announcement -----------------------------------------------------------------------------


def test_a_worker_announces_itself_a_bounded_number_of_times(room):
    room.conversation.announce(room.now)
    reports = room.wait(60)
    assert set(reports) == {AvatarReady("worker", None, FACE)}
    assert 5 <= len(reports) <= ANNOUNCE_S + EAGER_S / 0.04 + 5
    assert room.wait(60) == []


def test_a_worker_that_is_not_heard_at_first_is_heard_at_the_next_tick(room):
    room.joins("agent", is_agent=True)
    dropped = room.tells(AvatarReady)
    assert dropped
    for _ in range(4):
        assert room.wait(0.04) == dropped
    room.hears("agent", HELLO)
    assert room.tells() == [AvatarReady("worker", STREAM, FACE)]
    assert room.wait(60) == []


def test_a_worker_announces_itself_anew_to_whoever_joins(room):
    room.conversation.announce(room.now)
    room.wait(60)
    room.joins("agent", is_agent=True)
    assert room.tells() == [AvatarReady("worker", None, FACE)]


def test_the_announcement_stops_when_an_agent_answers(room):
    room.conversation.announce(room.now)
    room.tells()
    room.hears("agent", HELLO)
    room.tells()
    assert room.wait(60) == []


def test_a_worker_that_is_leaving_accepts_no_turn_of_either_version(room):
    room.conversation.accept_no_turn()
    room.hears("agent", SPEECH, SegmentEnd(), HELLO, chunk())
    assert room.speech.living == ()
    assert room.counters == {"turn_while_leaving": 3}
