"""One UDP socket that speaks ICE-lite: it answers checks, and sends to the nominated address.

The SDK never tells its own ICE credentials, so a server can only answer (RFC 8445, section
2.5). All else than STUN goes to DTLS, as vsaiortc expects of its ICE transport.
"""

import asyncio
import secrets
import socket
from contextlib import suppress
from struct import error as StructError  # noqa: N812 - as an exception is named
from typing import Any, Final

from aioice import stun

from localroom.faults import Chaos

RECEIVE_BUFFER: Final = 4 * 1024 * 1024
"""Bytes that the kernel is asked to keep; 2000 small messages overflow its usual 208 KiB."""

MAX_WAITING: Final = 4096
"""Datagrams that may wait to be read; later ones are lost, as in the kernel."""

PRIORITY: Final = 1076302079

Address = tuple[str, int]


class IceLite(asyncio.DatagramProtocol):
    """The lower end of one transport of the peer called `owner`."""

    role: Final = "controlled"
    """Read by vsaiortc, for which it also means: the server's side of SCTP."""

    def __init__(self, owner: str, chaos: Chaos) -> None:
        self.username = secrets.token_hex(8)
        self.password = secrets.token_hex(16)
        self.nominated = asyncio.Event()
        self.closed = False
        self.received_at = 0.0
        """When a packet of the other side was last received; on the loop's clock (s)."""
        self._sent = [0, 0]
        self._received = [0, 0]
        """Datagrams, and bytes in them."""
        self._owner = owner
        self._chaos = chaos
        self._remote: Address | None = None
        self._socket: asyncio.DatagramTransport | None = None
        self._inbound: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def open(self, host: str) -> None:
        """Bind to `host`, from which answers are sent."""
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        udp.bind((host, 0))
        udp.setblocking(False)
        loop = asyncio.get_running_loop()
        self._socket, _ = await loop.create_datagram_endpoint(lambda: self, sock=udp)

    def parameters(self) -> dict[str, Any]:
        return {"usernameFragment": self.username, "password": self.password, "iceLite": True}

    def candidate(self) -> dict[str, Any]:
        assert self._socket is not None
        host, port = self._socket.get_extra_info("sockname")
        return {
            "foundation": "udpcandidate",
            "priority": PRIORITY,
            "ip": host,
            "protocol": "udp",
            "port": port,
            "type": "host",
        }

    def counts(self) -> dict[str, int]:
        """Datagrams and bytes each way, without those that the faults drop."""
        return {
            "packetsSent": self._sent[0],
            "bytesSent": self._sent[1],
            "packetsReceived": self._received[0],
            "bytesReceived": self._received[1],
        }

    def close(self) -> None:
        self.closed = True
        if self._socket is not None:
            self._socket.close()
        self._inbound.put_nowait(None)

    # What vsaiortc's DTLS transport calls ----------------------------------------------------

    async def _recv(self) -> bytes:
        """The next datagram. Raises ConnectionError once the transport is closed."""
        data = None if self.closed else await self._inbound.get()
        if data is None:
            raise ConnectionError("The transport is closed.")
        return data

    async def _send(self, data: bytes) -> None:
        self.send(data)

    def send(self, data: bytes) -> None:
        """To the nominated address. Raises ConnectionError where there is none."""
        if self.closed or self._remote is None:
            raise ConnectionError("The transport has no peer.")
        self._send_to(data, self._remote)

    # The socket ------------------------------------------------------------------------------

    def datagram_received(self, data: bytes, addr: Address) -> None:
        delay_s = self._chaos.datagram_delay(self._owner, "in")
        if delay_s is None or not data:
            return
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._receive, data, addr)
        else:
            self._receive(data, addr)

    def error_received(self, exc: Exception) -> None:
        """The peer has closed its socket; the signalling tells that it has left."""

    def _receive(self, data: bytes, addr: Address) -> None:
        if data[0] < 4:
            with suppress(ValueError, StructError):  # not STUN after all
                self._answer(stun.parse_message(data), data, addr)
        elif addr == self._remote:
            self._note(data)
            if self._inbound.qsize() < MAX_WAITING:
                self._inbound.put_nowait(data)

    def _note(self, data: bytes) -> None:
        self.received_at = asyncio.get_running_loop().time()
        self._received[0] += 1
        self._received[1] += len(data)

    def _answer(self, request: stun.Message, data: bytes, addr: Address) -> None:
        key = self.password.encode()
        user = str(request.attributes.get("USERNAME", ""))
        is_check = (
            request.message_method == stun.Method.BINDING
            and request.message_class == stun.Class.REQUEST
            and user.split(":")[0] == self.username
            and request.check_message_integrity(key)
        )
        if not is_check:
            return
        self._note(data)
        response = stun.Message(
            message_method=stun.Method.BINDING,
            message_class=stun.Class.RESPONSE,
            transaction_id=request.transaction_id,
        )
        response.attributes["XOR-MAPPED-ADDRESS"] = addr
        response.add_message_integrity(key)
        response.add_fingerprint()  # browsers take nothing for STUN that has none
        self._send_to(bytes(response), addr)
        if "USE-CANDIDATE" in request.attributes:
            self._remote = addr
            self.nominated.set()

    def _send_to(self, data: bytes, addr: Address) -> None:
        delay_s = self._chaos.datagram_delay(self._owner, "out")
        if delay_s is None:
            return
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._write, data, addr)
        else:
            self._write(data, addr)

    def _write(self, data: bytes, addr: Address) -> None:
        if self._socket is not None and not self.closed:
            self._sent[0] += 1
            self._sent[1] += len(data)
            self._socket.sendto(data, addr)
