"""Data messages from one producer to its consumers, and what the faults make of them."""

import asyncio
import secrets
from typing import Any

from localroom.faults import Chaos
from localroom.media.association import Association


class DataProducer:
    """One data channel on which a peer sends."""

    def __init__(self, peer_id: str, data: dict[str, Any], chaos: Chaos) -> None:
        stream = data["sctpStreamParameters"]
        self.id = secrets.token_hex(8)
        self.peer_id = peer_id
        self.stream_id = int(stream["streamId"])
        self.label = str(data.get("label") or "")
        self.protocol = str(data.get("protocol") or "")
        self.app_data = data.get("appData") or {}
        self.ordered = bool(stream.get("ordered", True))
        self.max_retransmits: int | None = stream.get("maxRetransmits")
        self.consumers: list[DataConsumer] = []
        self.received = 0
        self._chaos = chaos

    def forward(self, protocol: int, payload: bytes) -> None:
        """To every consumer, when the faults say."""
        self.received += 1
        for consumer in self.consumers:
            for delay_s in self._chaos.message_delays(self.peer_id, consumer.peer_id):
                if delay_s:
                    loop = asyncio.get_running_loop()
                    loop.call_later(delay_s, consumer.send, protocol, payload)
                else:
                    consumer.send(protocol, payload)


class DataConsumer:
    """A producer's messages on their way to one receiver.

    The stream has the reliability that the producer has asked for, as mediasoup does it: the
    SDK's RELIABLE is unordered and gives up after 5 retransmissions, its UNRELIABLE is
    unordered and never gives up.
    """

    def __init__(
        self, producer: DataProducer, peer_id: str, association: Association, stream_id: int
    ) -> None:
        self.id = secrets.token_hex(8)
        self.producer = producer
        self.peer_id = peer_id
        self.stream_id = stream_id
        self.agreed: bool | None = None
        """Whether the SDK has taken the offer of it; None before it has answered."""
        self.closed = False
        self.sent = 0
        self.lost = 0
        self._association = association

    @property
    def open(self) -> bool:
        return bool(self.agreed) and self._association.established

    def send(self, protocol: int, payload: bytes) -> None:
        """Send one message, unless the SDK has refused the offer.

        It waits for the association, but not for the SDK's answer: the SDK makes its channel
        before it answers, and a message that comes earlier still is lost at the receiver, as on
        the platform.
        """
        if self.closed:
            return
        producer = self.producer
        fits = self.agreed is not False and self._association.send(
            self.stream_id, protocol, payload, producer.max_retransmits, producer.ordered
        )
        self.sent += fits
        self.lost += not fits

    def close(self) -> None:
        """The signalling has no word for it: the SDK's channel ends with its stream."""
        self.closed = True
        self._association.reset(self.stream_id)

    def stream_parameters(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "streamId": self.stream_id,
            "ordered": self.producer.ordered,
        }
        if self.producer.max_retransmits is not None:
            parameters["maxRetransmits"] = self.producer.max_retransmits
        return parameters
