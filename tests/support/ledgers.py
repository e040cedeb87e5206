"""Dispatchers and nodes, as far as the ledger sees them, on a real Redis."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Self

from cryptography.fernet import Fernet
from redis_server import RedisServer, move

from agent_side.join import JoinInfo
from dispatcher.ledger.command import Command, RenewCommand, ServeCommand
from dispatcher.ledger.encryption import Encryption
from dispatcher.ledger.memory import MemoryLedger
from dispatcher.ledger.port import Claim, Ledger, NodeLedger
from dispatcher.ledger.record import SessionRecord
from dispatcher.ledger.redis import RedisLedger
from dispatcher.ledger.redis_node import RedisNodeLedger

SEAL_KEY = Fernet.generate_key().decode()
LEASE_S = 10.0
AT_ONCE_S = 0.05
"""Patience for what is there already."""


def token(lives_s: float = 3600.0) -> str:
    """A token that expires so long from now; nobody verifies it here."""
    claims = json.dumps({"apikey": "key", "exp": round(time.time() + lives_s)}).encode()
    return f"head.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.signature"


def join(room: str = "room", participant: str = "avatar", lives_s: float = 3600.0) -> JoinInfo:
    return JoinInfo(room, token(lives_s), participant, "api.videosdk.live")


class Scene:
    """Ledgers that are closed at its end, and a hand on the server's clock."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.redis = server.client()
        self._ledgers: list[RedisLedger | RedisNodeLedger] = []
        self._hearing: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._hearing:
            task.cancel()
        await asyncio.gather(*self._hearing, return_exceptions=True)
        for ledger in self._ledgers:
            await ledger.close()
        self.redis.close()

    def dispatcher(self, name: str = "dispatcher", *, url: str | None = None) -> RedisLedger:
        """One that hears its replies."""
        seal = Encryption([SEAL_KEY])
        return self.follow(RedisLedger(url or self.server.url, seal, name=name, lease_s=LEASE_S))

    def follow(self, ledger: RedisLedger) -> RedisLedger:
        """That dispatcher, which hears its replies."""
        self._ledgers.append(ledger)
        self._hearing.append(asyncio.create_task(ledger.run(), name="replies"))
        return ledger

    async def node(
        self, name: str = "host", slots: int = 1, key: str = SEAL_KEY
    ) -> RedisNodeLedger:
        """One whose slots are all idle."""
        node = RedisNodeLedger(self.server.url, Encryption([key]), name=name, lease_s=LEASE_S)
        self._ledgers.append(node)
        if slots:
            await node.heartbeat(range(1, slots + 1), slots)
        return node

    def move(self, seconds: float) -> None:
        """Let time pass."""
        move(self.redis, seconds)


class MemoryScene:
    """One ledger in memory, which dispatchers and their one node share."""

    def __init__(self) -> None:
        self._ledger = MemoryLedger("host")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ledger.close()

    def dispatcher(self, name: str = "dispatcher") -> Ledger:
        return self._ledger

    async def node(self, slots: int = 1) -> NodeLedger:
        """Its slots are all idle."""
        await self._ledger.heartbeat(range(1, slots + 1), slots)
        return self._ledger


@asynccontextmanager
async def scene(server: RedisServer) -> AsyncIterator[Scene]:
    """A scene on an empty Redis that has run for long."""
    server.flush()
    server.pretend_uptime()
    async with Scene(server) as it:
        yield it


def claimed(claim: Claim) -> SessionRecord:
    """Its record, which has to be there."""
    assert claim.record is not None, claim.outcome
    return claim.record


async def commands(node: NodeLedger) -> list[Command]:
    """What lies in its mailbox."""
    return await node.take(AT_ONCE_S)


async def served(node: NodeLedger) -> SessionRecord:
    """The one session that it is to serve."""
    (command,) = await commands(node)
    assert isinstance(command, ServeCommand), command
    return command.record


async def active(
    dispatcher: Ledger, node: NodeLedger, request: JoinInfo | None = None
) -> SessionRecord:
    """A session of that node, in its meeting."""
    await dispatcher.claim(request or join())
    owned = await taken(node)
    owned = owned.entered("active", None, time.time())
    await node.enter(owned)
    return owned


async def taken(node: NodeLedger) -> SessionRecord:
    """The one session that it is to serve, once a worker has taken it."""
    owned = (await served(node)).entered("joining", None, time.time(), attempts=1)
    await node.ack(owned)
    return owned


def renewed(record: SessionRecord, command: RenewCommand) -> SessionRecord:
    """The record as a node keeps it after that command."""
    return replace(
        record, join=command.join, expires_s=command.expires_s, renewals=command.renewals
    )
