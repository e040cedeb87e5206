"""Dispatchers and nodes, as far as the ledger sees them, on a real Redis."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from cryptography.fernet import Fernet
from redis_server import RedisServer, move

from agent_side.join import JoinInfo
from dispatcher.ledger.encryption import Seal
from dispatcher.ledger.record import Record
from dispatcher.ledger.redis import Claim, Held, Ledger, Letter, NodeLedger, Serve

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
        self._ledgers: list[Ledger | NodeLedger] = []
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

    def dispatcher(self, name: str = "dispatcher", *, url: str | None = None) -> Ledger:
        """One that hears its replies."""
        seal = Seal([SEAL_KEY])
        return self.hears(Ledger(url or self.server.url, seal, name=name, lease_s=LEASE_S))

    def hears(self, ledger: Ledger) -> Ledger:
        """That dispatcher, which hears its replies."""
        self._ledgers.append(ledger)
        self._hearing.append(asyncio.create_task(ledger.run(), name="replies"))
        return ledger

    async def node(self, name: str = "host", slots: int = 1, key: str = SEAL_KEY) -> NodeLedger:
        """One whose slots are all idle."""
        node = NodeLedger(self.server.url, Seal([key]), name=name, lease_s=LEASE_S)
        self._ledgers.append(node)
        if slots:
            await node.heartbeat(range(1, slots + 1), slots)
        return node

    def move(self, seconds: float) -> None:
        """Let time pass."""
        move(self.redis, seconds)


@asynccontextmanager
async def scene(server: RedisServer) -> AsyncIterator[Scene]:
    """A scene on an empty Redis that has run for long."""
    server.flush()
    server.settle()
    async with Scene(server) as it:
        yield it


def claimed(claim: Claim) -> Record:
    """Its record, which has to be there."""
    assert claim.record is not None, claim.outcome
    return claim.record


async def letters(node: NodeLedger) -> list[Letter]:
    """What lies in its mailbox."""
    return await node.take(AT_ONCE_S)


async def served(node: NodeLedger) -> Held:
    """The one session that it is to serve."""
    (letter,) = await letters(node)
    assert isinstance(letter, Serve), letter
    return letter.held


async def active(dispatcher: Ledger, node: NodeLedger, request: JoinInfo | None = None) -> Held:
    """A session of that node, in its meeting."""
    await dispatcher.claim(request or join())
    held = await taken(node)
    held = held.entered("active", None, time.time())
    await node.enter(held)
    return held


async def taken(node: NodeLedger) -> Held:
    """The one session that it is to serve, once a worker has taken it."""
    held = (await served(node)).entered("joining", None, time.time(), attempts=1)
    await node.ack(held)
    return held
