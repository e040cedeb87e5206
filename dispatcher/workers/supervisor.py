"""WorkerSupervisor: one machine's slots for sessions, and its workers; what dies is replaced."""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from typing import Final

from avatar_runtime.messages.reports import PartDegraded, PartRestored, WorkerIdle
from dispatcher.degraded import Degraded
from dispatcher.errors import Full, NodeError, SettingsError
from dispatcher.pool import to_start
from dispatcher.workers.process import WorkerProcess, ZygoteProcess
from dispatcher.workers.shared_numbers import SharedNumbers

PAUSES_S: Final = (0.1, 5.0)
"""The first and the longest pause after a worker or a zygote that did not get ready."""

START_S: Final = 15.0
"""How long a worker may take from its fork until it waits for a session; then it is killed."""

logger = logging.getLogger("avatar.dispatcher.supervisor")


class WorkerSupervisor:
    """`slots` slots for sessions, and `warm` workers that wait for the next of them.

    A session takes a slot, acquires one worker after the other while it needs one, and frees
    the slot when the last is gone. `environment` is added to that of the workers, each of which
    may have `memory_mb` of its own, or any amount where that is 0. Slots count from 1, and so do
    workers, each of which has the smallest number that no process has. What they count is in
    `numbers`, what fails beside their faces in `degraded`.
    """

    def __init__(
        self,
        slots: int,
        warm: int,
        environment: Mapping[str, str],
        memory_mb: int = 0,
        numbers: SharedNumbers | None = None,
        degraded: Degraded | None = None,
    ) -> None:
        self._degraded = degraded or Degraded()
        self._numbers = numbers or SharedNumbers(self._degraded)
        self._memory_mb = memory_mb
        self._environment = environment
        self.slots = slots
        self._warm = warm
        self._taken_slots: set[int] = set()
        self._starting: set[WorkerProcess] = set()
        self._idle: deque[WorkerProcess] = deque()
        self._waiting: deque[asyncio.Future[WorkerProcess]] = deque()
        self._alive: dict[int, WorkerProcess] = {}
        self._changed = asyncio.Event()
        self._pause_s = 0.0
        self._zygote: ZygoteProcess | None = None

    @property
    def ready(self) -> bool:
        """Whether workers can be had, however many."""
        return self._zygote is not None and self._zygote.answers

    @property
    def can_acquire(self) -> bool:
        """Whether a worker can be had now: one that waits, if none can be forked."""
        return self.ready or bool(self._idle)

    @property
    def free_slots(self) -> list[int]:
        """The slots that no session has."""
        return [slot for slot in range(1, self.slots + 1) if slot not in self._taken_slots]

    @property
    def idle_slots(self) -> list[int]:
        """The slots that a session may have now: none while no worker can be had."""
        return self.free_slots if self.ready else []

    def take_slot(self, slot: int | None = None) -> int:
        """Room for one session: that `slot`, or the first that is free. Raises Full."""
        free = self.free_slots
        if not free:
            raise Full(f"All {self.slots} slots are taken; try again later.")
        if slot is not None and slot not in free:
            raise Full("That slot is taken; try again later.")
        slot = free[0] if slot is None else slot
        self._taken_slots.add(slot)
        self._changed.set()
        return slot

    def free_slot(self, slot: int) -> None:
        """The session is over and its worker gone."""
        self._taken_slots.discard(slot)
        self._changed.set()

    async def acquire(self) -> WorkerProcess:
        """A warm worker for a session that has a slot; waits until there is one."""
        if self._idle:
            self._changed.set()
            return self._idle.popleft()
        waiter: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._changed.set()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._be_idle(waiter.result())
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    async def start(self) -> None:
        """Be ready for `run`. Raises NodeError where workers cannot be had at all."""
        self._zygote = await ZygoteProcess.start(self._environment, self._memory_mb)

    async def run(self) -> None:
        """Keep workers, and a zygote, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                if self._zygote is None:
                    self._zygote = await self._start_again()
                zygote = self._zygote
                keeping = tasks.create_task(self._keep(zygote, tasks), name="keep warm")
                try:
                    await zygote.receive(self._forked, self._exited)
                except asyncio.CancelledError:
                    self._send_away([*self._alive.values()])
                    raise
                finally:
                    self._zygote = None
                    keeping.cancel()
                    await zygote.close()
                    for worker in self._alive.values():
                        worker.exited(None)
                logger.error("the process that forks workers is gone; starting another")
                self._send_away([*self._idle, *self._starting])

    def _send_away(self, workers: list[WorkerProcess]) -> None:
        """They leave: those with a session go on to its end, and no other session gets them."""
        for worker in workers:
            worker.leave()
        self._idle.clear()
        self._starting.clear()

    async def _start_again(self) -> ZygoteProcess:
        while True:
            await self._rest()
            try:
                return await ZygoteProcess.start(self._environment, self._memory_mb)
            except (NodeError, SettingsError) as error:
                logger.error("%s", error)
            except (OSError, RuntimeError) as error:
                # No memory, process, thread or descriptor is free now: the sessions go on.
                logger.error(
                    "the process that forks workers cannot be started: %s; trying again", error
                )

    async def _rest(self) -> None:
        """The pause after a failure, longer each time until something succeeds."""
        first, longest = PAUSES_S
        self._pause_s = min(longest, 2 * self._pause_s or first)
        await asyncio.sleep(self._pause_s)

    async def _keep(self, zygote: ZygoteProcess, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._changed.clear()
            wanted = to_start(
                idle=len(self._idle),
                starting=len(self._starting),
                waiting=len(self._waiting),
                busy=len(self._taken_slots),
                slots=self.slots,
                warm=self._warm,
            )
            try:
                for _ in range(wanted):
                    worker = await self._fork(zygote)
                    tasks.create_task(self._watch(worker), name=f"worker {worker.number}")
            except OSError as error:
                logger.warning("no worker could be forked: %s", error)
                await self._rest()
                continue
            await self._changed.wait()
            if self._pause_s:
                await self._rest()

    async def _fork(self, zygote: ZygoteProcess) -> WorkerProcess:
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            number = next(each for each in count(1) if each not in self._alive)
            worker = WorkerProcess(number, zygote, reader, writer)
            try:
                zygote.fork(number, theirs, self._numbers.block(number))
            except OSError:
                writer.close()
                raise
        self._alive[number] = worker
        self._starting.add(worker)
        return worker

    async def _watch(self, worker: WorkerProcess) -> None:
        """From its fork until it is reaped."""
        try:
            await self._receive(worker)
            await worker.status
        finally:
            worker.close()
        self._numbers.reset_gauges(worker.number)
        del self._alive[worker.number]

    async def _receive(self, worker: WorkerProcess) -> None:
        watchdog = asyncio.get_running_loop().call_later(START_S, worker.kill)
        async for report in worker.received():
            match report:
                case WorkerIdle() if worker in self._starting:
                    watchdog.cancel()
                    self._starting.remove(worker)
                    self._pause_s = 0.0
                    self._be_idle(worker)
                case PartDegraded(part, reason):
                    self._degraded.failed(part, reason or "no reason was given")
                case PartRestored(part):
                    self._degraded.restored(part)
                case _:
                    worker.reports.put_nowait(report)
        watchdog.cancel()
        gone = await worker.gone()
        if worker in self._starting:
            self._starting.remove(worker)
            self._pause_s = self._pause_s or PAUSES_S[0]
            logger.warning("a worker did not get ready: %s", gone.reason)
        with suppress(ValueError):
            self._idle.remove(worker)
            logger.warning("a worker that waited is lost: %s", gone.reason)
        worker.reports.put_nowait(gone)
        self._changed.set()

    def _be_idle(self, worker: WorkerProcess) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(worker)
                return
        self._idle.append(worker)

    def _forked(self, number: int, pid: int) -> None:
        if number in self._alive:
            self._alive[number].forked(pid)

    def _exited(self, number: int, status: int) -> None:
        if number in self._alive:
            self._alive[number].exited(status)
