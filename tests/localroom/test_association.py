"""SCTP on the room's side, with vsaiortc's own at the other end and a wire between that loses."""

import asyncio
from collections.abc import Callable
from typing import Any

from vsaiortc.rtcsctptransport import (
    DataChunk,
    ForwardTsnChunk,
    ReconfigChunk,
    RTCSctpCapabilities,
    RTCSctpTransport,
    parse_packet,
)

from localroom.media.association import MAX_MESSAGE, PORT, Association

TIMEOUT_S = 30.0


class Wire:
    """One end of a way on which `loses` says of each packet whether it is lost."""

    state = "connected"

    def __init__(self, role: str) -> None:
        self.transport = self
        self.role = role
        self.other: Wire | None = None
        self.receiver: Any = None
        self.loses: Callable[[Any], bool] = lambda _: False
        self.tasks: set[asyncio.Task[None]] = set()

    def _register_data_receiver(self, receiver: Any) -> None:
        self.receiver = receiver

    def _unregister_data_receiver(self, receiver: Any) -> None:
        self.receiver = None

    async def _send_data(self, data: bytes) -> None:
        assert self.other is not None
        receiver = self.other.receiver
        if receiver is not None and not self.loses(parse_packet(data)[3][0]):
            task = asyncio.create_task(receiver._handle_data(data))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)


class Client(RTCSctpTransport):  # type: ignore[misc]
    """As the SDK's end, which is always the one that begins."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, PORT)
        self.heard: list[bytes] = []

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        self.heard.append(data)


Scene = Callable[[Association, Client, Wire], Any]


def play(scene: Scene) -> None:
    async def run() -> None:
        ours, theirs = Wire("controlled"), Wire("controlling")
        ours.other, theirs.other = theirs, ours
        room: Association = Association(ours, lambda *_: None)  # type: ignore[arg-type]
        client = Client(theirs)
        async with asyncio.timeout(TIMEOUT_S):
            await room.listen()
            await client.start(RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE), PORT)
            while not room.established:
                await asyncio.sleep(0.001)
            await scene(room, client, ours)
        await client.stop()
        await room.stop()

    asyncio.run(run())


def test_what_is_lost_comes_again_long_before_a_second_has_passed() -> None:
    async def scene(room: Association, client: Client, wire: Wire) -> None:
        losses = iter([True, True, False])
        wire.loses = lambda _: next(losses, False)
        begin = asyncio.get_running_loop().time()
        room.send(0, 51, b"hello", None, ordered=False)
        while client.heard != [b"hello"]:
            await asyncio.sleep(0.01)
        # 0.5 s, as nothing is known of the way yet, and twice that: with vsaiortc's own, 6 s.
        assert asyncio.get_running_loop().time() - begin < 5

    play(scene)


def test_what_has_arrived_is_not_sent_again() -> None:
    async def scene(room: Association, client: Client, wire: Wire) -> None:
        first = client._last_received_tsn
        sent: list[int] = []

        def loses(chunk: Any) -> bool:
            if isinstance(chunk, DataChunk):
                sent.append((chunk.tsn - first) % 2**32)
                return sent[-1] == 1 and sent.count(1) < 3
            return False

        wire.loses = loses
        for number in range(3):
            room.send(0, 51, bytes([number]), None, ordered=False)
        while len(client.heard) < 3:
            await asyncio.sleep(0.01)
        assert sent == [1, 2, 3, 1, 1]

    play(scene)


def test_what_is_given_up_holds_nothing_back_even_if_that_word_is_lost_too() -> None:
    async def scene(room: Association, client: Client, wire: Wire) -> None:
        skips: list[bool] = []

        def loses(chunk: Any) -> bool:
            if isinstance(chunk, ForwardTsnChunk):
                skips.append(True)
                return len(skips) == 1
            return isinstance(chunk, DataChunk) and chunk.user_data == b"lost"

        wire.loses = loses
        room.send(0, 51, b"lost", 0, ordered=False)
        room.send(0, 51, b"heard", None, ordered=False)
        while not client.heard or room.buffered:
            await asyncio.sleep(0.01)
        assert client.heard == [b"heard"]
        assert len(skips) == 2
        assert room._flight_size == 0

    play(scene)


def test_a_stream_is_freed_even_if_the_word_for_it_is_lost() -> None:
    async def scene(room: Association, client: Client, wire: Wire) -> None:
        resets = iter([True, False])
        wire.loses = lambda chunk: isinstance(chunk, ReconfigChunk) and next(resets, False)
        for stream_id in (3, 4):
            room.send(stream_id, 51, b"hello", None, ordered=False)
        while client.heard != [b"hello", b"hello"]:
            await asyncio.sleep(0.01)
        assert set(client._inbound_streams) == {3, 4}
        room.reset(3)
        room.reset(4)
        while client._inbound_streams:
            await asyncio.sleep(0.01)

    play(scene)
