"""The pool of one machine: a node in this process, with a ledger in its memory.

When this process ends, however it ends, its workers leave their meetings and exit; nothing of
a session is kept elsewhere.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from agent_side.join import JoinInfo
from dispatcher import logs, metrics, tracing
from dispatcher.errors import Conflict, Full, Refused, TooMany
from dispatcher.ledger.memory import MemoryLedger
from dispatcher.ledger.port import Claim
from dispatcher.ledger.record import SessionRecord
from dispatcher.node.node import REAPED_S, Node, slots_by_state
from dispatcher.settings import RoomPolicy
from dispatcher.workers.session_runner import LEAVE_S
from dispatcher.workers.supervisor import WorkerSupervisor

NAME: Final = "local"
"""This machine's, in the names of slots."""

STOPPING: Final = "The dispatcher was told to stop."

logger = logging.getLogger("avatar.dispatcher.pools.local")


class LocalPool:
    """The Pool port on one `supervisor`; `tasks` is where the sessions run.

    `policy` says what another face in a room means; `cap` is how many sessions one owner may
    have, and 0 stands for any number.
    """

    def __init__(
        self,
        supervisor: WorkerSupervisor,
        tasks: asyncio.TaskGroup,
        policy: RoomPolicy = "replace",
        cap: int = 0,
    ) -> None:
        self._supervisor = supervisor
        self._tasks = tasks
        self._policy = policy
        self._cap = cap
        self._ledger = MemoryLedger(NAME, self._has_mail)
        self._node = Node(self._ledger, supervisor, tasks)
        self._draining = False

    @property
    def ready(self) -> bool:
        return not self.why_not_ready

    @property
    def why_not_ready(self) -> str:
        if self._draining:
            return "The dispatcher is about to stop."
        return self._node.why_not_ready

    async def launch(
        self, join: JoinInfo, timeout_s: float, owner: str = "", traceparent: str | None = None
    ) -> SessionRecord:
        with tracing.step("claim", backend=NAME), metrics.CLAIM[NAME].time():
            await self._ledger.heartbeat(self._supervisor.free_slots, self._supervisor.slots)
            claim = await self._ledger.claim(
                join, owner=owner, traceparent=traceparent, policy=self._policy, cap=self._cap
            )
            record = self._record_of(claim)
        logs.about(record)
        session_id = record.session_id
        with tracing.step("ack", session_id=session_id):
            resolution = await self._ledger.resolved(record, timeout_s)
        if resolution is None:
            await self._ledger.give_up(record, "No worker took it in time.")
            raise Full("No worker was ready in time; try again later.")
        if resolution == "refused":
            raise Refused(
                f"A worker has refused this join request; GET /v1/sessions/{session_id} says why."
            )
        if resolution != "acked":
            raise Full("The workers failed before they could take it; try again later.")
        record = await self._ledger.find(session_id) or record
        logs.about(record)
        logger.info(
            "session %s was %s, in slot %s",
            session_id,
            "renewed" if claim.outcome == "same" else "launched",
            record.slot,
        )
        return replace(record, not_applied=claim.not_applied)

    async def sessions(self) -> list[SessionRecord]:
        return await self._ledger.sessions()

    async def find(self, session_id: str) -> SessionRecord | None:
        return await self._ledger.find(session_id)

    async def end(self, session_id: str) -> SessionRecord | None:
        await self._ledger.end(session_id, "It was ended by a request.")
        await self._node.until_over(session_id, LEAVE_S)
        return await self._ledger.find(session_id)

    async def drain(self, timeout_s: float) -> None:
        self._draining = True
        await self._ledger.drain()
        await self._node.speak_out(timeout_s, STOPPING)
        for record in await self._ledger.sessions():
            await self._ledger.end(record.session_id, STOPPING)
        await self._node.until_quiet(LEAVE_S + REAPED_S)

    async def slots(self) -> Mapping[str, int]:
        living = [record for record in await self._ledger.sessions() if not record.over]
        taken = sum(record.acked for record in living)
        waiting = len(living) - taken
        return slots_by_state(self._supervisor.idle_slots, waiting, taken, draining=self._draining)

    def _record_of(self, claim: Claim) -> SessionRecord:
        """Raises Full, Conflict and TooMany."""
        if claim.record is not None:
            return claim.record
        if self._draining:
            raise Full("The dispatcher is about to stop; ask another one, or try again later.")
        if claim.outcome == "conflict":
            raise Conflict("Another face is in that room; end it first, or launch that one.")
        if claim.outcome == "too_many":
            raise TooMany(f"This key has {self._cap} sessions, as many as one may; end one first.")
        raise Full(f"All {self._supervisor.slots} slots are taken; try again later.")

    def _has_mail(self) -> None:
        self._tasks.create_task(self._deliver(), name="commands")

    async def _deliver(self) -> None:
        """To the node, without the delay of a mailbox that is polled."""
        for command in await self._ledger.take(0):
            await self._node.obey(command)
