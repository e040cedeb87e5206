"""The network of a room in memory: faults of packets, and uplinks that fill up."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple, Protocol

from worker import clock

BUFFER_THRESHOLD: Final = 65_535
"""With more than this unsent on a channel, the SDK's ``send`` waits (bytes)."""


@dataclass(frozen=True, slots=True)
class NetworkFaults:
    """What the network does to packets; the defaults do nothing.

    Lists are for tests that say exactly what happens: each receiver works through them from
    the first packet on, and behind their end the seeded probabilities and ranges apply.

    - `drops`: whether the packet is lost.
    - `copies`: how often it arrives if it is not lost.
    - `delays_s`: how long it is under way; a copy takes as long as the original.
    - `loss`, `duplication`: probabilities, 0 to 1.
    - `delay_s`: (least, most); each packet and each copy has its own delay, so they overtake.
    - `in_order`: packets never overtake those that their sender sent before.
    - `bandwidth`: what the sender's uplink carries (bytes/s), both channels together; None
      for any amount. Only a sender with a bandwidth ever has a full buffer.
    """

    drops: Sequence[bool] = ()
    copies: Sequence[int] = ()
    delays_s: Sequence[float] = ()
    loss: float = 0.0
    duplication: float = 0.0
    delay_s: tuple[float, float] = (0.0, 0.0)
    in_order: bool = False
    bandwidth: float | None = None


@dataclass(slots=True)
class Counts:
    """What became of one sender's packets: `sent` once each, the others once per receiver."""

    sent: int = 0
    dropped: int = 0
    duplicated: int = 0
    delivered: int = 0


class Datagram(NamedTuple):
    """A payload under way; `size` is in bytes."""

    sender: str
    payload: str | bytes
    size: int
    reliable: bool


@dataclass(slots=True)
class FaultRule:
    """Faults, whose packets suffer them, and how far each receiver is in their lists."""

    faults: NetworkFaults
    sender: str | None
    reliable: bool | None
    places: dict[str, int] = field(default_factory=dict)

    def fits(self, packet: Datagram) -> bool:
        return self.sender in (None, packet.sender) and self.reliable in (None, packet.reliable)

    def delays(self, receiver: str, random: Random) -> list[float]:
        """How long the next packet is under way to `receiver`, for each of its copies."""
        place = self.places.get(receiver, 0)
        self.places[receiver] = place + 1
        faults = self.faults
        if faults.drops[place] if place < len(faults.drops) else random.random() < faults.loss:
            return []
        if place < len(faults.copies):
            copies = faults.copies[place]
        else:
            copies = 1 + (random.random() < faults.duplication)
        if place < len(faults.delays_s):
            return [faults.delays_s[place]] * copies
        return [random.uniform(*faults.delay_s) for _ in range(copies)]


class Carrier(Protocol):
    """What carries the packets that leave an uplink."""

    def count(self, packet: Datagram) -> None:
        """The packet was given to the uplink."""

    def bandwidth(self, packet: Datagram) -> float | None:
        """What the sender's uplink carries (bytes/s); None for any amount."""

    def broadcast(self, packet: Datagram) -> None:
        """The packet has left the uplink."""


class Uplink:
    """One connection's way out: a single queue for both channels, each with its own buffer."""

    def __init__(self, carrier: Carrier, die: Callable[[], None]) -> None:
        self._carrier = carrier
        self._die = die
        self._queue: deque[Datagram] = deque()
        self._free_at = 0.0
        self._unsent = {True: 0, False: 0}
        self._waiting: dict[bool, list[tuple[Datagram, asyncio.Future[None]]]] = {
            True: [],
            False: [],
        }
        self._open = True

    async def send(self, packet: Datagram) -> None:
        """Queue the packet; while its channel's buffer is too full, wait for that."""
        if self._unsent[packet.reliable] <= BUFFER_THRESHOLD:
            self._put(packet)
            return
        drained = asyncio.get_running_loop().create_future()
        self._waiting[packet.reliable].append((packet, drained))
        await drained

    def close(self) -> None:
        """What has not left never will, and nothing wakes those who wait, as in the SDK."""
        self._open = False

    def _put(self, packet: Datagram) -> None:
        self._carrier.count(packet)
        now = clock.now()
        bandwidth = self._carrier.bandwidth(packet)
        self._free_at = max(now, self._free_at) + (packet.size / bandwidth if bandwidth else 0.0)
        if self._free_at <= now:
            self._carrier.broadcast(packet)
            return
        self._queue.append(packet)
        self._unsent[packet.reliable] += packet.size
        asyncio.get_running_loop().call_at(self._free_at, self._left)

    def _left(self) -> None:
        if not self._open:
            return
        packet = self._queue.popleft()
        before = self._unsent[packet.reliable]
        self._unsent[packet.reliable] = after = before - packet.size
        self._carrier.broadcast(packet)
        if before > BUFFER_THRESHOLD >= after:
            self._wake(packet.reliable)

    def _wake(self, reliable: bool) -> None:
        """All who wait go on together and overfill the buffer again, as in the SDK.

        A send that was cancelled meanwhile is sent all the same, and the connection dies of it:
        the SDK tells a future that is done, and what that raises ends its transport.
        """
        waiting, self._waiting[reliable] = self._waiting[reliable], []
        for packet, drained in waiting:
            self._put(packet)
            if drained.done():
                self._die()
                return
            drained.set_result(None)
