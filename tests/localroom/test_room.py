"""The local room as the real SDK sees it: who is there, what is said, seen, heard, and lost."""

import asyncio
import functools
import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aioice.ice
import pytest
from meeting_contract import RELIABLE, UNRELIABLE, PeerListener, until
from painter import BRIGHT, DARK, HIGH_HZ, LOW_HZ, Paint, luma, pitch_hz, received, tracks
from room_stage import TOKEN, RoomRecording, RoomStage, leave, room_process
from videosdk.utils import get_server_config
from websockets.asyncio.client import connect

from avatar_runtime.programs import command
from localroom.faults import DatagramFaults, Faults, MessageFaults, PeerFaults
from localroom.launch import LocalRoom, RoomError
from localroom.media.rtp import begins_key_frame

ROOT = Path(__file__).parents[2]
ANY_PORT = ("--port", "0", "--control-port", "0")

Scene = Callable[[RoomStage], Awaitable[None]]


@pytest.fixture(scope="module")
def local() -> Iterator[LocalRoom]:
    with room_process() as room:
        yield room


def on_stage(scene: Scene) -> Callable[[LocalRoom], None]:
    """The scene as a test, in a room that has its name."""

    @functools.wraps(scene)
    def test(local: LocalRoom) -> None:
        play(scene, local, scene.__name__)

    del test.__wrapped__  # type: ignore[attr-defined]  # pytest would look for its arguments
    return test


def play(scene: Scene, local: LocalRoom, room_id: str) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), RoomStage(local, room_id).open() as stage:
            await scene(stage)

    asyncio.run(run())


class Events:
    """What the SDK tells a participant, in order."""

    def __init__(self, peer: Any) -> None:
        self.all: list[tuple[str, Any]] = []
        peer.add_event_listener(self)

    def handle_event(self, action: str, data: Any) -> None:
        self.all.append((action, data))

    @property
    def states(self) -> list[str]:
        return [data["state"] for action, data in self.all if action == "meeting-state-changed"]

    @property
    def errors(self) -> list[str]:
        return [data for action, data in self.all if action == "error"]

    @property
    def people(self) -> list[tuple[str, str]]:
        return [
            (action.removeprefix("participant-"), data.id)
            for action, data in self.all
            if action.startswith("participant-")
        ]


def payloads(listener: PeerListener) -> list[Any]:
    return [data["payload"] for data in listener.data]


# Who is there ------------------------------------------------------------------------------------


@on_stage
async def test_peers_leave_and_return_and_hear_each_other_again(stage: RoomStage) -> None:
    stays = await stage.enter("stays")
    events, data = Events(stays), PeerListener(stays)
    for count in range(1, 4):
        guest = await stage.enter("guest")
        heard = PeerListener(guest)
        await guest.send(f"here {count}", RELIABLE)
        await stays.send(f"welcome {count}", UNRELIABLE)
        await until(lambda: len(data.data) == count and heard.data)  # noqa: B023
        await stage.exit(guest)
        await until(lambda: len(events.people) == 2 * count)  # noqa: B023
    assert payloads(data) == ["here 1", "here 2", "here 3"]
    assert events.people == [("joined", "guest"), ("left", "guest")] * 3
    assert events.errors == []


@on_stage
async def test_a_second_peer_with_the_same_id_evicts_the_first(stage: RoomStage) -> None:
    watcher = await stage.enter("watcher")
    events, data = Events(watcher), PeerListener(watcher)
    first = await stage.enter("twin")
    evicted = Events(first)
    second = await stage.enter("twin")
    await until(lambda: "CLOSED" in evicted.states)
    assert ("meeting-left", {}) in evicted.all
    assert events.people == [("joined", "twin"), ("left", "twin"), ("joined", "twin")]
    await second.send("it is me", RELIABLE)
    await until(lambda: data.data)
    assert set(await stage.state()) == {"watcher", "twin"}


@on_stage
async def test_a_peer_that_is_evicted_silently_goes_on_and_nobody_hears_it(
    stage: RoomStage,
) -> None:
    await asyncio.to_thread(stage.local.set_faults, Faults(eviction="silent"))
    watcher = await stage.enter("watcher")
    events, data = Events(watcher), PeerListener(watcher)
    first = await stage.enter("twin")
    evicted = Events(first)
    second = await stage.enter("twin")
    await first.send("it was me", RELIABLE)
    await second.send("it is me", RELIABLE)
    await until(lambda: data.data)
    assert payloads(data) == ["it is me"]
    assert events.people == [("joined", "twin"), ("left", "twin"), ("joined", "twin")]
    assert "CLOSED" not in evicted.states
    await stage.exit(first)
    assert set(await stage.state()) == {"watcher", "twin"}


@on_stage
async def test_when_all_have_left_no_room_is_left(stage: RoomStage) -> None:
    peers = [await stage.enter(name) for name in ("a", "b")]
    assert set(await stage.state()) == {"a", "b"}
    for peer in peers:
        await stage.exit(peer)
    while await stage.state():
        await asyncio.sleep(0.01)


@on_stage
async def test_a_host_may_send_others_away(stage: RoomStage) -> None:
    host = await stage.enter("host")
    guest = Events(await stage.enter("guest"))
    client = host._Meeting__room_client
    client.remove_peer("guest")
    await until(lambda: "CLOSED" in guest.states)
    client.close()
    await until(lambda: client._closed)


# What is said ------------------------------------------------------------------------------------


@on_stage
async def test_data_goes_both_ways_on_both_channels_and_text_comes_as_text(
    stage: RoomStage,
) -> None:
    a, b = await stage.enter("a"), await stage.enter("b")
    sent = ["text", b"bytes", b"\xff\x00", b"", bytes(15_360)]
    heard = ["text", "bytes", b"\xff\x00", "", "\0" * 15_360]
    for options in (RELIABLE, UNRELIABLE):
        for speaker, other in ((a, b), (b, a)):
            listener = PeerListener(other)
            for payload in sent:
                await speaker.send(payload, options)
            await until(lambda: len(listener.data) == len(sent))  # noqa: B023
            assert payloads(listener) == heard
            assert {data["reliability"] for data in listener.data} == {options["reliability"]}
            assert {data["from"] for data in listener.data} == {speaker.local_participant.id}


@on_stage
async def test_many_messages_arrive_once_each(stage: RoomStage) -> None:
    a, b = await stage.enter("a"), PeerListener(await stage.enter("b"))
    for number in range(500):
        await a.send(f"{number:04}".encode() + b"\xff" * 956, UNRELIABLE)
    await until(lambda: len(b.data) == 500)
    assert sorted(int(payload[:4]) for payload in payloads(b)) == list(range(500))


@on_stage
async def test_messages_of_a_topic_are_kept_for_those_who_subscribe_later(
    stage: RoomStage,
) -> None:
    a = await stage.enter("a")
    heard: list[Any] = []
    subscription = {"topic": "CHAT", "cb": heard.append}
    await a.pubsub.subscribe(subscription)
    published = {"topic": "CHAT", "message": "hello", "options": {"persist": True}}
    await a.pubsub.publish(published)
    await until(lambda: heard)
    b = await stage.enter("b")
    history = await b.pubsub.subscribe({"topic": "CHAT", "cb": heard.append})
    assert heard[0]["message"] == "hello"
    assert [message["senderId"] for message in history] == ["a"]


# What is seen and heard --------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["painter", "viewer"])
def test_pictures_and_sound_arrive_whoever_comes_first(local: LocalRoom, first: str) -> None:
    async def scene(stage: RoomStage) -> None:
        names = [first, *({"painter", "viewer"} - {first})]
        peers = {
            name: await stage.enter(name, **(tracks(BRIGHT, LOW_HZ) if name == "painter" else {}))
            for name in names
        }
        recording = await stage.watch(peers["viewer"], "painter")
        await received(recording)
        assert luma(recording) == pytest.approx(BRIGHT, abs=3)
        assert pitch_hz(recording) == pytest.approx(LOW_HZ, abs=4)
        painter = peers["viewer"].participants["painter"]
        assert painter.mic_on
        assert painter.webcam_on

    play(scene, local, f"first-{first}")


@on_stage
async def test_everybody_sees_the_right_ones(stage: RoomStage) -> None:
    dark = await stage.enter("dark", **tracks(DARK, LOW_HZ))
    bright = await stage.enter("bright", **tracks(BRIGHT, HIGH_HZ))
    of_bright = await stage.watch(dark, "bright")
    of_dark = await stage.watch(bright, "dark")
    await received(of_bright)
    await received(of_dark)
    assert luma(of_bright) == pytest.approx(BRIGHT, abs=3)
    assert luma(of_dark) == pytest.approx(DARK, abs=3)
    assert pitch_hz(of_bright) == pytest.approx(HIGH_HZ, abs=4)
    assert pitch_hz(of_dark) == pytest.approx(LOW_HZ, abs=4)


@on_stage
async def test_a_camera_goes_off_and_on(stage: RoomStage) -> None:
    viewer = await stage.enter("viewer")
    painter = await stage.enter("painter", **tracks(DARK, LOW_HZ))
    await received(await stage.watch(viewer, "painter"))
    participant = viewer.participants["painter"]
    painter.disable_webcam()
    await until(lambda: not participant.webcam_on)
    assert [stream.kind for stream in participant.streams.values()] == ["audio"]
    painter.enable_webcam(Paint(BRIGHT))
    await until(lambda: len(participant.streams) == 2)
    assert participant.webcam_on
    track = next(each.track for each in participant.streams.values() if each.kind == "video")
    recording = RoomRecording()
    stage.tasks.append(asyncio.create_task(recording.see(track)))
    await until(lambda: len(recording.pictures) > 10)
    assert luma(recording) == pytest.approx(BRIGHT, abs=3)


@on_stage
async def test_what_flows_is_counted(stage: RoomStage) -> None:
    viewer = await stage.enter("viewer")
    painter = await stage.enter("painter", **tracks(DARK, LOW_HZ))
    await received(await stage.watch(viewer, "painter"))
    listener = PeerListener(viewer)
    await painter.send("hello", RELIABLE)
    await until(lambda: listener.data)
    seen = (await stage.state())["painter"]
    counts = {each["kind"]: each for each in seen["producers"]}
    assert counts["video"]["packets"] >= 20
    assert counts["video"]["key_frames"] >= 1
    assert counts["video"]["plis"] >= 1
    assert counts["audio"]["bytes"] > counts["audio"]["packets"] * 12
    consumes = (await stage.state())["viewer"]["consumes"]
    (shown,) = [each for each in consumes if each["kind"] == "video"]
    assert shown["bytes"] > shown["packets"] * 12
    rtt_ms: float | None = None
    while rtt_ms is None:  # the acknowledgement may come after the message
        stats = await viewer.local_participant.async_get_transport_stats()
        rtt_ms = stats["rtt"]
    assert 0 <= rtt_ms < 1000
    of_painter = await viewer.participants["painter"].async_get_transport_stats()
    assert of_painter["raw"]["send"]["packetsReceived"] >= counts["video"]["packets"]
    assert of_painter["raw"]["send"]["dtlsState"] == "connected"
    assert stats["raw"]["recv"]["bytesSent"] >= shown["bytes"]


def test_only_the_first_packet_of_a_key_frame_begins_one() -> None:
    header = bytes([0x80, 97, *bytes(10)])
    extended = bytes([0x90, 97, *bytes(10), 0xBE, 0xDE, 0, 1, *bytes(4)])
    with_picture_id = b"\x90\x80\x12"
    assert begins_key_frame(header + b"\x10" + b"\x00 key frame")
    assert begins_key_frame(extended + with_picture_id + b"\x00 key frame")
    assert not begins_key_frame(header + b"\x10" + b"\x01 delta frame")
    assert not begins_key_frame(header + b"\x00" + b"\x00 later packet")
    assert not begins_key_frame(header)


# What goes wrong ---------------------------------------------------------------------------------


@on_stage
async def test_messages_are_dropped_doubled_and_delayed_as_asked(stage: RoomStage) -> None:
    a, b = await stage.enter("a"), PeerListener(await stage.enter("b"))
    stage.local.set_faults(
        Faults(MessageFaults(drop=(False, True, False), duplicate=(True, False), delay_s=0.2))
    )
    sent_at = time.monotonic()
    for number in range(4):
        await a.send(str(number), RELIABLE)
    await until(lambda: len(b.data) == 4)
    assert time.monotonic() - sent_at >= 0.2
    assert payloads(b) == ["0", "0", "2", "3"]


@on_stage
async def test_messages_change_places_and_only_of_the_peer_that_is_meant(
    stage: RoomStage,
) -> None:
    a, b = await stage.enter("a"), await stage.enter("b")
    of_a, of_b = PeerListener(b), PeerListener(a)
    shuffled = PeerFaults(MessageFaults(reorder=(True, False), jitter_s=0.3))
    stage.local.set_faults(Faults(peers={"a": shuffled}))
    for number in range(2):
        await a.send(str(number), UNRELIABLE)
        await b.send(str(number), UNRELIABLE)
    await until(lambda: len(of_a.data) == 2 and len(of_b.data) == 2)
    assert payloads(of_a) == ["1", "0"]
    assert payloads(of_b) == ["0", "1"]


@on_stage
async def test_lost_datagrams_cost_time_but_neither_speech_nor_the_picture(
    stage: RoomStage,
) -> None:
    viewer = await stage.enter("viewer")
    painter = await stage.enter("painter", **tracks(BRIGHT, LOW_HZ))
    recording = await stage.watch(viewer, "painter")
    listener = PeerListener(viewer)
    stage.local.set_faults(Faults(datagrams=DatagramFaults(loss=0.05)))
    for number in range(30):
        await painter.send(str(number), UNRELIABLE)
        await asyncio.sleep(0.01)
    await until(lambda: len(listener.data) == 30)
    await received(recording)
    assert sorted(map(int, payloads(listener))) == list(range(30))
    assert luma(recording) == pytest.approx(BRIGHT, abs=3)


@on_stage
async def test_a_media_path_dies_and_comes_back_while_the_signalling_lives_on(
    stage: RoomStage,
) -> None:
    a, b = await stage.enter("a"), await stage.enter("b")
    events, listener, back = Events(b), PeerListener(b), PeerListener(a)
    stage.local.set_faults(Faults(peers={"b": PeerFaults(datagrams=DatagramFaults(loss=1.0))}))
    await a.send("through the dark", UNRELIABLE)
    await stage.participant("late").async_join()
    await until(lambda: events.people == [("joined", "late")])
    assert listener.data == []
    stage.local.set_faults(Faults())
    await until(lambda: payloads(listener) == ["through the dark"])
    await b.send("and back", UNRELIABLE)
    await until(lambda: payloads(back) == ["and back"])


@on_stage
async def test_late_datagrams_are_late_both_ways(stage: RoomStage) -> None:
    a, b = await stage.enter("a"), await stage.enter("b")
    stage.local.set_faults(Faults(peers={"a": PeerFaults(datagrams=DatagramFaults(0.0, 0.1))}))
    for speaker, other in ((a, b), (b, a)):
        listener = PeerListener(other)
        sent_at = time.monotonic()
        await speaker.send("x", RELIABLE)
        await until(lambda: listener.data)  # noqa: B023
        assert time.monotonic() - sent_at >= 0.1


@on_stage
async def test_a_socket_that_is_closed_says_nothing_and_one_that_is_cut_says_a_little(
    stage: RoomStage,
) -> None:
    watcher = Events(await stage.enter("watcher"))
    closed, cut = Events(await stage.enter("closed")), Events(await stage.enter("cut"))
    stage.local.act(stage.room_id, "closed", "drop")
    await until(lambda: ("left", "closed") in watcher.people)
    stage.local.act(stage.room_id, "cut", "cut")
    await until(lambda: ("left", "cut") in watcher.people)
    await until(lambda: cut.errors)
    assert cut.errors == ["Internal socket Error"]
    assert [action for action, _ in closed.all] == ["participant-joined"]
    assert cut.states == []


@on_stage
async def test_a_frozen_socket_is_silent_while_data_flows_on(stage: RoomStage) -> None:
    a, b = await stage.enter("a"), await stage.enter("b")
    stage.local.act(stage.room_id, "b", "freeze")
    events, listener = Events(b), PeerListener(b)
    late = stage.participant("late")
    await late.async_join()
    await a.send("still there", RELIABLE)
    await until(lambda: listener.data)
    assert events.people == []
    stage.local.act(stage.room_id, "b", "thaw")
    await until(lambda: events.people == [("joined", "late")])
    await stage.is_connected()


@pytest.mark.parametrize("entry", ["401", "500"])
def test_an_entry_that_refuses_fails_the_join(local: LocalRoom, entry: str) -> None:
    async def scene(stage: RoomStage) -> None:
        stage.local.set_faults(Faults(entry=entry))
        peer = stage.participant("a")
        events = Events(peer)
        await peer.async_join()
        assert events.states == ["FAILED"]
        assert events.errors == ["Failed to Join in the Meeting"]
        assert await stage.state() == {}

    play(scene, local, f"entry-{entry}")


@on_stage
async def test_who_speaks_no_protoo_is_put_out_and_hurts_nobody(stage: RoomStage) -> None:
    a, b = await stage.enter("a"), await stage.enter("b")
    url = urlsplit(a._Meeting__room_client._base_url, scheme="ws").path
    query = f"roomId={stage.room_id}&peerId=x&secret={TOKEN}"
    async with connect(f"ws://{url}/?{query}", subprotocols=["protoo"]) as stranger:  # type: ignore[list-item]
        for number, method in enumerate(("nonsense", "createWebRtcTransport", "join", "produce")):
            request = {"request": True, "id": number, "method": method, "data": []}
            await stranger.send(json.dumps(request))
            answer: dict[str, Any] = {}
            while "ok" not in answer:
                answer = json.loads(await stranger.recv())
            assert answer["ok"] is (method == "join")
        await stranger.send("{")
        await stranger.wait_closed()
    async with connect(f"ws://{url}/?roomId=&peerId=x", subprotocols=["protoo"]) as stranger:  # type: ignore[list-item]
        await stranger.wait_closed()
        assert stranger.close_code == 1008
    listener = PeerListener(b)
    await a.send("fine", RELIABLE)
    await until(lambda: listener.data)


def test_the_control_says_what_it_does_not_take(local: LocalRoom) -> None:
    with pytest.raises(RoomError, match="no such peer"):
        local.act("nowhere", "nobody", "cut")
    with pytest.raises(RoomError, match="known here"):
        local._request("PUT", "/faults", {"weather": "bad"})
    with pytest.raises(RoomError, match=r"api\.py"):
        local._request("GET", "/secrets")
    assert local._request("GET", "/faults") == json.loads(json.dumps(Faults().as_json()))
    connection = http.client.HTTPConnection(urlsplit(local.control_url).netloc)
    connection.request("PUT", "/faults", "x" * 100_000)
    assert connection.getresponse().status == 400
    connection.close()


# The program -------------------------------------------------------------------------------------


def test_a_machine_with_nothing_but_lo_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice skips 127.0.0.1, so there it has no address, and goes through the room's relay."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: [])

    async def scene(stage: RoomStage) -> None:
        viewer = await stage.enter("viewer")
        painter = await stage.enter("painter", **tracks(BRIGHT, LOW_HZ))
        recording, listener = await stage.watch(viewer, "painter"), PeerListener(viewer)
        await painter.send("over the relay", RELIABLE)
        await until(lambda: listener.data)
        await received(recording)
        assert luma(recording) == pytest.approx(BRIGHT, abs=3)

    with room_process("--relay") as room:
        play(scene, room, "lo")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, None])
def test_the_program_says_what_to_export_and_where_to_watch_and_leaves_nothing(
    end: signal.Signals | None,
) -> None:
    process = subprocess.Popen(
        [*command("localroom"), *ANY_PORT, *([] if end else ["--until-eof"])],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    values = dict(word.split("=", 1) for word in line.removeprefix("export ").split())
    room = {"REQUESTS_CA_BUNDLE", "SIGNALING_BASE_URL", "LOCALROOM_CONTROL"}
    assert set(values) == {*room, "NO_PROXY", "no_proxy"}
    assert process.stdout.readline() == f"# Watch: {values['LOCALROOM_CONTROL']}/watch\n"
    ca = Path(values["REQUESTS_CA_BUNDLE"])
    assert ca.read_text().startswith("-----BEGIN CERTIFICATE-----")
    if end is not None:
        process.send_signal(end)
    said, complaints = process.communicate(timeout=10)
    assert (process.returncode, said, complaints) == (0, "", "")
    assert not ca.parent.exists()


def test_a_room_ends_soon_even_if_somebody_in_it_does_not_answer() -> None:
    with room_process() as room:
        config = get_server_config("room", TOKEN, room.signaling_base_url)
        url = urlsplit(config["signaling_url"])
        silent = socket.create_connection((url.hostname, url.port))
        silent.sendall(
            b"GET /?roomId=room&peerId=silent&secret=x HTTP/1.1\r\nHost: here\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Protocol: protoo\r\n\r\n"
        )
        assert silent.recv(4096).startswith(b"HTTP/1.1 101")
        assert set(room.state()["room"]["peers"]) == {"silent"}
    assert not room.ca.exists()
    silent.close()


@pytest.mark.parametrize(
    "arguments", [["--host", "nowhere"], ["--host", "0.0.0.0"], ["--faults", '{"entry": "404"}']]
)
def test_a_room_that_cannot_be_says_why(arguments: list[str]) -> None:
    done = subprocess.run(
        command("localroom", *arguments), cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The room cannot be opened: ")


def test_leaving_twice_is_harmless(local: LocalRoom) -> None:
    async def scene(stage: RoomStage) -> None:
        peer = await stage.enter("a")
        await leave(peer)
        await leave(peer)

    play(scene, local, "twice")
