"""Node: the slots of one machine in a ledger, and the sessions that it serves."""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Final, assert_never

from dispatcher import logs, metrics
from dispatcher.errors import Full, StoreDown
from dispatcher.ledger.command import (
    Command,
    EndCommand,
    HandoffDoneCommand,
    RenewCommand,
    ServeCommand,
)
from dispatcher.ledger.port import NodeLedger, Verdict
from dispatcher.ledger.record import SessionRecord
from dispatcher.node.owned_session import Lease, OwnedSession
from dispatcher.workers.session_runner import LEAVE_S, RunEnd
from dispatcher.workers.supervisor import WorkerSupervisor

HEARTBEAT_S: Final = 1.0
"""Between two heartbeats, and two renewals of all leases; a quarter of a lease at most."""

COUNT_S: Final = 5.0
"""Between two reports of what the workers have counted."""

AGAIN_S: Final = 0.5
"""The pause after Redis could not be reached."""

HANDOFF_S: Final = 240.0
"""How long sessions look for another node when this one has to stop; Kubernetes' grace is 300 s
more than the drain."""

HANDED_OFF_S: Final = 22.0
"""How long an older worker stays while its replacement joins; the ledger fences it after 20 s."""

REAPED_S: Final = 6.0
"""How long it may take until a worker that has exited is reaped and its session released."""

ELSEWHERE: Final = "Another node serves it now."

logger = logging.getLogger("avatar.dispatcher.node")


class Node:
    """The slots of a `supervisor` in a `ledger`, and the sessions in them; `tasks` is where they
    run.

    A node among many has leases of `lease_s`, and `run` goes on beside it. The only node of its
    ledger has no leases: nothing can be given to another, and who owns the ledger passes on its
    commands with `obey`. `busy` is called with whether there are sessions, whenever that changes.
    """

    def __init__(
        self,
        ledger: NodeLedger,
        supervisor: WorkerSupervisor,
        tasks: asyncio.TaskGroup,
        lease_s: float = math.inf,
        busy: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._supervisor = supervisor
        self._tasks = tasks
        self._lease_s = lease_s
        self._alone = lease_s == math.inf
        self._busy = busy
        self._owned: dict[str, OwnedSession] = {}
        self._running: set[OwnedSession] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._draining = False
        self._withdrawn = False
        self._store = ""

    @property
    def why_not_ready(self) -> str:
        """One sentence, or nothing. A node that is busy, drains or misses Redis is ready:
        what restarts nodes that are not ready would end its sessions."""
        return "" if self._supervisor.ready else "No worker can be had now."

    async def slots(self) -> Mapping[str, int]:
        """How many slots it has by state, as `Pool.slots`."""
        acked = sum(owned.ack_sent for owned in self._running)
        waiting = len(self._running) - acked
        return slots_by_state(self._supervisor.idle_slots, waiting, acked, draining=self._draining)

    async def run(self) -> None:
        """Be a node until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._heartbeat(), name="heartbeat")
                tasks.create_task(self._read(), name="mailbox")
        finally:
            await self._ledger.close()

    async def drain(self, timeout_s: float, hurry: asyncio.Event, enough: asyncio.Event) -> None:
        """Take nothing more; return once no session is left.

        Sessions go on for `timeout_s` or until `hurry`, then other nodes take them over; what
        none has taken in HANDOFF_S, or before `enough` is set, waits in the ledger for a slot.
        """
        self._draining = True
        metrics.DRAINING.set(1)
        with suppress(StoreDown):  # the next heartbeats do it, too
            await self._withdraw()
        await _first_of(self._quiet.wait(), hurry.wait(), asyncio.sleep(timeout_s))
        if self._running:
            logger.info("handing off %d sessions", len(self._running))
        await _first_of(self._hand_off_all(), enough.wait(), asyncio.sleep(HANDOFF_S))
        for owned in self._running:
            owned.given_back = not owned.handing_off
            owned.runner.stop("Its node has stopped.")
        await _first_of(self._quiet.wait(), asyncio.sleep(LEAVE_S + REAPED_S))
        for task in self._serving:
            task.cancel()

    async def speak_out(self, timeout_s: float, reason: str) -> None:
        """Let the workers speak out what they have begun, until no session is left or `timeout_s`
        has passed."""
        for owned in self._running:
            owned.runner.finish(reason)
        await self.until_quiet(timeout_s)

    async def until_quiet(self, timeout_s: float) -> None:
        """Until no session is left, or `timeout_s` has passed."""
        await _first_of(self._quiet.wait(), asyncio.sleep(timeout_s))

    async def until_over(self, session_id: str, timeout_s: float) -> None:
        """Until that session is over here, or `timeout_s` has passed."""
        for owned in list(self._running):
            if owned.record.session_id == session_id:
                await _first_of(owned.over.wait(), asyncio.sleep(timeout_s))

    async def _hand_off_all(self) -> None:
        """Until no session is left."""
        while not self._quiet.is_set():
            for owned in list(self._owned.values()):
                if not owned.handing_off and owned.ack_sent:
                    await self._hand_off(owned)
            await _first_of(self._quiet.wait(), asyncio.sleep(AGAIN_S))

    async def _hand_off(self, owned: OwnedSession) -> None:
        with suppress(StoreDown):  # it is tried again
            owned.handing_off = await self._ledger.handoff(owned.record)
        if owned.handing_off:
            metrics.REDISPATCHED["handoff"].inc()
            owned.runner.last(ELSEWHERE)
            asyncio.get_running_loop().call_later(HANDED_OFF_S, owned.runner.stop, ELSEWHERE)

    async def _heartbeat(self) -> None:
        interval_s = min(HEARTBEAT_S, self._lease_s / 4)
        loop = asyncio.get_running_loop()
        counted_at = loop.time()
        while True:
            began = loop.time()
            try:
                idle = [] if self._draining else self._supervisor.idle_slots
                await self._ledger.heartbeat(idle, self._supervisor.slots)
                await self._renew()
                if self._draining:
                    await self._withdraw()
                self._note_store(None)
            except StoreDown as error:
                self._note_store(error)
            if began - counted_at >= COUNT_S:
                counted_at = began
                for owned in self._owned.values():
                    owned.changed.set()
            await asyncio.sleep(max(0.0, began + interval_s - loop.time()))

    async def _withdraw(self) -> None:
        """No slot of this node gets a session from now on. Raises StoreDown."""
        if not self._withdrawn:
            await self._ledger.drain()
            self._withdrawn = True

    async def _renew(self) -> None:
        """Raises StoreDown."""
        now = asyncio.get_running_loop().time()
        owned_sessions = dict(self._owned)
        verdicts = await self._ledger.renew([owned.record for owned in owned_sessions.values()])
        for key, verdict in verdicts.items():
            self._obey_verdict(owned_sessions[key], verdict, now)

    async def _read(self) -> None:
        while True:
            try:
                for command in await self._ledger.take():
                    await self.obey(command)
            except StoreDown:  # the heartbeat logs it
                await asyncio.sleep(AGAIN_S)

    async def obey(self, command: Command) -> None:
        """Do what the ledger has for this node."""
        if isinstance(command, ServeCommand):
            await self._take(command.record, command.asked_at)
            return
        owned = self._owned.get(command.key)
        if owned is None or owned.record.session_id != command.session_id:
            return
        match command:
            case RenewCommand():
                owned.renew(command)
            case EndCommand():
                owned.runner.stop(command.reason)
            case HandoffDoneCommand():
                owned.runner.stop(ELSEWHERE)
            case _:
                assert_never(command)

    async def _take(self, record: SessionRecord, asked_at: float) -> None:
        """Serve it, or answer at once that this node does not."""
        older = self._owned.get(record.key)
        if older is not None and older.is_no_older_than(record):
            return
        try:
            slot = self._slot_for(record)
        except Full as full:
            with suppress(StoreDown):  # then its lease expires soon
                await self._ledger.nack(record, str(full))
            return
        if older is not None:
            older.runner.stop("It was claimed anew.")
        lease = None if self._alone else Lease(self._lease_s, asked_at)
        owned = OwnedSession(record, self._supervisor, lease)
        self._owned[record.key] = owned
        self._running.add(owned)
        self._quiet.clear()
        self._busy(True)
        name = f"session {record.session_id}"
        task = self._tasks.create_task(self._serve(owned, slot), name=name)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def _slot_for(self, record: SessionRecord) -> int:
        """Raises Full."""
        if self._draining:
            raise Full("The node is about to stop.")
        if not self._alone and not self._supervisor.can_acquire:
            raise Full("No worker can be had on the node now.")
        _, _, number = (record.slot or "").rpartition("/")
        return self._supervisor.take_slot(int(number))

    async def _serve(self, owned: OwnedSession, slot: int) -> None:
        logs.about(owned.record, owned.record.traceparent)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._report(owned), name="report to the ledger")
            end = await owned.run()
            owned.close()
        record = owned.record
        logger.info("session %s %s: %s", record.session_id, end.kind, end.reason)
        await self._release(owned, end)
        self._forget(owned)
        self._supervisor.free_slot(slot)
        owned.over.set()
        if self._alone or (not self._draining and self._supervisor.ready):
            with suppress(StoreDown):  # the next heartbeat does it, too
                await self._ledger.offer(slot)

    async def _release(self, owned: OwnedSession, end: RunEnd) -> None:
        """Release its slot in the ledger, with how it ended here."""
        if end.kind == "lost" and self._alone:
            await self._ledger.lost(owned.record, end.reason or "The worker is gone.")
            return
        if end.kind == "lost" and not owned.runner.acquired:
            await self._ledger.nack(owned.record, end.reason or "No worker was ready in time.")
            return
        if end.kind == "lost" or owned.given_back:
            metrics.REDISPATCHED["worker_lost" if end.kind == "lost" else "handoff"].inc()
            await self._ledger.lost(owned.record, end.reason or "The worker is gone.")
            return
        kind = end.kind
        if owned.handing_off and not owned.runner.left:
            kind = "failed"  # here alone: its replacement goes on, and may have thrown it out
        refused = owned.runner.refused
        await self._ledger.finish(owned.record, kind, end.reason, refused=refused)

    def _forget(self, owned: OwnedSession) -> None:
        self._running.discard(owned)
        if self._owned.get(owned.record.key) is owned:
            del self._owned[owned.record.key]
        if not self._running:
            self._quiet.set()
            self._busy(False)

    async def _report(self, owned: OwnedSession) -> None:
        """Write a session's newest state whenever it changes."""
        while True:
            await owned.changed.wait()
            if owned.closed:
                return
            owned.changed.clear()
            if not owned.runner.taken and not self._alone:
                continue
            now = asyncio.get_running_loop().time()
            try:
                if owned.runner.taken and not owned.ack_sent:
                    self._obey_verdict(owned, await self._ledger.ack(owned.record), now)
                    owned.ack_sent = True
                self._obey_verdict(owned, await self._ledger.enter(owned.record), now)
            except StoreDown:  # the heartbeat logs it
                owned.changed.set()
                await asyncio.sleep(AGAIN_S)
            except Exception:  # one session's fault does not end the others
                logger.exception("session %s cannot be reported", owned.runner.session_id)
                owned.runner.stop("The node failed; its log says why.")

    def _obey_verdict(self, owned: OwnedSession, verdict: Verdict, asked_at: float) -> None:
        if self._alone:
            return
        match verdict:
            case Verdict.OK:
                owned.runner.assure(asked_at + self._lease_s)
            case Verdict.FENCED:
                if not owned.runner.stopped():  # nor is one that was handed off
                    metrics.FENCED.inc()
                owned.runner.stop(ELSEWHERE)
            case Verdict.END:
                owned.runner.stop("It was ended by a request.")
            case _:
                assert_never(verdict)

    def _note_store(self, error: StoreDown | None) -> None:
        """Whether Redis can be reached; logged when that changes."""
        why = "" if error is None else str(error)
        if why and why != self._store:
            logger.error("%s The sessions go on.", why)
        elif self._store and not why:
            logger.info("Redis can be reached again")
        self._store = why
        metrics.STORE_UP.set(not why)


def slots_by_state(
    idle: Sequence[int], waiting: int, acked: int, *, draining: bool
) -> Mapping[str, int]:
    """How many slots there are by state, as `Pool.slots`; `waiting` and `acked` are sessions.

    Whoever drains has no idle ones, and those that are busy are `draining`.
    """
    if draining:
        return {"idle": 0, "claimed": waiting, "busy": 0, "draining": acked}
    return {"idle": len(idle), "claimed": waiting, "busy": acked, "draining": 0}


async def _first_of(*ends: Coroutine[None, None, object]) -> None:
    """Until one of them is done; the others are cancelled."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(end) for end in ends]
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for each in running:
            each.cancel()
