"""The answers to what a peer's SDK asks for over protoo."""

import asyncio
from typing import Any, Final

from localroom.media import capabilities
from localroom.signalling.peer import Peer
from localroom.signalling.protoo import RefusalError
from localroom.signalling.room import Room

RELAYED: Final = {
    "enablePeerMic": "enabledMic",
    "disablePeerMic": "disableMic",
    "enablePeerWebcam": "enableWebcam",
    "disablePeerWebcam": "disableWebcam",
}
"""Requests of one peer that become requests to another; the first one is the SDK's own typo."""


class PeerRequests:
    """Answers the requests of one `peer` of a `room`."""

    def __init__(self, peer: Peer, room: Room) -> None:
        self._peer = peer
        self._room = room

    async def handle(self, method: str, data: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request. Raises RefusalError, and what bad data raises."""
        peer, room = self._peer, self._room
        if peer.closed:
            raise RefusalError(403, "This peer has been told to leave.")
        match method:
            case "getRouterRtpCapabilities":
                return capabilities.router()
            case "createWebRtcTransport":
                return await peer.create_transport(producing=bool(data["producing"]))
            case "connectWebRtcTransport":
                peer.transport(data["transportId"]).connect(data["dtlsParameters"])
            case "requestEntry":
                peer.channel.notify("entryResponded", self._entry())
            case "join":
                return self._join(data)
            case "produce":
                producer = peer.produce(data)
                # The others are told after the answer, which is queued before the loop gets there.
                asyncio.get_running_loop().call_soon(room.offer, peer, producer)
                return {"id": producer.id}
            case "produceData":
                data_producer = peer.produce_data(data)
                asyncio.get_running_loop().call_soon(room.offer_data, peer, data_producer)
                return {"id": data_producer.id}
            case "closeProducer":
                closed = peer.close_producer(data["producerId"])
                if closed is not None:
                    room.withdraw(peer, closed)
            case "resumeConsumer":
                consumer = peer.consumers.get(data["consumerId"])
                if consumer is not None:
                    consumer.resume()
            case _:
                return self._handle_others(method, data)
        return {}

    def _handle_others(self, method: str, data: dict[str, Any]) -> dict[str, Any]:
        """Requests that concern the other peers, or what they have said."""
        peer, room = self._peer, self._room
        match method:
            case "getTransportStats":
                return room.member(data["peerId"]).statistics()
            case "pubsubPublish":
                room.publish(peer, data)
            case "pubsubSubscribe":
                peer.topics.add(str(data["topic"]))
                return {"messages": room.published(data["topic"])}
            case "pubsubUnsubscribe":
                peer.topics.discard(str(data["topic"]))
            case "removePeer":
                room.member(data["peerId"]).tell_to_leave()
            case "closeRoom":
                room.close()
            case _ if method in RELAYED:
                other = room.member(data["peerId"])
                other.channel.request(RELAYED[method], {"peerId": peer.id})
            case _:
                raise RefusalError(404, f"{method} is not known here.")
        return {}

    def _entry(self) -> dict[str, Any]:
        session_id = self._room.session_id
        return {"peerId": self._peer.id, "decision": "allowed", "sessionId": session_id}

    def _join(self, data: dict[str, Any]) -> dict[str, Any]:
        others = self._room.members()
        self._peer.join(data)
        # Introductions follow the answer, which is queued before the loop gets there.
        asyncio.get_running_loop().call_soon(self._room.introduce, self._peer)
        return {"peers": [other.card() for other in others], "messages": []}
