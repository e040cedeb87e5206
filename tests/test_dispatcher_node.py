"""One machine's slots: what hangs is not waited for for ever. The test is the zygote."""

import asyncio
import signal
import socket
import sys
from contextlib import suppress

import pytest

from dispatcher import node
from dispatcher.node import Node
from dispatcher.workers import Zygote

PATIENCE_S = 10.0


class LameZygote:
    """Its first worker never gets ready; those that follow do."""

    def __init__(self) -> None:
        self.killed: list[int] = []
        self._channels: dict[int, socket.socket] = {}

    def fork(self, slot: int, channel: socket.socket) -> None:
        mine = self._channels[slot] = channel.dup()
        if len(self._channels) > 1:
            mine.send(b'{"state": "idle"}\n')

    def signal(self, slot: int, number: signal.Signals) -> None:
        assert number == signal.SIGKILL
        self.killed.append(slot)
        self._channels[slot].close()

    async def hear(self, *_: object) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        for channel in self._channels.values():
            channel.close()


def test_a_worker_that_never_gets_ready_is_killed_and_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(node, "START_S", 0.2)
    zygote = LameZygote()

    async def start(*_: object) -> LameZygote:
        return zygote

    async def scene() -> None:
        house = Node(slots=1, warm=0, environment={})
        await house.start()
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(house.run())
            house.take_seat()
            worker = await house.hire()
            assert zygote.killed == [1]
            assert worker.slot == 2
            await zygote.close()
            assert (await worker.reports.get()).state == "gone"
            keeping.cancel()

    monkeypatch.setattr(Zygote, "start", start)
    asyncio.run(scene())


def test_a_zygote_is_missed_though_somebody_holds_its_end_of_the_line() -> None:
    """A child that was forked and has not let go of it yet."""

    async def scene() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE
        )
        zygote = Zygote(process, ours)
        heard: list[tuple[int, int]] = []

        def hear(slot: int, number: int) -> None:
            heard.append((slot, number))

        with theirs:
            hearing = asyncio.create_task(zygote.hear(hear, hear))
            theirs.send(b"born 7 4711")
            async with asyncio.timeout(PATIENCE_S):
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

    asyncio.run(scene())
