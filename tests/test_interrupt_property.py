"""Interrupts are total: random conversations over a random network, in virtual time."""

import asyncio

import numpy as np
import pytest
import virtual_time
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import heard
from script import RUNS, Interrupt, Pause, Say, scripts
from stage import Stage, stage, voice

from agent_side import speaker
from agent_side.wire import TurnInterrupt
from worker.media import Pcm
from worker.meeting import Received
from worker.meetings.memory import Faults

conversations = scripts(
    shortest=1,
    longest=30_000,
    pieces=[480, 959, 960, 4000, 15_000, 96_000],
    every_s=[0.0, 0.001, 0.02],
)
networks = st.builds(
    Faults,
    loss=st.sampled_from([0.0, 0.05, 0.3]),
    duplication=st.sampled_from([0.0, 0.2]),
    delay_s=st.sampled_from([(0.0, 0.0), (0.0, 0.05), (0.05, 0.3), (0.0, 1.0)]),
)


async def act(
    scene: Stage, script: list[Say | Interrupt | Pause]
) -> tuple[dict[int, Pcm], set[int]]:
    """Play the agent's part; returns the turns' speech and those that were interrupted."""
    turns: dict[int, Pcm] = {}
    interrupted: set[int] = set()
    for action in script:
        match action:
            case Say(samples, piece, every_s):
                turn = len(turns) + 1
                turns[turn] = voice(samples, seed=turn)
                data = turns[turn].tobytes()
                for at in range(0, len(data), piece):
                    await scene.agent.handle_audio_input(data[at : at + piece])
                    if every_s:
                        await asyncio.sleep(every_s)
                await scene.agent.send_segment_end()
            case Interrupt(times):
                interrupted |= set(turns)
                for _ in range(times):
                    await scene.agent.interrupt()
            case Pause(seconds):
                await asyncio.sleep(seconds)
    return turns, interrupted


def watch_interrupts(scene: Stage) -> list[tuple[float, int]]:
    """When the worker saw which TurnInterrupt."""
    seen: list[tuple[float, int]] = []
    messages = scene.meeting.messages

    async def watched():
        async for event in messages():
            match event:
                case Received(_, TurnInterrupt(_, turn)):
                    seen.append((asyncio.get_running_loop().time(), turn))
            yield event

    scene.meeting.messages = watched
    return seen


@pytest.fixture(scope="module", autouse=True)
def version_2_however_long_the_greeting_takes():
    """Where the network loses every third packet, the worker may seem to be a stock one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speaker, "HELLO_PATIENCE_S", 1e9)
        yield


@settings(max_examples=RUNS, deadline=None, suppress_health_check=list(HealthCheck))
@given(script=conversations, faults=networks, seed=st.integers(0, 2**16))
def test_version_2_is_exact_on_any_network(script, faults, seed):
    async def conversation():
        async with stage(faults, seed=seed) as scene:
            seen = watch_interrupts(scene)
            turns, interrupted = await act(scene, script)
            async with asyncio.timeout(300):
                await scene.agent.wait_for_playout()
            await asyncio.sleep(0.2)
            check(scene, turns, interrupted, seen)

    virtual_time.run(conversation())


def check(scene, turns, interrupted, seen):
    result = heard(scene.film, turns)
    assert [turn for turn, _, _ in scene.acks] == sorted(turns)
    assert result.order == sorted(result.order)
    for turn, position, was_interrupted in scene.acks:
        samples = result.samples.get(turn, 0)
        assert position * 24_000 == samples or np.isclose(position * 24_000, samples, atol=1e-6)
        if not was_interrupted:
            assert samples == len(turns[turn])
        else:
            assert turn in interrupted
    for time_s, killed in seen:
        for turn, left in result.last_left.items():
            assert turn > killed or left <= time_s, "a dead turn was heard"
