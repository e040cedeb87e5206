"""One room: its peers, what each is told of the others, and the messages that it keeps."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from localroom.media.data import DataProducer
from localroom.media.rtp import Producer
from localroom.signalling.events import RoomEvent, Subscriber, TrackPublished, TrackWithdrawn
from localroom.signalling.peer import Peer
from localroom.signalling.protoo import RefusalError

MAX_KEPT: Final = 1000
"""Messages that a topic keeps for those who subscribe later; the oldest are forgotten."""


class Room:
    """Peers by their id. It exists from the first peer's arrival to the last one's departure.

    It emits a `RoomEvent` to each of `subscribers`.
    """

    def __init__(self, room_id: str, subscribers: Sequence[Subscriber] = ()) -> None:
        self.id = room_id
        self.session_id = secrets.token_hex(12)
        self.peers: dict[str, Peer] = {}
        self._subscribers = subscribers
        self._messages: dict[str, list[dict[str, Any]]] = {}

    def members(self) -> list[Peer]:
        """Who has joined."""
        return [peer for peer in self.peers.values() if peer.joined]

    def member(self, peer_id: object) -> Peer:
        for peer in self.members():
            if peer.id == peer_id:
                return peer
        raise RefusalError(404, "There is no such peer in the room.")

    async def admit(self, peer: Peer) -> None:
        """Admit a peer. An older one with its id is told to leave, and has left for all others."""
        older = self.peers.get(peer.id)
        self.peers[peer.id] = peer
        if older is not None:
            silently = older.evicted_silently
            if not silently:
                older.tell_to_leave()
            self._remove_from_others(older)
            if not silently:
                await older.close()

    async def dismiss(self, peer: Peer) -> None:
        """The peer has left; may be called twice, and for one that was evicted."""
        if self.peers.get(peer.id) is peer:
            del self.peers[peer.id]
            self._remove_from_others(peer)
        if not peer.closed:
            await peer.close()

    def _remove_from_others(self, peer: Peer) -> None:
        if peer.joined:
            for other in self.members():
                other.forget(peer)
        for producer in peer.producers.values():
            self._emit(TrackWithdrawn(self.id, producer))

    def close(self) -> None:
        """Tell all peers to leave."""
        for peer in list(self.peers.values()):
            peer.tell_to_leave()

    # What one peer does and the others are told ----------------------------------------------

    def introduce(self, peer: Peer) -> None:
        """Announce a peer that has joined to the others, and the others to it."""
        for other in self._others(peer):
            other.introduce(peer)
            peer.introduce(other)

    def offer(self, peer: Peer, producer: Producer) -> None:
        for other in self._others(peer):
            if other.knows(peer):
                other.announce_state(producer, on=True)
                other.consume(producer)
        if self.peers.get(peer.id) is peer:
            self._emit(TrackPublished(self.id, producer))

    def offer_data(self, peer: Peer, producer: DataProducer) -> None:
        for other in self._others(peer):
            if other.knows(peer):
                other.consume_data(producer)

    def withdraw(self, peer: Peer, producer: Producer) -> None:
        for other in self._others(peer):
            other.stop_consuming(producer)
            other.announce_state(producer, on=False)
        self._emit(TrackWithdrawn(self.id, producer, tuple(peer.producers.values())))

    def publish(self, peer: Peer, data: dict[str, Any]) -> None:
        """A message to all who have subscribed to its topic, the sender too."""
        topic = str(data["topic"])
        message = {
            "id": secrets.token_hex(8),
            "topic": topic,
            "message": data.get("message"),
            "payload": data.get("payload"),
            "senderId": peer.id,
            "senderName": peer.name,
            "timestamp": int(time.time() * 1000),
        }
        if (data.get("options") or {}).get("persist"):
            kept = self._messages.setdefault(topic, [])
            kept.append(message)
            del kept[:-MAX_KEPT]
        for member in self.members():
            if topic in member.topics:
                member.channel.notify("pubsubMessage", message)

    def published(self, topic: object) -> list[dict[str, Any]]:
        return list(self._messages.get(str(topic), []))

    def _emit(self, event: RoomEvent) -> None:
        for notify in self._subscribers:
            notify(event)

    def _others(self, peer: Peer) -> list[Peer]:
        """None for a peer that is not in the room any more, or not yet."""
        if self.peers.get(peer.id) is not peer or not peer.joined:
            return []
        return [other for other in self.members() if other is not peer]


def is_connected(room: Room) -> bool:
    """Whether data flows from everybody to everybody else."""
    members = room.members()
    pairs = (len(members) - 1) * 2
    return all(
        peer.sending is not None
        and peer.sending.association.established
        and len(peer.data_producers) == 2
        and len(peer.data_consumers) == pairs
        and all(consumer.open for consumer in peer.data_consumers.values())
        for peer in members
    )


async def empty(rooms: dict[str, Room]) -> None:
    """End all rooms, when their server ends."""
    peers = [(room, peer) for room in rooms.values() for peer in room.peers.values()]
    await asyncio.gather(*(room.dismiss(peer) for room, peer in peers))
