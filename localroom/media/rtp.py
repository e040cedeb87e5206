"""Sound and pictures from one producer to its consumers, packet by packet.

A packet becomes what the consumer was told (`localroom.media.splice`), and a receiver's NACK names,
back in the sender's own numbers, a packet that the sender can be asked for. What the sender
repeats over RTX reaches everybody.
"""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from struct import error as StructError  # noqa: N812 - as an exception is named
from struct import unpack_from
from typing import Any, Final, Protocol

from vsaiortc.codecs.vpx import VpxPayloadDescriptor
from vsaiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
    unpack_remb_fci,
)

from localroom.media.capabilities import OPUS, RTX, VP8, consumer_codecs, consumer_extensions
from localroom.media.splice import SSRC, RtpRewriter

ASK_OFTEN_S: Final = (0.0, 1.0)
"""When an SDK's new consumer of pictures asks for key frames. The SDK itself never asks before
it has decoded one, and the first may be lost; but each one looks worse for some time."""
ASK_ONCE_S: Final = (0.0,)
"""For those who ask themselves; each key frame costs the sender more than ten other pictures."""
ASK_AGAIN_S: Final = 1.0
"""Either asks again after that long, until one has come."""

FEEDBACK_SSRC: Final = 1
"""Whom the room's own requests for key frames come from."""


class PacketSender(Protocol):
    """What is needed of a transport."""

    @property
    def connected(self) -> bool: ...

    def send(self, packet: bytes, *, rtcp: bool = False) -> None: ...


class Producer:
    """One track that a peer publishes."""

    def __init__(
        self, peer_id: str, kind: str, parameters: dict[str, Any], app_data: Any, wire: PacketSender
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
        self.last_report: RtcpSenderInfo | None = None
        self.packets = 0
        self.bytes = 0
        """Of RTP, with what is repeated."""
        self.retransmissions = 0
        self.key_frames = 0
        self.nacks = 0
        """How many packets it was asked for again; `plis`: how often for a key frame."""
        self.plis = 0
        self._media_type = int(parameters["codecs"][0]["payloadType"])
        self._wire = wire

    def forward(self, packet: bytes, *, is_rtx: bool) -> None:
        """To every consumer that has asked for it."""
        if not is_rtx and packet[1] & 0x7F != self._media_type:
            return
        begins = not is_rtx and self.kind == "video" and begins_key_frame(packet)
        self.packets += 1
        self.bytes += len(packet)
        self.retransmissions += is_rtx
        self.key_frames += begins
        for consumer in self.consumers:
            consumer.forward(packet, is_rtx=is_rtx, begins_key_frame=begins)

    def report(self, info: RtcpSenderInfo) -> None:
        """The sender's clock, by which receivers keep sound and pictures together."""
        self.last_report = info
        for consumer in self.consumers:
            consumer.report(info)

    def ask_for_key_frame(self) -> None:
        self.plis += 1
        request = RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=FEEDBACK_SSRC, media_ssrc=self.ssrc)
        self._wire.send(bytes(request), rtcp=True)

    def ask_again(self, lost: list[int]) -> None:
        """Have the packets with these sequence numbers sent once more."""
        self.nacks += len(lost)
        request = RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=FEEDBACK_SSRC, media_ssrc=self.ssrc)
        request.lost = lost
        self._wire.send(bytes(request), rtcp=True)


class Consumer:
    """One track on its way to one receiver. It begins when the receiver says so."""

    def __init__(
        self,
        producer: Producer,
        wire: PacketSender,
        mid: str,
        rewriter: RtpRewriter,
        ask_s: Sequence[float],
    ) -> None:
        self.id = secrets.token_hex(8)
        self.producer = producer
        self.wire = wire
        self.mid = mid
        self.rewriter = rewriter
        self.resumed = False
        self.flowing = False
        """Pictures flow from the first key frame on."""
        self.packets = 0
        self.bytes = 0
        self.retransmissions = 0
        self.nacks = 0
        self.plis = 0
        self._ask_s = ask_s
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

    def forward(self, packet: bytes, *, is_rtx: bool, begins_key_frame: bool) -> None:
        if not self.resumed or not self.wire.connected:
            return
        if not self.flowing and (
            is_rtx or (self.producer.kind == "video" and not begins_key_frame)
        ):
            return
        own = self.rewriter.rewrite(packet, asyncio.get_running_loop().time(), is_rtx=is_rtx)
        if own is None:
            return
        self.packets += 1
        self.bytes += len(own)
        self.retransmissions += is_rtx
        self.wire.send(own)
        if not self.flowing:
            self.flowing = True
            if self.producer.last_report is not None:
                self.report(self.producer.last_report)

    def report(self, info: RtcpSenderInfo) -> None:
        """Nothing of a clock before there is something that it times."""
        if not self.flowing:
            return
        own = RtcpSenderInfo(
            ntp_timestamp=info.ntp_timestamp,
            rtp_timestamp=self.rewriter.moment(info.rtp_timestamp),
            packet_count=self.packets & 0xFFFFFFFF,
            octet_count=self.bytes & 0xFFFFFFFF,
        )
        self.wire.send(bytes(RtcpSrPacket(self.rewriter.ssrc, own)), rtcp=True)

    def ask_again(self, lost: list[int]) -> None:
        """What the receiver has missed."""
        own = self.rewriter.original(lost)
        self.nacks += len(own)
        if own:
            self.producer.ask_again(own)

    def ask_for_key_frame(self) -> None:
        """What the receiver cannot go on without."""
        self.plis += 1
        self.producer.ask_for_key_frame()

    def parameters(self) -> dict[str, Any]:
        """What the SDK is told. Without a cname it would not know the SSRC."""
        kind = self.producer.kind
        encoding: dict[str, Any] = {"ssrc": self.rewriter.ssrc}
        if kind == "video":
            encoding["rtx"] = {"ssrc": self.rewriter.rtx_ssrc}
        return {
            "mid": self.mid,
            "codecs": consumer_codecs(kind),
            "headerExtensions": consumer_extensions(kind),
            "encodings": [encoding],
            "rtcp": {"cname": self.producer.cname, "reducedSize": True, "mux": True},
        }

    def _ask(self, count: int) -> None:
        self.producer.ask_for_key_frame()
        if count + 1 < len(self._ask_s):
            pause_s = self._ask_s[count + 1] - self._ask_s[count]
        elif not self.flowing:
            pause_s = ASK_AGAIN_S
        else:
            return
        self._asking = asyncio.get_running_loop().call_later(pause_s, self._ask, count + 1)


def sdk_rewriter(kind: str) -> RtpRewriter:
    """How every SDK knows a track of that kind."""
    return RtpRewriter(VP8, RTX) if kind == "video" else RtpRewriter(OPUS, None)


class Exchange:
    """Whose packet it is: the producers and consumers of one transport, by their SSRC."""

    def __init__(self) -> None:
        self._producers: dict[int, Producer] = {}
        self._consumers: dict[int, Consumer] = {}
        self.estimate_bps: int | None = None
        """What the peer believes that it could receive, the last time it said so."""

    def add_producer(self, producer: Producer) -> None:
        for ssrc in (producer.ssrc, producer.rtx_ssrc):
            if ssrc is not None:
                self._producers[ssrc] = producer

    def remove_producer(self, producer: Producer) -> None:
        for ssrc in (producer.ssrc, producer.rtx_ssrc):
            if ssrc is not None:
                self._producers.pop(ssrc, None)

    def add_consumer(self, consumer: Consumer) -> None:
        self._consumers[consumer.rewriter.ssrc] = consumer

    def remove_consumer(self, consumer: Consumer) -> None:
        self._consumers.pop(consumer.rewriter.ssrc, None)

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
                    self._producers[ssrc].report(packet.sender_info)
                case RtcpRtpfbPacket(fmt=1, media_ssrc=ssrc) if ssrc in self._consumers:
                    self._consumers[ssrc].ask_again(packet.lost)
                case RtcpPsfbPacket(fmt=1, media_ssrc=ssrc) if ssrc in self._consumers:
                    self._consumers[ssrc].ask_for_key_frame()
                case RtcpPsfbPacket(fmt=fmt) if fmt == RTCP_PSFB_APP:
                    with suppress(ValueError, StructError):
                        self.estimate_bps = unpack_remb_fci(packet.fci)[0]


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
