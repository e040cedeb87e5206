"""Gestures, expressions and postures as an agent asks for them, moved through time by hand."""

import math

import pytest

from agent_side import AvatarError
from agent_side.acts import (
    GESTURE_TIMEOUT_S,
    MAX_GESTURES,
    Acts,
    ActUnknown,
    GestureDropped,
    UnknownActError,
)
from agent_side.wire import Ack, ActRefused, Expression, Face, Gesture, Posture

STREAM = "00112233445566aa"
FACE = Face(("nod", "wave_hello"), ("neutral", "happy", "sad"), ("resting", "listening"))


class Asked:
    """The agent's half with its clock; what it tells is lost unless somebody answers."""

    def __init__(self, face: Face | None = FACE, *, found: bool = True) -> None:
        self.now = 50.0
        self.reports: list[object] = []
        self.acts = Acts(self.reports.append)
        if found:
            self.found(face)

    def found(self, face: Face | None = FACE, stream: str = STREAM) -> None:
        self.acts.found(stream, face, self.now)

    def sends(self, seconds: float = 0.0) -> list[Gesture | Expression | Posture]:
        """All that is sent until so much later."""
        sent, until = [], self.now + seconds
        while True:
            self.acts.expire(self.now)
            while (act := self.acts.pop_due(self.now)) is not None:
                sent.append(act)
            if self.now >= until:
                return sent
            self.now = min(until, self.now + 0.01)

    def acknowledges(self, of: str, number: int) -> None:
        self.acts.answered(Ack(STREAM, of, number))


def test_what_is_asked_for_is_sent_at_once_and_again_until_it_is_answered() -> None:
    asked = Asked()
    assert asked.acts.gesture("nod", asked.now)
    asked.acts.express("happy", 0.5, asked.now)
    asked.acts.pose("listening", asked.now)
    acts = [
        Gesture(STREAM, 1, "nod"),
        Expression(STREAM, 2, "happy", 0.5),
        Posture(STREAM, 3, "listening"),
    ]
    assert asked.sends() == acts
    assert sorted(asked.sends(0.15), key=lambda act: act.number) == acts
    for of, number in (("gesture", 1), ("expression", 2), ("posture", 3)):
        asked.acknowledges(of, number)
    assert asked.sends(10.0) == []
    assert asked.reports == []
    assert asked.acts.next_due is None


def test_an_expression_takes_the_place_of_the_one_before_it() -> None:
    asked = Asked()
    asked.acts.express("happy", 1.0, asked.now)
    asked.acts.express("sad", 1.0, asked.now)
    asked.acknowledges("expression", 1)
    assert {act.name for act in asked.sends(3.0) if isinstance(act, Expression)} == {"sad"}


def test_a_gesture_is_given_up_when_its_moment_is_over() -> None:
    asked = Asked()
    asked.acts.gesture("nod", asked.now)
    assert asked.sends(GESTURE_TIMEOUT_S)
    assert asked.sends(10.0) == []
    assert asked.reports == [GestureDropped("nod")]


def test_an_expression_is_never_given_up() -> None:
    asked = Asked()
    asked.acts.express("happy", 1.0, asked.now)
    asked.sends(100.0)
    assert asked.sends(2.0)


def test_many_unanswered_gestures_make_room_for_the_newest() -> None:
    asked = Asked()
    for _ in range(MAX_GESTURES + 3):
        asked.acts.gesture("nod", asked.now)
    assert [act.number for act in asked.sends()] == list(range(4, MAX_GESTURES + 4))
    assert asked.reports == [GestureDropped("nod")] * 3


@pytest.mark.parametrize("name", ["dance", "", "n\u00f6d", "two words", "x" * 33])
def test_an_unknown_name_is_refused_and_nothing_else_happens(name: str) -> None:
    asked = Asked()
    with pytest.raises(UnknownActError, match="choose one of: nod, wave_hello") as refusal:
        asked.acts.gesture(name, asked.now)
    assert isinstance(refusal.value, ValueError)
    assert isinstance(refusal.value, AvatarError)
    assert refusal.value.names == FACE.gestures
    with pytest.raises(UnknownActError, match="neutral, happy, sad"):
        asked.acts.express(name, 1.0, asked.now)
    with pytest.raises(UnknownActError, match="resting, listening"):
        asked.acts.pose(name, asked.now)
    assert asked.sends(5.0) == []
    assert asked.reports == []


def test_a_refused_name_leaves_what_was_asked_for_before() -> None:
    asked = Asked()
    asked.acts.express("happy", 1.0, asked.now)
    with pytest.raises(UnknownActError):
        asked.acts.express("bored", 1.0, asked.now)
    with pytest.raises(ValueError, match=r"1\.1"):
        asked.acts.express("sad", 1.1, asked.now)
    asked.found()
    assert [act.name for act in asked.sends()] == ["happy"]


@pytest.mark.parametrize("intensity", [-0.1, 1.1, math.nan, math.inf])
def test_an_impossible_intensity_is_refused(intensity: float) -> None:
    with pytest.raises(ValueError, match="intensity"):
        Asked().acts.express("happy", intensity, 0.0)


def test_a_face_that_has_none_says_so() -> None:
    asked = Asked(Face())
    with pytest.raises(UnknownActError, match="it has none"):
        asked.acts.gesture("nod", asked.now)


def test_what_the_worker_refuses_is_told_and_forgotten() -> None:
    asked = Asked(found=False)
    asked.acts.express("bored", 1.0, asked.now)
    asked.acts.pose("asleep", asked.now)
    asked.found()
    assert len(asked.sends()) == 2
    asked.acts.answered(ActRefused(STREAM, "expression", 1, FACE.expressions))
    asked.acts.answered(ActRefused(STREAM, "expression", 1, FACE.expressions))
    asked.acts.answered(ActRefused(STREAM, "posture", 2, FACE.postures))
    errors = [each.error for each in asked.reports if isinstance(each, ActUnknown)]
    assert [error.names for error in errors] == [FACE.expressions, FACE.postures]
    assert asked.sends(5.0) == []
    asked.found()
    assert asked.sends() == []


def test_a_late_refusal_leaves_what_was_asked_for_since() -> None:
    asked = Asked(found=False)
    asked.acts.express("bored", 1.0, asked.now)
    asked.found()
    asked.sends()
    asked.acts.express("happy", 1.0, asked.now)
    asked.acts.answered(ActRefused(STREAM, "expression", 1, FACE.expressions))
    asked.found()
    assert [act.name for act in asked.sends()] == ["happy"]
    assert asked.reports == []


# Workers come and go ---------------------------------------------------------------------------


def test_the_newest_expression_and_posture_wait_for_a_worker() -> None:
    asked = Asked(found=False)
    for name in ("sad", "happy"):
        asked.acts.express(name, 1.0, asked.now)
        asked.acts.pose("listening", asked.now)
    assert asked.sends(100.0) == []
    asked.found()
    assert asked.sends() == [
        Expression(STREAM, 1, "happy", 1.0),
        Posture(STREAM, 2, "listening"),
    ]


def test_a_worker_that_replaces_another_is_told_the_newest_again() -> None:
    asked = Asked()
    asked.acts.express("happy", 0.7, asked.now)
    asked.sends()
    asked.acknowledges("expression", 1)
    asked.acts.lost()
    assert asked.acts.face is None
    assert asked.sends(5.0) == []
    asked.found(stream="f" * 16)
    assert asked.sends() == [Expression("f" * 16, 2, "happy", 0.7)]


def test_a_gesture_waits_a_moment_for_a_worker() -> None:
    asked = Asked(found=False)
    assert not asked.acts.gesture("nod", asked.now)
    assert asked.sends(GESTURE_TIMEOUT_S - 0.1) == []
    asked.found()
    assert asked.sends() == [Gesture(STREAM, 1, "nod")]
    assert asked.sends(0.3)[:-1] == []
    assert asked.reports == [GestureDropped("nod")]


def test_a_gesture_does_not_wait_for_longer() -> None:
    asked = Asked(found=False)
    asked.acts.gesture("nod", asked.now)
    assert asked.sends(GESTURE_TIMEOUT_S + 0.1) == []
    assert asked.reports == [GestureDropped("nod")]
    asked.found()
    assert asked.sends(5.0) == []


def test_only_the_newest_gesture_waits() -> None:
    asked = Asked(found=False)
    asked.acts.gesture("nod", asked.now)
    asked.acts.gesture("wave_hello", asked.now)
    asked.found()
    assert [act.name for act in asked.sends()] == ["wave_hello"]
    assert asked.reports == [GestureDropped("nod")]


def test_a_gesture_that_a_dead_worker_may_have_begun_is_not_told_to_the_next() -> None:
    asked = Asked()
    asked.acts.gesture("nod", asked.now)
    asked.sends()
    asked.found(stream="f" * 16)
    assert asked.sends(5.0) == []
    assert asked.reports == [GestureDropped("nod")]


def test_a_worker_that_knows_nothing_of_acts_is_told_nothing() -> None:
    asked = Asked(face=None)
    assert not asked.acts.gesture("nod", asked.now)
    asked.acts.express("happy", 1.0, asked.now)
    asked.acts.pose("listening", asked.now)
    assert asked.sends(10.0) == []
    assert asked.reports == [GestureDropped("nod")]
