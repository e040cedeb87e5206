"""The node program: this machine's slots, for the sessions that dispatchers put into Redis.

Run it as ``python -P -m dispatcher.node.program`` or as ``avatar node``, on each machine, beside
any number of ``avatar serve`` with the same Redis. On SIGTERM, SIGINT or POST /drain it takes
nothing more and lets its sessions go on; after AVATAR_DRAIN_S, or on a second signal, other nodes
take them over, one with another for a moment; when none is left it exits with status 0. A third
signal gives them back at once, with a gap.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, repeat
from typing import Final, assert_never

from avatar_runtime import logs
from avatar_runtime.proxies import direct_loopback
from avatar_runtime.settings.kinds import NODE
from avatar_runtime.settings.pages import help_of
from dispatcher import metrics
from dispatcher.degraded import Degraded
from dispatcher.errors import DispatcherError, Full, SettingsError, StoreDown
from dispatcher.http.admin import gate_of, make_admin
from dispatcher.http.auth import may_listen
from dispatcher.http.descriptors import shares_of_this_process
from dispatcher.http.listener import HttpListener
from dispatcher.http.middleware import hosts_of
from dispatcher.http.server import freeze_gc, listen, make_server, url_of
from dispatcher.ledger.encryption import Seal
from dispatcher.ledger.redis import End, Handed, Held, NodeLedger, Renew, Serve, Verdict
from dispatcher.logs import about
from dispatcher.node.kubernetes import PodAnnotator
from dispatcher.node.owned_session import OwnedSession
from dispatcher.settings import DispatcherSettings
from dispatcher.workers.session_runner import LEAVE_S
from dispatcher.workers.session_runner import End as Over
from dispatcher.workers.shared_numbers import SharedNumbers
from dispatcher.workers.supervisor import WorkerSupervisor

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
REFUSED: Final = 2

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
ADMIN: Final = "choose others with AVATAR_ADMIN_HOST and AVATAR_ADMIN_PORT"

BEAT_S: Final = 1.0
"""Between two heartbeats, and two renewals of all leases; a quarter of a lease at most."""

COUNT_S: Final = 5.0
"""Between two reports of what the workers have counted."""

AGAIN_S: Final = 0.5
"""The pause after Redis could not be reached."""

HANDOFF_S: Final = 240.0
"""How long sessions look for another node when this one has to stop; Kubernetes' grace is 300 s
more than the drain."""

HANDED_S: Final = 22.0
"""How long an older worker stays while its replacement joins; the ledger fences it after 20 s."""

BURIED_S: Final = 6.0
"""How long it may take from a worker's end until its session is settled."""

ELSEWHERE: Final = "Another node serves it now."

STATUSES: Final = """\
Of these, a node reads AVATAR_SLOTS, AVATAR_WARM, AVATAR_DRAIN_S, AVATAR_WORKER_MEMORY_MB, and those
of many machines and of watching it; the others are its dispatchers'.

signals:
  the first SIGTERM or SIGINT, or POST /drain: nothing new; sessions go on up to AVATAR_DRAIN_S, and
  are then handed over to other nodes; the second: they are handed over at once; the third: they
  leave at once, and go on where a slot is idle

exit status:
  0  it was told to stop, and no session is left here
  1  its workers cannot be started
  2  a setting cannot be used, or the admin's address is taken
"""

logger = logging.getLogger("avatar.dispatcher.node")


class Node:
    """The slots of a `supervisor` in a `ledger`, and the sessions in them; `tasks` is where they
    run.

    `busy` is called with whether there are sessions.
    """

    def __init__(
        self,
        ledger: NodeLedger,
        supervisor: WorkerSupervisor,
        tasks: asyncio.TaskGroup,
        lease_s: float,
        busy: Callable[[bool], None],
    ) -> None:
        self._ledger = ledger
        self._supervisor = supervisor
        self._tasks = tasks
        self._lease_s = lease_s
        self._busy = busy
        self._holds: dict[str, OwnedSession] = {}
        self._running: set[OwnedSession] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._draining = False
        self._withdrawn = False
        self._store = ""

    @property
    def why_not_ready(self) -> str:
        """One sentence, or nothing. A node that is busy, drains or misses Redis is ready: whoever
        ends those that are not would end its sessions."""
        return "" if self._supervisor.ready else "No worker can be had now."

    async def slots(self) -> Mapping[str, int]:
        """What each of its slots is doing, as a pool says it."""
        acked = sum(hold.acked for hold in self._running)
        waiting = len(self._running) - acked
        if self._draining:
            return {"idle": 0, "claimed": waiting, "busy": 0, "draining": acked}
        idle = len(self._supervisor.free_seats) if self._supervisor.ready else 0
        return {"idle": idle, "claimed": waiting, "busy": acked, "draining": 0}

    async def run(self) -> None:
        """Be a node until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._beat(), name="heartbeat")
                tasks.create_task(self._read(), name="mailbox")
        finally:
            await self._ledger.close()

    async def drain(self, timeout_s: float, hurry: asyncio.Event, enough: asyncio.Event) -> None:
        """Take nothing more; return once no session is left.

        Sessions go on for `timeout_s` or until `hurry`, then other nodes take them over; what
        none has taken in HANDOFF_S, or when there is `enough`, is left to whoever has a slot.
        """
        self._draining = True
        metrics.DRAINING.set(1)
        with suppress(StoreDown):  # the next heartbeats say it, too
            await self._withdraw()
        await _first(self._quiet.wait(), hurry.wait(), asyncio.sleep(timeout_s))
        if self._running:
            logger.info("handing over %d sessions", len(self._running))
        await _first(self._hand_over(), enough.wait(), asyncio.sleep(HANDOFF_S))
        for hold in self._running:
            hold.given_back = not hold.handing
            hold.serving.stop("Its node has stopped.")
        await _first(self._quiet.wait(), asyncio.sleep(LEAVE_S + BURIED_S))
        for task in self._serving:
            task.cancel()

    async def _hand_over(self) -> None:
        """Until no session is left."""
        while not self._quiet.is_set():
            for hold in list(self._holds.values()):
                if not hold.handing and hold.acked:
                    await self._hand(hold)
            await _first(self._quiet.wait(), asyncio.sleep(AGAIN_S))

    async def _hand(self, hold: OwnedSession) -> None:
        with suppress(StoreDown):  # it is tried again
            hold.handing = await self._ledger.handoff(hold.held)
        if hold.handing:
            metrics.REDISPATCHED["handoff"].inc()
            hold.serving.last(ELSEWHERE)
            asyncio.get_running_loop().call_later(HANDED_S, hold.serving.stop, ELSEWHERE)

    async def _beat(self) -> None:
        interval_s = min(BEAT_S, self._lease_s / 4)
        loop = asyncio.get_running_loop()
        counted_at = loop.time()
        while True:
            began = loop.time()
            try:
                idle = (
                    []
                    if self._draining or not self._supervisor.ready
                    else self._supervisor.free_seats
                )
                await self._ledger.heartbeat(idle, self._supervisor.slots)
                await self._renew()
                if self._draining:
                    await self._withdraw()
                self._hear(None)
            except StoreDown as error:
                self._hear(error)
            if began - counted_at >= COUNT_S:
                counted_at = began
                for hold in self._holds.values():
                    hold.changed.set()
            await asyncio.sleep(max(0.0, began + interval_s - loop.time()))

    async def _withdraw(self) -> None:
        """No slot of this node is given to anybody from now on. Raises StoreDown."""
        if not self._withdrawn:
            await self._ledger.drain()
            self._withdrawn = True

    async def _renew(self) -> None:
        """Raises StoreDown."""
        now = asyncio.get_running_loop().time()
        holds = dict(self._holds)
        verdicts = await self._ledger.renew([hold.held for hold in holds.values()])
        for key, verdict in verdicts.items():
            self._obey(holds[key], verdict, now)

    async def _read(self) -> None:
        while True:
            try:
                for letter in await self._ledger.take():
                    await self._follow(letter)
            except StoreDown:  # the heartbeat says so
                await asyncio.sleep(AGAIN_S)

    async def _follow(self, letter: Serve | Renew | End | Handed) -> None:
        if isinstance(letter, Serve):
            await self._take(letter.held, letter.asked_at)
            return
        hold = self._holds.get(letter.key)
        if hold is None or hold.held.record.session_id != letter.session_id:
            return
        match letter:
            case Renew():
                hold.held = hold.held.renewed(letter)
                hold.serving.renew(letter.join)
            case End():
                hold.serving.stop(letter.reason)
            case Handed():
                hold.serving.stop(ELSEWHERE)
            case _:
                assert_never(letter)

    async def _take(self, held: Held, asked_at: float) -> None:
        """Serve it, or say at once that this node does not."""
        older = self._holds.get(held.key)
        if older is not None and older.is_no_older_than(held):
            return
        try:
            slot = self._slot_for(held)
        except Full as full:
            with suppress(StoreDown):  # then its lease runs out soon
                await self._ledger.nack(held, str(full))
            return
        if older is not None:
            older.serving.stop("It was claimed anew.")
        hold = OwnedSession(held, self._supervisor, self._lease_s, asked_at)
        self._holds[held.key] = hold
        self._running.add(hold)
        self._quiet.clear()
        self._busy(True)
        name = f"session {held.record.session_id}"
        task = self._tasks.create_task(self._serve(hold, slot), name=name)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def _slot_for(self, held: Held) -> int:
        """Raises Full."""
        if self._draining:
            raise Full("The node is about to stop.")
        if not self._supervisor.can_hire:
            raise Full("No worker can be had on the node now.")
        _, _, number = (held.record.slot or "").rpartition("/")
        return self._supervisor.take_seat(int(number))

    async def _serve(self, hold: OwnedSession, slot: int) -> None:
        about(hold.serving.session, hold.held.record.traceparent)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell(hold), name="tell the ledger")
            over = await self._outcome(hold)
            hold.close()
        record = hold.held.record
        logger.info("session %s %s: %s", record.session_id, over.kind, over.reason)
        await self._settle(hold, over)
        self._forget(hold)
        self._supervisor.free_slot(slot)
        if not self._draining and self._supervisor.ready:
            with suppress(StoreDown):  # the next heartbeat says it, too
                await self._ledger.offer(slot)

    async def _settle(self, hold: OwnedSession, over: Over) -> None:
        """Tell the ledger how it ended here; of one that is elsewhere by now, only a slot."""
        if over.kind == "lost" and not hold.serving.acquired:
            await self._ledger.nack(hold.held, over.reason or "No worker was ready in time.")
            return
        if over.kind == "lost" or hold.given_back:
            metrics.REDISPATCHED["worker_lost" if over.kind == "lost" else "handoff"].inc()
            await self._ledger.lost(hold.held, over.reason or "The worker is gone.")
            return
        kind = over.kind
        if hold.handing and not hold.serving.left:
            kind = "failed"  # here alone: its replacement goes on, and may have thrown it out
        refused = hold.serving.refused
        await self._ledger.finish(hold.held, kind, over.reason, refused=refused)

    async def _outcome(self, hold: OwnedSession) -> Over:
        try:
            return await hold.serving.run()
        except Exception:  # one session's fault does not end the others
            logger.exception("session %s cannot go on", hold.serving.session_id)
            return Over("failed", "The node failed; its log says why.")

    def _forget(self, hold: OwnedSession) -> None:
        self._running.discard(hold)
        if self._holds.get(hold.held.key) is hold:
            del self._holds[hold.held.key]
        if not self._running:
            self._quiet.set()
            self._busy(False)

    async def _tell(self, hold: OwnedSession) -> None:
        """Write a session's newest state whenever it changes."""
        while True:
            await hold.changed.wait()
            if hold.over:
                return
            hold.changed.clear()
            now = asyncio.get_running_loop().time()
            try:
                if hold.serving.taken and not hold.acked:
                    self._obey(hold, await self._ledger.ack(hold.held), now)
                    hold.acked = True
                self._obey(hold, await self._ledger.enter(hold.held), now)
            except StoreDown:  # the heartbeat says so
                hold.changed.set()
                await asyncio.sleep(AGAIN_S)
            except Exception:  # one session's fault does not end the others
                logger.exception("session %s cannot be told of", hold.serving.session_id)
                hold.serving.stop("The node failed; its log says why.")

    def _obey(self, hold: OwnedSession, verdict: Verdict, asked_at: float) -> None:
        match verdict:
            case Verdict.OK:
                hold.serving.assure(asked_at + self._lease_s)
            case Verdict.FENCED:
                if not hold.serving.stopped():  # nor is one that was handed over
                    metrics.FENCED.inc()
                hold.serving.stop(ELSEWHERE)
            case Verdict.END:
                hold.serving.stop("It was ended by a request.")
            case _:
                assert_never(verdict)

    def _hear(self, error: StoreDown | None) -> None:
        """Whether Redis can be reached; logged when that changes."""
        why = "" if error is None else str(error)
        if why and why != self._store:
            logger.error("%s The sessions go on.", why)
        elif self._store and not why:
            logger.info("Redis can be reached again")
        self._store = why
        metrics.STORE_UP.set(not why)


async def _first(*ends: Coroutine[None, None, object]) -> None:
    """Until one of them is done; the others are cancelled."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(end) for end in ends]
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for each in running:
            each.cancel()


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser(
        "avatar node",
        description="Serves sessions on this machine that dispatchers put into Redis.",
        epilog=f"{help_of(NODE)}\n{STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, until it is ready
    os.environ.update(direct_loopback(os.environ))
    logs.begin(os.environ, "avatar.dispatcher")
    try:
        settings = DispatcherSettings.from_env(os.environ, node=True)
        if not settings.redis_url:
            raise SettingsError(
                "AVATAR_REDIS_URL is not set; a node needs the Redis of its dispatchers."
            )
        logs.set_up(settings.log_level, settings.log_format)
        most = shares_of_this_process(settings.slots + settings.warm)
        allowed = partial(may_listen, settings)
        with listen(settings.admin_host, settings.admin_port, ADMIN, most.admin, allowed) as admin:
            asyncio.run(run(settings, admin))
    except DispatcherError as error:
        logs.last_words("avatar node", str(error), "avatar.dispatcher")
        return REFUSED if isinstance(error, SettingsError) else EXIT_FAILED
    except KeyboardInterrupt:
        logger.info("stopped before it was ready")
    return EXIT_OK


async def run(settings: DispatcherSettings, admin: HttpListener) -> None:
    """Be a node until a signal, and then until no session is left; with its port for the `admin`.

    Raises NodeError.
    """
    ledger = NodeLedger(
        settings.redis_url,
        Seal(settings.seal_keys),
        name=settings.node_name,
        lease_s=settings.lease_s,
    )
    degraded = Degraded()
    numbers = SharedNumbers(degraded)
    supervisor = WorkerSupervisor(
        settings.slots,
        settings.warm,
        {},
        settings.worker_memory_mb,
        numbers,
        degraded,
    )
    await supervisor.start()
    guard = PodAnnotator(settings.protect) if settings.protect else None
    told = draining, hurry, enough = asyncio.Event(), asyncio.Event(), asyncio.Event()
    signals = chain(told, repeat(enough))

    def stop() -> None:
        """Each signal says more than the one before it; the first says what POST /drain does."""
        next(signals).set()

    async with asyncio.TaskGroup() as tasks:
        node = Node(ledger, supervisor, tasks, settings.lease_s, guard.mark if guard else _nothing)
        asked = make_server(
            make_admin(
                lambda: node.why_not_ready,
                draining.set,
                partial(metrics.exposition, numbers, node.slots),
                hosts_of(settings.admin_host),
                gate_of(settings, admin),
                lambda: degraded.sentences,
            )
        )
        answering = tasks.create_task(asked.answer(admin), name="admin")
        running = {"supervisor": supervisor.run(), "node": node.run()}
        if guard:
            running["guard"] = guard.run()
        keeping = [tasks.create_task(each, name=name) for name, each in running.items()]
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, stop)
        freeze_gc()
        logger.info("the admin's port is on %s", url_of(admin))
        logger.info("node %s has %d slots", ledger.node, settings.slots)
        await draining.wait()
        logger.info("draining; sessions may go on for %g s", settings.drain_s)
        await node.drain(settings.drain_s, hurry, enough)
        asked.should_exit = True
        await answering
        for each in keeping:
            each.cancel()


def _nothing(_: bool) -> None:
    """Nobody wants to know whether there are sessions."""


if __name__ == "__main__":
    sys.exit(main())
