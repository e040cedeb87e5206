"""The pool of one machine: sessions in this process's memory, workers from its own supervisor.

When this process ends, however it ends, its workers leave their meetings and exit; nothing of
a session is kept elsewhere.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from agent_side.join import JoinInfo
from dispatcher import logs, metrics, tracing
from dispatcher.errors import Conflict, Full, Refused, TooMany
from dispatcher.pool import Session
from dispatcher.settings import RoomPolicy
from dispatcher.workers.session_runner import LEAVE_S, SessionRunner
from dispatcher.workers.supervisor import WorkerSupervisor

REMEMBERED: Final = 256
"""Sessions that are over and can still be asked about."""

BURIED_S: Final = 6.0
"""How long it may take until a worker that was killed is known to be gone."""

NAME: Final = "local"
"""This machine's, in the names of slots."""

Key = tuple[str, str]

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
        self._live: dict[Key, _Live] = {}
        self._running: set[_Live] = set()
        self._over: deque[Session] = deque(maxlen=REMEMBERED)
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
    ) -> Session:
        live = self._live.get((join.room_name, join.participant_id or ""))
        with tracing.step("claim", backend=NAME), metrics.CLAIM[NAME].time():
            not_applied: tuple[str, ...] = ()
            known = live is not None
            if live is None:
                live = self._begin(join, owner, traceparent)
            else:
                not_applied = live.serving.renew(join)
        logs.about(live.session)
        live.waiting += 1
        try:
            with tracing.step("ack", session_id=live.session.session_id):
                async with asyncio.timeout(timeout_s):
                    await live.serving.settled.wait()
        except TimeoutError:
            if live.waiting == 1:  # nobody else has time left
                self._stop(live, "No worker took it in time.")
            raise Full("No worker was ready in time; try again later.") from None
        finally:
            live.waiting -= 1
        if live.serving.taken:
            logs.about(live.session)
            logger.info(
                "session %s was %s, in slot %s",
                live.session.session_id,
                "renewed" if known else "launched",
                live.session.slot,
            )
            return replace(live.session, not_applied=not_applied)
        if live.serving.refused:
            raise Refused(
                "A worker has refused this join request; "
                f"GET /v1/sessions/{live.session.session_id} says why."
            )
        raise Full("The workers failed before they could take it; try again later.")

    async def sessions(self) -> list[Session]:
        return [*self._over, *(live.session for live in self._running)]

    async def find(self, session_id: str) -> Session | None:
        for session in await self.sessions():
            if session.session_id == session_id:
                return session
        return None

    async def end(self, session_id: str) -> Session | None:
        for live in self._running:
            if live.session.session_id == session_id:
                self._stop(live, "It was ended by a request.")
                with suppress(TimeoutError):
                    async with asyncio.timeout(LEAVE_S):
                        await live.over.wait()
                return live.session
        return await self.find(session_id)

    async def drain(self, timeout_s: float) -> None:
        self._draining = True
        for live in self._running:
            live.serving.finish("The dispatcher was told to stop.")
        await self._all_over(timeout_s)
        for live in list(self._running):
            self._stop(live, "The dispatcher was told to stop.")
        await self._all_over(LEAVE_S + BURIED_S)

    async def slots(self) -> Mapping[str, int]:
        taken = sum(live.serving.taken for live in self._running)
        waiting = len(self._running) - taken
        if self._draining:
            return {"idle": 0, "claimed": waiting, "busy": 0, "draining": taken}
        idle = len(self._supervisor.free_seats) if self._supervisor.ready else 0
        return {"idle": idle, "claimed": waiting, "busy": taken, "draining": 0}

    def _begin(self, join: JoinInfo, owner: str, traceparent: str | None) -> "_Live":
        """A new session. Raises Full, Conflict and TooMany."""
        if self._draining:
            raise Full("The dispatcher is about to stop; ask another one, or try again later.")
        older = None if self._policy == "multi" else self._face_in(join.room_name)
        if older is not None and self._policy == "reject":
            raise Conflict("Another face is in that room; end it first, or launch that one.")
        owned = [live for live in self._live.values() if live.owner == owner and live is not older]
        if 0 < self._cap <= len(owned):
            raise TooMany(f"This key has {self._cap} sessions, as many as one may; end one first.")
        session = Session.claimed(secrets.token_hex(8), join, datetime.now(UTC))
        live = _Live(
            SessionRunner(session, join, self._supervisor, traceparent), owner, traceparent
        )
        self._seat(live, older)
        self._live[session.room, session.participant_id] = live
        self._running.add(live)
        self._tasks.create_task(self._run(live), name=f"session {session.session_id}")
        return live

    def _face_in(self, room: str) -> "_Live | None":
        for (each, _), live in self._live.items():
            if each == room:
                return live
        return None

    def _seat(self, live: "_Live", older: "_Live | None") -> None:
        """Give it a free slot, or else that of the `older` face, which leaves. Raises Full."""
        try:
            live.slot.set_result(self._supervisor.take_seat())
        except Full:
            if older is None:
                raise
            older.heir = live
        if older is not None:
            self._stop(older, "Another face has taken its place in the room.")

    async def _all_over(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for live in list(self._running):
                    await live.over.wait()

    def _stop(self, live: "_Live", reason: str) -> None:
        """It leaves at once; a launch for the same room and participant is a new session."""
        self._forget(live)
        live.serving.stop(reason)

    def _forget(self, live: "_Live") -> None:
        self._live = {key: each for key, each in self._live.items() if each is not live}

    async def _run(self, live: "_Live") -> None:
        slot = await live.slot
        serving = live.serving
        serving.sit(f"{NAME}/{slot}")
        logs.about(serving.session, live.traceparent)
        try:
            end = await serving.run()
            if end.kind == "lost":
                serving.enter("failed", end.reason)
        except Exception:  # one session's fault does not end the others
            logger.exception("session %s cannot go on", serving.session_id)
            serving.enter("failed", "The dispatcher failed; its log says why.")
        finally:
            if live.heir is None:
                self._supervisor.free_slot(slot)
            else:
                live.heir.slot.set_result(slot)
            self._forget(live)
            self._running.discard(live)
            self._over.append(live.session)
            live.over.set()
        logger.info(
            "session %s %s: %s", serving.session_id, live.session.state, live.session.reason
        )


class _Live:
    """A session that runs: who asked for it, its slot, and who gets that after it."""

    def __init__(self, serving: SessionRunner, owner: str, traceparent: str | None) -> None:
        self.serving = serving
        self.owner = owner
        self.traceparent = traceparent
        self.slot: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.heir: _Live | None = None
        self.waiting = 0
        """Launches that have not been answered."""
        self.over = asyncio.Event()

    @property
    def session(self) -> Session:
        return self.serving.session
