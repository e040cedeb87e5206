"""One bad line of a worker or a zygote is one bad line: whoever reads it goes on with the next.

Lines come from real sockets; what they say may be anything.
"""

import asyncio
import socket
from typing import cast

from avatar_runtime.messages.reports import WorkerActive, WorkerReport
from dispatcher import metrics
from dispatcher.workers.process import WorkerProcess, ZygoteProcess

GARBAGE = (
    b"\xff\xfe\n",
    b'{"state": "gone"}\n',
    b'{"state": ["idle"]}\n',
    b'{"state": "ended", "reason": ["why"]}\n',
    b'{"state": "ended", "reason": "\\ud800"}\n',
    b'{"state": "counters", "counters": {"frames": 1000000000000000000}}\n',
    b'{"state": "counters", "counters": {"frames": -1}}\n',
    b'{"state": "counters", "counters": [1]}\n',
    b"[" * 9000 + b"\n",
    b"x" * 200_000 + b"\n",
    b"a library has printed this\n",
    b"null\n",
)


class Process:
    """A zygote's, which runs until it is ended."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def wait(self) -> int:
        await self.ended.wait()
        return 0


def test_a_worker_s_reports_go_on_after_garbage() -> None:
    async def scene() -> list[WorkerReport]:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        worker = WorkerProcess(1, cast(ZygoteProcess, None), reader, writer)
        with theirs:
            loop = asyncio.get_running_loop()
            theirs.setblocking(False)
            heard = asyncio.create_task(listened(worker))
            for line in GARBAGE:
                await loop.sock_sendall(theirs, line)
            await loop.sock_sendall(theirs, b'{"state": "active"}\n')
        found = await heard
        worker.close()
        return found

    async def listened(worker: WorkerProcess) -> list[WorkerReport]:
        return [report async for report in worker.received()]

    before = metrics.UNREADABLE["report"]._value.get()
    assert asyncio.run(scene()) == [WorkerActive()]
    assert metrics.UNREADABLE["report"]._value.get() > before


def test_a_zygote_s_words_go_on_after_garbage() -> None:
    reports: list[tuple[int, int]] = []

    async def scene() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        process = Process()
        zygote = ZygoteProcess(cast(asyncio.subprocess.Process, process), ours)
        with ours, theirs:
            hearing = asyncio.create_task(
                zygote.receive(lambda number, pid: reports.append((number, pid)), lambda *_: None)
            )
            for line in (b"\xff\xfe 1 1", b"born 1", b"born one 2", b"born 1 2 3", b"unborn 1 2"):
                theirs.send(line)
            theirs.send(b"born 7 4711")
            while not reports:
                await asyncio.sleep(0)
            process.ended.set()
            await hearing

    asyncio.run(scene())
    assert reports == [(7, 4711)]
