"""Version 1 is exact while packets keep their order: random conversations in virtual time."""

import asyncio

import numpy as np
import virtual_time
from hypothesis import given
from hypothesis import strategies as st
from oracle import heard
from script import RUNS, Interrupts, Pause, Say, scripts
from stage import stage, voice
from stock_agent import StockAgent
from thorough import thorough

from worker.meeting_support.memory_network import NetworkFaults
from worker.turns.version1 import GRACE_S

SHORTEST = 2000
"""Samples: shorter than 60 ms is not a turn to version 1, when it follows an interrupt."""


conversations = scripts(
    shortest=SHORTEST,
    longest=40_000,
    pieces=[480, 960, 4000, 15_000, 96_000],
    every_s=[0.0, 0.001, 0.018],
)


async def play(script, faults, seed, rest_s=0.0):
    """Let a stock agent play `script`; returns its turns, what each INTERRUPT killed, the rest."""
    turns, killed_to = {}, []
    async with stage(faults, seed=seed) as scene:
        await scene.agent.aclose()
        agent = StockAgent(scene.peer)
        await asyncio.sleep(0.1)
        for action in script:
            match action:
                case Say(samples, piece, every_s):
                    turns[len(turns) + 1] = voice(samples, seed=len(turns) + 1)
                    await agent.say(turns[len(turns)], piece, every_s)
                    await agent.end()
                case Interrupts(times):
                    killed_to.append(len(turns))
                    for _ in range(times):
                        await agent.interrupt()
                case Pause(seconds):
                    await asyncio.sleep(seconds)
            await asyncio.sleep(rest_s)
        await asyncio.sleep(sum(len(pcm) for pcm in turns.values()) / 24_000 + 4)
        return turns, killed_to, heard(scene.film, turns), agent.acks, scene.session.counters


def check(turns, killed_to, result, acks):
    """One ack for each turn or interrupt, in order, with the position that was heard."""
    assert result.order == sorted(result.order)
    turn = 1
    for position, interrupted in acks:
        assert turn in turns
        assert np.isclose(position * 24_000, result.samples.get(turn, 0), atol=1e-6)
        if interrupted:
            turn = next(newest for newest in killed_to if newest >= turn) + 1
        else:
            assert result.samples[turn] == len(turns[turn])
            turn += 1
    assert turn == len(turns) + 1


@thorough(RUNS)
@given(script=conversations, delay_s=st.sampled_from([0.0, 0.03, 0.5]))
def test_version_1_is_exact_on_a_network_that_keeps_order(script, delay_s):
    faults = NetworkFaults(delay_s=(delay_s, delay_s), in_order=True)
    turns, killed_to, result, acks, _ = virtual_time.run(play(script, faults, 0))
    check(turns, killed_to, result, acks)


@thorough(RUNS // 4)
@given(script=conversations, seed=st.integers(0, 2**16))
def test_jitter_changes_nothing_while_turns_keep_their_distance(script, seed):
    faults = NetworkFaults(delay_s=(0.0, 0.05), in_order=True)
    rest_s = GRACE_S + 0.05 + 0.01
    turns, killed_to, result, acks, _ = virtual_time.run(play(script, faults, seed, rest_s))
    check(turns, killed_to, result, acks)
