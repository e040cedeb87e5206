"""What every meeting has to do: the checks that the fake and the platform's own both pass.

A test module derives a class from `MeetingContract` and gives it a `Stage`. Nothing here asks
for more than codecs keep: sound is judged by its loudness, pictures by their brightness.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

import av
import numpy as np
import pytest

from agent_side.wire import (
    MAX_PAYLOAD,
    AudioChunk,
    Interrupt,
    Pcm,
    SegmentEnd,
    StreamEnded,
    TurnEnd,
    decode,
    encode,
)
from worker.clock import Clock
from worker.errors import JoinError, MeetingError
from worker.media import FRAME_SAMPLES, PIECE_SAMPLES, SILENCE, TICK_S, AvatarFrame, Picture
from worker.meeting import Joined, Left, Meeting, MeetingEvent, Received

WAIT_TIMEOUT_S = 30.0
"""How long anything may take to arrive."""

SIZE = (128, 96)
LOUD = np.tile(np.array([8000, 8000, -8000, -8000], np.int16), FRAME_SAMPLES // 4)
"""40 ms of a 6 kHz tone: well inside what a speech codec keeps."""

RELIABLE = {"reliability": "RELIABLE"}
UNRELIABLE = {"reliability": "UNRELIABLE"}

CLEAN_SPEECH = [
    bytes(960),
    b"\x01\x00" * 480,
    b"\x7f\x7f" * 480,
    b"INTERRUPT!",
    b'{"type":"segment_end"}',
    "jämmerlich".encode() + b"\0",
    bytes(range(256)) * 2,
    b"\xff\xfe" * 480,
    bytes(MAX_PAYLOAD),
]
"""Speech that the SDK takes for text, and some that it does not."""

GARBAGE: list[tuple[bytes | str, bool]] = [
    (b"", True),
    (b"", False),
    (b"x", False),
    (b"\xff\xff\xff", True),
    (b"5", True),
    (b"[]", True),
    (b"null", True),
    (b"[" * MAX_PAYLOAD, True),
    (b"{" * MAX_PAYLOAD, True),
    (b'{"type":"stream_ended","data":{"playback_position":NaN}}', True),
    (b'{"type":["segment_end"]}', True),
    (b"interrupt", True),
    ("\N{GRINNING FACE}", True),
]
"""Packets (payload, reliable) that are nobody's message."""


class RoomPeer(Protocol):
    """Somebody else in the room: what the SDK's ``Meeting`` offers."""

    def add_event_listener(self, event_listener: Any) -> None: ...

    async def send(self, payload: str | bytes, options: Any = None) -> bool: ...


class ViewerRecording(Protocol):
    """What a viewer got: (time, pts, ...) of each piece of sound and of each picture.

    Time stamps may begin anywhere; sound is mono int16 and its `pts` count at 24 kHz,
    pictures are `av.VideoFrame` and their `pts` count at 90 kHz.
    """

    @property
    def sound(self) -> list[Any]: ...

    @property
    def pictures(self) -> list[Any]: ...


class RoomFixture(Protocol):
    """One room and the ways into it."""

    def meeting(self, participant_id: str = "avatar") -> Meeting:
        """A worker's place in the room, not joined yet."""

    def unreachable(self) -> Meeting:
        """A worker's place in a room whose servers never answer; its deadline is short."""

    async def enter(self, participant_id: str, *, is_agent: bool) -> RoomPeer:
        """Somebody who is in the room."""

    async def exit(self, peer: Any) -> None:
        """`peer` leaves."""

    async def watch(self, peer: Any, participant_id: str = "avatar") -> ViewerRecording:
        """`peer` records what that worker publishes."""


class PeerListener:
    """Keeps what arrives at a peer, as the SDK hands it over."""

    def __init__(self, peer: RoomPeer) -> None:
        self.data: list[dict[str, Any]] = []
        self.others: list[tuple[str, str]] = []
        peer.add_event_listener(self)

    def handle_event(self, action: str, data: Any) -> None:
        if action == "data":
            self.data.append(data)
        elif action.endswith(("joined", "left")):
            self.others.append((action, data.id))


class MessageReader:
    """Reads a meeting's messages to their end in a task of its own."""

    def __init__(self, meeting: Meeting) -> None:
        self.events: list[MeetingEvent] = []
        self._meeting = meeting
        self.task = asyncio.create_task(self._read(), name="reader")

    @property
    def received(self) -> list[Received]:
        return [event for event in self.events if isinstance(event, Received)]

    def has(self, count: int) -> bool:
        return len(self.received) == count

    async def _read(self) -> None:
        async for event in self._meeting.messages():
            self.events.append(event)


async def until(condition: Callable[[], object]) -> None:
    """Return when `condition` holds. Raises TimeoutError if it does not in `WAIT_TIMEOUT_S`."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.01)


def shade(index: int) -> Picture:
    """A picture whose brightness says which one it is: 40 steps that survive a codec."""
    return Picture.blank(*SIZE, y=30 + 5 * (index % 40))


def brightness(picture: av.VideoFrame) -> float:
    return float(picture.reformat(format="gray").to_ndarray().mean())


def loudness(pieces: list[Any]) -> float:
    """Root mean square of the pieces' samples."""
    pcm = np.concatenate([np.zeros(1), *(piece[2] for piece in pieces)])
    return float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2)))


def rising(values: list[float]) -> bool:
    return all(left <= right for left, right in pairwise(values))


async def publish(meeting: Meeting, frames: list[AvatarFrame]) -> None:
    """One frame per tick; returns when the last one's tick is over."""
    ticks = Clock().ticks()
    for frame in frames:
        await anext(ticks)
        meeting.publish(frame)
    await anext(ticks)
    await ticks.aclose()  # type: ignore[attr-defined]


class MeetingContract:
    """Derive from it, and say how a scene is played on which stage."""

    def stage(self) -> AbstractAsyncContextManager[RoomFixture]:
        raise NotImplementedError

    def play(self, scene: Callable[[RoomFixture], Awaitable[None]]) -> None:
        """Play one scene on a stage of its own, in the time in which the stage lives."""
        asyncio.run(self.on_stage(scene))

    async def on_stage(self, scene: Callable[[RoomFixture], Awaitable[None]]) -> None:
        async with self.stage() as stage:
            await scene(stage)

    # Who is there --------------------------------------------------------------------------

    def test_those_who_are_there_already_are_introduced(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            await stage.enter("agent", is_agent=True)
            await stage.enter("user", is_agent=False)
            meeting = stage.meeting()
            await meeting.join()
            reader = MessageReader(meeting)
            await until(lambda: len(reader.events) == 2)
            assert set(reader.events) == {
                Joined("agent", is_agent=True),
                Joined("user", is_agent=False),
            }
            await meeting.leave()

        self.play(scene)

    def test_those_who_come_and_go_are_announced(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            meeting = stage.meeting()
            await meeting.join()
            reader = MessageReader(meeting)
            agent = await stage.enter("agent", is_agent=True)
            user = await stage.enter("user", is_agent=False)
            await until(lambda: len(reader.events) == 2)
            await stage.exit(user)
            await until(lambda: len(reader.events) == 3)
            await stage.exit(agent)
            await until(lambda: len(reader.events) == 4)
            assert reader.events == [
                Joined("agent", is_agent=True),
                Joined("user", is_agent=False),
                Left("user"),
                Left("agent"),
            ]
            await meeting.leave()

        self.play(scene)

    def test_the_others_see_the_worker_come_and_go(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            listener = PeerListener(await stage.enter("agent", is_agent=True))
            meeting = stage.meeting("face")
            await meeting.join()
            await until(lambda: ("participant-joined", "face") in listener.others)
            await meeting.leave()
            await until(lambda: ("participant-left", "face") in listener.others)

        self.play(scene)

    # What is said --------------------------------------------------------------------------

    def test_the_channel_tells_speech_from_control(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            agent = await stage.enter("agent", is_agent=True)
            meeting = stage.meeting()
            await meeting.join()
            reader = MessageReader(meeting)
            await agent.send(b"INTERRUPT", RELIABLE)
            await until(lambda: len(reader.received) == 1)
            await agent.send("INTERRUPT", RELIABLE)
            await until(lambda: len(reader.received) == 2)
            await agent.send('{"type":"segment_end"}')
            await until(lambda: len(reader.received) == 3)
            await agent.send(b"INTERRUPT!", UNRELIABLE)
            await until(lambda: len(reader.received) == 4)
            assert reader.received == [
                Received("agent", Interrupt()),
                Received("agent", Interrupt()),
                Received("agent", SegmentEnd()),
                Received("agent", Pcm(b"INTERRUPT!")),
            ]
            await meeting.leave()

        self.play(scene)

    def test_speech_arrives_bit_for_bit_even_if_it_looks_like_text(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            agent = await stage.enter("agent", is_agent=True)
            meeting = stage.meeting()
            await meeting.join()
            reader = MessageReader(meeting)
            for count, data in enumerate(CLEAN_SPEECH, start=1):
                await agent.send(data, UNRELIABLE)
                await until(partial(reader.has, count))
            assert [event.message for event in reader.received] == [
                Pcm(data) for data in CLEAN_SPEECH
            ]
            await meeting.leave()

        self.play(scene)

    def test_garbage_is_seen_as_garbage_and_stops_nothing(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            stranger = await stage.enter("stranger", is_agent=False)
            meeting = stage.meeting()
            await meeting.join()
            reader = MessageReader(meeting)
            for count, (payload, reliable) in enumerate(GARBAGE, start=1):
                await stranger.send(payload, RELIABLE if reliable else UNRELIABLE)
                await until(partial(reader.has, count))
            assert set(reader.received) == {Received("stranger", None)}
            await stranger.send(b"INTERRUPT", RELIABLE)
            await until(lambda: reader.received[-1] == Received("stranger", Interrupt()))
            await meeting.leave()

        self.play(scene)

    def test_what_is_sent_reaches_everybody_else_and_does_not_come_back(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            agent = PeerListener(await stage.enter("agent", is_agent=True))
            user = PeerListener(await stage.enter("user", is_agent=False))
            meeting = stage.meeting()
            await meeting.join()
            reader = MessageReader(meeting)
            speech = AudioChunk("0123456789abcdef", 1, 1, 0, 24_000, bytes(960))
            control = TurnEnd("0123456789abcdef", 1, 480)
            await meeting.send(StreamEnded(1.5, interrupted=True))
            await meeting.send(speech)
            await meeting.send(control)
            for listener in (agent, user):
                await until(partial(lambda who: len(who.data) == 3, listener))
                messages = [
                    decode(data["payload"], reliable=data["reliability"] == "RELIABLE")
                    for data in listener.data
                ]
                assert sorted(map(repr, messages)) == sorted(
                    map(repr, [StreamEnded(1.5, interrupted=True), speech, control])
                )
                assert {data["from"] for data in listener.data} == {"avatar"}
            await asyncio.sleep(0.1)
            assert reader.received == []
            await meeting.leave()

        self.play(scene)

    def test_a_message_that_is_too_long_is_refused_and_harms_nothing(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            agent = PeerListener(await stage.enter("agent", is_agent=True))
            meeting = stage.meeting()
            await meeting.join()
            with pytest.raises(ValueError, match="does not fit one packet"):
                await meeting.send(Pcm(bytes(MAX_PAYLOAD + 2)))
            await meeting.send(Interrupt())
            await until(lambda: agent.data)
            assert agent.data[0]["payload"] == encode(Interrupt()).payload.decode()
            await meeting.leave()

        self.play(scene)

    # What is seen and heard ----------------------------------------------------------------

    def test_sound_and_pictures_arrive_in_order_at_their_rates(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            viewer = await stage.enter("viewer", is_agent=False)
            meeting = stage.meeting()
            await meeting.join()
            recording = await stage.watch(viewer)
            await publish(meeting, [AvatarFrame(0, shade(0), SILENCE)] * 5)
            await until(lambda: recording.pictures and recording.sound)
            begin = recording.pictures[-1][0]
            await publish(meeting, [AvatarFrame(1, shade(i // 2), LOUD) for i in range(75)])
            await until(lambda: brightness(recording.pictures[-1][2]) > 205)
            await asyncio.sleep(0.2)

            pictures = [each for each in recording.pictures if begin < each[0] <= begin + 3]
            assert 73 <= len(pictures) <= 77
            assert rising([brightness(picture) // 2 for _, _, picture in pictures])
            stamps = [pts for _, pts, _ in pictures]
            assert set(np.diff(stamps)) == {90_000 * TICK_S}
            sound = [each for each in recording.sound if begin < each[0] <= begin + 3]
            assert 147 <= sum(len(piece[2]) for piece in sound) / PIECE_SAMPLES <= 153
            assert loudness(sound) > 2000
            for (_, pts, pcm), (_, after, _) in pairwise(sound):
                assert after == pts + len(pcm)
            await meeting.leave()

        self.play(scene)

    def test_publish_never_blocks_and_what_was_too_much_is_forgotten(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            viewer = await stage.enter("viewer", is_agent=False)
            meeting = stage.meeting()
            await meeting.join()
            recording = await stage.watch(viewer)
            for _ in range(500):
                meeting.publish(AvatarFrame(1, shade(0), LOUD))
            await publish(meeting, [AvatarFrame(0, shade(39), SILENCE)] * 25)
            await until(lambda: brightness(recording.pictures[-1][2]) > 205)
            await asyncio.sleep(0.2)
            assert len(recording.pictures) <= 5 + 25
            assert loudness(recording.sound[-10:]) < 10
            await meeting.leave()

        self.play(scene)

    def test_a_cut_silences_what_has_not_left(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            viewer = await stage.enter("viewer", is_agent=False)
            meeting = stage.meeting()
            await meeting.join()
            recording = await stage.watch(viewer)
            await publish(meeting, [AvatarFrame(0, shade(0), SILENCE)] * 25)
            assert meeting.cut() == 0
            meeting.publish(AvatarFrame(1, shade(1), LOUD))
            assert meeting.cut() == FRAME_SAMPLES
            await asyncio.sleep(TICK_S)
            meeting.publish(AvatarFrame(2, shade(2), LOUD))
            await asyncio.sleep(TICK_S / 4)
            assert meeting.cut() == PIECE_SAMPLES
            await asyncio.sleep(TICK_S * 3 / 4)
            await publish(meeting, [AvatarFrame(0, shade(0), SILENCE)] * 25)
            await asyncio.sleep(0.2)
            loud = sum(int((np.abs(piece[2]) > 3000).sum()) for piece in recording.sound)
            assert PIECE_SAMPLES / 2 <= loud <= 1.5 * PIECE_SAMPLES
            assert loudness(recording.sound[-20:]) < 10
            await meeting.leave()

        self.play(scene)

    # How it begins and ends ----------------------------------------------------------------

    def test_a_room_that_does_not_answer_is_a_join_error(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            meeting = stage.unreachable()
            with pytest.raises(JoinError):
                await meeting.join()
            await meeting.leave()

        self.play(scene)

    def test_messages_end_when_the_worker_has_left_even_twice(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            await stage.enter("agent", is_agent=True)
            meeting = stage.meeting()
            await meeting.join()
            reader = MessageReader(meeting)
            await until(lambda: reader.events)
            meeting.publish(AvatarFrame(0, shade(0), SILENCE))
            await meeting.leave()
            await meeting.leave()
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                await reader.task
            meeting.publish(AvatarFrame(0, shade(0), SILENCE))
            assert meeting.cut() in range(FRAME_SAMPLES + 1)

        self.play(scene)

    def test_nothing_can_be_sent_before_and_after(self) -> None:
        async def scene(stage: RoomFixture) -> None:
            meeting = stage.meeting()
            with pytest.raises(MeetingError):
                await meeting.send(Interrupt())
            await meeting.join()
            await meeting.leave()
            with pytest.raises(MeetingError):
                await meeting.send(Interrupt())

        self.play(scene)
