"""One participant of a room: what it asks for, and what it is told."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from vsaiortc.rtcdtlstransport import RTCCertificate

from localroom.faults import Chaos
from localroom.media.data import DataConsumer, DataProducer
from localroom.media.rtp import ASK_OFTEN_S, Consumer, Producer, told
from localroom.media.transport import Transport
from localroom.signalling import capabilities
from localroom.signalling.protoo import Channel, RefusalError

if TYPE_CHECKING:
    from localroom.room import Room

RELAYED: Final = {
    "enablePeerMic": "enabledMic",
    "disablePeerMic": "disableMic",
    "enablePeerWebcam": "enableWebcam",
    "disablePeerWebcam": "disableWebcam",
}
"""Requests of one peer that become requests to another; the first one is the SDK's own typo."""

CLOSE_S: Final = 1.0
"""How long a peer that is told to leave may take; then its socket is closed."""

logger = logging.getLogger("avatar.localroom.peer")


@dataclass(frozen=True, slots=True)
class PeerContext:
    """What every peer stands on."""

    host: str
    certificate: RTCCertificate
    chaos: Chaos


class Peer:
    """Between its WebSocket's opening and closing. `query` is what the SDK put into the URL."""

    def __init__(self, room: "Room", query: dict[str, str], channel: Channel, ground: PeerContext):
        self.id = query["peerId"]
        self.kind = query.get("peerType", "normal")
        self.mode = query.get("mode", "SEND_AND_RECV")
        self.name = self.id
        self.joined = False
        self.closed = False
        self.channel = channel
        self.sending: Transport | None = None
        self.receiving: Transport | None = None
        self.producers: dict[str, Producer] = {}
        self.data_producers: dict[str, DataProducer] = {}
        self.consumers: dict[str, Consumer] = {}
        self.data_consumers: dict[str, DataConsumer] = {}
        self.topics: set[str] = set()
        self._met: set[Peer] = set()
        self._room = room
        self._ground = ground
        self._device: Any = {}
        self._meta_data: Any = None
        self._takes_media = True

    async def handle(self, method: str, data: dict[str, Any]) -> dict[str, Any]:
        """The answer to the SDK's request. Raises RefusalError, and what bad data raises."""
        if self.closed:
            raise RefusalError(403, "This peer has been told to leave.")
        match method:
            case "getRouterRtpCapabilities":
                return capabilities.router()
            case "createWebRtcTransport":
                return await self._create_transport(producing=bool(data["producing"]))
            case "connectWebRtcTransport":
                self._transport(data["transportId"]).connect(data["dtlsParameters"])
            case "requestEntry":
                self.channel.notify("entryResponded", self._entry())
            case "join":
                return self._join(data)
            case "produce":
                return self._produce(data)
            case "produceData":
                return self._produce_data(data)
            case "closeProducer":
                self._close_producer(data["producerId"])
            case "resumeConsumer":
                consumer = self.consumers.get(data["consumerId"])
                if consumer is not None:
                    consumer.resume()
            case "getTransportStats":
                return self._room.member(data["peerId"]).statistics()
            case "pubsubPublish":
                self._room.publish(self, data)
            case "pubsubSubscribe":
                self.topics.add(str(data["topic"]))
                return {"messages": self._room.published(data["topic"])}
            case "pubsubUnsubscribe":
                self.topics.discard(str(data["topic"]))
            case "removePeer":
                self._room.member(data["peerId"]).tell_to_leave()
            case "closeRoom":
                self._room.close()
            case _ if method in RELAYED:
                other = self._room.member(data["peerId"])
                other.channel.request(RELAYED[method], {"peerId": self.id})
            case _:
                raise RefusalError(404, f"{method} is not known here.")
        return {}

    def statistics(self) -> dict[str, Any]:
        """The answer to ``getTransportStats``, in the names that the SDK looks for."""
        transports = {"send": self.sending, "recv": self.receiving}
        return {name: each.statistics() if each else {} for name, each in transports.items()}

    # What the room does with it --------------------------------------------------------------

    def card(self) -> dict[str, Any]:
        """What others are told of the peer."""
        return {
            "id": self.id,
            "displayName": self.name,
            "device": self._device,
            "mode": self.mode,
            "metaData": self._meta_data,
            "peerType": self.kind,
        }

    def meet(self, other: "Peer") -> None:
        """Tell of `other` and all that it sends: first that it is here, else that is lost.

        May be called twice: those who join together are introduced twice.
        """
        if self.knows(other):
            return
        self._met.add(other)
        self.channel.notify("newPeer", other.card())
        for producer in other.producers.values():
            self._announce_state(producer, on=True)
            self.consume(producer)
        for data_producer in other.data_producers.values():
            self.consume_data(data_producer)

    def knows(self, other: "Peer") -> bool:
        """Whether it was told that `other` is here; only then it takes what `other` sends."""
        return other in self._met

    def part(self, other: "Peer") -> None:
        for producer in other.producers.values():
            self.stop_consuming(producer)
        for data_producer in other.data_producers.values():
            self._stop_consuming_data(data_producer)
        self._met.discard(other)
        self.channel.notify("peerClosed", {"peerId": other.id})

    def consume(self, producer: Producer) -> None:
        """Offer a track, once; the packets come once the SDK has asked for them."""
        if self.receiving is None or not self._takes_media or self.mode == "SIGNALLING_ONLY":
            return
        if any(each.producer is producer for each in self.consumers.values()):
            return
        outlet, mid = told(producer.kind), self.receiving.next_mid()
        consumer = Consumer(producer, self.receiving, mid, outlet, ASK_OFTEN_S)
        self.consumers[consumer.id] = consumer
        producer.consumers.append(consumer)
        self.receiving.exchange.add_consumer(consumer)
        offer = {
            "id": consumer.id,
            "peerId": producer.peer_id,
            "producerId": producer.id,
            "kind": producer.kind,
            "type": "simple",
            "producerPaused": False,
            "rtpParameters": consumer.parameters(),
            "appData": producer.app_data,
        }
        answer = self.channel.request("newConsumer", offer)
        answer.add_done_callback(partial(_unless_agreed, partial(self._drop, consumer)))

    def consume_data(self, producer: DataProducer) -> None:
        """Offer a data channel, once: with a second one every message would be doubled."""
        if self.receiving is None or self.mode == "SIGNALLING_ONLY":
            return
        if any(each.producer is producer for each in self.data_consumers.values()):
            return
        stream_id = self.receiving.next_stream()
        consumer = DataConsumer(producer, self.id, self.receiving.association, stream_id)
        self.data_consumers[consumer.id] = consumer
        producer.consumers.append(consumer)
        offer = {
            "id": consumer.id,
            "peerId": producer.peer_id,
            "dataProducerId": producer.id,
            "sctpStreamParameters": consumer.stream_parameters(),
            "label": producer.label,
            "protocol": producer.protocol,
            "appData": producer.app_data,
        }
        answer = self.channel.request("newDataConsumer", offer)
        answer.add_done_callback(partial(_when_agreed, consumer))

    def stop_consuming(self, producer: Producer) -> None:
        for consumer in [each for each in self.consumers.values() if each.producer is producer]:
            self._drop(consumer)
            self.channel.notify("consumerClosed", {"consumerId": consumer.id})

    def tell_of(self, producer: Producer, *, on: bool) -> None:
        """Whether somebody's microphone or camera is on."""
        self._announce_state(producer, on=on)

    @property
    def evicted_silently(self) -> bool:
        """Whether it is not to know that another one has its place."""
        return self._ground.chaos.faults.eviction == "silent"

    def tell_to_leave(self) -> None:
        """The SDK leaves without an answer; if it does not, its socket is closed."""
        self.channel.request("close", {})
        asyncio.get_running_loop().call_later(CLOSE_S, self.channel.close)

    async def close(self) -> None:
        """Everything of it ends; its socket is not touched."""
        self.closed = True
        for consumer in list(self.consumers.values()):
            self._drop(consumer)
        for data_consumer in self.data_consumers.values():
            data_consumer.producer.consumers.remove(data_consumer)
        self.data_consumers.clear()
        for transport in (self.sending, self.receiving):
            if transport is not None:
                await transport.close()

    # What it asks for ------------------------------------------------------------------------

    def _entry(self) -> dict[str, Any]:
        return {"peerId": self.id, "decision": "allowed", "sessionId": self._room.session_id}

    async def _create_transport(self, *, producing: bool) -> dict[str, Any]:
        transport = Transport(self.id, self._ground.certificate, self._ground.chaos)
        await transport.open(self._ground.host)
        if self.closed:
            await transport.close()
            raise RefusalError(403, "This peer has been told to leave.")
        if producing:
            previous, self.sending = self.sending, transport
        else:
            previous, self.receiving = self.receiving, transport
        if previous is not None:
            await previous.close()
        return transport.description()

    def _transport(self, transport_id: object) -> Transport:
        for transport in (self.sending, self.receiving):
            if transport is not None and transport.id == transport_id:
                return transport
        raise RefusalError(404, "There is no such transport.")

    def _join(self, data: dict[str, Any]) -> dict[str, Any]:
        if self.joined:
            raise RefusalError(409, "This peer has joined already.")
        self.name = str(data.get("displayName") or self.id)
        self._device = data.get("deviceInfo") or {}
        self._meta_data = data.get("metaData")
        self._takes_media = bool(data.get("autoConsume", True))
        others = self._room.members()
        self.joined = True
        # Introductions follow the answer, which is queued before the loop comes to this.
        asyncio.get_running_loop().call_soon(self._room.introduce, self)
        return {"peers": [other.card() for other in others], "messages": []}

    def _produce(self, data: dict[str, Any]) -> dict[str, Any]:
        transport = self._transport(data["transportId"])
        producer = Producer(
            self.id, data["kind"], data["rtpParameters"], data.get("appData"), transport
        )
        self.producers[producer.id] = producer
        transport.exchange.add_producer(producer)
        asyncio.get_running_loop().call_soon(self._room.offer, self, producer)
        return {"id": producer.id}

    def _produce_data(self, data: dict[str, Any]) -> dict[str, Any]:
        transport = self._transport(data["transportId"])
        producer = DataProducer(self.id, data, self._ground.chaos)
        self.data_producers[producer.id] = producer
        transport.data_producers[producer.stream_id] = producer
        asyncio.get_running_loop().call_soon(self._room.offer_data, self, producer)
        return {"id": producer.id}

    def _close_producer(self, producer_id: str) -> None:
        producer = self.producers.pop(producer_id, None)
        if producer is not None:
            assert self.sending is not None
            self.sending.exchange.remove_producer(producer)
            self._room.withdraw(self, producer)

    # Its consumers ---------------------------------------------------------------------------

    def _drop(self, consumer: Consumer) -> None:
        consumer.close()
        if self.consumers.pop(consumer.id, None) is not None:
            consumer.producer.consumers.remove(consumer)
        if self.receiving is not None:
            self.receiving.exchange.remove_consumer(consumer)

    def _stop_consuming_data(self, producer: DataProducer) -> None:
        ending = [each for each in self.data_consumers.values() if each.producer is producer]
        for consumer in ending:
            del self.data_consumers[consumer.id]
            producer.consumers.remove(consumer)
            consumer.close()

    def _announce_state(self, producer: Producer, *, on: bool) -> None:
        """The only source of the SDK's ``mic_on`` and ``webcam_on``."""
        state = {"peerId": producer.peer_id, "kind": producer.kind, "newState": on}
        self.channel.notify("participantMediaStateChanged", state)


def _unless_agreed(undo: Callable[[], None], answer: "asyncio.Future[bool]") -> None:
    if not answer.cancelled() and not answer.result():
        undo()


def _when_agreed(consumer: DataConsumer, answer: "asyncio.Future[bool]") -> None:
    consumer.live = not answer.cancelled() and answer.result()
