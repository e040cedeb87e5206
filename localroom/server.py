"""All of it together: certificates, the entry, the signalling, the rooms, the control."""

import asyncio
import errno
import ipaddress
import logging
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import trustme
from vsaiortc.rtcdtlstransport import RTCCertificate
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from localroom import authority
from localroom.control import api as control
from localroom.control.api import Control
from localroom.control.web import Web
from localroom.faults import Chaos, Faults
from localroom.http.endpoint import Answer, endpoint
from localroom.http.listener import Listener, listen
from localroom.media.relay import needed, relay
from localroom.signalling.events import Subscriber
from localroom.signalling.init_config import InitConfig
from localroom.signalling.peer import Peer, PeerContext
from localroom.signalling.protoo import SUBPROTOCOL, Channel
from localroom.signalling.requests import PeerRequests
from localroom.signalling.room import Room, empty
from localroom.watching.audience import gathered

logger = logging.getLogger("avatar.localroom.server")

PORT: Final = 8092
CONTROL_PORT: Final = 8093
"""The usual ports, beside those of the dispatcher and the node."""

MAX_OPEN: Final = 128
"""WebSockets at once; beyond it, one that has not said which peer it is is closed."""

CLOSE_S: Final = 1.0
"""How long a socket's closing waits for the other side's goodbye."""


@dataclass(frozen=True, slots=True)
class Config:
    """Where the room is: an IPv4 address, and the port that participants are given.

    A port of 0 is any that is free; None is the usual one, or any where that is taken.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    control_port: int | None = None
    relay: bool = False
    """Offer a TURN relay even where it is not needed."""
    faults: Faults = field(default_factory=Faults)


@dataclass(frozen=True, slots=True)
class Address:
    """What participants need: the ``signaling_base_url``, and whom to trust."""

    signaling_base_url: str
    ca: Path
    control_url: str


@asynccontextmanager
async def running(config: Config, folder: Path | None) -> AsyncIterator[Address]:
    """The room's servers, on this event loop.

    The certificate to trust is in the file where a room on this port has it each time, and in
    `folder` where the port is any or that file cannot be written.

    Raises OSError and ValueError where there is no such address to listen on.
    """
    address = ipaddress.IPv4Address(config.host)
    if address.is_unspecified:
        raise ValueError("a room has one address, so that its peers know where to send; name it")
    host = str(address)
    ca = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # trustme's own way would write a temporary file.
    with authority.in_memory(ca.issue_cert(host).private_key_and_cert_chain_pem.bytes()) as key:
        tls.load_cert_chain(key)

    chaos = Chaos(config.faults)
    rooms: dict[str, Room] = {}
    context = PeerContext(host, RTCCertificate.generateCertificate(), chaos)

    async with AsyncExitStack() as stack:
        audience = await stack.enter_async_context(gathered(rooms, context))
        listener = listen(host, 0, MAX_OPEN)
        lobby = Lobby(rooms, context, (audience.on_event,), listener)
        wanted = config.relay or needed()
        ice_servers = [await stack.enter_async_context(relay(host))] if wanted else []
        web = Web(Control(chaos, rooms), audience, rooms, ice_servers)
        await stack.enter_async_context(
            serve(
                lobby.serve,
                sock=listener,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                ping_interval=None,
                close_timeout=CLOSE_S,
                compression=None,
            )
        )
        signalling_port = listener.getsockname()[1]
        entry = InitConfig(chaos, f"{host}:{signalling_port}", ice_servers)
        port = await _open(stack, host, config.port, PORT, entry.answer, tls)
        control_port = await _open(
            stack, control.HOST, config.control_port, CONTROL_PORT, web.answer
        )
        stack.push_async_callback(empty, rooms)
        is_usual = port == (PORT if config.port is None else config.port)
        usual = authority.usual_file(os.environ, f"{host}-{port}") if is_usual else None
        pem = ca.cert_pem.bytes().decode()
        yield Address(
            f"{host}:{port}",
            stack.enter_context(authority.published(pem, usual, folder, os.environ)),
            f"http://{control.HOST}:{control_port}",
        )


async def _open(
    stack: AsyncExitStack,
    host: str,
    wanted: int | None,
    usual: int,
    answer: Answer,
    tls: ssl.SSLContext | None = None,
) -> int:
    """The port on which requests are answered until the stack ends. Raises OSError."""
    port = usual if wanted is None else wanted
    try:
        return await stack.enter_async_context(endpoint(host, port, answer, tls))
    except OSError as error:
        if wanted is not None or error.errno != errno.EADDRINUSE:
            raise
    port = await stack.enter_async_context(endpoint(host, 0, answer, tls))
    logger.warning("port %d is taken, perhaps by another room; this one uses %d", usual, port)
    return port


class Lobby:
    """Makes a peer of a room out of each WebSocket."""

    def __init__(
        self,
        rooms: dict[str, Room],
        context: PeerContext,
        subscribers: Sequence[Subscriber],
        listener: Listener,
    ) -> None:
        self._rooms = rooms
        self._subscribers = subscribers
        self._context = context
        self._listener = listener

    async def serve(self, socket: ServerConnection) -> None:
        """From the opening of a WebSocket to its end."""
        self._listener.busy(socket.transport)
        request: Any = socket.request
        query = dict(parse_qsl(urlsplit(request.path).query))
        if not query.get("roomId") or not query.get("peerId") or not query.get("secret"):
            await socket.close(1008, "roomId, peerId and secret are needed")
            return
        room_id = query["roomId"]
        room = self._rooms.setdefault(room_id, Room(room_id, self._subscribers))
        channel = Channel(socket)
        peer = Peer(query, channel, self._context)
        try:
            await room.admit(peer)
            await channel.run(PeerRequests(peer, room).handle)
        finally:
            await asyncio.shield(room.dismiss(peer))
            if not room.peers and self._rooms.get(room.id) is room:
                del self._rooms[room.id]
