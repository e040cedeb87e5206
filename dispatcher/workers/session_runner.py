"""SessionRunner: one session's workers on one machine, one after the other, until it is over."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
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
from dispatcher.ledger.record import SessionRecord, State
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
"""A worker that ends so soon after a launch was answered may not have received that launch."""

TAKE_S: Final = 2.0
"""How long a worker may take to look at a join request."""

ACQUIRE_S: Final = 10.0
"""How long a session that has lost its worker waits for another."""

SILENT_S: Final = 10.0
"""How long a worker in a meeting may send nothing; it sends its counters each second."""

JOINING_SILENT_S: Final = 60.0
"""And how long while it joins one: what it calls then may keep it from all else."""

JOIN_S: Final = 20.0
"""How long a worker may take to join where it names no time itself, and on top of that:"""
JOIN_SLACK_S: Final = 15.0
"""its pauses, leaving the meeting that it has lost, and a machine that is busy."""

LEAVE_S: Final = 4.0
"""How long a worker may take to leave at once; then it is killed."""

logger = logging.getLogger("avatar.dispatcher.session_runner")


class RunEnd(NamedTuple):
    """How a run ended: `ended` as it should, `failed` for good, or `lost`, when no worker of this
    machine could go on, and another machine's might."""

    kind: Literal["ended", "failed", "lost"]
    reason: str | None


class Watchdogs(NamedTuple):
    """Of one worker: `silence` is fed by each report, `progress` by all but counters."""

    silence: Watchdog
    progress: Watchdog


class SessionRunner:
    """A session that is not over: its `record`, with its join request, and its worker if it has
    one.

    `changed` is called whenever `record` is replaced. Whoever serves it has a slot in the
    `supervisor`. `failures` are workers that were lost elsewhere before. The first worker has to
    be ready within `claim_s`.

    No worker joins the meeting while it is not sure that the session is still ours, as it would
    throw out the one that serves it elsewhere: it is sure until `sure_until`, on the event loop's
    clock, and as long as `assure` says. A worker that is joining when that ends is killed: a host
    that was cut off would let it in at the moment in which it is reconnected.
    """

    def __init__(
        self,
        record: SessionRecord,
        supervisor: WorkerSupervisor,
        *,
        changed: Callable[[], None] = lambda: None,
        sure_until: float = math.inf,
        silent_s: float = SILENT_S,
        failures: int = 0,
        claim_s: float = ACQUIRE_S,
    ) -> None:
        self.record = record
        self.acquired = False
        """There was a worker for it."""
        self.refused = False
        self.dismissed = False
        """Its worker was thrown out of the meeting."""
        self.left = False
        """Its worker has left by itself, as the meeting was over for it."""
        self.resolved = asyncio.Event()
        """A worker has taken it, or none ever will."""
        self._supervisor = supervisor
        self._changed = changed
        self._sure_until = sure_until
        self._silent_s = silent_s
        self._failures = failures
        self._claim_s = claim_s
        self._asking: int | None = None
        """The serial of its worker's question whether it may join anew, until that is answered."""
        self._join_s = JOIN_S
        """How long its worker itself allows for joining."""
        self._doubts: asyncio.TimerHandle | None = None
        self._woken = asyncio.Event()
        self._ending = asyncio.Event()
        self._worker: WorkerProcess | None = None
        self._renewed_at: float | None = None
        """When a launch was answered that this worker was not acquired for."""
        self._stop_reason: str | None = None
        self._dismissing = False
        """Its worker was told to speak out, or to leave."""
        self._leaving = False
        """Its worker was told to leave at once."""

    @property
    def session_id(self) -> str:
        return self.record.session_id

    @property
    def taken(self) -> bool:
        """Whether a worker has taken it."""
        return self.record.acked

    def stopped(self) -> bool:
        """Whether it is to end, and no other worker will follow."""
        return self._stop_reason is not None

    async def run(self) -> RunEnd:
        """Serve it until it is over here. Its end is not yet a step of the record: whoever serves
        it knows whether it goes on elsewhere."""
        try:
            return await self._serve()
        finally:
            self.resolved.set()

    def renew(self, newer: JoinInfo) -> tuple[str, ...]:
        """A newer join request for the same face in the same room; returns the names of the
        fields that the session does not take from it."""
        self._renewed_at = asyncio.get_running_loop().time()
        join, not_applied, _ = renewed(self.record.request, newer)
        if not_applied:
            logger.warning(
                "session %s keeps its %s: a launch for a session that lives cannot change it",
                self.session_id,
                " and ".join(not_applied),
            )
        if join != self.record.join:
            self.record = replace(self.record, join=join)
            if self._worker is not None:
                self._worker.renew(_command(self.record))
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
        self._dismissing = True
        if self._worker is not None:
            self._worker.finish()

    def stop(self, reason: str) -> None:
        """Its worker leaves at once, or is killed; no other follows."""
        self.last(reason)
        self._dismissing = self._leaving = True
        if self._worker is not None:
            self._worker.leave()
            asyncio.get_running_loop().call_later(LEAVE_S, self._worker.kill)

    def enter(self, state: State, reason: str | None = None) -> None:
        """Another step of its life."""
        self._become(self.record.entered(state, reason, time.time()))

    async def _serve(self) -> RunEnd:
        failures = self._failures
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s)
            await self._until_sure()
            if self.stopped():
                break
            began = asyncio.get_running_loop().time()
            self._worker = await self._acquire()
            if self.stopped():
                if self._worker is not None:
                    self._worker.leave()
                break
            if self._worker is None:
                return RunEnd("lost", "No worker was ready in time.")
            self.acquired = True
            gone = await self._attempt(self._worker)
            self._worker = None
            self.left = gone.status == EXIT_OK and not self.dismissed and not self._dismissing
            if self.stopped():
                return RunEnd("ended", gone.reason if self.left else self._stop_reason)
            renewed = self._was_renewed_within(RENEWED_S) and not self.dismissed
            if gone.status == EXIT_OK and not renewed:
                return RunEnd("ended", gone.reason)
            self.refused = gone.status == EXIT_REFUSED and not renewed
            if self.refused:
                return RunEnd("failed", gone.reason)
            steady = asyncio.get_running_loop().time() - began >= STEADY_S
            failures = _failures(gone.status, 0 if steady else failures)
            if failures == ATTEMPTS:
                return RunEnd("lost", gone.reason)
            pause_s = PAUSES_S[failures]
            logger.warning("session %s needs another worker: %s", self.session_id, gone.reason)
            metrics.REDISPATCHED["worker_lost"].inc()
            self.enter("claimed", gone.reason)
        return RunEnd("ended", self._stop_reason)

    async def _acquire(self) -> WorkerProcess | None:
        """A worker; None where none is ready in time, or before it is to end."""
        within_s = ACQUIRE_S if self.acquired else self._claim_s
        return await _acquired_within(self._supervisor, within_s, self._ending)

    async def _attempt(self, worker: WorkerProcess) -> WorkerGone:
        """One worker from the join request to its end, with the best reason for that."""
        self._become(replace(self.record, attempts=self.record.attempts + 1))
        self._renewed_at = None
        self._asking = None
        before = self.record.counters
        now = asyncio.get_running_loop().time()
        dogs = Watchdogs(Watchdog(now), Watchdog(now))
        worker.join(_command(self.record))
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
                        self._become(replace(self.record, acked=True))
                        self.resolved.set()
                        self._advance("joining", self.record.reason)
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
                        self._become(replace(self.record, counters=counts))
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
        elif self.record.state != "active" and self._asking is None and not self.stopped():
            logger.warning(
                "session %s may be another node's before its worker joins", self.session_id
            )
            worker.kill()

    async def _next(self, worker: WorkerProcess, dogs: "Watchdogs") -> Report:
        """Its next report. One that falls silent is killed, and so is one that sends counters and
        does not get into its meeting."""
        loop = asyncio.get_running_loop()
        report: Report | None = None
        while report is None:
            silent_s, stuck_s = self._timeouts_s()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(silent_s, stuck_s) / 2):
                    report = await worker.reports.get()
            now = loop.time()
            if report is not None:
                dogs.silence.sign(now)
                if not isinstance(report, CounterReport):
                    dogs.progress.sign(now)
            if dogs.silence.expired(now, silent_s):
                logger.warning("session %s: its worker sends nothing any more", self.session_id)
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

    def _timeouts_s(self) -> tuple[float, float]:
        """How long its worker may be silent, and how long nothing but counters may come."""
        if self.record.state == "active" and not self._leaving:
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
        """A step that its worker reports, unless that is about to leave."""
        if not self.stopped():
            self.enter(state, reason)

    def _become(self, record: SessionRecord) -> None:
        self.record = record
        self._changed()

    def _was_renewed_within(self, seconds: float) -> bool:
        """Whether its worker was sent a newer join request so lately."""
        now = asyncio.get_running_loop().time()
        return self._renewed_at is not None and now - self._renewed_at < seconds


def _failures(status: int | None, before: int) -> int:
    """Workers lost in a row; one that has left by itself was not lost."""
    return 0 if status == EXIT_OK else before + 1


def _summed(before: Mapping[str, int], counters: Mapping[str, int]) -> dict[str, int]:
    """What a worker has counted, on top of what those before it had."""
    return {name: before.get(name, 0) + value for name, value in counters.items()}


async def _acquired_within(
    supervisor: WorkerSupervisor, within_s: float, ending: asyncio.Event
) -> WorkerProcess | None:
    """A worker; None where none is ready within that time, or before `ending`."""
    acquiring = asyncio.create_task(supervisor.acquire(), name="acquire")
    waiting = asyncio.create_task(ending.wait(), name="ending")
    try:
        await asyncio.wait(
            [acquiring, waiting], timeout=within_s, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        waiting.cancel()
        acquiring.cancel()
    await asyncio.wait([acquiring])
    return None if acquiring.cancelled() else acquiring.result()


def _command(record: SessionRecord) -> JoinCommand:
    """The newest join request of the session, and what it is part of."""
    assignment = Assignment(record.session_id, record.epoch, record.slot or "", record.traceparent)
    return JoinCommand(record.request, assignment)
