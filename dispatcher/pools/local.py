"""The pool of one machine: sessions in this process's memory, workers from its own node.

When this process ends, however it ends, its workers leave their meetings and exit; nothing of
a session is kept elsewhere.
"""

import asyncio
import logging
import secrets
from collections import deque
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from agent_side.join import JoinInfo
from dispatcher.errors import Full, Refused
from dispatcher.node import Node
from dispatcher.pool import Session, State
from dispatcher.workers import Report, Worker

ATTEMPTS: Final = 3
"""Workers that one session may have in a row."""

PAUSES_S: Final = (0.0, 0.1, 1.0)
"""The wait before each attempt."""

STEADY_S: Final = 60.0
"""A worker that was in the meeting for so long was no failure: the count begins again."""

RENEWED_S: Final = 5.0
"""A worker that ends so soon after a launch was answered for it had not heard of that one."""

TAKE_S: Final = 2.0
"""How long a worker may take to look at a join request."""

HIRE_S: Final = 10.0
"""How long a session that has lost its worker waits for another."""

LEAVE_S: Final = 4.0
"""How long a worker may take to leave when it is told to leave at once; then it is killed."""

REMEMBERED: Final = 256
"""Sessions that are over and can still be asked about."""

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 2
"""Exit statuses of workers, as ``python -P -m worker --help`` has them."""

Key = tuple[str, str]

logger = logging.getLogger("avatar.dispatcher.pools.local")


class LocalPool:
    """The Pool port on one `node`; `tasks` is where the sessions run."""

    def __init__(self, node: Node, tasks: asyncio.TaskGroup) -> None:
        self._node = node
        self._tasks = tasks
        self._live: dict[Key, _Live] = {}
        self._running: set[_Live] = set()
        self._over: deque[Session] = deque(maxlen=REMEMBERED)
        self._draining = False

    @property
    def ready(self) -> bool:
        return self._node.ready and not self._draining

    async def launch(self, join: JoinInfo, patience_s: float) -> Session:
        key = (join.room_name, join.participant_id or "")
        live = self._live.get(key)
        if live is None:
            if self._draining:
                raise Full("The dispatcher is about to stop; ask another one, or try again later.")
            self._node.take_seat()
            live = self._live[key] = _Live(join)
            self._running.add(live)
            self._tasks.create_task(self._run(key, live), name=f"session {live.session_id}")
        else:
            live.renew(join)
        try:
            async with asyncio.timeout(patience_s):
                await live.settled.wait()
        except TimeoutError:
            self._stop(live, "No worker took it in time.")
            raise Full("No worker was ready in time; try again later.") from None
        if live.taken:
            return live.session
        if live.refused:
            raise Refused(
                "A worker has refused this join request; "
                f"GET /v1/sessions/{live.session_id} says why."
            )
        raise Full("The workers failed before they could take it; try again later.")

    def sessions(self) -> list[Session]:
        return [*self._over, *(live.session for live in self._running)]

    def find(self, session_id: str) -> Session | None:
        for session in self.sessions():
            if session.session_id == session_id:
                return session
        return None

    async def end(self, session_id: str) -> Session | None:
        for live in self._running:
            if live.session_id == session_id:
                self._stop(live, "It was ended by a request.")
                with suppress(TimeoutError):
                    async with asyncio.timeout(LEAVE_S):
                        await live.over.wait()
                return live.session
        return self.find(session_id)

    async def drain(self, patience_s: float) -> None:
        self._draining = True
        for live in self._running:
            live.stop_reason = live.stop_reason or "The dispatcher was told to stop."
            if live.worker is not None:
                live.worker.finish()
        await self._all_over(patience_s)
        for live in list(self._running):
            self._stop(live, "The dispatcher was told to stop.")
        await self._all_over(LEAVE_S + 1)

    async def _all_over(self, patience_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                for live in list(self._running):
                    await live.over.wait()

    def _stop(self, live: "_Live", reason: str) -> None:
        """No other attempt; the worker leaves at once, or is killed."""
        live.stop_reason = live.stop_reason or reason
        self._forget(live)
        if not live.session.over:
            live.enter("ending")
        if live.worker is not None:
            live.worker.leave()
            asyncio.get_running_loop().call_later(LEAVE_S, live.worker.kill)

    def _forget(self, live: "_Live") -> None:
        """From now on, a launch for the same room and participant is a new session."""
        self._live = {key: each for key, each in self._live.items() if each is not live}

    async def _run(self, key: Key, live: "_Live") -> None:
        try:
            await self._serve(live)
        except Exception:  # one session's fault does not end the others
            logger.exception("session %s cannot go on", live.session_id)
            live.enter("failed", "The dispatcher failed; its log says why.")
        finally:
            self._node.free_seat()
            self._forget(live)
            self._running.discard(live)
            self._over.append(live.session)
            live.settled.set()
            live.over.set()
        logger.info("session %s %s: %s", live.session_id, live.session.state, live.session.reason)

    async def _serve(self, live: "_Live") -> None:
        """Workers for one session, one after the other, until it is over."""
        failures = 0
        while True:
            await asyncio.sleep(PAUSES_S[failures])
            if live.stopped():
                break
            began = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(HIRE_S):
                    live.worker = await self._node.hire()
            except TimeoutError:
                live.enter("failed", "No worker was ready in time.")
                return
            if live.stopped():
                live.worker.leave()
                break
            gone = await self._attempt(live, live.worker)
            live.worker = None
            if live.stopped():
                break
            renewed = live.was_renewed_within(RENEWED_S)
            if gone.status == EXIT_OK and not renewed:
                live.enter("ended", gone.reason)
                return
            live.refused = gone.status == EXIT_REFUSED and not renewed
            steady = asyncio.get_running_loop().time() - began >= STEADY_S
            failures = _failures(gone.status, 0 if steady else failures)
            if live.refused or failures == ATTEMPTS:
                live.enter("failed", gone.reason)
                return
            logger.warning("session %s needs another worker: %s", live.session_id, gone.reason)
            live.enter("claimed", gone.reason)
        live.enter("ended", live.stop_reason)

    async def _attempt(self, live: "_Live", worker: Worker) -> Report:
        """One worker from the join request to its end, with the best reason for that."""
        live.session = replace(live.session, attempts=live.session.attempts + 1)
        live.renewed_at = None
        worker.take(live.join.to_json())
        watchdog = asyncio.get_running_loop().call_later(TAKE_S, worker.kill)
        reason: str | None = None
        try:
            while True:
                report = await worker.reports.get()
                match report.state:
                    case "joining":
                        watchdog.cancel()
                        logger.info(
                            "session %s was taken by worker %d (process %s)",
                            live.session_id,
                            worker.slot,
                            worker.pid,
                        )
                        live.advance("joining", live.session.reason)
                        live.taken = True
                        live.settled.set()
                    case "rejoining":
                        logger.warning(
                            "session %s joins its meeting anew: %s", live.session_id, report.reason
                        )
                        live.advance("joining", report.reason)
                    case "active":
                        live.advance("active", None)
                    case "ended":
                        reason = report.reason
                    case "gone":
                        return report._replace(reason=reason or report.reason)
        finally:
            watchdog.cancel()


def _failures(status: int | None, before: int) -> int:
    """Workers lost in a row; one that has left by itself was not lost."""
    return 0 if status == EXIT_OK else before + 1


class _Live:
    """A session that is not over: its newest join request, and its worker if it has one."""

    def __init__(self, join: JoinInfo) -> None:
        self.join = join
        self.worker: Worker | None = None
        self.renewed_at: float | None = None
        """When a launch was answered that this worker was not hired for."""
        self.stop_reason: str | None = None
        self.taken = False
        self.refused = False
        self.settled = asyncio.Event()
        """A worker has taken it, or none ever will."""
        self.over = asyncio.Event()
        self.session = Session(
            session_id=secrets.token_hex(8),
            room=join.room_name,
            participant_id=join.participant_id or "",
            state="claimed",
            since=datetime.now(UTC),
            reason=None,
            attempts=0,
        )

    @property
    def session_id(self) -> str:
        return self.session.session_id

    def renew(self, join: JoinInfo) -> None:
        """A newer join request for the same face in the same room."""
        self.renewed_at = asyncio.get_running_loop().time()
        if self.worker is not None and join != self.join:
            self.worker.renew(join.to_json())
        self.join = join

    def was_renewed_within(self, seconds: float) -> bool:
        """Whether its worker was told of a newer join request so lately."""
        now = asyncio.get_running_loop().time()
        return self.renewed_at is not None and now - self.renewed_at < seconds

    def stopped(self) -> bool:
        """Whether it is to end."""
        return self.stop_reason is not None

    def advance(self, state: State, reason: str | None) -> None:
        """What its worker says, unless that is about to leave."""
        if not self.stopped():
            self.enter(state, reason)

    def enter(self, state: State, reason: str | None = None) -> None:
        self.session = replace(self.session, state=state, since=datetime.now(UTC), reason=reason)
