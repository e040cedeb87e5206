"""The pool of one machine: sessions in this process's memory, workers from its own supervisor.

When this process ends, however it ends, its workers leave their meetings and exit; nothing of
a session is kept elsewhere.
"""

import asyncio
import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from agent_side.join import JoinInfo
from dispatcher import logs, metrics, tracing
from dispatcher.errors import Conflict, Full, Refused, TooMany
from dispatcher.ledger.record import SessionRecord, key_of
from dispatcher.node.owned_session import OwnedSession
from dispatcher.settings import RoomPolicy
from dispatcher.workers.session_runner import LEAVE_S
from dispatcher.workers.supervisor import WorkerSupervisor

REMEMBERED: Final = 256
"""Sessions that are over and can still be asked about."""

REAPED_S: Final = 6.0
"""How long it may take until a worker that was killed is known to be gone."""

NAME: Final = "local"
"""This machine's, in the names of slots."""

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
        self._live: dict[str, OwnedSession] = {}
        """Those that are not about to leave, by their key."""
        self._running: set[OwnedSession] = set()
        self._over: deque[SessionRecord] = deque(maxlen=REMEMBERED)
        self._waiting: Counter[str] = Counter()
        """Launches that have not been answered, by session."""
        self._heirs: dict[str, asyncio.Future[int]] = {}
        """Who gets the slot of a session when that is over."""
        self._draining = False

    @property
    def ready(self) -> bool:
        return not self.why_not_ready

    @property
    def why_not_ready(self) -> str:
        if self._draining:
            return "The dispatcher is about to stop."
        return "" if self._supervisor.ready else "No worker can be had now."

    async def launch(
        self, join: JoinInfo, timeout_s: float, owner: str = "", traceparent: str | None = None
    ) -> SessionRecord:
        owned = self._live.get(key_of(join.room_name, join.participant_id or ""))
        with tracing.step("claim", backend=NAME), metrics.CLAIM[NAME].time():
            not_applied: tuple[str, ...] = ()
            known = owned is not None
            if owned is None:
                owned = self._begin(join, owner, traceparent)
            else:
                not_applied = owned.runner.renew(join)
        logs.about(owned.record)
        session_id = owned.record.session_id
        self._waiting[session_id] += 1
        try:
            with tracing.step("ack", session_id=session_id):
                async with asyncio.timeout(timeout_s):
                    await owned.runner.resolved.wait()
        except TimeoutError:
            if self._waiting[session_id] == 1:  # no other launch has time left
                self._stop(owned, "No worker took it in time.")
            raise Full("No worker was ready in time; try again later.") from None
        finally:
            self._waiting -= Counter([session_id])
        if owned.runner.taken:
            logs.about(owned.record)
            logger.info(
                "session %s was %s, in slot %s",
                session_id,
                "renewed" if known else "launched",
                owned.record.slot,
            )
            return replace(owned.record, not_applied=not_applied)
        if owned.runner.refused:
            raise Refused(
                f"A worker has refused this join request; GET /v1/sessions/{session_id} says why."
            )
        raise Full("The workers failed before they could take it; try again later.")

    async def sessions(self) -> list[SessionRecord]:
        return [*self._over, *(owned.record for owned in self._running)]

    async def find(self, session_id: str) -> SessionRecord | None:
        for session in await self.sessions():
            if session.session_id == session_id:
                return session
        return None

    async def end(self, session_id: str) -> SessionRecord | None:
        for owned in self._running:
            if owned.record.session_id == session_id:
                self._stop(owned, "It was ended by a request.")
                with suppress(TimeoutError):
                    async with asyncio.timeout(LEAVE_S):
                        await owned.over.wait()
                return owned.record
        return await self.find(session_id)

    async def drain(self, timeout_s: float) -> None:
        self._draining = True
        for owned in self._running:
            owned.runner.finish("The dispatcher was told to stop.")
        await self._all_over(timeout_s)
        for owned in list(self._running):
            self._stop(owned, "The dispatcher was told to stop.")
        await self._all_over(LEAVE_S + REAPED_S)

    async def slots(self) -> Mapping[str, int]:
        taken = sum(owned.runner.taken for owned in self._running)
        waiting = len(self._running) - taken
        if self._draining:
            return {"idle": 0, "claimed": waiting, "busy": 0, "draining": taken}
        idle = len(self._supervisor.free_seats) if self._supervisor.ready else 0
        return {"idle": idle, "claimed": waiting, "busy": taken, "draining": 0}

    def _begin(self, join: JoinInfo, owner: str, traceparent: str | None) -> OwnedSession:
        """A new session. Raises Full, Conflict and TooMany."""
        if self._draining:
            raise Full("The dispatcher is about to stop; ask another one, or try again later.")
        older = None if self._policy == "multi" else self._face_in(join.room_name)
        if older is not None and self._policy == "reject":
            raise Conflict("Another face is in that room; end it first, or launch that one.")
        others = [each for each in self._live.values() if each is not older]
        if 0 < self._cap <= sum(each.record.owner == owner for each in others):
            raise TooMany(f"This key has {self._cap} sessions, as many as one may; end one first.")
        slot = self._slot(older)
        record = SessionRecord.claimed(
            secrets.token_hex(8), join, time.time(), owner=owner, traceparent=traceparent
        )
        owned = OwnedSession(record, self._supervisor)
        self._live[record.key] = owned
        self._running.add(owned)
        self._tasks.create_task(self._run(owned, slot), name=f"session {record.session_id}")
        return owned

    def _face_in(self, room: str) -> OwnedSession | None:
        for owned in self._live.values():
            if owned.record.room == room:
                return owned
        return None

    def _slot(self, older: OwnedSession | None) -> asyncio.Future[int]:
        """A free slot, or else that of the `older` face, which leaves. Raises Full."""
        slot: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        try:
            slot.set_result(self._supervisor.take_seat())
        except Full:
            if older is None:
                raise
            self._heirs[older.record.session_id] = slot
        if older is not None:
            self._stop(older, "Another face has taken its place in the room.")
        return slot

    async def _all_over(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for owned in list(self._running):
                    await owned.over.wait()

    def _stop(self, owned: OwnedSession, reason: str) -> None:
        """It leaves at once; a launch for the same room and participant is a new session."""
        self._forget(owned)
        owned.runner.stop(reason)
        if not owned.record.over:
            owned.runner.enter("ending")

    def _forget(self, owned: OwnedSession) -> None:
        self._live = {key: each for key, each in self._live.items() if each is not owned}

    async def _run(self, owned: OwnedSession, claimed: asyncio.Future[int]) -> None:
        slot = await claimed
        runner = owned.runner
        runner.record = replace(runner.record, slot=f"{NAME}/{slot}")
        logs.about(runner.record, runner.record.traceparent)
        try:
            end = await runner.run()
            runner.enter("failed" if end.kind == "lost" else end.kind, end.reason)
        except Exception:  # one session's fault does not end the others
            logger.exception("session %s cannot go on", runner.session_id)
            runner.enter("failed", "The dispatcher failed; its log says why.")
        finally:
            heir = self._heirs.pop(runner.session_id, None)
            if heir is None:
                self._supervisor.free_slot(slot)
            else:
                heir.set_result(slot)
            self._forget(owned)
            self._running.discard(owned)
            self._over.append(owned.record)
            owned.over.set()
        logger.info("session %s %s: %s", runner.session_id, owned.record.state, owned.record.reason)
