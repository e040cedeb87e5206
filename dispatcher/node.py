"""Node: one machine's slots; it keeps warm workers waiting, and replaces what dies."""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from typing import Final

from dispatcher.errors import Full, NodeError
from dispatcher.pool import to_start
from dispatcher.workers import Worker, Zygote

PAUSES_S: Final = (0.1, 5.0)
"""The first and the longest pause after a worker or a zygote that did not get ready."""

logger = logging.getLogger("avatar.dispatcher.node")


class Node:
    """`slots` seats for sessions, and `warm` workers that wait for the next of them.

    A session takes a seat, hires one worker after the other while it needs one, and frees
    the seat when the last is gone. `environment` is added to that of the workers.
    """

    def __init__(self, slots: int, warm: int, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._slots = slots
        self._warm = warm
        self._busy = 0
        self._starting: set[Worker] = set()
        self._idle: deque[Worker] = deque()
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        self._alive: dict[int, Worker] = {}
        self._numbers = count(1)
        self._changed = asyncio.Event()
        self._pause_s = 0.0
        self._zygote: Zygote | None = None

    @property
    def ready(self) -> bool:
        """Whether workers can be had."""
        return self._zygote is not None

    @property
    def full(self) -> bool:
        """Whether every seat is taken."""
        return self._busy >= self._slots

    def take_seat(self) -> None:
        """Room for one session. Raises Full."""
        if self.full:
            raise Full(f"All {self._slots} slots are taken; try again later.")
        self._busy += 1
        self._changed.set()

    def free_seat(self) -> None:
        """The session is over and its worker gone."""
        self._busy -= 1
        self._changed.set()

    async def hire(self) -> Worker:
        """A warm worker for somebody who has a seat; waits until there is one."""
        if self._idle:
            self._changed.set()
            return self._idle.popleft()
        waiter: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
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
        self._zygote = await Zygote.start(self._environment)

    async def run(self) -> None:
        """Keep workers, and a zygote, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                if self._zygote is None:
                    self._zygote = await self._start_again()
                zygote = self._zygote
                keeping = tasks.create_task(self._keep(zygote, tasks), name="keep warm")
                try:
                    await zygote.hear(self._born, self._died)
                except asyncio.CancelledError:
                    for worker in self._alive.values():
                        worker.leave()
                    raise
                finally:
                    self._zygote = None
                    keeping.cancel()
                    await zygote.close()
                logger.error("the process that forks workers is gone; starting another")
                for worker in list(self._idle):
                    worker.leave()

    async def _start_again(self) -> Zygote:
        while True:
            await self._rest()
            try:
                return await Zygote.start(self._environment)
            except NodeError as error:
                logger.error("%s", error)

    async def _rest(self) -> None:
        """The pause after a failure, longer each time until something succeeds."""
        first, longest = PAUSES_S
        self._pause_s = min(longest, 2 * self._pause_s or first)
        await asyncio.sleep(self._pause_s)

    async def _keep(self, zygote: Zygote, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._changed.clear()
            wanted = to_start(
                idle=len(self._idle),
                starting=len(self._starting),
                waiting=len(self._waiting),
                busy=self._busy,
                slots=self._slots,
                warm=self._warm,
            )
            try:
                for _ in range(wanted):
                    worker = await self._fork(zygote)
                    tasks.create_task(self._watch(worker), name=f"worker {worker.slot}")
            except OSError as error:
                logger.warning("no worker could be forked: %s", error)
                await self._rest()
                continue
            await self._changed.wait()
            if self._pause_s:
                await self._rest()

    async def _fork(self, zygote: Zygote) -> Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            worker = Worker(next(self._numbers), zygote, reader, writer)
            try:
                zygote.fork(worker.slot, theirs)
            except OSError:
                writer.close()
                raise
        self._alive[worker.slot] = worker
        self._starting.add(worker)
        return worker

    async def _watch(self, worker: Worker) -> None:
        async for report in worker.said():
            if report.state == "idle" and worker in self._starting:
                self._starting.remove(worker)
                self._pause_s = 0.0
                self._be_idle(worker)
            else:
                worker.reports.put_nowait(report)
        gone = await worker.buried()
        del self._alive[worker.slot]
        if worker in self._starting:
            self._starting.remove(worker)
            self._pause_s = self._pause_s or PAUSES_S[0]
            logger.warning("a worker did not get ready: %s", gone.reason)
        with suppress(ValueError):
            self._idle.remove(worker)
            logger.warning("a worker that waited is lost: %s", gone.reason)
        worker.reports.put_nowait(gone)
        self._changed.set()

    def _be_idle(self, worker: Worker) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(worker)
                return
        self._idle.append(worker)

    def _born(self, slot: int, pid: int) -> None:
        if slot in self._alive:
            self._alive[slot].pid = pid

    def _died(self, slot: int, status: int) -> None:
        if slot in self._alive and not self._alive[slot].status.done():
            self._alive[slot].status.set_result(status)
