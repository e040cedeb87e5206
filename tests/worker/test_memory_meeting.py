"""The room in memory: the contract of a meeting, the SDK's surface, and every fault."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import virtual_time
from meeting_contract import (
    LOUD,
    RELIABLE,
    UNRELIABLE,
    MeetingContract,
    MessageReader,
    PeerListener,
    RoomFixture,
    publish,
    shade,
)

from agent_side.pending_sends import SEND_TIMEOUT_S
from agent_side.wire import MAX_PAYLOAD, Interrupt, Pcm
from worker.errors import JoinError, MeetingError, MeetingLost
from worker.media import PIECE_SAMPLES, SILENCE, AvatarFrame
from worker.meeting import Joined, Left, Received
from worker.meeting_support.memory_network import BUFFER_THRESHOLD, Counts, NetworkFaults
from worker.meeting_support.viewed_tracks import TrackRecording
from worker.meetings.memory import MAX_EVENTS, MemoryMeeting, MemoryPeer, MemoryRoom

SPEECH = b"\xff" * 960


class MemoryStage:
    def __init__(self) -> None:
        self.room = MemoryRoom()

    def meeting(self, participant_id: str = "avatar") -> MemoryMeeting:
        return self.room.join_worker(participant_id)

    def unreachable(self) -> MemoryMeeting:
        self.room.join_delay_s = 60.0
        return self.room.join_worker(join_timeout_s=0.5)

    async def enter(self, participant_id: str, *, is_agent: bool) -> MemoryPeer:
        return self.room.peer(participant_id, "agent" if is_agent else "normal")

    async def exit(self, peer: MemoryPeer) -> None:
        peer.leave()

    async def watch(self, peer: MemoryPeer, participant_id: str = "avatar") -> TrackRecording:
        return peer.watch(participant_id)


class TestMemoryMeeting(MeetingContract):
    @asynccontextmanager
    async def stage(self) -> AsyncIterator[RoomFixture]:
        yield MemoryStage()

    def play(self, scene: Callable[[RoomFixture], Awaitable[None]]) -> None:
        virtual_time.run(self.on_stage(scene))


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that is a coroutine."""

    def run() -> None:
        virtual_time.run(test())

    run.__name__ = test.__name__
    return run


def arrivals(listener: PeerListener) -> list[int]:
    """The numbers that `send_numbers` sent, as they came."""
    return [int(data["payload"]) for data in listener.data]


async def send_numbers(peer: MemoryPeer, count: int, options: Any = UNRELIABLE) -> None:
    for number in range(count):
        await peer.send(str(number), options)


# The SDK's surface -------------------------------------------------------------------------------


@in_virtual_time
async def test_data_has_the_shape_that_the_sdk_gives_it() -> None:
    room = MemoryRoom()
    listener = PeerListener(room.peer("user", "normal"))
    agent = room.peer("agent")
    assert await agent.send(b"text", RELIABLE) is True
    await agent.send(b"", UNRELIABLE)
    await agent.send(b"\xff\x00", UNRELIABLE)
    await agent.send("Text", None)
    await asyncio.sleep(0)
    now_ms = int(virtual_time.START_S * 1000)
    assert listener.data == [
        {"payload": "text", "from": "agent", "timestamp": now_ms, "reliability": "RELIABLE"},
        {"payload": "", "from": "agent", "timestamp": now_ms, "reliability": "UNRELIABLE"},
        {"payload": b"\xff\x00", "from": "agent", "timestamp": now_ms, "reliability": "UNRELIABLE"},
        {"payload": "Text", "from": "agent", "timestamp": now_ms, "reliability": "RELIABLE"},
    ]


@in_virtual_time
async def test_a_peer_knows_its_room_itself_and_the_others() -> None:
    room = MemoryRoom(room_id="room-1")
    agent = room.peer("agent")
    meeting = room.join_worker()
    await meeting.join()
    await asyncio.sleep(0)
    assert agent.id == "room-1"
    assert agent.local_participant.id == "agent"
    assert set(agent.participants) == {"avatar"}
    await meeting.leave()
    await asyncio.sleep(0)
    assert agent.participants == {}


@in_virtual_time
async def test_agents_and_others_are_announced_as_the_sdk_does() -> None:
    room = MemoryRoom()
    listener = PeerListener(room.peer("user", "normal"))
    agent = room.peer("agent")
    late = PeerListener(agent)
    await asyncio.sleep(0)
    agent.leave()
    agent.leave()
    await asyncio.sleep(0)
    assert listener.others == [("agent-joined", "agent"), ("agent-left", "agent")]
    assert late.others == [("participant-joined", "user")]


@in_virtual_time
async def test_wrong_payloads_are_refused_as_the_sdk_does() -> None:
    room = MemoryRoom()
    agent = room.peer("agent")
    for wrong in (5, None, bytearray(2), ["x"]):
        with pytest.raises(TypeError, match="Only str and bytes"):
            await agent.send(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="longer than 15360"):
        await agent.send(bytes(MAX_PAYLOAD + 1), UNRELIABLE)
    with pytest.raises(ValueError, match="longer than 15360"):
        await agent.send("ü" * (MAX_PAYLOAD // 2 + 1))
    assert await agent.send(bytes(MAX_PAYLOAD))


@in_virtual_time
async def test_a_removed_listener_hears_nothing_more() -> None:
    room = MemoryRoom()
    user = room.peer("user", "normal")
    listener = PeerListener(user)
    user.remove_event_listener(listener)
    with pytest.raises(ValueError):
        user.remove_event_listener(listener)
    await room.peer("agent").send(b"x")
    await asyncio.sleep(0)
    assert listener.data == []


@in_virtual_time
async def test_a_listener_that_raises_makes_its_peer_deaf_for_good() -> None:
    class Fragile:
        def handle_event(self, action: str, data: Any) -> None:
            if action == "data" and data["payload"] == "5":
                raise TypeError("int has no get")

    room = MemoryRoom()
    user, agent = room.peer("user", "normal"), room.peer("agent")
    user.add_event_listener(Fragile())
    listener = PeerListener(user)
    other = PeerListener(room.peer("other", "normal"))
    for payload in ("1", "5", "2"):
        await agent.send(payload)
        await asyncio.sleep(0)
    assert arrivals(listener) == [1]
    assert arrivals(other) == [1, 5, 2]
    assert user.deaf
    assert [type(error) for error in user.raised] == [TypeError]
    assert await user.send("0"), "the way out is another transport"
    user.leave()
    user.rejoin()
    await agent.send("3")
    await asyncio.sleep(0)
    assert arrivals(listener) == [1, 3]


@in_virtual_time
async def test_a_listener_that_raises_when_somebody_joins_is_survived() -> None:
    class Fragile:
        def handle_event(self, action: str, data: Any) -> None:
            if action == "agent-joined":
                raise KeyError("displayName")

    room = MemoryRoom()
    user = room.peer("user", "normal")
    user.add_event_listener(Fragile())
    listener = PeerListener(user)
    await room.peer("agent").send("1")
    await asyncio.sleep(0)
    assert arrivals(listener) == [1]
    assert len(user.raised) == 1
    assert not user.deaf


@in_virtual_time
async def test_a_name_is_taken_only_once() -> None:
    room = MemoryRoom()
    room.peer("avatar", "normal")
    with pytest.raises(ValueError, match="'avatar' is in the room already"):
        room.peer("avatar")
    with pytest.raises(JoinError, match="under another participant_id"):
        await room.join_worker("avatar").join()


# Connections that end ----------------------------------------------------------------------------


@in_virtual_time
async def test_who_is_cut_off_can_neither_send_nor_hear_and_nobody_notices() -> None:
    room = MemoryRoom()
    agent, user = room.peer("agent"), room.peer("user", "normal")
    listener, other = PeerListener(agent), PeerListener(user)
    await asyncio.sleep(0)
    agent.cut_off()
    with pytest.raises(ConnectionError):
        await agent.send("1")
    await user.send("2")
    await asyncio.sleep(1)
    assert listener.data == other.data == []
    assert ("agent-left", "agent") not in other.others
    agent.rejoin()
    await agent.send("3")
    await user.send("4")
    await asyncio.sleep(0)
    assert arrivals(listener) == [4]
    assert arrivals(other) == [3]


@in_virtual_time
async def test_who_has_left_can_come_back() -> None:
    room = MemoryRoom()
    agent, other = room.peer("agent"), PeerListener(room.peer("user", "normal"))
    agent.leave()
    with pytest.raises(ConnectionError):
        await agent.send("1")
    agent.rejoin()
    await agent.send("2")
    await asyncio.sleep(0)
    assert arrivals(other) == [2]
    assert [action for action, _ in other.others][-2:] == ["agent-left", "agent-joined"]


@in_virtual_time
async def test_a_lost_room_raises_after_what_was_received_before() -> None:
    room = MemoryRoom()
    agent = room.peer("agent")
    listener = PeerListener(agent)
    meeting = room.join_worker()
    await meeting.join()
    await agent.send(b"INTERRUPT")
    await asyncio.sleep(0)
    room.lose(meeting)
    reader = MessageReader(meeting)
    with pytest.raises(MeetingLost, match="taken away"):
        await reader.task
    assert reader.events == [Joined("agent", is_agent=True), Received("agent", Interrupt())]
    with pytest.raises(MeetingError):
        await meeting.send(Interrupt())
    await asyncio.sleep(0)
    assert ("participant-left", "avatar") in listener.others
    await meeting.leave()


@in_virtual_time
async def test_a_worker_can_be_replaced_under_the_same_name() -> None:
    room = MemoryRoom()
    agent = room.peer("agent")
    recording = agent.watch()
    for level in (1, 2):
        meeting = room.join_worker()
        await meeting.join()
        await publish(meeting, [AvatarFrame(1, shade(level), LOUD // level)])
        room.lose(meeting)
        await meeting.leave()
    assert [np.abs(piece.pcm).max() for piece in recording.sound] == [8000, 8000, 4000, 4000]


@in_virtual_time
async def test_what_a_worker_leaves_unread_is_bounded() -> None:
    room = MemoryRoom()
    agent = room.peer("agent")
    meeting = room.join_worker()
    await meeting.join()
    for _ in range(MAX_EVENTS + 100):
        await agent.send(SPEECH, UNRELIABLE)
    await asyncio.sleep(0)
    room.peer("user", "normal").leave()
    await asyncio.sleep(0)
    reader = MessageReader(meeting)
    await meeting.leave()
    await reader.task
    assert len(reader.received) == MAX_EVENTS - 1
    assert reader.events[-2:] == [Joined("user", is_agent=False), Left("user")]


# Faults -----------------------------------------------------------------------------------------


@in_virtual_time
async def test_without_faults_everything_arrives_once_in_order() -> None:
    room = MemoryRoom()
    agent, listener = room.peer("agent"), PeerListener(room.peer("user", "normal"))
    await send_numbers(agent, 100)
    await send_numbers(agent, 100, RELIABLE)
    await asyncio.sleep(0)
    assert arrivals(listener) == [*range(100), *range(100)]
    assert room.counts["agent"] == Counts(sent=200, delivered=200)


@in_virtual_time
async def test_loss_is_a_list() -> None:
    room = MemoryRoom(faults=NetworkFaults(drops=[False, True, False, True]))
    agent, listener = room.peer("agent"), PeerListener(room.peer("user", "normal"))
    other = PeerListener(room.peer("other", "normal"))
    await send_numbers(agent, 6)
    await asyncio.sleep(0)
    assert arrivals(listener) == arrivals(other) == [0, 2, 4, 5]
    assert room.counts["agent"] == Counts(sent=6, dropped=4, delivered=8)


@in_virtual_time
async def test_duplication_is_a_list() -> None:
    room = MemoryRoom(faults=NetworkFaults(copies=[1, 3, 2]))
    agent, listener = room.peer("agent"), PeerListener(room.peer("user", "normal"))
    await send_numbers(agent, 4)
    await asyncio.sleep(0)
    assert arrivals(listener) == [0, 1, 1, 1, 2, 2, 3]
    assert room.counts["agent"] == Counts(sent=4, duplicated=3, delivered=7)


@in_virtual_time
async def test_delays_are_a_list_and_make_packets_overtake() -> None:
    room = MemoryRoom(faults=NetworkFaults(delays_s=[0.3, 0.0, 0.1]))
    agent, listener = room.peer("agent"), PeerListener(room.peer("user", "normal"))
    await send_numbers(agent, 4)
    await asyncio.sleep(1)
    assert arrivals(listener) == [1, 3, 2, 0]
    late_ms = [data["timestamp"] - int(virtual_time.START_S * 1000) for data in listener.data]
    assert late_ms == pytest.approx([0, 0, 100, 300], abs=1)


@in_virtual_time
async def test_packets_of_one_delay_keep_their_order() -> None:
    room = MemoryRoom(faults=NetworkFaults(delay_s=(0.05, 0.05)))
    agent, listener = room.peer("agent"), PeerListener(room.peer("user", "normal"))
    await send_numbers(agent, 500)
    await asyncio.sleep(1)
    assert arrivals(listener) == list(range(500))


@in_virtual_time
async def test_in_order_packets_are_delayed_but_never_overtake() -> None:
    room = MemoryRoom(seed=5, faults=NetworkFaults(delay_s=(0.0, 1.0), in_order=True))
    agent, listener = room.peer("agent"), PeerListener(room.peer("user", "normal"))
    for number in range(200):
        await agent.send(str(number), RELIABLE if number % 3 else UNRELIABLE)
        await asyncio.sleep(0.01)
    await asyncio.sleep(2)
    assert arrivals(listener) == list(range(200))


def stormy_arrivals(seed: int) -> tuple[list[int], Counts]:
    async def main() -> tuple[list[int], Counts]:
        faults = NetworkFaults(loss=0.2, duplication=0.1, delay_s=(0.0, 0.5))
        room = MemoryRoom(seed, faults)
        agent, listener = room.peer("agent"), PeerListener(room.peer("user", "normal"))
        await send_numbers(agent, 2000)
        await asyncio.sleep(1)
        return arrivals(listener), room.counts["agent"]

    return virtual_time.run(main())


def test_probabilities_are_kept_and_add_up() -> None:
    numbers, counts = stormy_arrivals(seed=1)
    assert counts.sent == 2000
    assert 300 < counts.dropped < 500
    assert 100 < counts.duplicated < 220
    assert counts.delivered == len(numbers) == 2000 - counts.dropped + counts.duplicated
    overtaken = sum(left > right for left, right in pairwise(numbers))
    assert overtaken > len(numbers) / 3


def test_the_same_seed_is_the_same_storm() -> None:
    assert stormy_arrivals(seed=7) == stormy_arrivals(seed=7)
    assert stormy_arrivals(seed=7) != stormy_arrivals(seed=8)


@in_virtual_time
async def test_faults_can_be_for_one_sender_one_channel_and_a_while() -> None:
    room = MemoryRoom()
    agent, user = room.peer("agent"), room.peer("user", "normal")
    listener = PeerListener(room.peer("other", "normal"))
    room.disturb(NetworkFaults(loss=1.0), sender="agent", reliable=False)
    await agent.send("1", UNRELIABLE)
    await agent.send("2", RELIABLE)
    await user.send("3", UNRELIABLE)
    room.disturb(NetworkFaults(), sender="agent", reliable=False)
    await agent.send("4", UNRELIABLE)
    room.disturb(NetworkFaults(loss=1.0))
    await user.send("5", RELIABLE)
    await asyncio.sleep(0)
    assert arrivals(listener) == [2, 3, 4]


# The send buffer ---------------------------------------------------------------------------------


@in_virtual_time
async def test_a_full_buffer_makes_send_wait_until_it_drains() -> None:
    room = MemoryRoom(faults=NetworkFaults(bandwidth=10_000))
    agent, listener = room.peer("agent"), PeerListener(room.peer("user", "normal"))
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for _ in range(7):
        await agent.send(bytes(10_000), UNRELIABLE)
    assert loop.time() == begin
    await agent.send(bytes(10_000), UNRELIABLE)
    assert loop.time() - begin == pytest.approx(1.0), "70 kB less one packet is below 64 KiB"
    assert len(listener.data) == 1
    await asyncio.sleep(7.5)
    assert len(listener.data) == 8


@in_virtual_time
async def test_all_who_wait_go_on_together_as_in_the_sdk() -> None:
    room = MemoryRoom(faults=NetworkFaults(bandwidth=10_000))
    agent, listener = room.peer("agent"), PeerListener(room.peer("user", "normal"))
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for _ in range(7):
        await agent.send(b"0" * 10_000, UNRELIABLE)
    payloads = [str(number) * 10_000 for number in range(1, 5)]
    await asyncio.gather(*(agent.send(payload, UNRELIABLE) for payload in payloads))
    assert loop.time() - begin == pytest.approx(1.0)
    await asyncio.sleep(20)
    assert [data["payload"][0] for data in listener.data] == [*"0000000", *"1234"]


@in_virtual_time
async def test_control_queues_behind_speech_but_has_a_buffer_of_its_own() -> None:
    room = MemoryRoom(faults=NetworkFaults(bandwidth=BUFFER_THRESHOLD))
    agent, listener = room.peer("agent"), PeerListener(room.peer("user", "normal"))
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for _ in range(5):
        await agent.send(b"\xff" * MAX_PAYLOAD, UNRELIABLE)
    await agent.send(b"INTERRUPT", RELIABLE)
    assert loop.time() == begin
    await asyncio.sleep(5)
    assert [data["reliability"] for data in listener.data] == ["UNRELIABLE"] * 5 + ["RELIABLE"]
    waited_ms = listener.data[-1]["timestamp"] - begin * 1000
    assert waited_ms == pytest.approx(1000 * 5 * MAX_PAYLOAD / BUFFER_THRESHOLD, abs=2)


@in_virtual_time
async def test_a_send_that_waits_when_the_connection_ends_waits_for_ever_as_in_the_sdk() -> None:
    room = MemoryRoom(faults=NetworkFaults(bandwidth=1_000))
    agent, listener = room.peer("agent"), PeerListener(room.peer("user", "normal"))
    for _ in range(7):
        await agent.send(bytes(10_000), UNRELIABLE)
    waiting = asyncio.create_task(agent.send(bytes(10_000), UNRELIABLE))
    await asyncio.sleep(0)
    agent.leave()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3600):
            await waiting
    assert listener.data == []


@in_virtual_time
async def test_a_worker_does_not_wait_for_ever() -> None:
    room = MemoryRoom(faults=NetworkFaults(bandwidth=1_000))
    room.peer("agent")
    meeting = room.join_worker()
    await meeting.join()
    for _ in range(5):
        await meeting.send(Pcm(bytes(MAX_PAYLOAD)))
    begin = asyncio.get_running_loop().time()
    with pytest.raises(MeetingError, match="data channel was full"):
        await meeting.send(Pcm(bytes(MAX_PAYLOAD)))
    assert asyncio.get_running_loop().time() - begin == pytest.approx(SEND_TIMEOUT_S)
    await meeting.leave()


# What is watched ---------------------------------------------------------------------------------


@in_virtual_time
async def test_a_recording_has_what_left_and_what_was_handed_over() -> None:
    room = MemoryRoom()
    recording = room.peer("agent").watch()
    meeting = room.join_worker()
    await meeting.join()
    frames = [AvatarFrame(1, shade(0), LOUD), AvatarFrame(2, shade(1), LOUD)]
    await publish(meeting, frames)
    unheard = meeting.cut()
    await meeting.leave()
    begin = virtual_time.START_S
    assert [piece.pts for piece in recording.sound] == [0, 480, 960, 1440]
    assert [piece.time_s - begin for piece in recording.sound] == pytest.approx(
        [0.0, 0.02, 0.04, 0.06]
    )
    assert [(shown.time_s - begin, shown.pts) for shown in recording.pictures] == [
        (pytest.approx(0.0), 0),
        (pytest.approx(0.04), 3600),
    ]
    assert np.array_equal(recording.heard(), np.concatenate([LOUD, LOUD]))
    assert [published.frame for published in recording.published] == frames
    assert [(cut.time_s - begin, cut.unheard) for cut in recording.cuts] == [
        (pytest.approx(0.08), unheard)
    ]
    assert unheard == 0


def test_a_raw_room_shows_the_same_without_the_cost() -> None:
    async def scene(raw: bool) -> TrackRecording:
        room = MemoryRoom(raw=raw)
        recording = room.peer("agent").watch()
        meeting = room.join_worker()
        await meeting.join()
        await publish(meeting, [AvatarFrame(1, shade(i), LOUD * i) for i in range(10)])
        await meeting.leave()
        return recording

    raw, converted = virtual_time.run(scene(raw=True)), virtual_time.run(scene(raw=False))
    assert np.array_equal(raw.heard(), converted.heard())
    assert [piece[:2] for piece in raw.sound] == [piece[:2] for piece in converted.sound]
    assert [shown[:2] for shown in raw.pictures] == [shown[:2] for shown in converted.pictures]
    assert [int(shown.picture.y[0, 0]) for shown in raw.pictures] == [
        int(shown.picture.to_ndarray()[0, 0]) for shown in converted.pictures
    ]


@in_virtual_time
async def test_several_watch_one_worker_and_may_stop() -> None:
    room = MemoryRoom(raw=True)
    agent, user = room.peer("agent"), room.peer("user", "normal")
    first, second = agent.watch(), user.watch()
    meeting = room.join_worker()
    await meeting.join()
    await publish(meeting, [AvatarFrame(0, shade(0), SILENCE)] * 5)
    agent.stop_watching(first)
    await publish(meeting, [AvatarFrame(0, shade(0), SILENCE)] * 5)
    await meeting.leave()
    assert len(first.heard()) == 10 * PIECE_SAMPLES
    assert len(second.heard()) == 20 * PIECE_SAMPLES


async def test_the_room_lives_in_real_time_too() -> None:
    room = MemoryRoom(faults=NetworkFaults(delay_s=(0.001, 0.002)))
    agent = room.peer("agent")
    recording = agent.watch()
    meeting = room.join_worker()
    await meeting.join()
    reader = MessageReader(meeting)
    await agent.send(b"INTERRUPT")
    await publish(meeting, [AvatarFrame(0, shade(0), SILENCE)] * 3)
    await meeting.leave()
    await reader.task
    assert reader.received == [Received("agent", Interrupt())]
    assert len(recording.pictures) == 3


@pytest.mark.virtual_time
async def test_the_connection_dies_of_a_waiting_send_that_is_cancelled() -> None:
    room = MemoryRoom(faults=NetworkFaults(bandwidth=100_000))
    agent = room.peer("agent")
    room.peer("viewer", "normal")
    for _ in range(5):
        await agent.send(bytes(15_000), UNRELIABLE)
    waiting = asyncio.create_task(agent.send(bytes(15_000), UNRELIABLE))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(2)
    with pytest.raises(ConnectionError):
        await agent.send(b"x")
