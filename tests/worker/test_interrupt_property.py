"""Interrupts are total: random conversations over a random network, in virtual time."""

import asyncio

import pytest
import virtual_time
from conversing import EVERY_S, PIECES, arrivals, check, networks, play
from hypothesis import given
from hypothesis import strategies as st
from script import RUNS, scripts
from stage import stage
from thorough import thorough

from agent_side.wire import TurnInterrupt

pytestmark = pytest.mark.usefixtures("version_2_however_long_the_greeting_takes")

conversations = scripts(shortest=1, longest=30_000, pieces=PIECES, every_s=EVERY_S)


@thorough(RUNS)
@given(script=conversations, faults=networks, seed=st.integers(0, 2**16))
def test_version_2_is_exact_on_any_network(script, faults, seed):
    async def conversation():
        async with stage(faults, seed=seed) as scene:
            seen = arrivals(scene, TurnInterrupt)
            turns, interrupted = await play(scene, script)
            async with asyncio.timeout(300):
                await scene.agent.wait_for_playout()
            await asyncio.sleep(0.2)
            result = check(scene, turns, interrupted)
            for time_s, interrupt in seen:
                for turn, left in result.last_left.items():
                    assert turn > interrupt.turn or left <= time_s, "a dead turn was heard"

    virtual_time.run(conversation())
