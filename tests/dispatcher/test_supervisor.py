"""One machine's slots: what hangs is not waited for for ever. The test is the zygote."""

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from unittest.mock import AsyncMock

import pytest

from agent_side.join import JoinInfo
from avatar_runtime.messages.commands import JoinCommand
from dispatcher.degraded import Degraded
from dispatcher.errors import Full
from dispatcher.workers import supervisor as supervisor
from dispatcher.workers.process import WorkerGone, ZygoteProcess
from dispatcher.workers.shared_numbers import SharedNumbers
from dispatcher.workers.supervisor import WorkerSupervisor

WAIT_TIMEOUT_S = 30.0


class LameZygote:
    """Its first worker never gets ready; those that follow do."""

    answers = True

    def __init__(self) -> None:
        self.killed: list[int] = []
        self._channels: dict[int, socket.socket] = {}

    def fork(self, number: int, channel: socket.socket, _: int | None) -> None:
        mine = self._channels[number] = channel.dup()
        if len(self._channels) > 1:
            mine.send(b'{"state": "idle"}\n')

    def signal(self, number: int, what: signal.Signals) -> None:
        assert what == signal.SIGKILL
        self.killed.append(number)
        self._channels[number].close()

    async def receive(
        self, forked: Callable[[int, int], None], exited: Callable[[int, int], None]
    ) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        for channel in self._channels.values():
            channel.close()


async def test_a_worker_that_never_gets_ready_is_killed_and_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "START_S", 0.2)
    zygote = LameZygote()

    monkeypatch.setattr(ZygoteProcess, "start", AsyncMock(return_value=zygote))
    house = WorkerSupervisor(slots=1, warm=0, environment={})
    await house.start()
    async with asyncio.timeout(WAIT_TIMEOUT_S), asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(house.run())
        house.take_slot()
        worker = await house.acquire()
        assert zygote.killed == [1]
        assert worker.number == 2
        await zygote.close()
        assert isinstance(await worker.reports.get(), WorkerGone)
        keeping.cancel()


async def test_a_zygote_is_missed_though_somebody_holds_its_end_of_the_line() -> None:
    """A child that was forked and has not let go of it yet."""

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE
    )
    zygote = ZygoteProcess(process, ours)
    heard: list[tuple[int, int]] = []

    def note(slot: int, number: int) -> None:
        heard.append((slot, number))

    with theirs:
        hearing = asyncio.create_task(zygote.receive(note, note))
        theirs.send(b"born 7 4711")
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while not heard:
                await asyncio.sleep(0.01)
            process.kill()
            await hearing
        assert heard == [(7, 4711)]
        await zygote.close()
        assert process.stdin is not None
        process.stdin.close()
        with suppress(ConnectionError):
            await process.stdin.wait_closed()


class ReadyZygote(LameZygote):
    """All of its workers get ready, and die when they are killed."""

    def __init__(self) -> None:
        super().__init__()
        self.forked: list[int] = []
        self._exited: Callable[[int, int], None] | None = None

    def fork(self, number: int, channel: socket.socket, _: int | None) -> None:
        self.forked.append(number)
        self._channels[number] = channel.dup()
        self._channels[number].send(b'{"state": "idle"}\n')

    async def receive(
        self, forked: Callable[[int, int], None], exited: Callable[[int, int], None]
    ) -> None:
        self._exited = exited
        await super().receive(forked, exited)

    def reap(self, number: int) -> None:
        assert self._exited is not None
        self._channels[number].close()
        self._exited(number, 0)


class Numbers(SharedNumbers):
    """Takes note of whose gauges it resets."""

    def __init__(self) -> None:
        super().__init__(Degraded())
        self.gone: list[int] = []

    def reset_gauges(self, number: int) -> None:
        super().reset_gauges(number)
        self.gone.append(number)


async def test_a_number_is_given_again_when_its_process_is_gone_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zygote = ReadyZygote()
    numbers = Numbers()

    async def until_forked(count: int) -> None:
        while len(zygote.forked) < count:
            await asyncio.sleep(0.01)

    monkeypatch.setattr(ZygoteProcess, "start", AsyncMock(return_value=zygote))
    house = WorkerSupervisor(slots=4, warm=2, environment={}, numbers=numbers)
    await house.start()
    async with asyncio.timeout(WAIT_TIMEOUT_S), asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(house.run())
        await until_forked(2)
        first, second = await house.acquire(), await house.acquire()
        assert (first.number, second.number) == (1, 2)
        await until_forked(4)
        zygote.reap(1)
        assert isinstance(await first.reports.get(), WorkerGone)
        third = await house.acquire()
        assert third.number == 3
        await until_forked(5)
        assert zygote.forked == [1, 2, 3, 4, 1]
        assert numbers.gone == [1]
        for number in (1, 2, 3, 4):
            zygote.reap(number)
        while sorted(numbers.gone) != [1, 1, 2, 3, 4]:
            await asyncio.sleep(0.01)
        keeping.cancel()


async def test_seats_are_taken_and_freed() -> None:
    house = WorkerSupervisor(slots=2, warm=0, environment={})
    assert (house.take_slot(2), house.take_slot()) == (2, 1)
    with pytest.raises(Full, match="All 2 slots are taken"):
        house.take_slot()
    house.free_slot(2)
    assert house.free_slots == [2]
    with pytest.raises(Full):
        house.take_slot(1)


class MortalZygote(ReadyZygote):
    """It dies when the test wants it to; its workers go on until the test is over."""

    def __init__(self) -> None:
        super().__init__()
        self.dead = asyncio.Event()

    async def receive(
        self, forked: Callable[[int, int], None], exited: Callable[[int, int], None]
    ) -> None:
        await self.dead.wait()

    async def close(self) -> None: ...

    async def end(self) -> None:
        """The test is over."""
        await super().close()


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)),
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        RuntimeError("can't start new thread"),
    ],
)
async def test_a_machine_that_has_no_room_for_a_new_zygote_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    """The sessions that there are go on meanwhile."""
    monkeypatch.setattr(supervisor, "PAUSES_S", (0.01, 0.01))

    first, second = MortalZygote(), MortalZygote()
    start = AsyncMock(side_effect=[first, failure, failure, second])
    monkeypatch.setattr(ZygoteProcess, "start", start)
    house = WorkerSupervisor(slots=2, warm=0, environment={})
    await house.start()
    async with asyncio.timeout(WAIT_TIMEOUT_S), asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(house.run())
        house.take_slot()
        serving = await house.acquire()
        first.dead.set()
        house.take_slot()
        assert (await house.acquire()).number == 2
        assert second.forked == [2]
        assert serving.reports.empty(), "it has not left"
        await first.end()
        await second.end()
        keeping.cancel()
    assert caplog.text.count(f"cannot be started: {failure}; trying again") == 2


async def test_a_worker_that_was_told_to_leave_is_hired_by_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that waited when its zygote died, and has not gone yet."""
    monkeypatch.setattr(supervisor, "PAUSES_S", (0.01, 0.01))

    first, second = MortalZygote(), MortalZygote()
    start = AsyncMock(side_effect=[first, second])
    monkeypatch.setattr(ZygoteProcess, "start", start)
    house = WorkerSupervisor(slots=1, warm=1, environment={})
    await house.start()
    async with asyncio.timeout(WAIT_TIMEOUT_S), asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(house.run())
        house.take_slot()
        house._be_idle(await house.acquire())
        first.dead.set()
        while start.await_count < 2 or not house.ready:
            await asyncio.sleep(0)
        worker = await house.acquire()
        worker.join(JoinCommand(JoinInfo("room", "token")))
        assert (first.forked, worker.number) == ([1], 2)
        await first.end()
        await second.end()
        keeping.cancel()


async def test_a_zygote_that_cannot_be_started_leaves_no_socket_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs: list[socket.socket] = []
    make = socket.socketpair

    def socketpair(*kind: int) -> tuple[socket.socket, socket.socket]:
        pair = make(*kind)
        pairs.extend(pair)
        return pair

    async def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socketpair", socketpair)
        patched.setattr(asyncio, "create_subprocess_exec", refuse)
        with pytest.raises(BlockingIOError):
            await ZygoteProcess.start({}, 0)
    assert [each.fileno() for each in pairs] == [-1, -1]
