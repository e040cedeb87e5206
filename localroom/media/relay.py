"""A TURN relay, for machines that have no network interface but ``lo``.

aioice, which the SDK uses, never offers 127.0.0.1 as an address of its own, so there it finds no
path. It does use every TURN server that it is given, and TURN works from 127.0.0.1. So the room
offers this one where it is needed. It implements what aioice uses: allocations and channels over
UDP (RFC 8656), no indications.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from struct import error as StructError  # noqa: N812 - as an exception is named
from struct import pack, unpack_from
from typing import Any, Final

from aioice import stun
from aioice.ice import get_host_addresses
from aioice.turn import UDP_TRANSPORT, is_channel_data, make_integrity_key

REALM: Final = "localroom"
LIFETIME_S: Final = 600

CHANNELS: Final = range(0x4000, 0x5000)

Address = tuple[str, int]


def needed() -> bool:
    """Whether a client on this machine has no IPv4 address that it would offer."""
    return not get_host_addresses(use_ipv4=True, use_ipv6=False)


@asynccontextmanager
async def relay(host: str) -> AsyncIterator[dict[str, Any]]:
    """Run a relay on `host`; yields its entry among the SDK's ICE servers."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: Relay(host), local_addr=(host, 0)
    )
    port = transport.get_extra_info("sockname")[1]
    try:
        yield {
            "urls": f"turn:{host}:{port}?transport=udp",
            "username": server.username,
            "credential": server.password,
            "credentialType": "password",
        }
    finally:
        server.close()
        transport.close()


class Relay(asyncio.DatagramProtocol):
    """Relays between its clients and addresses on `host`, and nowhere else."""

    def __init__(self, host: str) -> None:
        self.username = secrets.token_hex(4)
        self.password = secrets.token_hex(16)
        self._host = host
        self._key = make_integrity_key(self.username, REALM, self.password)
        self._nonce = secrets.token_hex(8).encode()
        self._allocations: dict[Address, Allocation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._socket = transport

    def close(self) -> None:
        for allocation in self._allocations.values():
            allocation.close()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if len(data) >= 4 and is_channel_data(data):
            allocation = self._allocations.get(addr)
            if allocation is not None:
                channel, length = unpack_from("!HH", data)
                allocation.send(channel, data[4 : 4 + length])
            return
        with suppress(ValueError, StructError):  # not STUN after all
            request = stun.parse_message(data)
            if request.message_class == stun.Class.REQUEST:
                self._take(request, addr)

    def _take(self, request: stun.Message, addr: Address) -> None:
        known = request.attributes.get("USERNAME") == self.username
        if not known or not request.check_message_integrity(self._key):
            challenge = {"REALM": REALM, "NONCE": self._nonce}
            self._refuse(request, addr, (401, "Unauthorized"), challenge)
            return
        allocation = self._allocations.get(addr)
        match request.message_method:
            case stun.Method.ALLOCATE if allocation is None:
                if request.attributes.get("REQUESTED-TRANSPORT") != UDP_TRANSPORT:
                    self._refuse(request, addr, (442, "Unsupported Transport Protocol"))
                    return
                task = asyncio.get_running_loop().create_task(self._allocate(request, addr))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case stun.Method.REFRESH if allocation is not None:
                lifetime_s = min(request.attributes.get("LIFETIME", LIFETIME_S), LIFETIME_S)
                allocation.expire_in(lifetime_s)
                self._accept(request, addr, {"LIFETIME": lifetime_s})
            case stun.Method.CHANNEL_BIND if allocation is not None:
                peer = request.attributes.get("XOR-PEER-ADDRESS")
                channel = int(request.attributes.get("CHANNEL-NUMBER", 0))
                if channel not in CHANNELS or peer is None or peer[0] != self._host:
                    self._refuse(request, addr, (403, "Forbidden"))
                    return
                allocation.bind(channel, peer)
                self._accept(request, addr, {})
            case _:
                self._refuse(request, addr, (437, "Allocation Mismatch"))

    async def _allocate(self, request: stun.Message, addr: Address) -> None:
        loop = asyncio.get_running_loop()
        allocation = Allocation(self, addr)
        self._allocations[addr] = allocation
        await loop.create_datagram_endpoint(lambda: allocation, local_addr=(self._host, 0))
        allocation.expire_in(LIFETIME_S)
        answer = {
            "LIFETIME": LIFETIME_S,
            "XOR-MAPPED-ADDRESS": addr,
            "XOR-RELAYED-ADDRESS": allocation.address,
        }
        self._accept(request, addr, answer)

    def forget(self, client: Address) -> None:
        self._allocations.pop(client).close()

    def write(self, data: bytes, client: Address) -> None:
        if not self._socket.is_closing():
            self._socket.sendto(data, client)

    def _accept(self, request: stun.Message, addr: Address, answer: dict[str, Any]) -> None:
        response = stun.Message(
            request.message_method, stun.Class.RESPONSE, request.transaction_id, answer
        )
        response.add_message_integrity(self._key)
        self.write(bytes(response), addr)

    def _refuse(
        self,
        request: stun.Message,
        addr: Address,
        error: tuple[int, str],
        more: dict[str, Any] | None = None,
    ) -> None:
        response = stun.Message(
            request.message_method,
            stun.Class.ERROR,
            request.transaction_id,
            {"ERROR-CODE": error, **(more or {})},
        )
        response.add_fingerprint()
        self.write(bytes(response), addr)


class Allocation(asyncio.DatagramProtocol):
    """One client's address on the relay, and the channels to those it talks to."""

    def __init__(self, relay: Relay, client: Address) -> None:
        self._relay = relay
        self._client = client
        self._peers: dict[int, Address] = {}
        self._channels: dict[Address, int] = {}
        self._expiry: asyncio.TimerHandle | None = None
        self._socket: asyncio.DatagramTransport | None = None

    @property
    def address(self) -> Address:
        assert self._socket is not None
        address: Address = self._socket.get_extra_info("sockname")
        return address

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._socket = transport

    def bind(self, channel: int, peer: Address) -> None:
        self._peers[channel] = peer
        self._channels[peer] = channel

    def send(self, channel: int, data: bytes) -> None:
        """From the client to the peer on that channel."""
        peer = self._peers.get(channel)
        if peer is not None and self._socket is not None and not self._socket.is_closing():
            self._socket.sendto(data, peer)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        channel = self._channels.get(addr)
        if channel is not None:
            self._relay.write(pack("!HH", channel, len(data)) + data, self._client)

    def error_received(self, exc: Exception) -> None:
        """The room has closed that transport; the signalling tells the client."""

    def expire_in(self, lifetime_s: float) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(lifetime_s, self._relay.forget, self._client)

    def close(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if self._socket is not None:
            self._socket.close()
