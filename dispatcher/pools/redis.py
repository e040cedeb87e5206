"""The pool of many machines: sessions in Redis, workers on the nodes that take them from there.

What this process knows is in Redis or can be asked for again: when it ends, however it ends,
sessions go on, and another dispatcher answers for them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from agent_side.join import JoinInfo
from dispatcher import logs, metrics, tracing
from dispatcher.errors import Conflict, Full, Refused, StoreDown, TooMany
from dispatcher.ledger.port import Claim, Ledger
from dispatcher.ledger.record import SessionRecord
from dispatcher.settings import RoomPolicy

IDLE_S: Final = 1.0
"""How long a launch waits for a slot to become idle, and how often it looks."""
LOOK_S: Final = 0.1

TRY_S: Final = 1.5
"""How long one claim may take to be resolved, until it is claimed again: twice in a launch."""

GIVE_UP_S: Final = 0.2
"""The last part of a launch, in which a claim is given up that no worker has taken."""

REAP_S: Final = 0.5
"""Between two looks for sessions that have lost their node."""

LEAVE_S: Final = 5.0
"""How long a session may take to end on a request: its worker 4 s, and the way to it."""

BECAME: Final = {
    "moved": "goes on in another slot",
    "waits": "waits for a slot",
    "failed": "has failed",
    "ended": "is over",
}

MISSES_BEFORE_ERROR: Final = 5
"""How often in a row no node is found before the pool is not ready: after Redis was emptied, nodes
are back with their next heartbeat."""

NO_NODE: Final[Mapping[str, str]] = {
    "unable": "No node has a worker ready: see in the logs of `avatar node` what keeps them.",
    "draining": "All nodes are about to stop: start another `avatar node`, or wait for one.",
    "none": "No node is known: start `avatar node` with the AVATAR_REDIS_URL of this dispatcher.",
}
"""Why no node can take a session, by what there is instead of one that can."""

logger = logging.getLogger("avatar.dispatcher.pools.redis")


class RedisPool:
    """The Pool port on a `ledger` of many nodes. `run` has to run beside it.

    `policy` says what another face in a room means; `cap` is how many sessions one owner may
    have, and 0 stands for any number.
    """

    def __init__(self, ledger: Ledger, policy: RoomPolicy = "replace", cap: int = 0) -> None:
        self._ledger = ledger
        self._policy = policy
        self._cap = cap
        self._store = "Redis was not asked yet."
        self._nodes = "The nodes were not asked yet."
        """Why no node can take a session, or nothing where one can."""
        self._misses = 0
        self._draining = False

    @property
    def ready(self) -> bool:
        return not self.why_not_ready

    @property
    def why_not_ready(self) -> str:
        if self._draining:
            return "The dispatcher is about to stop."
        return self._store or self._nodes

    async def run(self) -> None:
        """Receive replies and move sessions that have lost their node, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ledger.run(), name="replies")
                tasks.create_task(self._reap(), name="reaper")
        finally:
            await self._ledger.close()

    async def launch(
        self, join: JoinInfo, timeout_s: float, owner: str = "", traceparent: str | None = None
    ) -> SessionRecord:
        if self._draining:
            raise Full("The dispatcher is about to stop; ask another one, or try again later.")
        claim = partial(self._claim, join, owner, traceparent)
        resolve_by = asyncio.get_running_loop().time() + timeout_s - GIVE_UP_S
        try:
            async with asyncio.timeout(timeout_s):
                with tracing.step("claim", backend="redis"):
                    claimed, not_applied = await self._claimed(claim, resolve_by)
                logs.about(claimed)
                with tracing.step("ack", session_id=claimed.session_id):
                    session = await self._acked(claimed, claim, resolve_by)
        except TimeoutError:
            raise Full("No worker was ready in time; try again later.") from None
        logger.info(
            "session %s was %s, in slot %s",
            session.session_id,
            "renewed" if claimed.renewals else "launched",
            session.slot,
        )
        return replace(session, not_applied=not_applied)

    async def sessions(self) -> list[SessionRecord]:
        return await self._ledger.sessions()

    async def find(self, session_id: str) -> SessionRecord | None:
        return await self._ledger.find(session_id)

    async def end(self, session_id: str) -> SessionRecord | None:
        record = await self._ledger.end(session_id, "It was ended by a request.")
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                while record is not None and not record.over:
                    await asyncio.sleep(LOOK_S)
                    record = await self._ledger.find(session_id)
        return record

    async def drain(self, timeout_s: float) -> None:
        """What lives, lives on the nodes: there is nothing to wait for."""
        self._draining = True

    async def slots(self) -> Mapping[str, int]:
        return await self._ledger.slots()

    async def _claimed(
        self, claim: Callable[[], Awaitable[Claim]], resolve_by: float
    ) -> tuple[SessionRecord, tuple[str, ...]]:
        """The record of a claim, and what that does not apply, within IDLE_S. Raises what
        `launch` does."""
        deadline = min(resolve_by, asyncio.get_running_loop().time() + IDLE_S)
        while True:
            answer = await claim()
            match answer.outcome:
                case "conflict":
                    raise Conflict(
                        "Another face is in that room; end it first, or launch that one."
                    )
                case "too_many":
                    raise TooMany(
                        f"This key has {self._cap} sessions, as many as one may; end one first."
                    )
                case "expiring":
                    raise Refused("The token expires in less than 30 s; send a fresh one.")
                case "full" if asyncio.get_running_loop().time() + LOOK_S < deadline:
                    await asyncio.sleep(LOOK_S)
                case "full":
                    raise Full(self._nodes or "All slots are taken; try again later.")
                case _:
                    assert answer.record is not None
                    return answer.record, answer.not_applied

    async def _acked(
        self, record: SessionRecord, claim: Callable[[], Awaitable[Claim]], resolve_by: float
    ) -> SessionRecord:
        """The session of a claim, once a worker has taken it. Raises what `launch` does."""
        while (left_s := resolve_by - asyncio.get_running_loop().time()) > 0:
            match await self._ledger.resolved(record, min(TRY_S, left_s)):
                case "acked":
                    return await self._newest(record)
                case "refused":
                    raise Refused(
                        "A worker has refused this join request; "
                        f"GET /v1/sessions/{record.session_id} says why."
                    )
                case "failed":
                    raise Full("The workers failed before they could take it; try again later.")
                case "ended":
                    raise Full("It was ended before a worker had taken it; try again.")
                case None:  # the answer may be lost; whoever claims again finds what there is
                    record = (await claim()).record or record
        await self._ledger.give_up(record, "No worker took it in time.")
        raise Full("No worker was ready in time; try again later.")

    async def _newest(self, record: SessionRecord) -> SessionRecord:
        """The ledger's record of it by now, or else the one from before."""
        with suppress(StoreDown):
            record = await self._ledger.find(record.session_id) or record
        return record

    async def _claim(self, join: JoinInfo, owner: str, traceparent: str | None) -> Claim:
        with metrics.CLAIM["redis"].time():
            return await self._ledger.claim(
                join, owner=owner, traceparent=traceparent, policy=self._policy, cap=self._cap
            )

    async def _reap(self) -> None:
        while True:
            try:
                for reaped in await self._ledger.reap():
                    logger.warning(
                        "session %s has lost its node (%s) and %s",
                        reaped.session_id,
                        reaped.why,
                        BECAME[reaped.became],
                    )
                    if reaped.why == "lease" and reaped.became in ("moved", "waits"):
                        metrics.REDISPATCHED["lease_expired"].inc()
                self._note_store("")
                self._note_nodes(await self._ledger.nodes())
            except StoreDown as error:
                self._note_store(str(error))
            await asyncio.sleep(REAP_S)

    def _note_nodes(self, nodes: Mapping[str, int]) -> None:
        """Whether a node can take a session, or why none can; logged when that changes."""
        why = "" if nodes["able"] else next(why for fact, why in NO_NODE.items() if nodes[fact])
        self._misses = self._misses + 1 if why else 0
        if why and not self._nodes and self._misses < MISSES_BEFORE_ERROR:
            return
        if why and why != self._nodes:
            logger.error("%s", why)
        elif self._nodes and not why:
            logger.info("a node can take sessions")
        self._nodes = why

    def _note_store(self, why: str) -> None:
        """Whether the store can be reached, or why not; logged when that changes."""
        if why and why != self._store:
            logger.error("%s", why)
        elif self._store and not why:
            logger.info("Redis can be reached")
        self._store = why
        metrics.STORE_UP.set(not why)
