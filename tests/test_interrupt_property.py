"""Interrupts are total: random conversations over a random network, in virtual time."""

import asyncio

import pytest
import virtual_time
from conversing import EVERY_S, PIECES, check, networks, play
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from script import RUNS, scripts
from stage import Stage, stage

from agent_side import speaker
from agent_side.wire import TurnInterrupt
from worker.meeting import Received

conversations = scripts(shortest=1, longest=30_000, pieces=PIECES, every_s=EVERY_S)


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
            turns, interrupted = await play(scene, script)
            async with asyncio.timeout(300):
                await scene.agent.wait_for_playout()
            await asyncio.sleep(0.2)
            result = check(scene, turns, interrupted)
            for time_s, killed in seen:
                for turn, left in result.last_left.items():
                    assert turn > killed or left <= time_s, "a dead turn was heard"

    virtual_time.run(conversation())
