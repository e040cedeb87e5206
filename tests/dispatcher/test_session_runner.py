"""One session and its workers, which the test plays: what is waited for, and for how long."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pool_stage import WAIT_TIMEOUT_S, FakeSupervisor, FakeWorker

from agent_side.join import JoinInfo
from dispatcher.ledger.record import SessionRecord
from dispatcher.workers import session_runner as serving
from dispatcher.workers.process import WorkerProcess
from dispatcher.workers.session_runner import RunEnd, SessionRunner

JOIN = JoinInfo("room", "token", "face")
SILENT_S = 0.2


class Served:
    """A session, its workers and how it ends."""

    def __init__(
        self, session: SessionRunner, fakes: FakeSupervisor, running: "asyncio.Task[RunEnd]"
    ) -> None:
        self.session = session
        self._troupe = fakes
        self.end = running

    async def hand(self) -> FakeWorker:
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            return await self._troupe.acquired.get()

    def alone(self) -> bool:
        """Whether no other worker was acquired."""
        return self._troupe.acquired.empty()


@asynccontextmanager
async def served(failures: int = 0, sure_s: float = math.inf) -> AsyncIterator[Served]:
    fakes = FakeSupervisor(1)
    session = SessionRecord.claimed("id", JOIN, time.time())
    running = SessionRunner(
        session,
        fakes,
        silent_s=SILENT_S if sure_s == math.inf else WAIT_TIMEOUT_S,
        failures=failures,
        sure_until=asyncio.get_running_loop().time() + sure_s,
    )
    task = asyncio.create_task(running.run())
    try:
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            yield Served(running, fakes, task)
    finally:
        running.stop("The test is over.")
        await fakes.close()
        await task


async def test_a_worker_that_falls_silent_in_its_meeting_is_killed_and_replaced() -> None:
    async with served() as stage:
        await (await stage.hand()).take()
        await (await stage.hand()).take()
        session = stage.session.record
        assert session.attempts == 2
        assert "The worker was ended by signal 9." in [step.reason for step in session.life]


async def test_a_worker_that_counts_aloud_is_left_alone() -> None:
    async with served() as stage:
        hand = await stage.hand()
        await hand.take()
        for frames in range(10):
            await asyncio.sleep(SILENT_S / 4)
            hand.says("counters", frames=frames)
        assert stage.alone()


async def test_a_worker_may_be_silent_while_it_joins() -> None:
    async with served() as stage:
        hand = await stage.hand()
        await hand.line()
        hand.says("joining")
        await asyncio.sleep(3 * SILENT_S)
        assert stage.alone()


async def test_a_worker_that_counts_aloud_and_never_joins_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counters say that its loop goes round, which is no progress."""
    monkeypatch.setattr(serving, "JOIN_S", 0.1)
    monkeypatch.setattr(serving, "JOIN_SLACK_S", 0.1)

    async with served() as stage:
        hand = await stage.hand()
        await hand.line()
        hand.says("joining")
        while stage.alone():
            await asyncio.sleep(0.02)
            hand.says("counters", frames=0)
        await (await stage.hand()).take()
        assert stage.session.record.attempts == 2


async def test_a_worker_that_waits_for_its_permission_may_wait_and_then_has_to_join(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "JOIN_S", 0.1)
    monkeypatch.setattr(serving, "JOIN_SLACK_S", 0.1)

    async with served(sure_s=0.2) as stage:
        hand = await stage.hand()
        await hand.take()
        await asyncio.sleep(0.4)
        hand.says("rejoining", "The room was gone.")
        hand.asks(1)
        for _ in range(20):
            await asyncio.sleep(0.02)
            hand.says("counters", frames=0)
        assert stage.alone()
        stage.session.assure(math.inf)
        while stage.alone():
            await asyncio.sleep(0.02)
            hand.says("counters", frames=0)
        await (await stage.hand()).take()


async def test_a_worker_that_does_not_look_at_its_join_request_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "TAKE_S", 0.1)

    async with served() as stage:
        await (await stage.hand()).line()
        await (await stage.hand()).take()
        assert stage.session.record.attempts == 2


@pytest.mark.parametrize(("failures", "workers"), [(0, 3), (2, 1)])
async def test_a_session_is_lost_after_so_many_workers_in_a_row(
    failures: int, workers: int
) -> None:
    """One that others have lost before has a single one."""

    async with served(failures) as stage:
        for _ in range(workers):
            hand = await stage.hand()
            await hand.take()
            hand.exits(1, "The renderer failed.")
        assert await stage.end == RunEnd("lost", "The renderer failed.")
        assert stage.session.record.attempts == workers


async def test_who_is_told_to_end_while_no_worker_is_ready_ends_at_once() -> None:
    """A launch that was given up holds its slot no longer."""

    class Nobody(FakeSupervisor):
        async def acquire(self) -> WorkerProcess:
            return await asyncio.get_running_loop().create_future()

    session = SessionRecord.claimed("id", JOIN, time.time())
    running = SessionRunner(session, Nobody(1))
    task = asyncio.create_task(running.run())
    await asyncio.sleep(0.01)
    running.stop("No worker took it in time.")
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        assert await task == RunEnd("ended", "No worker took it in time.")


async def test_after_the_last_worker_no_other_comes() -> None:
    """A session that is handed over: whatever becomes of the worker that is left."""

    async with served() as stage:
        hand = await stage.hand()
        await hand.take()
        stage.session.last("Another node serves it now.")
        hand.exits(-9)
        assert await stage.end == RunEnd("ended", "Another node serves it now.")
        assert stage.alone()
