"""Whoever else is in the room can neither speak through the face nor silence it nor confuse it."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from caller import FACE, TOKEN, RoomAgent, caller, scale, serving, steps_heard, voiced
from room_stage import POLL_S, WAIT_TIMEOUT_S, RoomRecording, RoomStage, room_process
from stage import voice
from stock_agent import StockAgent

from agent_side import AvatarAudioOut, AvatarCredentials
from agent_side.wire import (
    TURN_END,
    Ack,
    ActRefused,
    AgentHello,
    AudioChunk,
    AvatarReady,
    Expression,
    Face,
    Gesture,
    Interrupt,
    Message,
    NotObeyed,
    Pcm,
    PlaybackStarted,
    Posture,
    Progress,
    SegmentEnd,
    StreamEnded,
    TurnEnd,
    TurnEnded,
    TurnInterrupt,
    Word,
    Words,
    encode,
)
from localroom.launch import LocalRoom
from worker.media import SAMPLE_RATE
from worker.meeting_support.tracks import PIECE_S

SECONDS = 3.0
EVERY_S = 0.01
LEAST = 50
"""Messages of the intruder that the worker has to have refused, so that the test says something;
at full speed there are 300."""

GREET_S = 0.05

EDGES = 6
"""Pieces of 20 ms that the codec may add or swallow at the ends of two turns."""

NOISE = voice(480).tobytes()
STRANGE = "fedcba9876543210"

RELIABLE = {"reliability": "RELIABLE"}
UNRELIABLE = {"reliability": "UNRELIABLE"}


@pytest.fixture(scope="module")
def local() -> Iterator[LocalRoom]:
    with room_process() as room:
        yield room


def forgeries(stream: str) -> list[Message]:
    """Every message that there is, as if the agent or the worker had sent it."""
    everything = 10 * SAMPLE_RATE
    return [
        Pcm(NOISE),
        Interrupt(),
        SegmentEnd(),
        StreamEnded(9.0, True),
        AvatarReady("0123456789abcdef", None),
        AvatarReady("0123456789abcdef", stream),
        AgentHello(stream, 1, 0, SAMPLE_RATE),
        AgentHello(stream, 9, 0, SAMPLE_RATE),
        NotObeyed(stream, True),
        AudioChunk(stream, 1, 1, 0, SAMPLE_RATE, NOISE),
        AudioChunk(stream, 1, 999, SAMPLE_RATE, SAMPLE_RATE, NOISE),
        AudioChunk(stream, 2, 1, 0, SAMPLE_RATE, NOISE),
        TurnEnd(stream, 1, 480),
        TurnInterrupt(stream, 1),
        TurnInterrupt(stream, 99),
        PlaybackStarted(stream, 1),
        PlaybackStarted(stream, 2),
        Progress(stream, 1, everything, everything, ()),
        TurnEnded(stream, 1, 0.25, True),
        TurnEnded(stream, 2, 1.0, False),
        Ack(stream, TURN_END, 1),
        AvatarReady("0123456789abcdef", stream, Face(("dance",))),
        Gesture(stream, 1, "nod"),
        Expression(stream, 2, "sad", 1.0),
        Posture(stream, 3, "thinking"),
        ActRefused(stream, "gesture", 1, ()),
        Words(stream, 1, (Word("hi", 0.0, 0.5),)),
    ]


NONSENSE: list[str | bytes] = [
    "5",
    "-1e999",
    "null",
    "[]",
    "{}",
    "true",
    '"INTERRUPT"',
    '{"type": null}',
    '{"type": "turn_interrupt"}',
    "[" * 15_000,
    b"\xff" * 15_000,
    bytes(15_000),
    b"\xffAV2" + bytes(60),
    b"I",
    b"\x00",
]


def ammunition(*streams: str) -> list[tuple[str | bytes, dict[str, str]]]:
    """All of it, on either channel."""
    forged = [encode(each).payload for stream in streams for each in forgeries(stream)]
    payloads: list[str | bytes] = [*forged, *NONSENSE]
    return [(payload, channel) for payload in payloads for channel in (RELIABLE, UNRELIABLE)]


@asynccontextmanager
async def pestered(intruder: Any, *streams: str) -> AsyncIterator[None]:
    """`intruder` sends a message each 10 ms."""

    async def pester() -> None:
        while True:
            for payload, channel in ammunition(*streams):
                await intruder.send(payload, channel)
                await asyncio.sleep(EVERY_S)

    pestering = asyncio.create_task(pester())
    try:
        yield
    finally:
        pestering.cancel()
        await asyncio.gather(pestering, return_exceptions=True)


@asynccontextmanager
async def greeting(stranger: Any) -> AsyncIterator[None]:
    """`stranger` would have the face, 20 times a second."""

    async def greet() -> None:
        while True:
            with suppress(RuntimeError):  # its channel is not open yet
                await stranger.send(
                    encode(AgentHello(STRANGE, 1, 0, SAMPLE_RATE)).payload, RELIABLE
                )
            await asyncio.sleep(GREET_S)

    greeting = asyncio.create_task(greet())
    try:
        yield
    finally:
        greeting.cancel()
        await asyncio.gather(greeting, return_exceptions=True)


def assert_nothing_else_sounded(seen: RoomRecording, seconds: float) -> None:
    """The viewer has heard a voice for that long, give or take the codec's edges."""
    assert abs(sum(voiced(seen)) - seconds / PIECE_S) <= EDGES


def refused(log: str) -> int:
    """How many messages the worker has not listened to, as it says in the end."""
    found = re.findall(r"'sender_ignored': (\d+)", log)
    return int(found[-1]) if found else 0


@pytest.mark.parametrize("is_agent", [False, True], ids=["a browser", "another agent"])
async def test_a_turn_of_version_2_is_heard_whole_whatever_somebody_else_sends(
    local: LocalRoom, tmp_path: Path, is_agent: bool
) -> None:
    with serving(local, tmp_path / "log") as running:
        async with (
            RoomStage(local, f"pestered-{is_agent}").open() as stage,
            caller(stage, running) as agent,
        ):
            viewer = await stage.enter("viewer")
            intruder = await stage.enter("intruder", is_agent=is_agent)
            seen = await stage.watch(viewer, FACE)
            async with pestered(intruder, agent.out._speaker.stream, STRANGE):
                await agent.say(scale(SECONDS))
                await agent.out.wait_for_playout()
                await agent.say(scale(0.5))
                await agent.out.wait_for_playout()
            await asyncio.sleep(0.3)
            assert agent.out.protocol_version == 2
        assert await asyncio.to_thread(running.stop) == 0
        log = running.log()
    assert agent.reports == [
        ("ready", 2),
        ("started", 1),
        ("ended", 1, SECONDS, False),
        ("started", 2),
        ("ended", 2, 0.5, False),
    ]
    assert steps_heard(seen) == [*range(30), *range(5)]
    assert_nothing_else_sounded(seen, SECONDS + 0.5)
    assert refused(log) > LEAST


async def test_a_turn_of_version_1_is_heard_whole_whatever_somebody_else_sends(
    local: LocalRoom, tmp_path: Path
) -> None:
    with serving(local, tmp_path / "log") as running:
        async with RoomStage(local, "pestered-1").open() as stage:
            peer = await stage.enter("agent", is_agent=True)
            agent = StockAgent(peer)
            session_id = await asyncio.to_thread(
                running.launched, stage.room_id, participant_id="avatar"
            )
            await asyncio.to_thread(running.reach, session_id, "active")
            viewer = await stage.enter("viewer")
            intruder = await stage.enter("intruder")
            seen = await stage.watch(viewer, "avatar")
            async with pestered(intruder, STRANGE):
                await agent.say(scale(SECONDS), every_s=0.01)
                await agent.end()
                async with asyncio.timeout(WAIT_TIMEOUT_S):
                    while not agent.acks:
                        await asyncio.sleep(POLL_S)
            await asyncio.sleep(0.3)
        await asyncio.to_thread(running.stop)
        log = running.log()
    assert agent.acks == [(SECONDS, False)]
    assert steps_heard(seen) == [*range(30)]
    assert_nothing_else_sounded(seen, SECONDS)
    assert refused(log) > LEAST


async def test_a_stranger_that_greets_before_the_agent_says_anything_does_not_get_the_face(
    local: LocalRoom, tmp_path: Path
) -> None:
    """A stock agent names nobody, and says nothing until it speaks; it was in the room first."""

    with serving(local, tmp_path / "log") as running:
        async with RoomStage(local, "greeted").open() as stage:
            peer = await stage.enter("agent", is_agent=True)
            agent = StockAgent(peer)
            stranger = await stage.enter("stranger", is_agent=True)
            viewer = await stage.enter("viewer")
            async with greeting(stranger):
                session_id = await asyncio.to_thread(
                    running.launched, stage.room_id, participant_id="avatar"
                )
                await asyncio.to_thread(running.reach, session_id, "active")
                seen = await stage.watch(viewer, "avatar")
                await asyncio.sleep(1.5)
                await agent.say(scale(SECONDS), every_s=0.01)
                await agent.end()
                async with asyncio.timeout(WAIT_TIMEOUT_S):
                    while not agent.acks:
                        await asyncio.sleep(POLL_S)
            await asyncio.sleep(0.3)
        await asyncio.to_thread(running.stop)
        log = running.log()
    assert agent.acks == [(SECONDS, False)]
    assert steps_heard(seen) == [*range(30)]
    assert "'stranger' is not obeyed: 'agent', of the type agent, was in the room first" in log


async def test_a_named_agent_that_comes_back_under_another_id_is_heard(
    local: LocalRoom, tmp_path: Path
) -> None:
    with serving(local, tmp_path / "log") as running:
        async with RoomStage(local, "reborn").open() as stage:
            first = await stage.enter("agent", is_agent=True)
            viewer = await stage.enter("viewer")
            again = await stage.enter("reborn", is_agent=True)
            session_id = await asyncio.to_thread(
                running.launched,
                stage.room_id,
                participant_id=FACE,
                agent_participant_id="agent",
            )
            await asyncio.to_thread(running.reach, session_id, "active")
            seen = await stage.watch(viewer, FACE)
            out = AvatarAudioOut(credentials=AvatarCredentials(FACE, TOKEN))
            agent = RoomAgent(again, out)
            out._set_meeting(again)
            await asyncio.sleep(0.5)
            await stage.exit(first)
            answer = await asyncio.to_thread(
                running.launch,
                stage.room_id,
                participant_id=FACE,
                agent_participant_id="reborn",
                character="leo",
            )
            assert (answer.status_code, answer.json()["session_id"]) == (200, session_id)
            assert answer.json()["not_applied"] == ["character"]
            await agent.until_reported("ready", 2)
            await agent.say(scale(SECONDS))
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                await out.wait_for_playout()
            await asyncio.sleep(0.3)
            await out.aclose()
        await asyncio.to_thread(running.stop)
        log = running.log()
    assert "'reborn' is not obeyed: the join request names 'agent'" in log
    assert "the agent is 'reborn' by a renewed join request" in log
    assert agent.reports[-1] == ("ended", 1, SECONDS, False)
    assert steps_heard(seen) == [*range(30)]
