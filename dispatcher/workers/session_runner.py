"""SessionRunner: one session's workers on one machine, one after the other, until it is over."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from agent_side.join import JoinInfo
from avatar_runtime.messages import EXIT_OK, EXIT_REFUSED
from avatar_runtime.messages.commands import Assignment, JoinCommand
from avatar_runtime.messages.reports import (
    CounterReport,
    PermissionRequest,
    WorkerActive,
    WorkerDismissed,
    WorkerEnded,
    WorkerJoining,
    WorkerRejoining,
)
from dispatcher import metrics
from dispatcher.pool import Session, State
from dispatcher.workers.process import Report, WorkerGone, WorkerProcess
from dispatcher.workers.renewal import renewed
from dispatcher.workers.supervisor import WorkerSupervisor
from dispatcher.workers.watchdog import Watchdog

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

SILENT_S: Final = 10.0
"""How long a worker in a meeting may say nothing; it counts aloud each second."""

JOINING_SILENT_S: Final = 60.0
"""And how long while it joins one: what it calls then may keep it from all else."""

JOIN_S: Final = 20.0
"""How long a worker may take to join where it does not say, and on top of that:"""
JOIN_SLACK_S: Final = 15.0
"""its pauses, leaving the meeting that it has lost, and a machine that has much to do."""

LEAVE_S: Final = 4.0
"""How long a worker may take to leave when it is told to leave at once; then it is killed."""

logger = logging.getLogger("avatar.dispatcher.serving")


class End(NamedTuple):
    """How serving ended: `ended` as it should, `failed` for good, or `lost`, when no worker of
    this machine could go on, and another machine's might."""

    kind: Literal["ended", "failed", "lost"]
    reason: str | None


class Watchdogs(NamedTuple):
    """Of one worker: `silence` is fed by each report, `progress` by all but counters."""

    silence: Watchdog
    progress: Watchdog


class SessionRunner:
    """A session that is not over: its newest join request, and its worker if it has one.

    `changed` is called whenever `session` is another one than before. Whoever serves it has a
    slot in the `supervisor`. `failures` are workers that were lost elsewhere before. The first
    worker has to be ready within `claim_s`.

    No worker joins the meeting while it is not sure that the session is still ours, as it would
    throw out the one that serves it elsewhere: until `sure_until`, on the event loop's clock, and
    what `assure` says then. One that is on its way when that ends is killed: a host that was cut
    off would let it in at the moment in which it is healed.
    """

    def __init__(
        self,
        session: Session,
        join: JoinInfo,
        supervisor: WorkerSupervisor,
        traceparent: str | None = None,
        *,
        changed: Callable[[], None] = lambda: None,
        sure_until: float = math.inf,
        silent_s: float = SILENT_S,
        failures: int = 0,
        claim_s: float = HIRE_S,
    ) -> None:
        self.session = session
        self.join = join
        self.taken = False
        self.acquired = False
        """There was a worker for it."""
        self.refused = False
        self.dismissed = False
        """Its worker was thrown out of the meeting."""
        self.left = False
        """Its worker has left by itself, as the meeting was over for it."""
        self.settled = asyncio.Event()
        """A worker has taken it, or none ever will."""
        self._supervisor = supervisor
        self._traceparent = traceparent
        self._changed = changed
        self._sure_until = sure_until
        self._silent_s = silent_s
        self._failures = failures
        self._claim_s = claim_s
        self._asking: int | None = None
        """The question of its worker, which waits to be told that it may join anew."""
        self._join_s = JOIN_S
        """How long its worker itself allows for joining."""
        self._doubts: asyncio.TimerHandle | None = None
        self._woken = asyncio.Event()
        self._ending = asyncio.Event()
        self._worker: WorkerProcess | None = None
        self._renewed_at: float | None = None
        """When a launch was answered that this worker was not acquired for."""
        self._stop_reason: str | None = None
        self._told = False
        """Its worker was told to leave."""

    @property
    def session_id(self) -> str:
        return self.session.session_id

    def stopped(self) -> bool:
        """Whether it is to end, and no other worker will follow."""
        return self._stop_reason is not None

    async def run(self) -> End:
        """Serve it until it is over here. What `session` says then is `claimed` after all
        workers were lost, otherwise how it ended."""
        try:
            end = await self._serve()
            if end.kind != "lost":
                self.enter(end.kind, end.reason)
            return end
        finally:
            self.settled.set()

    def renew(self, newer: JoinInfo) -> tuple[str, ...]:
        """A newer join request for the same face in the same room; returns the names of the
        fields that the session does not take from it."""
        self._renewed_at = asyncio.get_running_loop().time()
        join, not_applied, _ = renewed(self.join, newer)
        if not_applied:
            logger.warning(
                "session %s keeps its %s: a launch for a session that lives cannot change it",
                self.session_id,
                " and ".join(not_applied),
            )
        if join != self.join:
            self.join = join
            if self._worker is not None:
                self._worker.renew(self._command())
        return not_applied

    def assure(self, until: float) -> None:
        """The session is surely ours until then, on the event loop's clock."""
        self._sure_until = max(until, self._sure_until)
        self._woken.set()
        if self._asking is not None and self._worker is not None and self._is_sure():
            serial, self._asking = self._asking, None
            self._worker.permit(serial)
            self._watch(self._worker)

    def last(self, reason: str) -> None:
        """No other worker follows; the one that there is goes on."""
        self._stop_reason = self._stop_reason or reason
        self._woken.set()
        self._ending.set()

    def finish(self, reason: str) -> None:
        """Let its worker speak out what it has begun; no other follows."""
        self.last(reason)
        self._told = True
        if self._worker is not None:
            self._worker.finish()

    def stop(self, reason: str) -> None:
        """Its worker leaves at once, or is killed; no other follows."""
        self.last(reason)
        self._told = True
        if not self.session.over:
            self.enter("ending")
        if self._worker is not None:
            self._worker.leave()
            asyncio.get_running_loop().call_later(LEAVE_S, self._worker.kill)

    def enter(self, state: State, reason: str | None = None) -> None:
        """Another step of its life."""
        self._become(self.session.entered(state, datetime.now(UTC), reason))

    def sit(self, slot: str) -> None:
        """It is served in that slot."""
        self._become(replace(self.session, slot=slot))

    async def _serve(self) -> End:
        failures = self._failures
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s)
            await self._until_sure()
            if self.stopped():
                break
            began = asyncio.get_running_loop().time()
            self._worker = await self._hire(HIRE_S if self.acquired else self._claim_s)
            if self.stopped():
                if self._worker is not None:
                    self._worker.leave()
                break
            if self._worker is None:
                return End("lost", "No worker was ready in time.")
            self.acquired = True
            gone = await self._attempt(self._worker)
            self._worker = None
            self.left = gone.status == EXIT_OK and not self.dismissed and not self._told
            if self.stopped():
                return End("ended", gone.reason if self.left else self._stop_reason)
            renewed = self._was_renewed_within(RENEWED_S) and not self.dismissed
            if gone.status == EXIT_OK and not renewed:
                return End("ended", gone.reason)
            self.refused = gone.status == EXIT_REFUSED and not renewed
            if self.refused:
                return End("failed", gone.reason)
            steady = asyncio.get_running_loop().time() - began >= STEADY_S
            failures = _failures(gone.status, 0 if steady else failures)
            if failures == ATTEMPTS:
                return End("lost", gone.reason)
            pause_s = PAUSES_S[failures]
            logger.warning("session %s needs another worker: %s", self.session_id, gone.reason)
            metrics.REDISPATCHED["worker_lost"].inc()
            self.enter("claimed", gone.reason)
        return End("ended", self._stop_reason)

    async def _hire(self, within_s: float) -> WorkerProcess | None:
        """A worker; None where none is ready within that time, or before it is to end."""
        hiring = asyncio.create_task(self._supervisor.acquire(), name="acquire")
        ending = asyncio.create_task(self._ending.wait(), name="ending")
        try:
            await asyncio.wait(
                [hiring, ending], timeout=within_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ending.cancel()
            hiring.cancel()
        await asyncio.wait([hiring])
        return None if hiring.cancelled() else hiring.result()

    async def _attempt(self, worker: WorkerProcess) -> WorkerGone:
        """One worker from the join request to its end, with the best reason for that."""
        self._become(replace(self.session, attempts=self.session.attempts + 1))
        self._renewed_at = None
        self._asking = None
        before = self.session.counters
        now = asyncio.get_running_loop().time()
        dogs = Watchdogs(Watchdog(now), Watchdog(now))
        worker.join(self._command())
        watchdog = asyncio.get_running_loop().call_later(TAKE_S, worker.kill)
        self._watch(worker)
        reason: str | None = None
        try:
            while True:
                report = await self._next(worker, dogs)
                match report:
                    case WorkerJoining(within_s):
                        watchdog.cancel()
                        logger.info(
                            "session %s was taken by worker %d (process %s)",
                            self.session_id,
                            worker.number,
                            worker.pid,
                        )
                        self._join_s = JOIN_S if within_s is None else within_s
                        self.taken = True
                        self.settled.set()
                        self._advance("joining", self.session.reason)
                    case PermissionRequest(serial):
                        self._asking = serial
                        self.assure(self._sure_until)
                    case WorkerRejoining(why):
                        logger.warning(
                            "session %s joins its meeting anew: %s", self.session_id, why
                        )
                        self._advance("joining", why)
                    case WorkerActive():
                        self._advance("active", None)
                    case CounterReport(counted):
                        counts = {**before, **_summed(before, counted)}
                        self._become(replace(self.session, counters=counts))
                    case WorkerEnded(reason):
                        self.dismissed = False
                    case WorkerDismissed(reason):
                        self.dismissed = True
                    case WorkerGone():
                        return replace(report, reason=reason or report.reason)
        finally:
            watchdog.cancel()
            if self._doubts is not None:
                self._doubts.cancel()

    def _watch(self, worker: WorkerProcess) -> None:
        """It is on its way into the meeting, which it must not reach once we are in doubt."""
        if self._doubts is not None:
            self._doubts.cancel()
        if self._sure_until < math.inf:
            loop = asyncio.get_running_loop()
            self._doubts = loop.call_at(self._sure_until, self._doubt, worker)

    def _doubt(self, worker: WorkerProcess) -> None:
        if self._is_sure():
            self._watch(worker)
        elif self.session.state != "active" and self._asking is None and not self.stopped():
            logger.warning(
                "session %s may be somebody else's before its worker has joined", self.session_id
            )
            worker.kill()

    async def _next(self, worker: WorkerProcess, dogs: "Watchdogs") -> Report:
        """Its next report. One that falls silent is killed, and so is one that counts aloud and
        does not get into its meeting."""
        loop = asyncio.get_running_loop()
        report: Report | None = None
        while report is None:
            silent_s, stuck_s = self._patience()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(silent_s, stuck_s) / 2):
                    report = await worker.reports.get()
            now = loop.time()
            if report is not None:
                dogs.silence.sign(now)
                if not isinstance(report, CounterReport):
                    dogs.progress.sign(now)
            if dogs.silence.expired(now, silent_s):
                logger.warning(
                    "session %s has a worker that says nothing any more", self.session_id
                )
                dogs.silence.sign(now)
                worker.kill()
            elif dogs.progress.expired(now, stuck_s):
                logger.warning(
                    "session %s has a worker that did not join its meeting within %g s",
                    self.session_id,
                    stuck_s,
                )
                dogs.progress.sign(now)
                worker.kill()
        return report

    def _patience(self) -> tuple[float, float]:
        """How long its worker may be silent, and how long nothing but counters may come."""
        if self.session.state == "active":
            return self._silent_s, math.inf
        if self._asking is not None:
            return JOINING_SILENT_S, math.inf
        return JOINING_SILENT_S, self._join_s + JOIN_SLACK_S

    async def _until_sure(self) -> None:
        """Until it is sure that the session is ours, or it is to end."""
        while not self._is_sure() and not self.stopped():
            self._woken.clear()
            await self._woken.wait()

    def _is_sure(self) -> bool:
        return asyncio.get_running_loop().time() < self._sure_until

    def _advance(self, state: State, reason: str | None) -> None:
        """What its worker says, unless that is about to leave."""
        if not self.stopped():
            self.enter(state, reason)

    def _become(self, session: Session) -> None:
        self.session = session
        self._changed()

    def _was_renewed_within(self, seconds: float) -> bool:
        """Whether its worker was told of a newer join request so lately."""
        now = asyncio.get_running_loop().time()
        return self._renewed_at is not None and now - self._renewed_at < seconds

    def _command(self) -> JoinCommand:
        """The newest join request, and the session that it is for."""
        session = self.session
        assignment = Assignment(
            self.session_id, session.epoch, session.slot or "", self._traceparent
        )
        return JoinCommand(self.join, assignment)


def _failures(status: int | None, before: int) -> int:
    """Workers lost in a row; one that has left by itself was not lost."""
    return 0 if status == EXIT_OK else before + 1


def _summed(before: Mapping[str, int], counters: Mapping[str, int]) -> dict[str, int]:
    """What a worker has counted, on top of what those before it had."""
    return {name: before.get(name, 0) + value for name, value in counters.items()}
