"""One WebRTC transport of one peer: a socket, ICE-lite, DTLS, SRTP and SCTP on top of it.

A peer has two: the SDK sends on one and receives on the other.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any, Final

from vsaiortc.rtcdtlstransport import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
)

from localroom.faults import Chaos
from localroom.media.association import MAX_MESSAGE, PORT, STREAMS, Association
from localroom.media.data import DataProducer
from localroom.media.ice import IceLite
from localroom.media.rtp import Exchange
from localroom.media.secure import Dtls

FINGERPRINT: Final = "sha-256"
"""The only kind that the SDK reads. (It offers only sha-512 itself.)"""

logger = logging.getLogger("avatar.localroom.transport")


class Transport:
    """Lives from `open` to `close`; the SDK is ready when it calls for `connect`."""

    def __init__(self, owner: str, certificate: RTCCertificate, chaos: Chaos) -> None:
        self.id = secrets.token_hex(8)
        self.exchange = Exchange()
        self.data_producers: dict[int, DataProducer] = {}
        self._certificate = certificate
        self._ice = IceLite(owner, chaos)
        self._dtls = Dtls(self._ice, certificate, self.exchange.on_rtp, self.exchange.on_rtcp)
        self.association = Association(self._dtls, self._on_message)
        self._mids = count()
        self._streams = count()
        self._connecting: asyncio.Task[None] | None = None

    async def open(self, host: str) -> None:
        await self._ice.open(host)

    def description(self) -> dict[str, Any]:
        """The answer to ``createWebRtcTransport``."""
        fingerprints = [
            {"algorithm": each.algorithm, "value": each.value}
            for each in self._certificate.getFingerprints()
            if each.algorithm == FINGERPRINT
        ]
        return {
            "id": self.id,
            "iceParameters": self._ice.parameters(),
            "iceCandidates": [self._ice.candidate()],
            "dtlsParameters": {"role": "auto", "fingerprints": fingerprints},
            "sctpParameters": {
                "port": PORT,
                "OS": STREAMS,
                "MIS": STREAMS,
                "maxMessageSize": MAX_MESSAGE,
            },
        }

    def connect(self, parameters: dict[str, Any], then: Callable[[], None] = lambda: None) -> None:
        """Begin the handshake; `parameters` are the SDK's, `then` follows when it has succeeded.

        Raises KeyError, ValueError.
        """
        role = {"server": "client", "client": "server"}.get(parameters["role"])
        if role is None or self._connecting is not None:
            raise ValueError("A transport is connected once, by a DTLS server or client.")
        fingerprints = [
            RTCDtlsFingerprint(each["algorithm"], each["value"])
            for each in parameters["fingerprints"]
        ]
        self._dtls._set_role(role)
        self._connecting = asyncio.get_running_loop().create_task(
            self._handshake(RTCDtlsParameters(fingerprints), then), name=f"dtls-{self.id}"
        )

    async def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            with suppress(asyncio.CancelledError):
                await self._connecting
        await self.association.stop()
        await self._dtls.stop()
        self._ice.close()

    @property
    def connected(self) -> bool:
        return self._dtls.connected

    @property
    def state(self) -> str:
        return self._dtls.state

    @property
    def received_at(self) -> float:
        """When a packet of the other side was last received; on the loop's clock (s)."""
        return self._ice.received_at

    def statistics(self) -> dict[str, Any]:
        """Counts of all datagrams, STUN included; the round trip (ms) is the data channels'."""
        found = {
            "dtlsState": self.state,
            **self._ice.counts(),
            "rtt": self.association.round_trip_ms,
            "availableOutgoingBitrate": self.exchange.estimate_bps,
        }
        return {name: value for name, value in found.items() if value is not None}

    def send(self, packet: bytes, *, rtcp: bool = False) -> None:
        self._dtls.send(packet, rtcp=rtcp)

    def next_mid(self) -> str:
        """The SDK cannot take a media section twice."""
        return str(next(self._mids))

    def next_stream(self) -> int:
        """Not used again until all have been: the SDK may still be closing the last one's."""
        return next(self._streams) % STREAMS

    async def _handshake(self, remote: RTCDtlsParameters, then: Callable[[], None]) -> None:
        await self.association.listen()
        await self._ice.nominated.wait()
        await self._dtls.start(remote)
        if self._dtls.connected:
            then()
        else:
            logger.warning("a transport's DTLS handshake has failed")

    def _on_message(self, stream_id: int, protocol: int, payload: bytes) -> None:
        producer = self.data_producers.get(stream_id)
        if producer is not None:
            producer.forward(protocol, payload)
