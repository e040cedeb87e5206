"""What the face does never disturbs what it says: random conversations, in virtual time."""

import asyncio
from itertools import count

import numpy as np
import pytest
import virtual_time
from conversing import EVERY_S, PIECES, arrivals, check, networks, play
from expressive_renderer import EXPRESSIONS, POSTURES, ExpressiveRenderer
from hypothesis import given
from hypothesis import strategies as st
from script import Interrupts, Pause, Perform, Say, Tell
from stage import stage
from thorough import thorough

from agent_side.wire import Gesture

pytestmark = pytest.mark.usefixtures("version_2_however_long_the_greeting_takes")

RUNS = 200
SETTLED_S = 30.0
"""By then everything that is repeated has arrived, whatever is lost."""

says = st.builds(
    Say,
    samples=st.integers(1, 30_000),
    piece=st.sampled_from(PIECES),
    every_s=st.sampled_from(EVERY_S),
)
others = st.one_of(st.builds(Pause, st.floats(0, 1.5)), st.builds(Interrupts, st.integers(1, 2)))
acts = st.one_of(
    st.just(Perform("gesture", "any")),
    st.builds(Perform, st.just("expression"), st.sampled_from(EXPRESSIONS), st.floats(0, 1)),
    st.builds(Perform, st.just("posture"), st.sampled_from(POSTURES)),
    st.builds(Tell, st.integers(1, 40)),
)


def numbered(script):
    """Every gesture has a name of its own."""
    numbers = count()
    return [
        Perform("gesture", f"gesture{next(numbers)}")
        if action == Perform("gesture", "any")
        else action
        for action in script
    ]


conversations = st.lists(st.one_of(says, others, acts, acts), min_size=1, max_size=12).map(numbered)


class AnyGesture(ExpressiveRenderer):
    def __init__(self):
        super().__init__()
        self.gestures = tuple(f"gesture{number}" for number in range(12))


def asked(script, kind):
    return [act for act in script if isinstance(act, Perform) and act.kind == kind]


@thorough(RUNS)
@given(
    script=conversations, faults=networks, seed=st.integers(0, 2**16), begins_ready=st.booleans()
)
def test_on_any_network_turns_are_exact_and_the_face_is_as_it_was_asked_to_be(
    script, faults, seed, begins_ready
):
    async def conversation():
        face = AnyGesture()
        async with stage(faults, seed=seed, renderer=face) as scene:
            arrived = arrivals(scene, Gesture)
            if begins_ready:
                await scene.agent.wait_until_ready()
            turns, interrupted = await play(scene, script)
            async with asyncio.timeout(300):
                await scene.agent.wait_for_playout()
            await asyncio.sleep(SETTLED_S)
            check(scene, turns, interrupted)
            names = {gesture.name for _, gesture in arrived}
            check_face(face, script, names, lossless=begins_ready and not faults.loss)

    virtual_time.run(conversation())


def check_face(face, script, arrived, *, lossless):
    gestures = {act.name for act in asked(script, "gesture")}
    assert len(face.made) == len(set(face.made)), "a gesture was made twice"
    assert set(face.made) == arrived <= gestures
    if lossless:
        assert set(face.made) == gestures
    for act in asked(script, "expression")[-1:]:
        assert face.worn == (act.name, act.intensity)
    for act in asked(script, "posture")[-1:]:
        assert face.held == act.name
    for segment, words in face.prompts.items():
        assert {word.text for word in words} == {str(segment)}
        assert len({word.start_s for word in words}) == len(words)


@thorough(RUNS // 2)
@given(script=conversations)
def test_what_is_heard_is_to_the_sample_what_it_is_without_acts(script):
    async def conversation(script):
        async with stage(renderer=AnyGesture()) as scene:
            await scene.agent.wait_until_ready()
            await play(scene, script)
            await scene.agent.wait_for_playout()
            await asyncio.sleep(0.5)
            return scene.heard_of(), scene.acks

    sound, acks = virtual_time.run(conversation(script))
    speech = [action for action in script if not isinstance(action, Perform | Tell)]
    plain_sound, plain_acks = virtual_time.run(conversation(speech))
    assert acks == plain_acks
    assert np.array_equal(sound, plain_sound)
