"""What a peer of the local room is told when others do something in the same turn of the loop."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, cast

from vsaiortc.rtcdtlstransport import RTCCertificate
from websockets.asyncio.server import ServerConnection

from localroom.faults import Chaos
from localroom.signalling.peer import Peer, PeerContext
from localroom.signalling.protoo import ProtooChannel
from localroom.signalling.requests import PeerRequests
from localroom.signalling.room import Room

JOIN: dict[str, Any] = {"displayName": "somebody"}
TIMEOUT_S = 30.0
DATA: dict[str, Any] = {"sctpStreamParameters": {"streamId": 0}, "label": "reliable"}


def on_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    @functools.wraps(test)
    def run() -> None:
        async def within() -> None:
            async with asyncio.timeout(TIMEOUT_S):
                await test()

        asyncio.run(within())

    return run


@on_loop
async def test_peers_that_join_together_are_introduced_once() -> None:
    room, (first, second) = await two_peers()
    for peer in (first, second):
        await ask(room, peer, "join", JOIN)
    await asyncio.sleep(0)
    assert reports(first) == ["newPeer"]
    assert reports(second) == ["newPeer"]
    await close(room)


@on_loop
async def test_data_that_is_offered_just_before_somebody_joins_is_offered_once() -> None:
    """Twice would double each message; before the introduction it would be lost."""
    room, (first, second) = await two_peers()
    await ask(room, first, "join", JOIN)
    await asyncio.sleep(0)
    await produce_data(room, first)
    await ask(room, second, "join", JOIN)
    await asyncio.sleep(0)
    assert reports(second) == ["newPeer", "newDataConsumer"]
    await close(room)


@on_loop
async def test_data_that_is_offered_just_after_somebody_joins_is_offered_once() -> None:
    room, (first, second) = await two_peers()
    await ask(room, first, "join", JOIN)
    await asyncio.sleep(0)
    await ask(room, second, "join", JOIN)
    await produce_data(room, first)
    await asyncio.sleep(0)
    assert reports(second) == ["newPeer", "newDataConsumer"]
    await close(room)


@on_loop
async def test_somebody_who_comes_back_is_introduced_again() -> None:
    room, (first, second) = await two_peers()
    for peer in (first, second):
        await ask(room, peer, "join", JOIN)
    await asyncio.sleep(0)
    await room.dismiss(second)
    again = await enter(room, "second")
    await ask(room, again, "join", JOIN)
    await asyncio.sleep(0)
    assert reports(first) == ["newPeer", "peerClosed", "newPeer"]
    await close(room)


@on_loop
async def test_others_are_told_what_a_peer_has_said_of_itself() -> None:
    room, (first, second) = await two_peers()
    await ask(room, first, "join", {"displayName": "Ada", "metaData": {"mood": "calm"}})
    await ask(room, second, "join", JOIN)
    await asyncio.sleep(0)
    message = second.channel._outbox.get_nowait()
    assert message["method"] == "newPeer"
    assert message["data"]["displayName"] == "Ada"
    assert message["data"]["metaData"] == {"mood": "calm"}
    await close(room)


async def two_peers() -> tuple[Room, tuple[Peer, Peer]]:
    room = Room("room")
    return room, (await enter(room, "first"), await enter(room, "second"))


def context() -> PeerContext:
    return PeerContext("127.0.0.1", RTCCertificate.generateCertificate(), Chaos())


async def enter(room: Room, peer_id: str) -> Peer:
    """One that can be sent to; what it is told stays in its channel."""
    channel = ProtooChannel(cast("ServerConnection", None))
    peer = Peer({"peerId": peer_id}, channel, context())
    await room.admit(peer)
    await ask(room, peer, "createWebRtcTransport", {"producing": False})
    await ask(room, peer, "createWebRtcTransport", {"producing": True})
    return peer


async def ask(room: Room, peer: Peer, method: str, data: dict[str, Any]) -> None:
    """As the peer's SDK does."""
    await PeerRequests(peer, room).handle(method, data)


async def produce_data(room: Room, peer: Peer) -> None:
    assert peer.sending is not None
    await ask(room, peer, "produceData", {"transportId": peer.sending.id, **DATA})


def reports(peer: Peer) -> list[str]:
    outbox = peer.channel._outbox
    return [outbox.get_nowait()["method"] for _ in range(outbox.qsize())]


async def close(room: Room) -> None:
    for peer in list(room.peers.values()):
        await room.dismiss(peer)
    await asyncio.sleep(0)  # sockets close in the next turn of the loop
