"""An onlooker who counts faces: which pictures arrive in the local room, and whose they are.

It reads the frames on the hosts' bridge themselves, so that it sees every worker that sends
pictures, whether the room still takes them or not; whose they are it learns from the room.
"""

import asyncio
import math
import socket
import struct
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Final

from localroom.launch import LocalRoom

ETH_P_IP: Final = 0x0800
UDP: Final = 17
RTP: Final = 2
RTCP_TYPES: Final = range(64, 96)
"""What an RTCP packet's type is where an RTP packet has its payload type (RFC 5761)."""

ASK_S: Final = 0.1
"""How often the room is asked whose the streams are, and who publishes."""

PIECE_S: Final = 0.1
"""The pieces of time that are counted."""

PAUSE_S: Final = 0.5
"""Whoever sends no picture for so long has ceased to; workers send one every 40 ms."""

Owner = tuple[str, str]
"""A room and a participant's id."""

Run = tuple[float, float]
"""From when to when somebody sends."""


class Onlooker:
    """What it has seen; times are `time.monotonic`, in seconds."""

    def __init__(self, room: LocalRoom) -> None:
        self._room = room
        self._pictures: dict[int, list[float]] = defaultdict(list)
        self._owners: dict[int, Owner] = {}
        self._shown: dict[str, list[int]] = defaultdict(list)
        self._before: dict[int, int] = {}

    def take(self, packet: bytes) -> None:
        """One IP packet that has reached the bridge's host."""
        header = 4 * (packet[0] & 15)
        if packet[9] != UDP or len(packet) < header + 20:
            return
        payload = packet[header + 8 :]
        if payload[0] >> 6 != RTP or payload[1] & 0x7F in RTCP_TYPES:
            return
        (ssrc,) = struct.unpack_from("!L", payload, 8)
        self._pictures[ssrc].append(time.monotonic())

    async def ask(self) -> None:
        """Ask the room, again and again, until cancelled."""
        while True:
            state = await asyncio.to_thread(self._room.state)
            for name, room in state.items():
                self._note(name, room["peers"])
            await asyncio.sleep(ASK_S)

    def shown(self, room: str) -> int:
        """The most participants whose pictures the room has passed on at the same time."""
        return max(self._shown[room], default=0)

    def doubles(self, room: str, since_s: float) -> int:
        """In how many pieces of time since then two senders sent pictures for one face.

        One that begins when the other has ended is none.
        """
        runs = [
            run
            for ssrc, times in self._pictures.items()
            if self._owners.get(ssrc, ("", ""))[0] == room
            for run in _runs([each for each in times if each >= since_s])
        ]
        return math.ceil(round(_together_s(runs) / PIECE_S, 3))

    def _note(self, name: str, peers: dict[str, Any]) -> None:
        showing = 0
        for peer_id, peer in peers.items():
            cameras = [each for each in peer["producers"] if each["kind"] == "video"]
            for camera in cameras:
                ssrc, packets = camera["ssrc"], camera["packets"]
                self._owners[ssrc] = (name, peer_id)
                showing += packets > self._before.get(ssrc, 0)
                self._before[ssrc] = packets
        self._shown[name].append(showing)


def _runs(times: Sequence[float]) -> list[Run]:
    """From when to when pictures came without a long pause."""
    found: list[Run] = []
    for at in times:
        if found and at - found[-1][1] < PAUSE_S:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def _together_s(runs: Sequence[Run]) -> float:
    """How long more than one of the runs lasts at the same time."""
    steps = sorted([(began, 1) for began, _ in runs] + [(ended, -1) for _, ended in runs])
    total_s, going = 0.0, 0
    for (at, step), (then, _) in pairwise(steps):
        going += step
        total_s += (then - at) * (going > 1)
    return total_s


@asynccontextmanager
async def onlooker(room: LocalRoom) -> AsyncIterator[Onlooker]:
    """One who looks on until the block ends."""
    loop = asyncio.get_running_loop()
    seen = Onlooker(room)
    line = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    with line:
        line.bind(("bridge", ETH_P_IP))
        line.setblocking(False)
        loop.add_reader(line, lambda: seen.take(line.recv(2048)))
        asking = asyncio.create_task(seen.ask(), name="onlooker")
        try:
            yield seen
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            loop.remove_reader(line)
