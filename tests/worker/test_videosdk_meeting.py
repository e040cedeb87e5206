"""The real SDK joins a miniature of its servers; everything but the media path is real."""

import asyncio
import contextlib
import functools
import importlib.metadata
import inspect
import json
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, ParamSpec

import aioice.ice
import av
import numpy as np
import pytest
from bounds import within
from signalling import Certificate, Signalling, open_media
from videosdk import CustomAudioTrack, CustomVideoTrack, VideoSDK
from videosdk._events import Events, VideoSDKEvents
from videosdk.meeting import Meeting as SdkMeeting
from videosdk.room_client import RoomClient
from vsaiortc import RTCPeerConnection
from vsaiortc.codecs.opus import OpusEncoder
from vsaiortc.mediastreams import MediaStreamError

from agent_side import pending_sends
from agent_side.join import JoinInfo
from agent_side.wire import Interrupt, Pcm, SegmentEnd, StreamEnded
from avatar_runtime import logs
from avatar_runtime.logs import hash_of
from worker.errors import Dismissed, JoinError, JoinRefused, MeetingError, MeetingLost
from worker.media import FRAME_SAMPLES, PIECE_SAMPLES, SAMPLE_RATE, AvatarFrame, Picture
from worker.meeting import Joined, Left, MeetingEvent, Received
from worker.meeting_support import sdk_internals as sdk
from worker.meeting_support.tracks import Tracks
from worker.meetings import videosdk as adapter
from worker.meetings.videosdk import Inbox, PictureTrack, SoundTrack, VideoSDKMeeting
from worker.settings import Settings
from worker.sound import Doubler

TOKEN = "eyJ.secret-token.sig"
WAIT_TIMEOUT_S = 30.0
TONE = np.tile(np.array([8000, 8000, -8000, -8000], np.int16), FRAME_SAMPLES // 4)
BRIGHT = Picture.blank(64, 64, 200)

Test = ParamSpec("Test")


def asynchronous(test: Callable[Test, Awaitable[None]]) -> Callable[Test, None]:
    """The test as a plain function that runs it."""

    @functools.wraps(test)
    def run(*args: Test.args, **kwargs: Test.kwargs) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(2 * WAIT_TIMEOUT_S):
                await test(*args, **kwargs)

        asyncio.run(bounded())

    return run


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def this_machine_only(monkeypatch: pytest.MonkeyPatch, certificate: Certificate) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"])


@pytest.fixture(autouse=True)
def sdk_keeps_quiet() -> Iterator[None]:
    names = [*logs.QUIET, "avatar"]
    before = {name: logging.getLogger(name).level for name in names}
    for name, level in logs.QUIET.items():
        logging.getLogger(name).setLevel(level)
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def worker_in(
    room: Signalling, participant_id: str = "face", *, timeout_s: float = WAIT_TIMEOUT_S
) -> VideoSDKMeeting:
    info = JoinInfo("room", TOKEN, participant_id, room.host)
    return VideoSDKMeeting(info, Settings(join_timeout_s=timeout_s))


def client_of(meeting: VideoSDKMeeting) -> Any:
    return meeting._sdk._Meeting__room_client


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.005)


async def join(meeting: VideoSDKMeeting) -> None:
    """Join, and play the media server's part."""
    joining = asyncio.create_task(meeting.join())
    await until(lambda: (meeting._inbox and meeting._inbox.joined) or joining.done())
    if not joining.done():
        open_media(client_of(meeting))
    await joining


@contextlib.asynccontextmanager
async def joined(
    certificate: Certificate, **changes: Any
) -> AsyncIterator[tuple[Signalling, VideoSDKMeeting]]:
    room = Signalling()
    for name, value in changes.items():
        setattr(room, name, value)
    async with room.running(certificate):
        meeting = worker_in(room)
        await join(meeting)
        try:
            yield room, meeting
        finally:
            await meeting.leave()


async def some(meeting: VideoSDKMeeting, count: int) -> list[MeetingEvent]:
    """The next `count` events."""
    events: list[MeetingEvent] = []
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        async for event in meeting.messages():
            events.append(event)
            if len(events) == count:
                break
    return events


async def loss_of(meeting: VideoSDKMeeting) -> str:
    """How the meeting says that it is gone."""
    with pytest.raises(MeetingLost) as lost:
        await some(meeting, 1_000_000)
    return str(lost.value)


# What the SDK has inside ---------------------------------------------------------------------


@asynchronous
async def test_the_installed_sdk_has_every_inner_name_that_is_used() -> None:
    assert importlib.metadata.version("videosdk") == sdk.VERSION
    meeting = VideoSDK.init_meeting(meeting_id="room", token=TOKEN, participant_id="face")
    client = meeting._Meeting__room_client
    assert isinstance(client, RoomClient)
    for name in (
        "_RoomClient__tasks",
        "_RoomClient__send_transport",
        "_RoomClient__recv_transport",
        "_RoomClient__audio_producer",
        "_RoomClient__video_producer",
        "_reliable_data_producer",
        "_unreliable_data_producer",
        "_closed",
    ):
        assert hasattr(client, name), name
    assert inspect.iscoroutinefunction(client.handleConsume)
    assert inspect.iscoroutinefunction(client.async_leave)
    join_code = RoomClient.async_join.__code__
    assert {"get_server_config", "connect"} <= set(join_code.co_names)
    assert join_code.co_freevars == ()
    assert Events.REMOVE_PEER in client.event_names()


def test_every_event_that_the_adapter_reads_is_one_that_the_sdk_emits() -> None:
    known = {event.value for event in VideoSDKEvents}
    assert {
        "data",
        "error",
        "meeting-joined",
        "meeting-left",
        "participant-joined",
        "participant-left",
        "agent-joined",
        "agent-left",
    } <= known


def test_another_version_of_the_sdk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "version", lambda _: "0.5.0")
    with pytest.raises(JoinError, match=r"pip install videosdk==0\.4\.1"):
        sdk.SdkInternals(object())


# What the SDK reports ------------------------------------------------------------------------


def listening(own_id: str = "face") -> tuple[RoomClient, Inbox]:
    """A real meeting of the SDK, which never joins, and who listens to it."""
    meeting: SdkMeeting = VideoSDK.init_meeting(
        meeting_id="room", token=TOKEN, participant_id=own_id
    )
    inbox = Inbox(own_id)
    meeting.add_event_listener(inbox)
    inside = sdk.SdkInternals(meeting)
    inside.on_peer_closed(inbox.peer_closed)
    return meeting._Meeting__room_client, inbox


def taken(inbox: Inbox) -> list[MeetingEvent | None]:
    events: list[MeetingEvent | None] = []
    while not inbox._events.empty():
        events.append(inbox._events.get_nowait())
    return events


def newcomer(participant_id: str, **more: str) -> dict[str, Any]:
    return {"id": participant_id, "displayName": "x", "device": "x", "mode": "x", **more}


def packet(payload: object, reliability: str = "RELIABLE", sender: object = "a") -> dict[str, Any]:
    return {"payload": payload, "from": sender, "timestamp": 1, "reliability": reliability}


@asynchronous
async def test_people_are_announced_once_by_whatever_way_they_are_known() -> None:
    client, inbox = listening()
    client.emit(Events.ADD_PEER, newcomer("bot", peerType="agent"))
    client.emit(
        Events.MEETING_JOINED,
        {
            "participants": [
                newcomer("bot", peerType="agent"),
                newcomer("second", peerType="agent"),
                newcomer("face"),
                newcomer("user"),
            ],
            "messages": [],
            "base_url": "x",
        },
    )
    client.emit(Events.ADD_PEER, newcomer("user"))
    assert inbox.joined
    assert taken(inbox) == [
        Joined("bot", is_agent=True),
        Joined("second", is_agent=True),
        Joined("user", is_agent=False),
    ]
    for participant_id in ("bot", "second", "user", "nobody", "user"):
        client.emit(Events.REMOVE_PEER, {"peerId": participant_id})
    assert taken(inbox) == [Left("bot"), Left("second"), Left("user")]
    client.emit(Events.ADD_PEER, newcomer("bot", peerType="agent"))
    assert taken(inbox) == [Joined("bot", is_agent=True)]


@asynchronous
async def test_the_channel_decides_what_a_packet_is() -> None:
    client, inbox = listening()
    client.emit(Events.CHAT_MESSAGE, packet("INTERRUPT"))
    client.emit(Events.CHAT_MESSAGE, packet("INTERRUPT!", "UNRELIABLE"))
    client.emit(Events.CHAT_MESSAGE, packet(b"\xff\xfe", "UNRELIABLE"))
    client.emit(Events.CHAT_MESSAGE, packet("null"))
    assert taken(inbox) == [
        Received("a", Interrupt()),
        Received("a", Pcm(b"INTERRUPT!")),
        Received("a", Pcm(b"\xff\xfe")),
        Received("a", None),
    ]


@asynchronous
async def test_no_event_makes_the_listener_raise() -> None:
    client, inbox = listening()
    junk: list[Any] = [None, 5, "x", b"x", [], {}, {"id": 5}, {"peerId": []}, {"participants": [1]}]
    for action in [*(event.value for event in VideoSDKEvents), "peer-closed", "peer-listed", ""]:
        for data in junk:
            if action != VideoSDKEvents.EV_MEETING_LEFT.value:
                inbox.handle_event(action, data)
    for strange in (packet(5), packet(None), packet("x", "LATER"), packet("x", sender=None)):
        client.emit(Events.CHAT_MESSAGE, strange)
    assert inbox.unreadable > 0
    assert not any(isinstance(event, Joined | Left) for event in taken(inbox))
    client.emit(Events.CHAT_MESSAGE, packet("INTERRUPT"))
    assert taken(inbox) == [Received("a", Interrupt())]


@asynchronous
async def test_a_flood_costs_speech_first_then_control_and_never_who_is_there() -> None:
    client, inbox = listening()
    for _ in range(adapter.MAX_SPEECH + 10):
        client.emit(Events.CHAT_MESSAGE, packet("ab", "UNRELIABLE"))
    assert inbox.dropped == 10
    client.emit(Events.CHAT_MESSAGE, packet("INTERRUPT"))
    assert inbox.dropped == 10
    for _ in range(adapter.MAX_EVENTS):
        client.emit(Events.CHAT_MESSAGE, packet("INTERRUPT"))
    assert inbox.dropped == 10 + adapter.MAX_SPEECH + 1
    client.emit(Events.ADD_PEER, newcomer("bot", peerType="agent"))
    events = taken(inbox)
    assert len(events) == adapter.MAX_EVENTS + 1
    assert events[-1] == Joined("bot", is_agent=True)


# Tracks --------------------------------------------------------------------------------------


@asynchronous
async def test_the_tracks_hand_out_what_was_published_and_end_as_the_sdk_expects() -> None:
    tracks = Tracks()
    sound, picture = SoundTrack(tracks), PictureTrack(tracks)
    assert isinstance(sound, CustomAudioTrack)
    assert isinstance(picture, CustomVideoTrack)
    tracks.publish(AvatarFrame(1, BRIGHT, TONE))
    frame = await sound.recv()
    assert (frame.sample_rate, frame.samples, frame.pts) == (2 * SAMPLE_RATE, 2 * PIECE_SAMPLES, 0)
    assert np.array_equal(frame.to_ndarray()[0], Doubler().push(TONE[:PIECE_SAMPLES]))
    assert (await picture.recv()).width == BRIGHT.width
    waiting = asyncio.create_task(picture.recv())
    await asyncio.sleep(0)
    tracks.close()
    with pytest.raises(MediaStreamError):
        await waiting
    assert picture.readyState == "ended"
    sound.stop()
    with pytest.raises(MediaStreamError):
        await sound.recv()


@asynchronous
async def test_a_browser_like_peer_hears_and_sees_what_was_published() -> None:
    tracks = Tracks()
    near, far = RTCPeerConnection(), RTCPeerConnection()
    received: dict[str, Any] = {}
    far.on("track", lambda track: received.__setitem__(track.kind, track))
    near.addTrack(SoundTrack(tracks))
    near.addTrack(PictureTrack(tracks))
    await near.setLocalDescription(await near.createOffer())
    await far.setRemoteDescription(near.localDescription)
    await far.setLocalDescription(await far.createAnswer())
    await near.setRemoteDescription(far.localDescription)

    async def publish() -> None:
        while True:
            tracks.publish(AvatarFrame(1, BRIGHT, TONE))
            await asyncio.sleep(0.04)

    publishing = asyncio.create_task(publish())
    picture = await received["video"].recv()
    sound = [await received["audio"].recv() for _ in range(20)]
    publishing.cancel()
    tracks.close()
    await near.close()
    await far.close()
    assert isinstance(picture, av.VideoFrame)
    assert abs(picture.to_ndarray(format="gray").mean() - 200) < 20
    pcm = np.concatenate([frame.to_ndarray().ravel() for frame in sound[5:]]).astype(float)
    assert np.sqrt(np.mean(pcm**2)) > 4000


# Joining -------------------------------------------------------------------------------------


@asynchronous
async def test_joining_publishes_both_tracks_under_the_given_name(
    certificate: Certificate,
) -> None:
    people = [newcomer("bot", peerType="agent")]
    async with joined(certificate, peers=people) as (room, meeting):
        assert room.queries[0]["peerId"] == "face"
        assert room.queries[0]["secret"] == TOKEN
        assert [each for each in room.methods if each.startswith("produce")] == [
            "produce",
            "produce",
            "produceData",
            "produceData",
        ]
        assert await some(meeting, 1) == [Joined("bot", is_agent=True)]
        await room.notify("newPeer", newcomer("user"))
        await room.notify("peerClosed", {"peerId": "bot"})
        assert await some(meeting, 2) == [Joined("user", is_agent=False), Left("bot")]


@asynchronous
async def test_without_a_signalling_address_the_platforms_own_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def refuse(room: str, token: str, host: str) -> None:
        asked.append((room, token, host))
        raise OSError

    monkeypatch.setattr(sdk, "get_server_config", refuse)
    meeting = VideoSDKMeeting(JoinInfo("room", TOKEN), Settings())
    with pytest.raises(JoinError):
        await meeting.join()
    assert asked == [("room", TOKEN, "api.videosdk.live")]
    assert not {"signaling_base_url", "participant_id"} & set(meeting._options())


@asynchronous
async def test_two_meetings_in_one_process_do_not_mix(certificate: Certificate) -> None:
    async with joined(certificate) as (one, first), joined(certificate) as (two, second):
        assert first._sdk is not second._sdk
        await one.notify("newPeer", newcomer("bot", peerType="agent"))
        await two.notify("newPeer", newcomer("user"))
        assert await some(first, 1) == [Joined("bot", is_agent=True)]
        assert await some(second, 1) == [Joined("user", is_agent=False)]
        await first.leave()
        assert second._internals is not None
        assert second._internals.lost() is None


FAILURES: list[tuple[dict[str, Any], str]] = [
    ({"status": 401}, r"refused the token \(HTTP 401\)"),
    ({"status": 500}, "answered HTTP 500"),
    ({"body": b"<html>"}, "not VideoSDK's"),
    ({"body": b'{"data":{"iceServers":"AAAA"}}'}, "not VideoSDK's"),
    ({"refuse_socket": 403}, r"signalling server refused the connection \(HTTP 403\)"),
    ({"refuse": {"join"}}, "did not let the worker in: "),
    ({"refuse": {"createWebRtcTransport"}}, "did not let the worker in: Error while Creating"),
    ({"refuse": {"produceData"}}, "did not let the worker in: Error while Producing Data"),
    ({"refuse": {"produce"}}, "did not let the worker in: Error while Producing Media"),
]


@pytest.mark.parametrize(("changes", "reason"), FAILURES)
async def test_whatever_refuses_the_worker_is_named_without_the_token(
    changes: dict[str, Any], reason: str, certificate: Certificate
) -> None:
    room = Signalling()
    for name, value in changes.items():
        setattr(room, name, value)
    async with room.running(certificate):
        meeting = worker_in(room)
        with pytest.raises(JoinError, match=reason) as failure:
            await join(meeting)
        assert TOKEN not in str(failure.value)
        assert "\n" not in str(failure.value)
        await meeting.leave()
        with pytest.raises(MeetingError):
            await meeting.send(Interrupt())


@pytest.mark.parametrize(("changes", "final"), [
    ({"status": 400}, True),
    ({"status": 401}, True),
    ({"status": 404}, True),
    ({"status": 408}, False),
    ({"status": 429}, False),
    ({"status": 500}, False),
    ({"status": 503}, False),
    ({"refuse_socket": 404}, True),
    ({"refuse_socket": 429}, False),
    ({"refuse_socket": 502}, False),
    ({"refuse": {"join"}}, False),
])  # fmt: skip
async def test_what_the_meeting_refuses_for_good_is_not_tried_again(
    changes: dict[str, Any], final: bool, certificate: Certificate
) -> None:
    """A worker that ends with JoinRefused has no successor, and its reason is the session's."""

    room = Signalling()
    for name, value in changes.items():
        setattr(room, name, value)
    async with room.running(certificate):
        meeting = worker_in(room)
        with pytest.raises(JoinError) as failure:
            await join(meeting)
        assert isinstance(failure.value, JoinRefused) == final
        await meeting.leave()


@asynchronous
async def test_a_server_that_is_not_there_is_named(unused_port: int) -> None:
    info = JoinInfo("room", TOKEN, "face", f"127.0.0.1:{unused_port}")
    meeting = VideoSDKMeeting(info, Settings())
    with pytest.raises(JoinError, match=rf"127\.0\.0\.1:{unused_port} cannot be reached"):
        await meeting.join()
    await meeting.leave()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port: int = closed.getsockname()[1]
        return port


@asynchronous
async def test_a_silent_server_costs_the_deadline_and_not_the_event_loop() -> None:
    silent: list[asyncio.StreamWriter] = []

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)
        with contextlib.suppress(ConnectionError):
            await reader.read()

    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        meeting = VideoSDKMeeting(
            JoinInfo("room", TOKEN, "face", host), Settings(join_timeout_s=1.0)
        )
        beating = asyncio.create_task(beat())
        began = time.monotonic()
        with pytest.raises(JoinError, match=r"was not joined within 1 s: .* did not answer"):
            await meeting.join()
        assert time.monotonic() - began >= 1.0
        beating.cancel()
        assert beats >= 5
        await meeting.leave()
        left_behind = [each for each in threading.enumerate() if each.name == "videosdk-config"]
        assert all(each.daemon for each in left_behind)
        for writer in silent:
            writer.close()
            await writer.wait_closed()
        await until(lambda: not any(each.is_alive() for each in left_behind))


@pytest.mark.parametrize(
    ("silent", "stage"),
    [
        ({"getRouterRtpCapabilities"}, "the signalling server did not answer"),
        ({"join"}, "the signalling server did not answer"),
        (set(), "its media servers did not answer; let UDP through"),
    ],
)
async def test_a_join_that_hangs_says_where(
    silent: set[str], stage: str, certificate: Certificate
) -> None:
    room = Signalling()
    room.silent = silent
    async with room.running(certificate):
        meeting = worker_in(room, timeout_s=0.5)
        with pytest.raises(JoinError, match=stage):
            await meeting.join()
        await meeting.leave()


@pytest.mark.parametrize("name", ["room_name", "participant_id", "token"])
def test_what_the_sdk_would_tear_an_address_with_is_refused(name: str) -> None:
    fields = {"room_name": "room", "participant_id": "face", "token": TOKEN, name: "a&mode=x y"}
    meeting = VideoSDKMeeting(JoinInfo(**fields), Settings())
    with pytest.raises(JoinError, match=f"`{name}`") as failure:
        asyncio.run(meeting.join())
    assert "mode" not in str(failure.value)


# In the meeting ------------------------------------------------------------------------------


@asynchronous
async def test_data_is_taken_and_media_declined(certificate: Certificate) -> None:
    async with joined(certificate) as (room, meeting):
        threads = threading.active_count()
        for kind, payload_type in (("audio", 100), ("video", 101)):
            answer = await room.request(
                "newConsumer",
                {
                    "id": f"consumer-{kind}",
                    "peerId": "user",
                    "producerId": "p",
                    "kind": kind,
                    "type": "simple",
                    "producerPaused": False,
                    "rtpParameters": {"mid": "0", "codecs": [{"payloadType": payload_type}]},
                    "appData": {"peerId": "user"},
                },
            )
            assert answer["ok"] is True
        for stream, label in enumerate(("reliable_data_producer", "unreliable_data_producer")):
            answer = await room.request(
                "newDataConsumer",
                {
                    "id": label,
                    "peerId": "bot",
                    "dataProducerId": "p",
                    "sctpStreamParameters": {"streamId": stream, "ordered": False},
                    "label": label,
                    "protocol": "",
                    "appData": {},
                },
            )
            assert answer["ok"] is True
        await room.notify("consumerClosed", {"consumerId": "consumer-audio"})
        client = client_of(meeting)
        assert client._RoomClient__consumers == {}
        assert threading.active_count() == threads
        assert "resumeConsumer" not in room.methods
        consumers = client._RoomClient__data_consumers
        consumers["reliable_data_producer"].emit("message", b'{"type":"segment_end"}')
        consumers["unreliable_data_producer"].emit("message", bytes(960))
        assert await some(meeting, 2) == [
            Received("bot", SegmentEnd()),
            Received("bot", Pcm(bytes(960))),
        ]


@asynchronous
async def test_messages_go_to_the_channel_that_they_belong_to(certificate: Certificate) -> None:
    async with joined(certificate) as (_, meeting):
        client = client_of(meeting)
        await meeting.send(StreamEnded(1.5, interrupted=False))
        assert client._reliable_data_producer.bufferedAmount > 0
        assert client._unreliable_data_producer.bufferedAmount == 0
        await meeting.send(Pcm(bytes(960)))
        assert client._unreliable_data_producer.bufferedAmount == 960


@asynchronous
async def test_a_send_that_the_sdk_never_finishes_is_given_up(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_sends, "SEND_TIMEOUT_S", 0.05)
    async with joined(certificate) as (_, meeting):
        for _ in range(5):
            await meeting.send(Pcm(bytes(15_000)))
        with pytest.raises(MeetingError, match=r"full for 0\.05 s"):
            await meeting.send(Pcm(bytes(960)))
        await meeting.send(Interrupt())


@asynchronous
async def test_a_send_that_the_sdk_refuses_is_a_meeting_error(certificate: Certificate) -> None:
    async with joined(certificate) as (_, meeting):
        transport = client_of(meeting)._RoomClient__send_transport
        transport.handler.emit("@connectionstatechange", "disconnected")
        with pytest.raises(MeetingError, match=r"refused a packet \(ConnectionError\)"):
            await meeting.send(Interrupt())


# How it ends ---------------------------------------------------------------------------------


@asynchronous
async def test_leaving_ends_the_messages_and_the_tracks_and_may_be_repeated(
    certificate: Certificate,
) -> None:
    async with joined(certificate) as (room, meeting):

        async def read() -> list[MeetingEvent]:
            return [event async for event in meeting.messages()]

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        await asyncio.gather(meeting.leave(), meeting.leave())
        await meeting.leave()
        assert await asyncio.wait_for(reading, WAIT_TIMEOUT_S) == []
        assert await some(meeting, 1) == []
        await until(lambda: room.sockets[0].state.name == "CLOSED")
        client = client_of(meeting)
        for name in ("send", "recv"):
            assert getattr(client, f"_RoomClient__{name}_transport").closed
        with pytest.raises(MeetingError):
            await meeting.send(Interrupt())
        meeting.publish(AvatarFrame(1, BRIGHT, TONE))
        assert meeting.cut() == FRAME_SAMPLES


@asynchronous
async def test_a_meeting_that_was_never_joined_can_be_left() -> None:
    meeting = VideoSDKMeeting(JoinInfo("room", TOKEN), Settings())
    await meeting.leave()
    await meeting.leave()
    with pytest.raises(MeetingError, match="not joined"):
        await some(meeting, 1)


@asynchronous
async def test_leaving_does_not_wait_for_ever(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "LEAVE_S", 0.1)

    async def never() -> None:
        await asyncio.sleep(3600)

    room = Signalling()
    async with room.running(certificate):
        meeting = worker_in(room)
        await join(meeting)
        assert meeting._internals is not None
        leave = meeting._internals.leave
        monkeypatch.setattr(meeting._internals, "leave", never)
        with within(10):
            await meeting.leave()
        await leave()


def close_cleanly(room: Signalling, _: Any) -> Awaitable[Any]:
    return room.sockets[0].close()


async def cut_the_wire(room: Signalling, _: Any) -> None:
    room.sockets[0].transport.abort()


async def end_it(room: Signalling, _: Any) -> None:
    await room.sockets[0].send('{"request":true,"id":1,"method":"close","data":{}}')


async def fail_sending(_: Signalling, client: Any) -> None:
    client._RoomClient__send_transport.handler.emit("@connectionstatechange", "closed")


async def fail_receiving(_: Signalling, client: Any) -> None:
    await client._RoomClient__recv_transport.handler.pc.close()


async def close_the_channel(_: Signalling, client: Any) -> None:
    client._reliable_data_producer._dataChannel._setReadyState("closed")


async def break_the_encoder(_: Signalling, client: Any) -> None:
    client._RoomClient__video_producer.track.stop()


LOSSES: list[tuple[Callable[[Signalling, Any], Awaitable[Any]], str]] = [
    (close_cleanly, "the signalling connection has closed"),
    (cut_the_wire, "the signalling connection has closed"),
    (fail_sending, "the send transport is closed"),
    (fail_receiving, "the recv transport is closed"),
    (close_the_channel, "the data channel has closed"),
    (break_the_encoder, "the video track has stopped"),
]


@pytest.mark.parametrize(("misfortune", "reason"), LOSSES)
async def test_a_meeting_that_is_gone_says_so(
    misfortune: Callable[[Signalling, Any], Awaitable[Any]], reason: str, certificate: Certificate
) -> None:
    async with joined(certificate) as (room, meeting):
        await misfortune(room, client_of(meeting))
        assert f"is gone: {reason}." in await loss_of(meeting)


@asynchronous
async def test_a_server_that_tells_the_worker_to_leave_has_the_last_word(
    certificate: Certificate,
) -> None:
    async with joined(certificate) as (room, meeting):
        await end_it(room, client_of(meeting))
        with pytest.raises(Dismissed, match="told the worker to leave"):
            await some(meeting, 1_000_000)


@asynchronous
async def test_a_goodbye_that_comes_behind_the_closing_of_the_channels_counts(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "WATCH_S", 1.0)
    async with joined(certificate) as (room, meeting):
        await close_the_channel(room, client_of(meeting))
        listening = asyncio.create_task(some(meeting, 1_000_000))
        await asyncio.sleep(0.2)  # it has been seen
        assert not listening.done()
        await end_it(room, client_of(meeting))
        with pytest.raises(Dismissed, match="told the worker to leave"):
            await listening


@asynchronous
async def test_sound_comes_out_of_the_encoder_as_soon_as_it_goes_in() -> None:
    """At another rate the encoder's resampler keeps the newest 20 ms for itself."""
    tracks = Tracks()
    sound, encoder = SoundTrack(tracks), OpusEncoder()
    tracks.publish(AvatarFrame(1, BRIGHT, TONE))
    for count in range(2):
        packets, timestamp = encoder.encode(await sound.recv())
        assert (len(packets), timestamp) == (1, 960 * count)


@asynchronous
async def test_a_signalling_server_that_has_stopped_answering_is_noticed(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk, "PING_S", 0.1)
    monkeypatch.setattr(sdk, "PONG_S", 0.1)
    monkeypatch.setattr(sdk, "CLOSE_S", 0.1)
    async with joined(certificate) as (room, meeting):
        await asyncio.sleep(0.3)
        assert meeting._internals is not None
        assert meeting._internals.lost() is None
        room.sockets[0].transport.pause_reading()
        assert "the signalling connection has closed" in await loss_of(meeting)
        room.sockets[0].transport.abort()


@asynchronous
async def test_a_host_who_mutes_the_face_does_not_end_it(certificate: Certificate) -> None:
    async with joined(certificate) as (room, meeting):
        producer = client_of(meeting)._RoomClient__audio_producer
        request = {"request": True, "id": 1, "method": "disableMic", "data": {"peerId": "face"}}
        await room.sockets[0].send(json.dumps(request))
        await until(lambda: producer.track.readyState == "ended")
        assert producer.closed
        assert meeting._internals is not None
        assert meeting._internals.lost() is None


@asynchronous
async def test_neither_token_nor_payload_is_logged(
    certificate: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("avatar").setLevel(logging.DEBUG)
    async with joined(certificate) as (_, meeting):
        await meeting.send(StreamEnded(1.5, interrupted=False))
    text = caplog.text + "".join(record.getMessage() for record in caplog.records)
    assert f"joined meeting {hash_of('room')} as face" in text
    assert f"left meeting {hash_of('room')};" in text
    assert TOKEN not in text
    assert "stream_ended" not in text
