"""Speech that AvatarAudioOut accepts is heard or told of, on any loop, with any face or none."""

import asyncio
import base64
import json
import logging
import math
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import virtual_time
from expressive_renderer import EXPRESSIONS, GESTURES, POSTURES, ExpressiveRenderer
from pyee.asyncio import AsyncIOEventEmitter
from stage import QuickRenderer, SessionFixture, stage, voice
from videosdk.lib.pymediasoup.data_producer import DataProducer
from videosdk.room_client import RoomClient

from agent_side import (
    AvatarAudioOut,
    AvatarCredentials,
    JoinInfo,
    TurnOver,
    UnknownActError,
    launch,
)
from agent_side.audio_out import MAX_BACKLOG
from agent_side.channel import FAILING_S, SETTLING_S
from agent_side.handshake import HELLO_TIMEOUT_S, STOCK_TIMEOUT_S
from agent_side.launch import AvatarError, LaunchAnswer, LaunchError
from agent_side.launching import face_request
from agent_side.launching.face_request import ASK_FIRST_S, ASK_SLOWEST_S, FACE_DUE_S
from agent_side.pending_sends import MAX_PENDING, SEND_TIMEOUT_S
from agent_side.speaker import WORKER_TIMEOUT_S
from agent_side.wire import (
    Interrupt,
    Message,
    NotObeyed,
    Pcm,
    SegmentEnd,
    StreamEnded,
    Word,
    decode,
    encode,
)
from worker.errors import MeetingLost
from worker.meeting_support.memory_network import NetworkFaults
from worker.meetings.memory import MemoryPeer, MemoryRoom
from worker.session import Session
from worker.settings import Settings

RATE = 24_000
PIECE = 960
"""20 ms in bytes: what speech synthesizers hand over."""

TOKEN = "eyJ-the-secret-token"


def speaker_out(**options: Any) -> AvatarAudioOut:
    return AvatarAudioOut(credentials=AvatarCredentials("avatar", TOKEN), **options)


def pieces(data: bytes, size: int = PIECE) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


async def say(out: AvatarAudioOut, samples: int, seed: int = 1) -> bytes:
    data = voice(samples, seed).tobytes()
    await out.handle_audio_input(data)
    await out.send_segment_end()
    return data


def assert_heard_whole(set_: SessionFixture, data: bytes) -> None:
    """The viewer heard the speech, and after it only the ramp that keeps it from clicking."""
    sound = set_.heard_of().tobytes()
    assert sound.startswith(data)
    assert len(sound) - len(data) <= 2 * RATE * 0.005


class StockWorker:
    """A peer that speaks version 1, as the stock worker does, and records what it hears."""

    def __init__(self, room: MemoryRoom, acks: bool = True) -> None:
        self.heard: list[Message] = []
        self._acks = acks
        self._segment_s = 0.0
        self._answers: set[asyncio.Task[bool]] = set()
        self.peer = room.peer("avatar", "normal")
        self.peer.add_event_listener(self)

    def handle_event(self, action: str, data: Any) -> None:
        if action != "data" or data["from"] != "agent":
            return
        message = decode(data["payload"], reliable=data["reliability"] == "RELIABLE")
        match message:
            case Pcm(pcm):
                self._segment_s += len(pcm) / 2 / RATE
            case SegmentEnd():
                self._answer(StreamEnded(self._segment_s, False))
            case Interrupt():
                self._answer(StreamEnded(0.0, True))
            case _:
                return
        self.heard.append(message)

    @property
    def pcm(self) -> bytes:
        return b"".join(message.data for message in self.heard if isinstance(message, Pcm))

    def _answer(self, message: Message) -> None:
        self._segment_s = 0.0
        if self._acks:
            task = asyncio.ensure_future(self.peer.send(encode(message).payload))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)


# A drop-in -------------------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_it_has_the_surface_of_the_stock_class() -> None:
    out = AvatarAudioOut(
        credentials=AvatarCredentials("avatar", TOKEN),
        avatar_dispatcher_url=None,
        room_id=None,
    )
    assert out.participant_id == "avatar"
    assert out.video_track is None
    assert out.audio_track is None
    out.set_room_id("room")
    await out.connect()
    await out.handle_audio_input(b"\0\0")
    await out.send_segment_end()
    await out.interrupt()
    await out.aclose()


def test_arguments_are_named_as_in_the_stock_class() -> None:
    with pytest.raises(TypeError):
        AvatarAudioOut(AvatarCredentials("avatar", TOKEN))  # type: ignore[call-arg]


def test_a_rate_that_cannot_be_sent_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="sample rate"):
        speaker_out(sample_rate=3)


class StockAudioOut:
    """Stands for the stock class, of which a pipeline asks whether its avatar is one."""

    def __init__(self) -> None:
        raise AssertionError("the stock constructor is not for us")

    async def aclose(self) -> None:
        raise AssertionError("the stock method is not for us")


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> type[StockAudioOut]:
    agents, avatar = ModuleType("videosdk.agents"), ModuleType("videosdk.agents.avatar")
    avatar.AvatarAudioOut = StockAudioOut  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "videosdk.agents", agents)
    monkeypatch.setitem(sys.modules, "videosdk.agents.avatar", avatar)
    return StockAudioOut


@pytest.mark.virtual_time
async def test_it_is_an_instance_of_the_stock_class_too(stock: type[StockAudioOut]) -> None:
    class Mine(AvatarAudioOut):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.mine = True

    out = speaker_out()
    assert isinstance(out, stock)
    assert isinstance(out, AvatarAudioOut)
    assert type(speaker_out()) is type(out)
    mine = Mine(credentials=AvatarCredentials("avatar", TOKEN))
    assert mine.mine
    assert isinstance(mine, Mine)
    assert isinstance(mine, stock)
    await out.aclose()
    await mine.aclose()


def test_a_subclass_of_both_is_left_alone(stock: type[StockAudioOut]) -> None:
    class Both(AvatarAudioOut, StockAudioOut):
        pass

    out = Both(credentials=AvatarCredentials("avatar", TOKEN))
    assert type(out) is Both


def test_a_stock_package_that_cannot_be_imported_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On Python 3.11 the avatar package of videosdk-agents is a SyntaxError."""
    monkeypatch.setitem(sys.modules, "videosdk.agents", ModuleType("videosdk.agents"))
    monkeypatch.setitem(sys.modules, "videosdk.agents.avatar", None)
    assert type(speaker_out()) is AvatarAudioOut


def test_subclasses_hear_of_ends_as_in_the_stock_class() -> None:
    heard: list[tuple[float, bool]] = []

    class Mine(AvatarAudioOut):
        def _on_stream_ended(self, playback_position: float, interrupted: bool) -> None:
            heard.append((playback_position, interrupted))

    async def scene() -> None:
        room = MemoryRoom()
        StockWorker(room)
        out = Mine(credentials=AvatarCredentials("avatar", TOKEN))
        out._set_meeting(room.peer("agent"))
        await say(out, 2400)
        await out.wait_for_playout()
        await out.aclose()

    virtual_time.run(scene())
    assert heard == [(0.1, False)]


def brought_along() -> set[str]:
    """The modules that importing AvatarAudioOut adds to those of an agent.

    An agent is an asyncio program, so asyncio is there already.
    """
    code = (
        "import asyncio, sys; before = set(sys.modules);"
        "from agent_side import AvatarAudioOut; print(*(set(sys.modules) - before))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    return {name.split(".")[0] for name in output.split()}


def test_importing_it_brings_nothing_along() -> None:
    assert brought_along() <= {*sys.stdlib_module_names, "agent_side"}


def test_nothing_shows_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scene() -> None:
        room = MemoryRoom()
        StockWorker(room)
        out = speaker_out(avatar_dispatcher_url="http://u:p@host/")
        out._set_meeting(room.peer("agent"))
        await say(out, 2400)
        await out.wait_for_playout()
        assert TOKEN not in repr(out) + str(out) + repr(AvatarCredentials("avatar", TOKEN))
        await out.aclose()

    virtual_time.run(scene())
    assert TOKEN not in caplog.text


# Speech ----------------------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_speech_is_heard_whole_and_told() -> None:
    async with stage() as set_:
        data = await say(set_.agent, RATE)
        await set_.agent.wait_until_ready()
        assert set_.agent.protocol_version == 2
        await set_.agent.wait_for_playout()
        await asyncio.sleep(0.2)
        assert_heard_whole(set_, data)
        assert set_.acks == [(1, 1.0, False)]
        assert set_.started == [1]


@pytest.mark.virtual_time
async def test_speech_before_the_worker_joins_is_heard_whole() -> None:
    async with stage(worker_joins=False) as set_:
        data = await say(set_.agent, RATE)
        await asyncio.sleep(20)
        running = asyncio.create_task(set_.session.run())
        await set_.agent.wait_for_playout()
        await asyncio.sleep(0.2)
        assert_heard_whole(set_, data)
        assert set_.acks == [(1, 1.0, False)]
        set_.session.finish()
        await running


@pytest.mark.virtual_time
async def test_speech_before_there_is_a_meeting_is_heard_whole() -> None:
    room = MemoryRoom()
    worker = StockWorker(room)
    out = speaker_out()
    data = await say(out, RATE)
    await asyncio.sleep(10)
    out._set_meeting(room.peer("agent"))
    await out.wait_for_playout()
    assert worker.pcm == data
    await out.aclose()


@pytest.mark.virtual_time
async def test_a_stock_worker_that_was_there_first_is_noticed() -> None:
    """The SDK lists those who were there in its join event only, not in ``participants``."""

    room = MemoryRoom()
    worker = StockWorker(room)
    peer = room.peer("agent")
    await asyncio.sleep(0)
    peer.participants.clear()
    out = speaker_out()
    out._set_meeting(peer)
    listed = [{"id": "somebody"}, {"id": "avatar", "displayName": "Face"}]
    for listener in list(peer._listeners):
        listener.handle_event("meeting-joined", {"participants": listed})
    await asyncio.wait_for(out.wait_until_ready(), 2 * HELLO_TIMEOUT_S)
    data = await say(out, 2400)
    await out.wait_for_playout()
    assert worker.pcm == data
    await out.aclose()


@pytest.mark.virtual_time
async def test_pieces_of_a_dead_turn_whose_tasks_had_not_run_begin_no_new_turn() -> None:
    async with stage() as set_:
        await set_.agent.wait_until_ready()
        await set_.agent.handle_audio_input(voice(24_000).tobytes())
        await asyncio.sleep(0.5)
        late = [
            asyncio.create_task(set_.agent.handle_audio_input(voice(480, 9).tobytes())),
            asyncio.create_task(set_.agent.send_segment_end()),
        ]
        await set_.agent.interrupt()
        await asyncio.gather(*late)
        assert set_.agent.turn == 1
        data = await say(set_.agent, 2400, seed=3)
        await set_.agent.wait_for_playout()
        assert [(turn, interrupted) for turn, _, interrupted in set_.acks] == [
            (1, True),
            (2, False),
        ]
        assert data in set_.film.heard().tobytes()


@pytest.mark.virtual_time
async def test_pieces_handed_over_by_tasks_stay_in_order() -> None:
    """Most speech plugins create a task for each 20 ms."""

    room = MemoryRoom(
        faults=NetworkFaults(bandwidth=150_000.0),
    )
    worker = StockWorker(room)
    out = speaker_out()
    out._set_meeting(room.peer("agent"))
    data = voice(RATE * 2).tobytes()
    tasks = []
    for piece in pieces(data):
        tasks.append(asyncio.create_task(out.handle_audio_input(piece)))
        await asyncio.sleep(0.001)
    tasks.append(asyncio.create_task(out.send_segment_end()))
    await asyncio.gather(*tasks)
    await out.wait_for_playout()
    assert worker.pcm == data
    assert isinstance(worker.heard[-1], SegmentEnd)
    await out.aclose()


@pytest.mark.virtual_time
async def test_full_is_full() -> None:
    """Whoever writes for ever waits, and goes on once speech was sent or thrown away."""

    room = MemoryRoom()
    StockWorker(room, acks=False)
    out = speaker_out()
    out._set_meeting(room.peer("agent"))
    await out.wait_until_ready()
    for _ in range(9):
        await out.handle_audio_input(bytes(2 * RATE * 101))
    waiting = asyncio.create_task(out.handle_audio_input(bytes(PIECE)))
    ending = asyncio.create_task(out.send_segment_end())
    await asyncio.sleep(1)
    assert not waiting.done()
    assert not ending.done()
    await out.interrupt()
    await asyncio.wait_for(asyncio.gather(waiting, ending), 1)
    assert out.turn == 1, "speech that waited died with its turn"
    await out.aclose()


# Interrupts ------------------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_an_interrupt_silences_the_face_and_the_next_turn_is_whole() -> None:
    async with stage() as set_:
        await set_.agent.wait_until_ready()
        await set_.agent.handle_audio_input(voice(RATE * 5).tobytes())
        await asyncio.sleep(1)
        await set_.agent.interrupt()
        await set_.agent.interrupt()
        await set_.agent.send_segment_end()
        data = await say(set_.agent, RATE, seed=2)
        await set_.agent.wait_for_playout()
        await asyncio.sleep(0.2)
        assert [(turn, dead) for turn, _, dead in set_.acks] == [(1, True), (2, False)]
        assert 0.5 < set_.acks[0][1] < 1.0
        assert set_.film.heard().tobytes().find(data) > 0


@dataclass
class ParkingPeer:
    """A meeting whose unreliable channel is full: what is sent there waits in the SDK.

    As in the SDK, the connection dies when a waiting send is cancelled and the buffer drains.
    """

    peer: MemoryPeer
    pending: list[asyncio.Future[None]] = field(default_factory=list)
    full: bool = False
    sent: list[tuple[float, bytes | str]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.peer, name)

    async def send(self, payload: str | bytes, options: Mapping[str, str] | None = None) -> bool:
        if self.full and options == {"reliability": "UNRELIABLE"}:
            drained = asyncio.get_running_loop().create_future()
            self.pending.append(drained)
            await drained
        self.sent.append((asyncio.get_running_loop().time(), payload))
        return await self.peer.send(payload, options)

    def drain(self) -> None:
        self.full = False
        for drained in self.pending:
            drained.set_result(None)
        self.pending.clear()


@pytest.mark.virtual_time
async def test_an_interrupt_does_not_wait_behind_a_full_channel() -> None:
    room = MemoryRoom()
    worker = StockWorker(room)
    out = speaker_out()
    meeting = ParkingPeer(room.peer("agent"))
    out._set_meeting(meeting)
    await out.wait_until_ready()
    await out.handle_audio_input(bytes(RATE * 10))
    await asyncio.sleep(0.1)
    meeting.full = True
    await asyncio.sleep(0.1)
    assert len(meeting.pending) == 1
    now = asyncio.get_running_loop().time()
    await out.interrupt()
    await asyncio.sleep(0.001)
    sent = next(time_s for time_s, payload in meeting.sent if payload == b"INTERRUPT")
    assert sent == pytest.approx(now, abs=1e-6)
    meeting.drain()
    data = await say(out, 2400)
    await out.wait_for_playout()
    assert worker.pcm.endswith(data)
    await out.aclose()


@pytest.mark.virtual_time
async def test_a_send_that_waits_in_the_sdk_is_never_cancelled() -> None:
    room = MemoryRoom()
    StockWorker(room)
    out = speaker_out()
    meeting = ParkingPeer(room.peer("agent"))
    out._set_meeting(meeting)
    await out.wait_until_ready()
    meeting.full = True
    await out.handle_audio_input(bytes(RATE * 10))
    await asyncio.sleep(2 * SEND_TIMEOUT_S)
    await out.interrupt()
    await out.handle_audio_input(bytes(RATE * 10))
    await asyncio.sleep(1)
    await out.aclose()
    assert len(meeting.pending) >= 3
    meeting.drain()
    await asyncio.sleep(0.1)


class FullChannel(AsyncIOEventEmitter):
    """A data channel whose buffer is full."""

    bufferedAmount = 100_000  # noqa: N815 - the SDK's name
    bufferedAmountLowThreshold = 65_535  # noqa: N815

    def send(self, data: bytes) -> None:
        """Into the buffer."""


@pytest.mark.virtual_time
async def test_the_sdk_dies_of_a_waiting_send_that_was_cancelled() -> None:
    """The fact on which the test before rests; the raise goes up into the peer connection."""

    channel = FullChannel()
    producer = DataProducer(id="id", dataChannel=channel, sctpStreamParameters=None)
    client = SimpleNamespace(
        _RoomClient__send_transport=SimpleNamespace(connectionState="connected"),
        _data_producer_initialized=True,
        _unreliable_data_producer=producer,
    )
    options = {"reliability": "UNRELIABLE"}
    sending = asyncio.ensure_future(RoomClient.send(client, b"speech", options))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    with pytest.raises((RecursionError, asyncio.InvalidStateError)):
        channel.emit("bufferedamountlow")


@pytest.mark.virtual_time
async def test_not_too_many_sends_wait_in_the_sdk() -> None:
    room = MemoryRoom()
    StockWorker(room)
    out = speaker_out()
    meeting = ParkingPeer(room.peer("agent"))
    out._set_meeting(meeting)
    await out.wait_until_ready()
    meeting.full = True
    for _ in range(2 * MAX_PENDING):
        await out.handle_audio_input(bytes(PIECE))
        await asyncio.sleep(0.01)
        await out.interrupt()
    assert len(meeting.pending) == MAX_PENDING
    meeting.drain()
    await out.handle_audio_input(bytes(PIECE))
    await out.send_segment_end()
    await out.wait_for_playout()
    await out.aclose()


@pytest.mark.virtual_time
async def test_a_new_meeting_does_not_wait_for_a_send_in_the_old_one() -> None:
    room, another = MemoryRoom(), MemoryRoom()
    out = speaker_out()
    StockWorker(room)
    meeting = ParkingPeer(room.peer("agent"))
    out._set_meeting(meeting)
    await out.wait_until_ready()
    meeting.full = True
    data = await say(out, 2400)
    await asyncio.sleep(0.1)
    worker = StockWorker(another)
    out._set_meeting(another.peer("agent"))
    await asyncio.sleep(HELLO_TIMEOUT_S + SEND_TIMEOUT_S / 2)
    assert worker.pcm == data
    await out.wait_for_playout()
    await out.aclose()


# Gestures and expressions ----------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_the_face_does_what_the_agent_asks_for() -> None:
    face = ExpressiveRenderer()
    async with stage(renderer=face) as set_:
        out = set_.agent
        assert (out.gestures, out.expressions, out.postures) == ((), (), ())
        await out.wait_until_ready()
        assert (out.gestures, out.expressions, out.postures) == (
            GESTURES,
            EXPRESSIONS,
            POSTURES,
        )
        assert out.gesture("wave_hello")
        out.expression("happy")
        out.expression("sad", 0.5)
        out.posture("listening")
        await asyncio.sleep(0.1)
        assert face.made == ["wave_hello"]
        assert face.worn == ("sad", 0.5)
        assert face.held == "listening"
        assert not set_.session.counters


@pytest.mark.virtual_time
async def test_a_gesture_and_an_expression_before_there_is_a_meeting_are_shown() -> None:
    face = ExpressiveRenderer()
    async with stage(worker_joins=False, renderer=face) as set_:
        set_.agent.expression("happy")
        set_.agent.posture("thinking")
        assert not set_.agent.gesture("wave_hello")
        running = asyncio.create_task(set_.session.run())
        await asyncio.sleep(1)
        assert (face.made, face.worn, face.held) == (["wave_hello"], ("happy", 1.0), "thinking")
        set_.session.finish()
        await running


def test_a_gesture_whose_moment_is_over_is_not_made(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "avatar.agent_side")

    async def scene() -> None:
        face = ExpressiveRenderer()
        async with stage(worker_joins=False, renderer=face) as set_:
            set_.agent.gesture("wave_hello")
            await asyncio.sleep(3)
            running = asyncio.create_task(set_.session.run())
            await asyncio.sleep(1)
            assert face.made == []
            set_.session.finish()
            await running

    virtual_time.run(scene())
    assert "the gesture wave_hello found no face in time" in caplog.text


@pytest.mark.virtual_time
async def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    face = ExpressiveRenderer()
    async with stage(renderer=face) as set_:
        await set_.agent.wait_until_ready()
        with pytest.raises(ValueError, match="one of: nod, shake, wave_hello, laugh"):
            set_.agent.gesture("dance")
        with pytest.raises(UnknownActError, match="neutral, happy"):
            set_.agent.expression("bored")
        with pytest.raises(UnknownActError, match="listening"):
            set_.agent.posture("asleep")
        await asyncio.sleep(0.5)
        assert (face.made, face.worn, face.held) == ([], ("neutral", 1.0), "resting")


def test_a_name_that_turns_out_to_be_unknown_is_an_error_that_is_told() -> None:
    errors: list[AvatarError] = []

    async def scene() -> None:
        face = ExpressiveRenderer()
        async with stage(renderer=face) as set_:
            set_.agent.on_error = errors.append
            set_.agent.expression("bored")
            await asyncio.sleep(0.5)
            assert face.worn == ("neutral", 1.0)

    virtual_time.run(scene())
    assert [str(error) for error in errors] == [
        "The face has no expression 'bored'; choose one of: "
        "neutral, happy, sad, surprised, thinking."
    ]


@pytest.mark.virtual_time
async def test_a_worker_that_replaces_another_wears_what_the_first_wore() -> None:
    async with stage(worker_joins=False) as set_:
        dying = asyncio.create_task(set_.session.run())
        await set_.agent.wait_until_ready()
        with pytest.raises(UnknownActError, match="it has none"):
            set_.agent.expression("happy")
        set_.room.lose(set_.meeting)
        with pytest.raises(MeetingLost):
            await dying
        set_.agent.expression("happy", 0.7)
        set_.agent.posture("listening")
        for _ in range(2):
            face = ExpressiveRenderer()
            meeting = set_.room.join_worker()
            living = asyncio.create_task(Session(meeting, face, Settings(), None).run())
            await asyncio.sleep(3)
            assert (face.worn, face.held) == (("happy", 0.7), "listening")
            set_.room.lose(meeting)
            with pytest.raises(MeetingLost):
                await living


def test_a_stock_worker_shows_nothing_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        room = MemoryRoom()
        worker = StockWorker(room)
        out = speaker_out()
        out._set_meeting(room.peer("agent"))
        await out.wait_until_ready()
        assert out.protocol_version == 1
        data = voice(RATE).tobytes()
        await out.handle_audio_input(data)
        for _ in range(3):
            assert not out.gesture("wave_hello")
            out.expression("happy")
            out.posture("listening")
            out.words([("hello", 0.0, 0.4)])
            await asyncio.sleep(0.01)
        await out.send_segment_end()
        await out.wait_for_playout()
        assert worker.heard[-1] == SegmentEnd()
        assert worker.pcm == data
        await out.aclose()

    virtual_time.run(scene())
    assert caplog.text.count("shows no gestures") == 1


@pytest.mark.virtual_time
async def test_a_gesture_does_not_wait_behind_a_full_channel() -> None:
    face = ExpressiveRenderer()
    async with stage(renderer=face) as set_:
        await set_.agent.aclose()
        out = speaker_out()
        meeting = ParkingPeer(set_.room.peer("other", "agent"))
        set_.peer.leave()
        out._set_meeting(meeting)
        await out.wait_until_ready()
        meeting.full = True
        data = await say(out, RATE)
        await asyncio.sleep(0.01)
        assert len(meeting.pending) == 1
        out.gesture("nod")
        await asyncio.sleep(0.05)
        assert face.made == ["nod"]
        meeting.drain()
        await out.wait_for_playout()
        assert_heard_whole(set_, data)
        await out.aclose()


@pytest.mark.virtual_time
async def test_a_gesture_does_not_disturb_speech_that_waits_for_a_stock_worker() -> None:
    room = MemoryRoom()
    worker = StockWorker(room)
    out = speaker_out()
    meeting = ParkingPeer(room.peer("agent"))
    out._set_meeting(meeting)
    await out.wait_until_ready()
    meeting.full = True
    data = await say(out, RATE)
    await asyncio.sleep(0.01)
    out.gesture("nod")
    await asyncio.sleep(0.01)
    assert len(meeting.pending) == 1
    meeting.drain()
    await out.wait_for_playout()
    assert worker.pcm == data
    await out.aclose()


@pytest.mark.virtual_time
async def test_gestures_leave_room_for_interrupts_in_a_full_channel() -> None:
    async with stage(renderer=ExpressiveRenderer()) as set_:
        await set_.agent.aclose()
        out = speaker_out()
        meeting = ParkingPeer(set_.room.peer("other", "agent"))
        set_.peer.leave()
        out._set_meeting(meeting)
        await out.wait_until_ready()
        meeting.full = True
        await say(out, 20 * RATE)
        for _ in range(1500):
            out.gesture("nod")
            await asyncio.sleep(0.01)
        given_up_anyway = int(15 / SEND_TIMEOUT_S)
        assert len(meeting.pending) <= MAX_PENDING // 2 + given_up_anyway
        meeting.drain()
        await out.aclose()


@pytest.mark.virtual_time
async def test_words_reach_the_lips_that_can_use_them() -> None:
    face = ExpressiveRenderer()
    async with stage(renderer=face) as set_:
        set_.agent.words([("hello", 0.0, 0.4), ("there", 0.4, 0.9)])
        data = await say(set_.agent, RATE)
        await set_.agent.wait_for_playout()
        assert face.prompts == {1: [Word("hello", 0.0, 0.4), Word("there", 0.4, 0.9)]}
        assert_heard_whole(set_, data)
        assert set_.acks == [(1, 1.0, False)]


# What it survives ------------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_a_connection_that_is_gone_for_a_while_loses_nothing() -> None:
    errors: list[AvatarError] = []

    async with stage() as set_:
        set_.agent.on_error = errors.append
        await set_.agent.wait_until_ready()
        data = await say(set_.agent, RATE * 3)
        await asyncio.sleep(1)
        set_.peer.cut_off()
        await asyncio.sleep(FAILING_S - 1)
        assert errors == []
        await asyncio.sleep(30)
        assert len(errors) == 1
        assert "avatar" in str(errors[0])
        set_.peer.rejoin()
        await set_.agent.wait_for_playout()
        await asyncio.sleep(0.2)
        assert set_.acks == [(1, 3.0, False)]
        assert len(set_.heard_of()) >= len(data) // 2
        spoken = set_.film.heard()
        assert np.count_nonzero(spoken) - len(data) // 2 < 500, "nothing was said twice"
        await say(set_.agent, RATE, seed=2)
        await set_.agent.wait_for_playout()
        assert set_.acks[1:] == [(2, 1.0, False)]
        assert len(errors) == 1


@pytest.mark.virtual_time
async def test_a_connection_that_is_gone_for_a_while_does_not_mute_version_1() -> None:
    room = MemoryRoom()
    worker = StockWorker(room)
    peer = room.peer("agent")
    out = speaker_out()
    out._set_meeting(peer)
    await out.wait_until_ready()
    data = await say(out, RATE)
    await asyncio.sleep(0.3)
    peer.cut_off()
    await asyncio.sleep(20)
    peer.rejoin()
    await asyncio.sleep(5)
    assert worker.pcm == data
    await out.aclose()


def test_each_failure_that_lasts_is_told_once() -> None:
    errors: list[AvatarError] = []

    async def scene() -> None:
        room = MemoryRoom()
        StockWorker(room)
        peer = room.peer("agent")
        out = speaker_out(on_error=errors.append)
        out._set_meeting(peer)
        await out.wait_until_ready()
        for _ in range(2):
            peer.cut_off()
            await say(out, RATE)
            await asyncio.sleep(3 * FAILING_S)
            peer.rejoin()
            await out.wait_for_playout()
        await out.aclose()

    virtual_time.run(scene())
    assert len(errors) == 2


@pytest.mark.virtual_time
async def test_only_failures_that_last_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with stage() as set_:
        await set_.agent.wait_until_ready()
        await say(set_.agent, RATE * 9)
        for seconds, lines in ((SETTLING_S / 2, 0), (3 * SETTLING_S, 1)):
            set_.peer.cut_off()
            await asyncio.sleep(seconds)
            set_.peer.rejoin()
            await asyncio.sleep(1)
            assert caplog.text.count("trying again") == lines


@pytest.mark.virtual_time
async def test_a_worker_that_dies_in_mid_sentence_is_replaced() -> None:
    async with stage(worker_joins=False) as set_:
        dying = asyncio.create_task(set_.session.run())
        data = await say(set_.agent, RATE * 3)
        await asyncio.sleep(1.5)
        set_.room.lose(set_.meeting)
        with pytest.raises(MeetingLost):
            await dying
        await asyncio.sleep(3)
        session = Session(set_.room.join_worker(), QuickRenderer(), Settings(), None)
        living = asyncio.create_task(session.run())
        await set_.agent.wait_for_playout()
        await asyncio.sleep(0.2)
        assert set_.acks == [(1, 3.0, False)]
        assert set_.started == [1]
        sound = set_.film.heard()
        extra = np.count_nonzero(sound) - len(data) // 2
        assert 0 <= extra <= 0.3 * RATE, "only what was heard since the last report is repeated"
        assert data[len(data) // 2 + 2 * 8000 :] in sound.tobytes()
        session.finish()
        await living


@pytest.mark.virtual_time
async def test_speech_goes_on_in_the_next_meeting() -> None:
    """The worker saw the agent leave and come back."""

    async with stage() as set_:
        await set_.agent.wait_until_ready()
        data = await say(set_.agent, RATE * 3)
        await asyncio.sleep(1)
        set_.peer.leave()
        await asyncio.sleep(1)
        set_.peer.rejoin()
        set_.agent._set_meeting(set_.peer)
        await set_.agent.wait_for_playout()
        await asyncio.sleep(0.2)
        assert set_.acks == [(1, 3.0, False)]
        sound = set_.film.heard().tobytes()
        assert data[len(data) // 2 :] in sound
        await say(set_.agent, RATE, seed=2)
        await set_.agent.wait_for_playout()
        assert len(set_.acks) == 2


@pytest.mark.virtual_time
async def test_the_same_meeting_may_be_set_twice() -> None:
    async with stage() as set_:
        await set_.agent.wait_until_ready()
        set_.agent._set_meeting(set_.peer)
        assert len(set_.peer._listeners) == 1
        await set_.agent.wait_until_ready()
        await say(set_.agent, RATE)
        await set_.agent.wait_for_playout()
        assert set_.acks == [(1, 1.0, False)]


@pytest.mark.virtual_time
async def test_a_meeting_that_forgot_its_listeners_can_be_left() -> None:
    room = MemoryRoom()
    peer = room.peer("agent")
    out = speaker_out()
    out._set_meeting(peer)
    peer._listeners.clear()
    await out.aclose()


GARBAGE: list[str | bytes] = [
    "5",
    "[]",
    "null",
    "{}",
    "INTERRUPT",
    "{" * 15_000,
    "[" * 10_000,
    '{"type": 5}',
    '{"type": "stream_ended"}',
    '{"type": "stream_ended", "data": 5}',
    '{"type": "stream_ended", "data": {"playback_position": NaN}}',
    json.dumps({"type": "stream_ended", "data": {"playback_position": math.inf}}),
    '{"type": "progress", "v": 2, "stream": "0123456789abcdef", "missing": 1}',
    '{"type": "avatar_ready", "v": 2, "worker": {}, "stream": null}',
    b"\xff" * 100,
    b"\xffAV2" + bytes(60),
]


@pytest.mark.virtual_time
@pytest.mark.parametrize("sender", ["avatar", "browser"])
async def test_whatever_anybody_sends_the_agent_hears_on(sender: str) -> None:
    room = MemoryRoom()
    worker = StockWorker(room)
    peer = room.peer("agent")
    out = speaker_out()
    out._set_meeting(peer)
    await out.wait_until_ready()
    villain = worker.peer if sender == "avatar" else room.peer("browser", "normal")
    for payload in GARBAGE:
        for reliability in ("RELIABLE", "UNRELIABLE"):
            await villain.send(payload, {"reliability": reliability})
    assert peer.raised == []
    assert not peer.deaf
    data = await say(out, RATE)
    await out.wait_for_playout()
    assert worker.pcm == data
    await out.aclose()


@pytest.mark.virtual_time
@pytest.mark.parametrize("data", [None, 5, [], {}, {"payload": None, "from": "avatar"}, "text"])
@pytest.mark.parametrize("action", ["data", "agent-joined", "participant-left", "meeting-joined"])
async def test_no_event_of_the_sdk_makes_it_raise(action: str, data: object) -> None:
    peer = MemoryRoom().peer("agent")
    out = speaker_out()
    out._set_meeting(peer)
    for listener in peer._listeners:
        listener.handle_event(action, data)
    await out.aclose()


@pytest.mark.virtual_time
async def test_only_the_avatar_is_believed() -> None:
    room = MemoryRoom()
    StockWorker(room, acks=False)
    browser = room.peer("browser", "normal")
    ended: list[Any] = []
    out = speaker_out(on_stream_ended=lambda *end: ended.append(end))
    out._set_meeting(room.peer("agent"))
    await out.wait_until_ready()
    await say(out, 2400)
    await asyncio.sleep(0.5)
    await browser.send(encode(StreamEnded(0.1, False)).payload)
    await asyncio.sleep(0.5)
    assert ended == []
    browser.leave()
    await asyncio.sleep(0.5)
    assert out.protocol_version == 1
    await out.aclose()


def test_the_avatar_that_leaves_is_waited_for() -> None:
    async def scene() -> None:
        async with stage() as set_:
            await set_.agent.wait_until_ready()
            set_.room.lose(set_.meeting)
            assert set_.agent.protocol_version == 0
            waiting = asyncio.create_task(set_.agent.wait_until_ready())
            await asyncio.sleep(5)
            assert not waiting.done()
            waiting.cancel()

    with pytest.raises(Exception, match="taken away"):
        virtual_time.run(scene())


# Callbacks -------------------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_the_application_is_told_when_the_face_comes_goes_and_comes_back() -> None:
    reports: list[object] = []

    async with stage(worker_joins=False) as set_:
        set_.agent.on_avatar_ready = reports.append
        set_.agent.on_avatar_lost = lambda: reports.append("lost")
        dying = asyncio.create_task(set_.session.run())
        await say(set_.agent, RATE * 2)
        await asyncio.sleep(1)
        assert reports == [2]
        set_.room.lose(set_.meeting)
        with pytest.raises(MeetingLost):
            await dying
        await asyncio.sleep(3)
        assert reports == [2, "lost"]
        session = Session(set_.room.join_worker(), QuickRenderer(), Settings(), None)
        living = asyncio.create_task(session.run())
        await set_.agent.wait_for_playout()
        assert reports == [2, "lost", 2]
        session.finish()
        await living
        await set_.agent.aclose()
        assert reports == [2, "lost", 2, "lost"]


def test_who_closes_it_has_not_lost_the_face() -> None:
    reports: list[object] = []

    async def scene() -> None:
        async with stage() as set_:
            set_.agent.on_avatar_ready = reports.append
            set_.agent.on_avatar_lost = lambda: reports.append("lost")
            await set_.agent.wait_until_ready()
            await set_.agent.aclose()

    virtual_time.run(scene())
    assert reports == [2]


def test_callbacks_may_be_functions_or_coroutines_and_may_fail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []

    def failing(*args: object) -> None:
        calls.append("function")
        raise RuntimeError("mine")

    async def failing_later(*args: object) -> None:
        calls.append("coroutine")
        await asyncio.sleep(0.1)
        raise RuntimeError("mine")

    async def scene() -> None:
        async with stage() as set_:
            set_.agent.on_playback_started = failing
            set_.agent.on_stream_ended = failing_later
            for seed in (1, 2):
                await say(set_.agent, 2400, seed)
                await set_.agent.wait_for_playout()

    virtual_time.run(scene())
    assert calls == ["function", "coroutine"] * 2
    assert caplog.text.count("a callback of AvatarAudioOut failed") == 4


@pytest.mark.virtual_time
async def test_a_callback_may_close_it() -> None:
    room = MemoryRoom()
    StockWorker(room)
    out = speaker_out()
    closed = asyncio.Event()

    async def close(position: float, interrupted: bool, turn: int) -> None:
        await out.aclose()
        closed.set()

    out.on_stream_ended = close
    out._set_meeting(room.peer("agent"))
    for _ in range(3):
        await say(out, 2400)
    await asyncio.wait_for(closed.wait(), 2 * HELLO_TIMEOUT_S)
    await asyncio.sleep(1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


# Closing ---------------------------------------------------------------------------------------


def test_closing_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[Any] = []

    async def scene() -> None:
        room = MemoryRoom()
        StockWorker(room)
        peer = room.peer("agent")
        out = speaker_out(on_stream_ended=lambda *end: ended.append(end))
        out._set_meeting(peer)
        await out.wait_until_ready()
        await say(out, RATE)
        await asyncio.sleep(0.2)
        await asyncio.gather(out.aclose(), out.aclose())
        await out.aclose()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert peer._listeners == []
        await asyncio.wait_for(out.wait_for_playout(), 1)

    virtual_time.run(scene())
    assert [(turn, interrupted) for _, interrupted, turn in ended] == [(1, True)]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.virtual_time
async def test_what_is_said_after_closing_is_lost_and_harms_nobody() -> None:
    out = speaker_out()
    await out.aclose()
    await say(out, RATE)
    await out.interrupt()
    await asyncio.wait_for(out.wait_for_playout(), 1)


@pytest.mark.virtual_time
async def test_a_writer_that_waits_goes_on_when_it_closes() -> None:
    room = MemoryRoom()
    StockWorker(room, acks=False)
    out = speaker_out()
    out._set_meeting(room.peer("agent"))
    await out.wait_until_ready()
    await out.handle_audio_input(bytes(2 * RATE * 901))
    waiting = asyncio.create_task(out.handle_audio_input(bytes(PIECE)))
    await asyncio.sleep(1)
    await out.aclose()
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(out.wait_for_playout(), 1)


@pytest.mark.virtual_time
async def test_it_can_be_attached_again_after_it_was_closed() -> None:
    room = MemoryRoom()
    worker = StockWorker(room)
    out = speaker_out()
    peer = room.peer("agent")
    out._set_meeting(peer)
    await out.aclose()
    out._set_meeting(peer)
    data = await say(out, 2400)
    await out.wait_for_playout()
    assert worker.pcm == data
    await out.aclose()


# Loops and threads -----------------------------------------------------------------------------


async def speak_on_this_loop(out: AvatarAudioOut, *, close: bool) -> None:
    room = MemoryRoom()
    worker = StockWorker(room)
    out.attach(room.peer("agent"))
    data = await say(out, 2400)
    out.gesture("nod")
    await out.wait_until_ready()
    await out.wait_for_playout()
    assert worker.pcm == data
    if close:
        await out.aclose()


@pytest.mark.parametrize("close", [True, False])
def test_it_can_be_used_on_one_loop_after_the_other(close: bool) -> None:
    ended: list[Any] = []
    out = speaker_out(on_stream_ended=lambda *end: ended.append(end))
    for _ in range(3):
        virtual_time.run(speak_on_this_loop(out, close=close))
    assert ended == [(0.1, False, turn) for turn in (1, 2, 3)]


async def test_it_can_be_used_in_another_thread_while_the_first_loop_runs_on() -> None:
    """Its tasks on the first loop end, and what it says later is said on the second."""

    room = MemoryRoom()
    out = speaker_out()
    out.attach(room.peer("agent"))
    await asyncio.sleep(0)
    before = len(asyncio.all_tasks())
    thread = threading.Thread(target=virtual_time.run, args=(speak_on_this_loop(out, close=True),))
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)
    assert before > 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.virtual_time
async def test_speech_that_waits_for_a_first_face_is_bounded_by_waiting() -> None:
    """Nothing of it is lost, and whoever writes waits once it is as much as may be kept."""

    room = MemoryRoom()
    ended: list[Any] = []
    out = speaker_out(on_stream_ended=lambda *end: ended.append(end))
    out.attach(room.peer("agent"))
    await out.handle_audio_input(bytes(MAX_BACKLOG + 2))
    waiting = asyncio.create_task(out.handle_audio_input(bytes(PIECE)))
    ending = asyncio.create_task(out.send_segment_end())
    await asyncio.sleep(WORKER_TIMEOUT_S - 1)
    assert not waiting.done()
    assert ended == []
    await asyncio.sleep(3)
    assert ended == [(0.0, True, 1)], "the turn ends as a whole, once"
    await asyncio.gather(waiting, ending)
    assert out.turn == 1, "what waited was the rest of it"
    await out.aclose()


# The face --------------------------------------------------------------------------------------


@dataclass
class Asked:
    """Stands for the dispatcher: what it was asked for, and when."""

    launched: list[LaunchAnswer | AvatarError] = field(default_factory=list)
    joins: list[tuple[float, JoinInfo]] = field(default_factory=list)

    async def __call__(self, url: str, join: JoinInfo) -> LaunchAnswer:
        self.joins.append((asyncio.get_running_loop().time(), join))
        answer = self.launched.pop(0) if len(self.launched) > 1 else self.launched[0]
        if isinstance(answer, AvatarError):
            raise answer
        return answer

    @property
    def named(self) -> list[str | None]:
        return [join.agent_participant_id for _, join in self.joins]


OURS = LaunchAnswer("session", 2)
STOCK = LaunchAnswer(None, 1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    dispatcher = Asked([OURS])
    monkeypatch.setattr(face_request, "launch", dispatcher)
    return dispatcher


def asking(**options: Any) -> AvatarAudioOut:
    return speaker_out(avatar_dispatcher_url="http://host/launch", room_id="room", **options)


@pytest.mark.virtual_time
async def test_the_agent_is_named_to_the_dispatcher_once_it_is_in_the_meeting(asked: Asked) -> None:
    async with stage() as set_:
        await set_.agent.aclose()
        out = asking()
        await out.connect()
        out.attach(set_.peer)
        await out.wait_until_ready()
        await asyncio.sleep(100)
        assert asked.named == [None, "agent"]
        out.attach(set_.peer)
        await out.wait_until_ready()
        await asyncio.sleep(100)
        assert asked.named == [None, "agent"], "it knows"
        await out.aclose()


@pytest.mark.virtual_time
@pytest.mark.parametrize("known_by", ["the user", "the meeting"])
async def test_an_agent_that_is_known_is_named_in_the_first_launch(
    asked: Asked, known_by: str
) -> None:
    async with stage() as set_:
        await set_.agent.aclose()
        out = asking(agent_participant_id="agent" if known_by == "the user" else None)
        if known_by == "the meeting":
            out.attach(set_.peer)
        await out.connect()
        if known_by == "the user":
            out.attach(set_.peer)
        await asyncio.sleep(100)
        assert asked.named == ["agent"]
        await out.aclose()


@pytest.mark.virtual_time
async def test_an_agent_that_comes_back_under_another_id_is_named_anew(asked: Asked) -> None:
    room = MemoryRoom()
    StockWorker(room)
    out = asking()
    await out.connect()
    for name in ("first", "second"):
        out.attach(room.peer(name))
        await asyncio.sleep(0.1)
    assert asked.named == [None, "first", "second"]
    await out.aclose()


def test_a_stock_dispatcher_is_asked_once(asked: Asked) -> None:
    """Asked again it would start its worker anew."""
    asked.launched = [STOCK]
    errors: list[AvatarError] = []

    async def scene() -> None:
        out = asking(on_error=errors.append)
        await out.connect()
        out.attach(MemoryRoom().peer("agent"))
        await asyncio.sleep(FACE_DUE_S - 0.1)
        assert errors == []
        await asyncio.sleep(100)
        assert len(asked.joins) == 1
        await out.aclose()

    virtual_time.run(scene())
    assert len(errors) == 1
    assert "No face has come" in str(errors[0])


@pytest.mark.virtual_time
async def test_what_a_stock_dispatcher_launched_is_soon_spoken_to_in_version_1(
    asked: Asked,
) -> None:
    asked.launched = [STOCK]

    room = MemoryRoom()
    worker = StockWorker(room)
    out = asking()
    await out.connect()
    out.attach(room.peer("agent"))
    data = await say(out, 2400)
    await asyncio.sleep(STOCK_TIMEOUT_S + 0.5)
    assert worker.pcm == data
    await out.aclose()


@pytest.mark.virtual_time
async def test_an_agent_that_comes_after_its_face_has_given_up_gets_another(asked: Asked) -> None:
    async with stage(worker_joins=False, agent_id="agent") as set_:
        await set_.agent.aclose()
        out = asking(agent_participant_id="agent")
        await out.connect()
        await asyncio.sleep(1000)
        out.attach(set_.peer)
        data = await say(out, RATE)
        await asyncio.sleep(ASK_FIRST_S + 0.1)
        assert len(asked.joins) == 2
        running = asyncio.create_task(set_.session.run())
        await out.wait_for_playout()
        await asyncio.sleep(100)
        assert_heard_whole(set_, data)
        assert len(asked.joins) == 2
        await out.aclose()
        set_.session.finish()
        await running


def test_while_no_face_comes_it_is_asked_for_ever_more_slowly_and_that_is_told_once(
    asked: Asked,
) -> None:
    errors: list[AvatarError] = []

    async def scene() -> None:
        out = asking(on_error=errors.append, agent_participant_id="agent")
        await out.connect()
        began = asyncio.get_running_loop().time()
        out.attach(MemoryRoom().peer("agent"))
        await asyncio.sleep(400)
        times = [at - began for at, _ in asked.joins[1:]]
        steps = [later - earlier for earlier, later in pairwise(times)]
        assert times[0] == pytest.approx(ASK_FIRST_S)
        assert all(step <= ASK_SLOWEST_S + 1e-6 for step in steps)
        assert steps[-1] == pytest.approx(ASK_SLOWEST_S)
        assert len(times) < 14
        await out.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(scene())
    assert ["No face has come" in str(error) for error in errors] == [True]


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("status", "final"), [(None, False), (503, False), (429, False), (500, False), (401, True)]
)
async def test_a_dispatcher_that_gives_no_other_face_is_told_of_at_once(
    asked: Asked, status: int | None, final: bool
) -> None:
    errors: list[AvatarError] = []
    refusal = LaunchError("no", status)

    out = asking(on_error=errors.append)
    await out.connect()
    asked.launched = [refusal]
    out.attach(MemoryRoom().peer("agent"))
    await asyncio.sleep(0.1)
    assert errors == [refusal]
    await asyncio.sleep(100)
    assert (len(asked.joins) == 2) == final
    assert errors == [refusal]
    await out.aclose()


@pytest.mark.virtual_time
async def test_without_a_dispatcher_too_it_is_told_that_no_face_comes() -> None:
    errors: list[AvatarError] = []

    out = speaker_out(on_error=errors.append)
    out.attach(MemoryRoom().peer("agent"))
    await asyncio.sleep(FACE_DUE_S + 0.1)
    assert len(errors) == 1
    await out.aclose()


@pytest.mark.parametrize("named", [True, False])
def test_an_agent_that_is_not_obeyed_is_told_so_once(named: bool) -> None:
    errors: list[AvatarError] = []

    async def scene() -> None:
        room = MemoryRoom()
        face = room.peer("avatar", "normal")
        peer = room.peer("agent")
        out = speaker_out(on_error=errors.append)
        out.attach(peer)
        data = NotObeyed(out._speaker.stream, named)
        for _ in range(3):
            await face.send(encode(data).payload)
            await asyncio.sleep(1)
        await out.aclose()

    virtual_time.run(scene())
    assert [str(error).startswith("The face obeys another") for error in errors] == [True]


def test_a_turn_whose_end_nobody_confirms_is_reported_as_such() -> None:
    """Users of the stock callback get the smallest claim that is true."""
    ended: list[Any] = []
    over: list[TurnOver] = []

    async def scene() -> None:
        room = MemoryRoom()
        StockWorker(room, acks=False)
        out = speaker_out(on_stream_ended=lambda *end: ended.append(end), on_turn_over=over.append)
        out.attach(room.peer("agent"))
        await say(out, 5 * RATE)
        await out.wait_for_playout()
        await out.aclose()

    virtual_time.run(scene())
    assert ended == [(0.0, True, 1)]
    assert over == [TurnOver(1, 0.0, interrupted=True, confirmed=False)]
    assert over[0].outcome == "unconfirmed"


# The dispatcher --------------------------------------------------------------------------------


class Dispatcher(BaseHTTPRequestHandler):
    """Answers with the statuses that it was given, then with 200, and keeps the requests."""

    statuses: ClassVar[list[int]] = []
    requests: ClassVar[list[tuple[str, dict[str, str], Any]]] = []
    asked: ClassVar[str] = ""
    """What each of its answers says when to come again."""

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        self.requests.append((self.path, dict(self.headers), body))
        self.send_response(self.statuses.pop(0) if self.statuses else 200)
        if self.asked:
            self.send_header("Retry-After", self.asked)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Standard error is for failures."""


@contextmanager
def dispatcher(*statuses: int) -> Iterator[tuple[int, list[tuple[str, dict[str, str], Any]]]]:
    """A dispatcher on the loopback: its port and the requests that it gets."""
    handler = type("Handler", (Dispatcher,), {"statuses": [*statuses], "requests": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port, handler.requests  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy between us and the loopback, and no pause between tries."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(launch, "CONNECT_PAUSES_S", (0.0, 0.0, 0.0))


def connect(url: str, **options: Any) -> None:
    async def scene() -> None:
        out = speaker_out(avatar_dispatcher_url=url, room_id="room", **options)
        try:
            await out.connect()
        finally:
            await out.aclose()

    asyncio.run(scene())


def test_the_join_request_has_the_stock_fields_and_ours() -> None:
    with dispatcher() as (port, requests):
        connect(f"http://127.0.0.1:{port}/launch")
        connect(
            f"http://127.0.0.1:{port}/launch",
            character="ada",
            agent_participant_id="agent",
            metadata={"a": [1]},
        )
    (path, headers, stock), (_, _, ours) = requests
    assert path == "/launch"
    assert headers["Content-Type"] == "application/json"
    assert "Authorization" not in headers
    assert stock == {"room_name": "room", "token": TOKEN, "participant_id": "avatar"}
    more = {"character": "ada", "agent_participant_id": "agent", "metadata": {"a": [1]}}
    assert ours == {**stock, **more}


def test_the_urls_password_goes_into_a_header_and_nowhere_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "avatar", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    with dispatcher(503) as (port, requests):
        connect(f"http://me:pass%3Aw%C3%B6rd@127.0.0.1:{port}/launch")
    expected = base64.b64encode("me:pass:wörd".encode()).decode()
    assert [headers["Authorization"] for _, headers, _ in requests] == [f"Basic {expected}"] * 2
    assert any(record.name.startswith("httpcore") for record in caplog.records)
    for record in caplog.records:
        text = f"{record.getMessage()} {record.args!r} {record.__dict__!r}"
        for secret in (TOKEN, "pass:", "pass%3A", "wörd", expected):
            assert secret not in text, record


def test_a_dispatcher_that_is_full_is_asked_again() -> None:
    with dispatcher(503, 503, 503) as (port, requests):
        connect(f"http://127.0.0.1:{port}/launch")
    assert len(requests) == 4


def test_a_dispatcher_that_says_too_many_is_asked_again() -> None:
    with dispatcher(429, 503, 429) as (port, requests):
        connect(f"http://127.0.0.1:{port}/launch")
    assert len(requests) == 4
    too_many = pytest.raises(AvatarError, match=r"429.*AVATAR_RATE")
    with dispatcher(*[429] * 9) as (port, requests), too_many:
        connect(f"http://127.0.0.1:{port}/launch")
    assert len(requests) == 4


@pytest.mark.parametrize(
    ("asked", "pauses"),
    [("", [0.0]), ("2", [2.0]), ("5", [5.0]), ("6", []), ("9" * 99, []),
     ("Wed, 21 Oct 2015 07:28:00 GMT", [0.0]), ("-1", [0.0]), ("\u00b2", [0.0])],
)  # fmt: skip
@pytest.mark.parametrize("status", [429, 503])
def test_a_dispatcher_is_asked_again_when_it_says(
    monkeypatch: pytest.MonkeyPatch, status: int, asked: str, pauses: list[float]
) -> None:
    """A pause that is too long for an agent is an error at once."""
    paused: list[float] = []

    async def sleep(seconds: float) -> None:
        paused.append(seconds)

    monkeypatch.setattr(launch, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(Dispatcher, "asked", asked)
    too_long = nullcontext() if pauses else pytest.raises(AvatarError, match=str(status))
    with dispatcher(status) as (port, _), too_long:
        connect(f"http://127.0.0.1:{port}/launch")
    assert paused == pauses


def test_a_dispatcher_that_stays_full_is_an_error() -> None:
    full = pytest.raises(AvatarError, match=r"503.*capacity")
    with dispatcher(*[503] * 9) as (port, requests), full:
        connect(f"http://127.0.0.1:{port}/launch")
    assert len(requests) == 4


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "user:password@.*sign the token"),
        (403, "no reason"),
        (404, "path"),
        (409, "Another face"),
        (422, "log"),
        (500, "log"),
    ],
)
def test_a_dispatcher_that_refuses_is_an_error_at_once(status: int, advice: str) -> None:
    refused = pytest.raises(AvatarError, match=f"{status}.*{advice}")
    with dispatcher(status) as (port, requests), refused as caught:
        connect(f"http://me:secret@127.0.0.1:{port}/launch?key=hidden")
    assert len(requests) == 1
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_dispatcher_out_of_reach_is_an_error() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with pytest.raises(AvatarError, match="cannot be reached") as caught:
            connect(f"http://me:secret@127.0.0.1:{port}/launch")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://[/", "localhost:8089/launch", "nonsense", "http://", "http://me:secret/1@host:80/"],
)
def test_an_url_that_is_none_is_an_error_at_once(url: str) -> None:
    with pytest.raises(AvatarError, match="avatar_dispatcher_url") as caught:
        connect(url)
    assert "secret" not in str(caught.value)


async def test_connecting_needs_a_room() -> None:
    with pytest.raises(ValueError, match="set_room_id"):
        await speaker_out(avatar_dispatcher_url="http://127.0.0.1/").connect()


@pytest.mark.parametrize("fields", [
    {"room_id": "my room"},
    {"credentials": AvatarCredentials("the face", TOKEN)},
    {"credentials": AvatarCredentials("avatar", "Bearer eyJ.x.y")},
    {"agent_participant_id": "avatar"},
    {"character": "../ada"},
])  # fmt: skip
def test_what_no_meeting_can_take_is_an_error_before_anything_is_sent(
    fields: dict[str, Any],
) -> None:
    with dispatcher() as (port, requests):
        options = {"credentials": AvatarCredentials("avatar", TOKEN), "room_id": "room", **fields}
        out = AvatarAudioOut(avatar_dispatcher_url=f"http://127.0.0.1:{port}/launch", **options)
        with pytest.raises(AvatarError, match=r"^The face cannot be asked for: `"):
            asyncio.run(out.connect())
        assert requests == []


def test_an_agent_under_the_face_s_id_is_told_when_it_attaches() -> None:
    errors: list[AvatarError] = []

    async def scene() -> None:
        out = AvatarAudioOut(credentials=AvatarCredentials("avatar", TOKEN), on_error=errors.append)
        meeting = MemoryRoom().peer("avatar")
        out._set_meeting(meeting)
        await out.aclose()

    asyncio.run(scene())
    assert ["participant_id is the one" in str(error) for error in errors] == [True]
