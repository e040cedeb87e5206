"""Random conversations over random networks, and what has to be true of each."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st
from oracle import HeardTurns, heard
from script import Action, Interrupts, Pause, Perform, Say, Tell
from stage import SessionFixture, voice

from worker.media import Pcm
from worker.meeting import MeetingEvent, Received
from worker.meeting_support.memory_network import NetworkFaults

PIECES = [480, 959, 960, 4000, 15_000, 96_000]
EVERY_S = [0.0, 0.001, 0.02]

Arrived = TypeVar("Arrived")

networks = st.builds(
    NetworkFaults,
    loss=st.sampled_from([0.0, 0.05, 0.3]),
    duplication=st.sampled_from([0.0, 0.2]),
    delay_s=st.sampled_from([(0.0, 0.0), (0.0, 0.05), (0.05, 0.3), (0.0, 1.0)]),
)


async def play(scene: SessionFixture, script: list[Action]) -> tuple[dict[int, Pcm], set[int]]:
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
            case Interrupts(times):
                interrupted |= set(turns)
                for _ in range(times):
                    await scene.agent.interrupt()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Perform("gesture", name):
                scene.agent.gesture(name)
            case Perform("posture", name):
                scene.agent.posture(name)
            case Perform(_, name, intensity):
                scene.agent.expression(name, intensity)
            case Tell(count):
                turn = len(turns) + 1
                scene.agent.words((str(turn), at / 10, at / 10 + 0.1) for at in range(count))
    return turns, interrupted


def arrivals(scene: SessionFixture, kind: type[Arrived]) -> list[tuple[float, Arrived]]:
    """When each message of a kind reaches the worker, from now on."""
    seen: list[tuple[float, Arrived]] = []
    messages = scene.meeting.messages

    async def watched() -> AsyncIterator[MeetingEvent]:
        async for event in messages():
            if isinstance(event, Received) and isinstance(event.message, kind):
                seen.append((asyncio.get_running_loop().time(), event.message))
            yield event

    scene.meeting.messages = watched  # type: ignore[method-assign]  # every reader is watched
    return seen


def check(scene: SessionFixture, turns: dict[int, Pcm], interrupted: set[int]) -> HeardTurns:
    """Each turn was acknowledged once and in order, exactly as far as it was heard."""
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
    return result
