"""Sound and pictures from one producer to its consumers, packet by packet.

A packet keeps its sequence number and time stamp; its SSRC and payload type become those that
the consumer was told. So a receiver's NACK names the sender's own packet and can be passed on
to it, and what the sender repeats over RTX reaches everybody.
"""

import asyncio
import secrets
from struct import pack_into, unpack_from
from typing import Any, Final, Protocol

from vsaiortc.codecs.vpx import VpxPayloadDescriptor
from vsaiortc.rtp import (
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpRtpfbPacket,
    RtcpSrPacket,
)

from localroom.capabilities import OPUS, RTX, VP8, consumer_codecs, consumer_extensions

ASK_S: Final = (0.0, 0.25, 0.5, 1.0, 2.0)
"""When a new consumer of pictures asks for key frames, and then again each `ASK_AGAIN_S` until
one has come. The SDK itself never asks before it has decoded one, and the first may be lost."""
ASK_AGAIN_S: Final = 1.0

SSRC: Final = 8
"""Where an RTP packet has it."""

FEEDBACK_SSRC: Final = 1
"""Whom the room's own requests for key frames come from."""


class Wire(Protocol):
    """What is needed of a transport."""

    @property
    def connected(self) -> bool: ...

    def send(self, packet: bytes, *, rtcp: bool = False) -> None: ...


class Producer:
    """One track that a peer publishes."""

    def __init__(
        self, peer_id: str, kind: str, parameters: dict[str, Any], app_data: Any, wire: Wire
    ) -> None:
        encoding = parameters["encodings"][0]
        self.id = secrets.token_hex(8)
        self.peer_id = peer_id
        self.kind = kind
        self.ssrc = int(encoding["ssrc"])
        self.rtx_ssrc = int(encoding["rtx"]["ssrc"]) if encoding.get("rtx") else None
        self.app_data = dict(app_data or {}) | {
            "peerId": peer_id,
            "encodings": parameters["encodings"],
        }
        self.cname = parameters["rtcp"].get("cname") or self.id
        self.consumers: list[Consumer] = []
        self._media_type = int(parameters["codecs"][0]["payloadType"])
        self._wire = wire

    def forward(self, packet: bytes, *, is_rtx: bool) -> None:
        """To every consumer that has asked for it."""
        if not is_rtx and packet[1] & 0x7F != self._media_type:
            return
        for consumer in self.consumers:
            consumer.forward(packet, is_rtx=is_rtx)

    def report(self, report: RtcpSrPacket) -> None:
        """The sender's clock, by which receivers keep sound and pictures together."""
        for consumer in self.consumers:
            own = RtcpSrPacket(ssrc=consumer.ssrc, sender_info=report.sender_info)
            consumer.wire.send(bytes(own), rtcp=True)

    def ask_for_key_frame(self) -> None:
        request = RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=FEEDBACK_SSRC, media_ssrc=self.ssrc)
        self._wire.send(bytes(request), rtcp=True)

    def ask_again(self, lost: list[int]) -> None:
        """Have the packets with these sequence numbers sent once more."""
        request = RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=FEEDBACK_SSRC, media_ssrc=self.ssrc)
        request.lost = lost
        self._wire.send(bytes(request), rtcp=True)


class Consumer:
    """One track on its way to one receiver. It begins when the receiver says so."""

    def __init__(self, producer: Producer, wire: Wire, mid: str) -> None:
        self.id = secrets.token_hex(8)
        self.producer = producer
        self.wire = wire
        self.mid = mid
        self.ssrc = _some_ssrc()
        self.rtx_ssrc = _some_ssrc()
        self.resumed = False
        self.flowing = False
        """Pictures flow from the first key frame on."""
        self.packets = 0
        self._payload_type = VP8 if producer.kind == "video" else OPUS
        self._asking: asyncio.TimerHandle | None = None

    def resume(self) -> None:
        """The receiver is ready."""
        if self.resumed:
            return
        self.resumed = True
        if self.producer.kind == "video":
            self._ask(0)

    def close(self) -> None:
        self.resumed = False
        if self._asking is not None:
            self._asking.cancel()

    def forward(self, packet: bytes, *, is_rtx: bool) -> None:
        if not self.resumed or not self.wire.connected:
            return
        if not self.flowing:
            if is_rtx or (self.producer.kind == "video" and not begins_key_frame(packet)):
                return
            self.flowing = True
        self.packets += 1
        own = bytearray(packet)
        own[1] = packet[1] & 0x80 | (RTX if is_rtx else self._payload_type)
        pack_into("!L", own, SSRC, self.rtx_ssrc if is_rtx else self.ssrc)
        self.wire.send(bytes(own))

    def parameters(self) -> dict[str, Any]:
        """What the SDK is told. Without a cname it would not know the SSRC."""
        kind = self.producer.kind
        encoding: dict[str, Any] = {"ssrc": self.ssrc}
        if kind == "video":
            encoding["rtx"] = {"ssrc": self.rtx_ssrc}
        return {
            "mid": self.mid,
            "codecs": consumer_codecs(kind),
            "headerExtensions": consumer_extensions(kind),
            "encodings": [encoding],
            "rtcp": {"cname": self.producer.cname, "reducedSize": True, "mux": True},
        }

    def _ask(self, count: int) -> None:
        self.producer.ask_for_key_frame()
        if count + 1 < len(ASK_S):
            pause_s = ASK_S[count + 1] - ASK_S[count]
        elif not self.flowing:
            pause_s = ASK_AGAIN_S
        else:
            return
        self._asking = asyncio.get_running_loop().call_later(pause_s, self._ask, count + 1)


class Exchange:
    """Whose packet it is: the producers and consumers of one transport, by their SSRC."""

    def __init__(self) -> None:
        self._producers: dict[int, Producer] = {}
        self._consumers: dict[int, Consumer] = {}

    def add_producer(self, producer: Producer) -> None:
        for ssrc in (producer.ssrc, producer.rtx_ssrc):
            if ssrc is not None:
                self._producers[ssrc] = producer

    def remove_producer(self, producer: Producer) -> None:
        for ssrc in (producer.ssrc, producer.rtx_ssrc):
            if ssrc is not None:
                self._producers.pop(ssrc, None)

    def add_consumer(self, consumer: Consumer) -> None:
        self._consumers[consumer.ssrc] = consumer

    def remove_consumer(self, consumer: Consumer) -> None:
        self._consumers.pop(consumer.ssrc, None)

    def on_rtp(self, packet: bytes) -> None:
        """A packet that the transport's peer has sent."""
        if len(packet) < 12:
            return
        (ssrc,) = unpack_from("!L", packet, SSRC)
        producer = self._producers.get(ssrc)
        if producer is not None:
            producer.forward(packet, is_rtx=ssrc == producer.rtx_ssrc)

    def on_rtcp(self, data: bytes) -> None:
        """Sender reports go down, NACK and PLI go up; what else there is ends here."""
        try:
            packets = RtcpPacket.parse(data)
        except ValueError:
            return
        for packet in packets:
            match packet:
                case RtcpSrPacket(ssrc=ssrc) if ssrc in self._producers:
                    self._producers[ssrc].report(packet)
                case RtcpRtpfbPacket(fmt=1, media_ssrc=ssrc) if ssrc in self._consumers:
                    self._consumers[ssrc].producer.ask_again(packet.lost)
                case RtcpPsfbPacket(fmt=1, media_ssrc=ssrc) if ssrc in self._consumers:
                    self._consumers[ssrc].producer.ask_for_key_frame()


def begins_key_frame(packet: bytes) -> bool:
    """Whether an RTP packet has the first bytes of a VP8 key frame (RFC 7741, section 4.3)."""
    start = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10 and len(packet) >= start + 4:
        start += 4 + 4 * unpack_from("!H", packet, start + 2)[0]
    try:
        descriptor, frame = VpxPayloadDescriptor.parse(packet[start:])
    except ValueError:
        return False
    first = descriptor.partition_start == 1 and descriptor.partition_id == 0
    return bool(first and frame and not frame[0] & 1)


def _some_ssrc() -> int:
    return secrets.randbelow(2**32 - 1) + 1
