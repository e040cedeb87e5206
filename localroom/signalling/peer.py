"""One participant of a room: its transports, what it publishes, and what it is told of others.

It knows no room. `localroom.signalling.requests` answers what its SDK asks for, and
`localroom.signalling.room` has it and the others told of each other.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from vsaiortc.rtcdtlstransport import RTCCertificate

from localroom.faults import Chaos
from localroom.media.data import DataConsumer, DataProducer
from localroom.media.rtp import ASK_OFTEN_S, Consumer, Producer, sdk_rewriter
from localroom.media.transport import Transport
from localroom.signalling.protoo import Channel, RefusalError

CLOSE_S: Final = 1.0
"""How long a peer that is told to leave may take; then its socket is closed."""


@dataclass(frozen=True, slots=True)
class PeerContext:
    """What all peers and watchers of a server share."""

    host: str
    certificate: RTCCertificate
    chaos: Chaos


class Peer:
    """Between its WebSocket's opening and closing. `query` is what the SDK put into the URL."""

    def __init__(self, query: dict[str, str], channel: Channel, context: PeerContext) -> None:
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
        self._introduced: set[Peer] = set()
        self._context = context
        self._device: Any = {}
        self._introduceda_data: Any = None
        self._takes_media = True

    def statistics(self) -> dict[str, Any]:
        """The answer to ``getTransportStats``, in the names that the SDK looks for."""
        transports = {"send": self.sending, "recv": self.receiving}
        return {name: each.statistics() if each else {} for name, each in transports.items()}

    # What it is told of others ---------------------------------------------------------------

    def card(self) -> dict[str, Any]:
        """What others are told of the peer."""
        return {
            "id": self.id,
            "displayName": self.name,
            "device": self._device,
            "mode": self.mode,
            "metaData": self._introduceda_data,
            "peerType": self.kind,
        }

    def introduce(self, other: "Peer") -> None:
        """Announce `other`, then all that it publishes; the SDK loses what comes before.

        May be called twice: peers that join together are introduced twice.
        """
        if self.knows(other):
            return
        self._introduced.add(other)
        self.channel.notify("newPeer", other.card())
        for producer in other.producers.values():
            self.announce_state(producer, on=True)
            self.consume(producer)
        for data_producer in other.data_producers.values():
            self.consume_data(data_producer)

    def knows(self, other: "Peer") -> bool:
        """Whether `other` was introduced; only then the SDK takes what `other` publishes."""
        return other in self._introduced

    def forget(self, other: "Peer") -> None:
        """`other` has left."""
        for producer in other.producers.values():
            self.stop_consuming(producer)
        for data_producer in other.data_producers.values():
            self._stop_consuming_data(data_producer)
        self._introduced.discard(other)
        self.channel.notify("peerClosed", {"peerId": other.id})

    def consume(self, producer: Producer) -> None:
        """Offer a track, once; the packets come once the SDK has asked for them."""
        if self.receiving is None or not self._takes_media or self.mode == "SIGNALLING_ONLY":
            return
        if any(each.producer is producer for each in self.consumers.values()):
            return
        rewriter, mid = sdk_rewriter(producer.kind), self.receiving.next_mid()
        consumer = Consumer(producer, self.receiving, mid, rewriter, ASK_OFTEN_S)
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

    def announce_state(self, producer: Producer, *, on: bool) -> None:
        """Somebody's microphone or camera is on; the only source of ``mic_on``, ``webcam_on``."""
        state = {"peerId": producer.peer_id, "kind": producer.kind, "newState": on}
        self.channel.notify("participantMediaStateChanged", state)

    @property
    def evicted_silently(self) -> bool:
        """Whether the faults have it learn nothing of the peer that takes its place."""
        return self._context.chaos.faults.eviction == "silent"

    def tell_to_leave(self) -> None:
        """The SDK leaves without an answer; if it does not, its socket is closed."""
        self.channel.request("close", {})
        asyncio.get_running_loop().call_later(CLOSE_S, self.channel.close)

    async def close(self) -> None:
        """Close its transports and consumers; its socket is not touched."""
        self.closed = True
        for consumer in list(self.consumers.values()):
            self._drop(consumer)
        for data_consumer in self.data_consumers.values():
            data_consumer.producer.consumers.remove(data_consumer)
        self.data_consumers.clear()
        for transport in (self.sending, self.receiving):
            if transport is not None:
                await transport.close()

    # What it publishes -----------------------------------------------------------------------

    async def create_transport(self, *, producing: bool) -> dict[str, Any]:
        """The description of a new transport, which replaces its last. Raises RefusalError."""
        transport = Transport(self.id, self._context.certificate, self._context.chaos)
        await transport.open(self._context.host)
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

    def transport(self, transport_id: object) -> Transport:
        """Raises RefusalError."""
        for transport in (self.sending, self.receiving):
            if transport is not None and transport.id == transport_id:
                return transport
        raise RefusalError(404, "There is no such transport.")

    def join(self, data: dict[str, Any]) -> None:
        """Its SDK has joined with `data`. Raises RefusalError."""
        if self.joined:
            raise RefusalError(409, "This peer has joined already.")
        self.name = str(data.get("displayName") or self.id)
        self._device = data.get("deviceInfo") or {}
        self._meta_data = data.get("metaData")
        self._takes_media = bool(data.get("autoConsume", True))
        self.joined = True

    def produce(self, data: dict[str, Any]) -> Producer:
        """A new track of it. Raises RefusalError, and what bad data raises."""
        transport = self.transport(data["transportId"])
        producer = Producer(
            self.id, data["kind"], data["rtpParameters"], data.get("appData"), transport
        )
        self.producers[producer.id] = producer
        transport.exchange.add_producer(producer)
        return producer

    def produce_data(self, data: dict[str, Any]) -> DataProducer:
        """A new data channel of it. Raises RefusalError, and what bad data raises."""
        transport = self.transport(data["transportId"])
        producer = DataProducer(self.id, data, self._context.chaos)
        self.data_producers[producer.id] = producer
        transport.data_producers[producer.stream_id] = producer
        return producer

    def close_producer(self, producer_id: str) -> Producer | None:
        """The track that it publishes no more; None where it is unknown."""
        producer = self.producers.pop(producer_id, None)
        if producer is not None:
            assert self.sending is not None
            self.sending.exchange.remove_producer(producer)
        return producer

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


def _unless_agreed(undo: Callable[[], None], answer: "asyncio.Future[bool]") -> None:
    if not answer.cancelled() and not answer.result():
        undo()


def _when_agreed(consumer: DataConsumer, answer: "asyncio.Future[bool]") -> None:
    consumer.agreed = not answer.cancelled() and answer.result()
