"""Gestures, expressions and postures as a worker hears them: each once, the newest wins."""

from collections import Counter
from itertools import permutations

import pytest
from expressive_renderer import EXPRESSIONS, GESTURES, POSTURES, ExpressiveRenderer
from hypothesis import given
from hypothesis import strategies as st
from stage import QuickRenderer

from agent_side.protocol.fields import MAX_NAMES
from agent_side.wire import Ack, ActRefused, Expression, Face, Gesture, Posture, Word
from worker.renderer import ExpressionCue, GestureCue, PostureCue, WordsCue
from worker.turns.cues import MAX_GESTURES, MAX_KNOWN, ReceivedActs, face_of

STREAM = "00112233445566aa"
FACE = Face(GESTURES, EXPRESSIONS, POSTURES)


@pytest.fixture
def acts() -> ReceivedActs:
    return ReceivedActs(FACE, Counter())


def gesture(number: int, name: str = "nod") -> Gesture:
    return Gesture(STREAM, number, name)


def expression(number: int, name: str = "happy", intensity: float = 0.5) -> Expression:
    return Expression(STREAM, number, name, intensity)


def posture(number: int, name: str = "listening") -> Posture:
    return Posture(STREAM, number, name)


def test_what_the_face_has_is_acknowledged_and_passed_on_once(acts: ReceivedActs) -> None:
    assert acts.receive(gesture(1)) == Ack(STREAM, "gesture", 1)
    assert acts.receive(expression(2)) == Ack(STREAM, "expression", 2)
    assert acts.receive(posture(3)) == Ack(STREAM, "posture", 3)
    cues = [GestureCue("nod"), ExpressionCue("happy", 0.5), PostureCue("listening")]
    assert acts.take() == cues
    assert acts.take() == []


def test_what_comes_again_is_acknowledged_again_and_does_nothing(acts: ReceivedActs) -> None:
    for act in (gesture(1), expression(2), posture(3)):
        acts.receive(act)
        acts.take()
        assert isinstance(acts.receive(act), Ack)
        assert acts.take() == []


def test_an_unknown_name_is_refused_with_those_that_there_are(acts: ReceivedActs) -> None:
    assert acts.receive(gesture(1, "dance")) == ActRefused(STREAM, "gesture", 1, GESTURES)
    assert acts.receive(expression(2, "bored")) == ActRefused(STREAM, "expression", 2, EXPRESSIONS)
    assert acts.receive(posture(3, "asleep")) == ActRefused(STREAM, "posture", 3, POSTURES)
    assert acts.take() == []


def test_a_refused_expression_leaves_the_older_one_that_comes_after_it(acts: ReceivedActs) -> None:
    acts.receive(expression(2, "bored"))
    acts.receive(expression(1))
    assert acts.take() == [ExpressionCue("happy", 0.5)]


def test_a_face_that_can_only_speak_refuses_everything() -> None:
    acts = ReceivedActs(Face(), Counter())
    assert acts.receive(gesture(1)) == ActRefused(STREAM, "gesture", 1, ())
    assert acts.receive(expression(2)) == ActRefused(STREAM, "expression", 2, ())
    assert acts.take() == []


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_gestures_are_made_in_whatever_order_they_come(
    acts: ReceivedActs, order: tuple[int, ...]
) -> None:
    for number in order:
        acts.receive(gesture(number, GESTURES[number]))
    assert acts.take() == [GestureCue(GESTURES[number]) for number in order]


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
@pytest.mark.parametrize("taken_each", [False, True])
def test_the_newest_expression_and_posture_stay(
    acts: ReceivedActs, order: tuple[int, ...], taken_each: bool
) -> None:
    cues = []
    for number in order:
        acts.receive(expression(number, EXPRESSIONS[number]))
        acts.receive(posture(number, POSTURES[number - 1]))
        cues += acts.take() if taken_each else []
    cues += acts.take()
    assert [cue for cue in cues if isinstance(cue, ExpressionCue)][-1].name == EXPRESSIONS[3]
    assert [cue for cue in cues if isinstance(cue, PostureCue)][-1].name == POSTURES[2]


def test_a_slow_renderer_gets_the_newest_only(acts: ReceivedActs) -> None:
    for number in range(1000):
        acts.receive(expression(2 * number, intensity=number / 1000))
        acts.receive(gesture(2 * number + 1, "nod" if number < 999 else "laugh"))
    cues = acts.take()
    assert len(cues) == MAX_GESTURES + 1
    assert ExpressionCue("happy", 0.999) in cues
    assert cues[-1] == GestureCue("laugh")


@given(st.lists(st.integers(0, 3 * MAX_KNOWN), max_size=4 * MAX_KNOWN))
def test_no_gesture_is_ever_made_twice(numbers: list[int]) -> None:
    acts, made = ReceivedActs(FACE, Counter()), []
    for number in numbers:
        acts.receive(gesture(number))
        made += acts.take()
    assert len(made) <= len(set(numbers))
    if len(set(numbers)) <= MAX_KNOWN:
        assert len(made) == len(set(numbers))


def test_when_the_agent_leaves_the_face_is_plain_again(acts: ReceivedActs) -> None:
    for act in (gesture(7), expression(8), posture(9)):
        acts.receive(act)
    acts.release()
    assert [cue.name for cue in acts.take()] == ["neutral", "resting"]
    acts.release()
    assert acts.take() == []


def test_the_next_stream_counts_anew(acts: ReceivedActs) -> None:
    for number in range(2 * MAX_KNOWN):
        acts.receive(gesture(number))
    for act in (expression(8), posture(9)):
        acts.receive(act)
    acts.release()
    acts.take()
    for act in (gesture(1), expression(2), posture(3)):
        acts.receive(act)
    cues = [GestureCue("nod"), ExpressionCue("happy", 0.5), PostureCue("listening")]
    assert acts.take() == cues


def test_a_face_without_a_plain_look_keeps_the_one_that_it_wears() -> None:
    acts = ReceivedActs(Face(expressions=("happy",)), Counter())
    acts.receive(expression(1))
    acts.take()
    acts.release()
    assert acts.take() == []


# The renderer ----------------------------------------------------------------------------------


def test_a_renderer_tells_what_its_face_can_do() -> None:
    assert face_of(ExpressiveRenderer()) == FACE
    assert face_of(QuickRenderer()) == Face()


def test_names_that_the_protocol_cannot_say_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    renderer = ExpressiveRenderer()
    renderer.gestures = ("nod", "señas", "two words", "x" * 33, "")
    renderer.expressions = tuple(f"mood{number}" for number in range(MAX_NAMES + 1))
    face = face_of(renderer)
    assert face.gestures == ("nod",)
    assert face.expressions == renderer.expressions[:MAX_NAMES]
    assert "señas" in caplog.text
    assert f"mood{MAX_NAMES}" in caplog.text


def test_the_renderer_does_what_it_is_told() -> None:
    renderer = ExpressiveRenderer()
    words = (Word("hi", 0.0, 0.4),)
    cues = (GestureCue("nod"), ExpressionCue("happy", 0.5), PostureCue("listening"))
    for cue in (*cues, WordsCue(5, words)):
        renderer.cue(cue)
    assert renderer.made == ["nod"]
    assert renderer.worn == ("happy", 0.5)
    assert renderer.held == "listening"
    assert renderer.prompts == {5: list(words)}


def test_a_renderer_that_can_only_speak_is_told_nothing() -> None:
    renderer = QuickRenderer()
    for cue in (GestureCue("nod"), ExpressionCue("happy", 1.0), WordsCue(5, ())):
        renderer.cue(cue)
    assert renderer.drain() == []
