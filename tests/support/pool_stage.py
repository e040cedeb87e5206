"""A pool in this process, and workers that the test plays: for what every pool has to do."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, TypeVar, cast

from redis_server import RedisServer

from agent_side.join import JoinInfo
from dispatcher.ledger.encryption import Encryption
from dispatcher.ledger.record import SessionRecord
from dispatcher.ledger.redis import RedisLedger
from dispatcher.ledger.redis_node import RedisNodeLedger
from dispatcher.node.node import Node
from dispatcher.pool import Pool
from dispatcher.pools.local import LocalPool
from dispatcher.pools.redis import RedisPool
from dispatcher.settings import RoomPolicy
from dispatcher.workers.process import WorkerProcess, ZygoteProcess
from dispatcher.workers.supervisor import WorkerSupervisor

T = TypeVar("T")

Backing = RedisServer | Literal["local"]
"""Where a pool has its sessions: in the memory of this process, or in Redis."""

WAIT_TIMEOUT_S = 20.0
SEAL = Encryption(["bm90aGluZyBvZiB2YWx1ZSBpcyBzZWFsZWQgaGVyZSE="])


class FakeWorker:
    """A worker, as the test plays it: the far end of its pipe, and its signals."""

    def __init__(
        self, worker: WorkerProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._worker = worker
        self._reader = reader
        self._writer = writer
        self.asked_to_finish = asyncio.Event()

    async def line(self) -> Any:
        """What it is told next; None when it is to leave."""
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            line = await self._reader.readline()
        return json.loads(line) if line else None

    def says(self, state: str, reason: str | None = None, **counters: int) -> None:
        line = {"state": state, "reason": reason, "counters": counters}
        self._writer.write(json.dumps(line).encode() + b"\n")

    def asks(self, serial: int) -> None:
        """Whether it may join its meeting anew."""
        self._writer.write(json.dumps({"state": "asking", "serial": serial}).encode() + b"\n")

    def exits(self, status: int, reason: str | None = None) -> None:
        if reason is not None:
            self.says("ended", reason)
        self._writer.close()
        self._worker.exited(status)

    async def take(self) -> Any:
        """Take the join request, which is returned, and be in the meeting."""
        line = await self.line()
        self.says("joining")
        self.says("active")
        return line


class FakeSupervisor(WorkerSupervisor):
    """A supervisor whose workers are played by the test."""

    def __init__(self, slots: int) -> None:
        super().__init__(slots, 0, {})
        self.acquired: asyncio.Queue[FakeWorker] = asyncio.Queue()
        self.hands: dict[int, FakeWorker] = {}
        self._watching: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        return True

    async def acquire(self) -> WorkerProcess:
        ours, theirs = socket.socketpair()
        number = len(self.hands) + 1
        worker = WorkerProcess(
            number, cast(ZygoteProcess, self), *await asyncio.open_unix_connection(sock=ours)
        )
        hand = FakeWorker(worker, *await asyncio.open_unix_connection(sock=theirs))
        self.hands[number] = hand
        self.acquired.put_nowait(hand)
        watching = asyncio.create_task(self._follow(worker))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        return worker

    def signal(self, number: int, what: signal.Signals) -> None:
        """As a zygote."""
        if what == signal.SIGKILL:
            self.hands[number].exits(-signal.SIGKILL)
        else:
            self.hands[number].asked_to_finish.set()

    async def _follow(self, worker: WorkerProcess) -> None:
        async for report in worker.received():
            worker.reports.put_nowait(report)
        worker.reports.put_nowait(await worker.gone())

    async def close(self) -> None:
        for hand in self.hands.values():
            hand.exits(0)
        await asyncio.gather(*self._watching)


class Stage:
    """The pool, and those who play in it."""

    def __init__(self, pool: Pool, fakes: FakeSupervisor) -> None:
        self.pool = pool
        self.fakes = fakes

    async def hand(self) -> FakeWorker:
        """The next worker that is acquired."""
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            return await self.fakes.acquired.get()

    async def launched(
        self, room: str = "room", face: str = "face", token: str = "token", owner: str = ""
    ) -> tuple[SessionRecord, FakeWorker]:
        """A session whose worker is in the meeting, and that worker."""
        join = JoinInfo(room, token, face)
        launching = asyncio.create_task(self.pool.launch(join, WAIT_TIMEOUT_S, owner))
        hiring = asyncio.create_task(self.hand())
        await asyncio.wait([launching, hiring], return_when=asyncio.FIRST_COMPLETED)
        if not hiring.done():
            hiring.cancel()
            return await launching, cast(FakeWorker, None)
        hand = hiring.result()
        await hand.take()
        return await launching, hand

    async def session(self, session_id: str) -> SessionRecord:
        session = await self.pool.find(session_id)
        assert session is not None
        return session

    async def reach(
        self, session_id: str, fact: Callable[[SessionRecord], object]
    ) -> SessionRecord:
        """The session once that is true of it."""
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while not fact(session := await self.session(session_id)):
                await asyncio.sleep(0.01)
        return session

    async def end(self, session: SessionRecord, hand: FakeWorker) -> SessionRecord | None:
        """As a request does; its worker leaves."""
        ending = asyncio.create_task(self.pool.end(session.session_id))
        while await hand.line() is not None:
            pass
        hand.exits(0, "The worker was told to stop.")
        return await ending

    async def slots(self, expected: Mapping[str, int]) -> None:
        """Wait until the pool has those slots."""
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while {k: v for k, v in (await self.pool.slots()).items() if v} != expected:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def stage(
    backing: Backing, slots: int = 2, policy: RoomPolicy = "replace", cap: int = 0
) -> AsyncIterator[Stage]:
    """A pool with `slots`, on that `backing`."""
    async with asyncio.timeout(60):
        standing: asyncio.Future[Stage] = asyncio.get_running_loop().create_future()
        fakes = FakeSupervisor(slots)

        async def stand() -> None:
            async with asyncio.TaskGroup() as tasks:
                if backing == "local":
                    standing.set_result(Stage(LocalPool(fakes, tasks, policy, cap), fakes))
                else:
                    backing.flush()
                    backing.pretend_uptime()
                    pool = RedisPool(RedisLedger(backing.url, SEAL, name="dispatcher"), policy, cap)
                    ledger = RedisNodeLedger(backing.url, SEAL, name="node")
                    node = Node(ledger, fakes, tasks, 10.0)
                    tasks.create_task(pool.run())
                    tasks.create_task(node.run())
                    while not pool.ready or (await pool.slots())["idle"] < slots:
                        await asyncio.sleep(0.01)
                    standing.set_result(Stage(pool, fakes))
                await asyncio.Event().wait()

        async with played(stand(), standing, fakes) as stage:
            yield stage


@asynccontextmanager
async def played(
    play: Coroutine[Any, Any, None], standing: "asyncio.Future[T]", *supervisors: FakeSupervisor
) -> AsyncIterator[T]:
    """What `standing` is of, once `play` has set it; both end with the block, supervisors too."""
    playing = asyncio.create_task(play)
    either: list[asyncio.Future[Any]] = [playing, standing]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not standing.done():
        await playing
    try:
        yield standing.result()
    finally:
        playing.cancel()
        with suppress(asyncio.CancelledError):
            await playing
        for fakes in supervisors:
            await fakes.close()
