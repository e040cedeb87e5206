"""Who else would have a face that speaks: a stranger in the room, and its agent born anew."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from caller import FACE, TOKEN, RoomAgent
from cluster import HostCluster
from talking import Talk, client_of_agents, post, speech

from agent_side import AvatarAudioOut, AvatarCredentials
from agent_side.wire import AgentHello, AudioChunk, Interrupt, Message, Pcm, TurnInterrupt, encode
from worker.media import SAMPLE_RATE

WANT_S: Final = 8.0
"""How long the stranger wants the face, 20 times a second."""

EVERY_S: Final = 0.05
SPEECH_S: Final = 60.0
REBORN: Final = "agent-2"
STREAM: Final = "fedcba9876543210"


def _wishes(stream: str) -> list[Message]:
    noise = b"\1\0" * 480
    return [
        AgentHello(STREAM, 1, 0, SAMPLE_RATE),
        AgentHello(stream, 1, 0, SAMPLE_RATE),
        Pcm(noise),
        AudioChunk(stream, 1, 1, 0, SAMPLE_RATE, noise),
        TurnInterrupt(stream, 99),
        Interrupt(),
    ]


async def stranger(running: HostCluster, talks: Sequence[Talk]) -> list[str]:
    """Somebody of the type agent greets, speaks and interrupts in the room of each face."""
    before = await _attempts(running, talks)
    await asyncio.gather(*(_want(talk) for talk in talks))
    return _others(before, await _attempts(running, talks))


async def _want(talk: Talk) -> None:
    peer = await talk.stage.enter("stranger", is_agent=True)
    until_s = asyncio.get_running_loop().time() + WANT_S
    wishes = [encode(each) for each in _wishes(talk.agent.out._speaker.stream)]
    while asyncio.get_running_loop().time() < until_s:
        for packet in wishes:
            kind = "RELIABLE" if packet.reliable else "UNRELIABLE"
            with suppress(RuntimeError):  # its channel is not open yet
                await peer.send(packet.payload, {"reliability": kind})
            await asyncio.sleep(EVERY_S)
    await talk.stage.exit(peer)


async def reborn(running: HostCluster, talks: Sequence[Talk]) -> list[str]:
    """A named agent is lost; the one that follows it has another id, and says so in a launch."""
    talk = talks[0]
    before = await _attempts(running, talks)
    wrong = await _named(running, talk, talk.agent.peer.local_participant.id)
    peer = await talk.stage.enter(REBORN, is_agent=True)
    out = AvatarAudioOut(credentials=AvatarCredentials(FACE, TOKEN))
    talk.stack.push_async_callback(out.aclose)
    out._set_meeting(peer)
    lost, talk.agent = talk.agent, RoomAgent(peer, out)
    await talk.stage.exit(lost.peer)
    wrong += await _named(running, talk, REBORN)
    await lost.out.aclose()
    await talk.agent.until_reported("ready", 2)
    await talk.agent.say(speech(SPEECH_S))
    await talk.until_it_speaks(1.0)
    return wrong + _others(before, await _attempts(running, talks))


async def _named(running: HostCluster, talk: Talk, agent_id: str) -> list[str]:
    async with client_of_agents() as client:
        answer = await post(client, running.dispatchers[-1], talk.room_id, agent_id)
    got = (answer.status, answer.session_id)
    return [] if got == (200, talk.session_id) else [f"the launch that names {agent_id} got {got}"]


async def _attempts(running: HostCluster, talks: Sequence[Talk]) -> list[Any]:
    sessions = [await asyncio.to_thread(running.session, each.session_id) for each in talks]
    return [each and (each["epoch"], each["attempts"]) for each in sessions]


def _others(before: list[Any], after: list[Any]) -> list[str]:
    """The workers are the same ones as before."""
    return [] if before == after else [f"workers were replaced: {before}, then {after}"]
