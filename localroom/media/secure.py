"""DTLS and SRTP of one transport: vsaiortc's own, with the packets handed on unread."""

from collections.abc import Callable
from typing import Any

from vsaiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport, State

from localroom.media.ice import IceLite

Handle = Callable[[bytes], None]


class Dtls(RTCDtlsTransport):
    """Calls `on_rtp` and `on_rtcp` with what the peer has sent, decrypted."""

    def __init__(
        self, ice: IceLite, certificate: RTCCertificate, on_rtp: Handle, on_rtcp: Handle
    ) -> None:
        super().__init__(ice, [certificate])  # type: ignore[arg-type]  # it is like vsaiortc's
        self._ice = ice
        self._on_rtp = on_rtp
        self._on_rtcp = on_rtcp

    @property
    def connected(self) -> bool:
        return self._state is State.CONNECTED

    def send(self, packet: bytes, *, rtcp: bool = False) -> None:
        """Encrypt one RTP or RTCP packet and send it; it is lost where nobody is connected."""
        if not self.connected or self._ice.closed:
            return
        session: Any = self._tx_srtp
        self._ice.send(session.protect_rtcp(packet) if rtcp else session.protect(packet))

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:
        self._on_rtp(data)

    async def _handle_rtcp_data(self, data: bytes) -> None:
        self._on_rtcp(data)
