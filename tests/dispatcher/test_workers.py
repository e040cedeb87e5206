"""The pipe to a worker and what the pool says through it; the test is at its other end."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from agent_side.join import JoinInfo
from avatar_runtime.messages.commands import JoinCommand
from avatar_runtime.messages.reports import WorkerJoining
from dispatcher.pools.local import LocalPool
from dispatcher.workers.process import WorkerGone, WorkerProcess, ZygoteProcess
from dispatcher.workers.supervisor import WorkerSupervisor

JOIN = JoinInfo("room", "token", "face")
COMMAND = JoinCommand(JOIN)
FRESH = JoinInfo("room", "fresh token", "face")
WAIT_TIMEOUT_S = 20.0


class FakeWorker:
    """The other end of a worker's pipe."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def line(self) -> Any:
        """What the worker is told next; None when that was all."""
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            line = await self._reader.readline()
        return json.loads(line) if line else None

    def says(self, report: Any) -> None:
        self._writer.write(json.dumps(report).encode() + b"\n")

    def close(self) -> None:
        self._writer.close()


async def worker() -> tuple[WorkerProcess, FakeWorker]:
    ours, theirs = socket.socketpair()
    pipe = WorkerProcess(
        1, cast(ZygoteProcess, None), *await asyncio.open_unix_connection(sock=ours)
    )
    return pipe, FakeWorker(*await asyncio.open_unix_connection(sock=theirs))


class OneWorker:
    """A supervisor of a single worker."""

    def __init__(self, only: WorkerProcess) -> None:
        self._only = only

    slots = 1
    ready = True
    free_slots = (1,)

    def take_slot(self, slot: int) -> int:
        return slot

    def free_slot(self, slot: int) -> None: ...

    async def acquire(self) -> WorkerProcess:
        return self._only


@asynccontextmanager
async def pool() -> AsyncIterator[tuple[LocalPool, WorkerProcess, FakeWorker]]:
    pipe, hand = await worker()
    async with asyncio.timeout(WAIT_TIMEOUT_S), asyncio.TaskGroup() as tasks:
        yield LocalPool(cast(WorkerSupervisor, OneWorker(pipe)), tasks), pipe, hand
        pipe.reports.put_nowait(WorkerGone(0, "It is over."))
    hand.close()
    pipe.status.set_result(0)
    await pipe.gone()


async def test_a_worker_is_told_of_each_newer_join_request() -> None:
    async with pool() as (launched, pipe, hand):
        pipe.reports.put_nowait(WorkerJoining())
        first = await launched.launch(JOIN, WAIT_TIMEOUT_S)
        reports = {"epoch": 1, "slot": "local/1", "traceparent": None}
        part = {"assignment": {"session_id": first.session_id, **reports}}
        assert await hand.line() == {**json.loads(JOIN.to_json()), **part}
        for newer in (JOIN, FRESH, FRESH):
            again = await launched.launch(newer, WAIT_TIMEOUT_S)
            assert again.session_id == first.session_id
        renewal = {**json.loads(FRESH.to_json()), **part, "renewal": 1}
        assert await hand.line() == renewal
        pipe.leave()
        assert await hand.line() is None, "who sends the same again has no news"


async def test_a_worker_that_is_about_to_leave_is_told_nothing() -> None:
    pipe, hand = await worker()
    pipe.join(COMMAND)
    pipe.leave()
    pipe.renew(COMMAND)
    assert (await hand.line())["room_name"] == "room"
    assert await hand.line() is None
    hand.close()
    pipe.status.set_result(0)
    await pipe.gone()
    pipe.renew(COMMAND)


async def test_a_signal_is_for_this_worker_and_never_for_the_next_of_its_number() -> None:
    class Ear:
        def __init__(self) -> None:
            self.heard: list[tuple[int, signal.Signals]] = []

        def signal(self, number: int, what: signal.Signals) -> None:
            self.heard.append((number, what))

    ear = Ear()
    ours, theirs = socket.socketpair()
    pipe = WorkerProcess(
        1, cast(ZygoteProcess, ear), *await asyncio.open_unix_connection(sock=ours)
    )
    pipe.finish()
    pipe.exited(0)
    pipe.finish()
    pipe.kill()
    assert ear.heard == [(1, signal.SIGTERM)]
    theirs.close()
    await pipe.gone()


async def test_what_a_worker_does_not_read_is_bounded_and_the_newest_arrives() -> None:
    pipe, hand = await worker()
    for number in range(1000):
        metadata = {"number": number, "fill": "5" * 16_000}
        pipe.renew(JoinCommand(replace(JOIN, metadata=metadata)))
    assert pipe._writer.transport.get_write_buffer_size() <= 17_000
    said = asyncio.create_task(anext(pipe.received()))
    first = await hand.line()
    assert (first["metadata"]["number"], first["renewal"]) == (0, 1)
    hand.says({"state": "heard", "heard": {"renewal": 1}})
    newest = await hand.line()
    assert (newest["metadata"]["number"], newest["renewal"]) == (999, 1000)
    hand.close()
    pipe.status.set_result(0)
    with suppress(StopAsyncIteration):
        await said
    await pipe.gone()


def opened() -> int:
    """The descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def sleeper() -> asyncio.subprocess.Process:
    """A process that only a signal ends."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-S", "-c", "import signal; signal.pause()")
    )


@pytest.mark.parametrize(
    ("end", "status"),
    [(WorkerProcess.finish, -signal.SIGTERM), (WorkerProcess.kill, -signal.SIGKILL)],
)
async def test_a_worker_without_a_zygote_still_hears_signals(
    end: Callable[[WorkerProcess], None], status: int
) -> None:
    pipe, hand = await worker()
    process = await sleeper()
    pipe.forked(process.pid)
    pipe.exited(None)
    end(pipe)
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        assert await process.wait() == status
    end(pipe)
    hand.close()
    pipe.close()


async def test_a_worker_that_was_gone_before_it_was_known_hears_nothing() -> None:
    pipe, hand = await worker()
    process = await sleeper()
    process.kill()
    await process.wait()
    before = opened()
    pipe.forked(process.pid)
    assert (pipe.pid, opened()) == (process.pid, before)
    pipe.exited(None)
    pipe.kill()
    hand.close()
    pipe.close()


@pytest.mark.parametrize("status", [0, None])
async def test_a_reaped_worker_leaves_no_descriptor(status: int | None) -> None:
    """However much is known of its end; a signal that comes after that hits nobody."""

    process = await sleeper()
    before = opened()
    pipe, hand = await worker()
    pipe.forked(process.pid)
    pipe.exited(status)
    pipe.close()
    pipe.kill()
    pipe.close()
    hand.close()
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while opened() > before:
            await asyncio.sleep(0)
    process.terminate()
    assert await process.wait() == -signal.SIGTERM
