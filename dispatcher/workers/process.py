"""The zygote and the workers as the dispatcher sees them: processes, and a pipe to each."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

from avatar_runtime.messages import EXIT_REFUSED
from avatar_runtime.messages.commands import JoinCommand
from avatar_runtime.messages.encoding import MessageError
from avatar_runtime.messages.reports import (
    Acknowledgement,
    CounterReport,
    WorkerReport,
    decode_report,
)
from avatar_runtime.messages.zygote import (
    Fork,
    Kill,
    Order,
    Ping,
    Pong,
    Terminate,
    WorkerExited,
    WorkerForked,
    ZygoteReady,
    decode_zygote_report,
)
from avatar_runtime.programs import command
from dispatcher.errors import NodeError, SettingsError
from dispatcher.ledger.refusals import refuse
from dispatcher.settings import without_secrets
from dispatcher.workers.outbox import AGAIN_S, CommandOutbox
from dispatcher.workers.watchdog import Watchdog

PROGRAM: Final = "worker.process.zygote"

READY_S: Final = 60.0
"""How long the zygote may take to load all that a worker needs."""

PING_S: Final = 0.5
"""Between two pings of the zygote."""

LATE_S: Final = 1.0
"""Without a pong for so long the zygote counts as unable to fork,"""
UNRESPONSIVE_S: Final = 2.5
"""and after so long it is killed. A fork takes milliseconds, and what follows a second."""

CLOSE_S: Final = 6.0
"""How long the zygote may take to end its workers and itself when its socket is closed."""

STATUS_S: Final = 1.0
"""How long after the end of a worker's pipe its exit status may arrive."""

MAX_LINE: Final = 65_536
"""The longest report of a worker (bytes)."""

logger = logging.getLogger("avatar.dispatcher.workers")


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """The last of a worker's reports, made here: its pipe has ended, and its process has exited
    with `status`, None where that is unknown."""

    status: int | None
    reason: str


Report = WorkerReport | WorkerGone


class ZygoteProcess:
    """The process that forks workers, at the other end of a pair of sockets.

    It ends with all its workers when this end of the pair closes, however that happens.
    """

    def __init__(self, process: asyncio.subprocess.Process, orders: socket.socket) -> None:
        self._process = process
        self._orders = orders
        self._pings = 0
        self._answered = 0
        self._watchdog = Watchdog(asyncio.get_running_loop().time())

    @property
    def answers(self) -> bool:
        """Whether it obeyed an order a moment ago, so that it can fork a worker."""
        return self._watchdog.idle_s < LATE_S

    @classmethod
    async def start(cls, environment: Mapping[str, str], memory_mb: int) -> Self:
        """One that is ready, with `environment` added to its own, which is the workers' too; each
        of them may have `memory_mb` of its own, where that is not 0.

        Raises NodeError, or SettingsError where a setting of the workers is to blame; what it had
        to say is on stderr then. Raises OSError, or RuntimeError for
        a thread of asyncio's, where this machine has no room for it.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            try:
                # In a session of its own, Ctrl-C reaches the dispatcher alone, which ends it all.
                process = await asyncio.create_subprocess_exec(
                    *command(PROGRAM, str(memory_mb)),
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    env={**without_secrets(os.environ), **environment},
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        zygote = cls(process, ours)
        first = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                first = await zygote._receive()
        if first != ZygoteReady().encode():
            await zygote.close()
            if process.returncode == EXIT_REFUSED:
                raise SettingsError("The workers cannot use a setting; see above which.")
            raise NodeError(
                f"The process that forks workers did not start (exit status "
                f"{process.returncode}); it has said above what it needs."
            )
        return zygote

    async def receive(
        self, forked: Callable[[int, int], None], exited: Callable[[int, int], None]
    ) -> None:
        """Call `forked` with a worker's number and process id, `exited` with its exit status.

        Returns when the zygote is gone; a child of it may hold its end of the socket for longer.
        A zygote that stops answering is killed.
        """
        ending = asyncio.create_task(self._process.wait(), name="zygote")
        ending.add_done_callback(self._shut_down)
        watching = asyncio.create_task(self._watch(), name="zygote watchdog")
        try:
            while packet := await self._receive():
                try:
                    report = decode_zygote_report(packet)
                except MessageError as error:
                    refuse("report", "the zygote", str(error))
                    continue
                match report:
                    case Pong(serial):
                        self._answered = serial
                        self._watchdog.sign(asyncio.get_running_loop().time())
                    case WorkerForked(number, pid):
                        forked(number, pid)
                    case WorkerExited(number, status):
                        exited(number, status)
        finally:
            ending.cancel()
            watching.cancel()

    async def _watch(self) -> None:
        """Ping it, and kill it by its process id when it does not answer any more.

        It obeys its orders one after the other, so that a pong shows progress.
        """
        loop = asyncio.get_running_loop()
        self._watchdog.sign(loop.time())
        while not self._watchdog.expired(loop.time(), UNRESPONSIVE_S):
            if self._answered == self._pings:
                self._pings += 1
                self._send(Ping(self._pings))
            await asyncio.sleep(PING_S)
        logger.error("the process that forks workers does not answer; killing it")
        with suppress(ProcessLookupError):
            self._process.kill()

    def fork(self, number: int, channel: socket.socket, block: int | None) -> None:
        """Ask for a worker at the other end of `channel`, which counts in the shared memory of
        `block` where there is one. Raises OSError."""
        descriptors = [channel.fileno(), *([] if block is None else [block])]
        socket.send_fds(self._orders, [Fork(number).encode()], descriptors)

    def signal(self, number: int, what: signal.Signals) -> None:
        """SIGTERM or SIGKILL for a worker; nothing happens where it is gone already."""
        self._send(Terminate(number) if what == signal.SIGTERM else Kill(number))

    async def close(self) -> None:
        """Close its socket, and wait until it and all its workers have ended."""
        self._orders.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def _send(self, order: Order) -> None:
        with suppress(OSError):  # it has not read for long, or is gone
            self._orders.send(order.encode())

    def _shut_down(self, _: object) -> None:
        with suppress(OSError):
            self._orders.shutdown(socket.SHUT_RDWR)

    async def _receive(self) -> bytes:
        try:
            return await asyncio.get_running_loop().sock_recv(self._orders, MAX_LINE)
        except ConnectionError:
            return b""


class WorkerProcess:
    """One worker process: a join command goes in, `reports` come out, the last is WorkerGone."""

    def __init__(
        self,
        number: int,
        zygote: ZygoteProcess,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.number = number
        self.pid: int | None = None
        self.reports: asyncio.Queue[Report] = asyncio.Queue()
        self.status: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._zygote = zygote
        self._reader = reader
        self._writer = writer
        self._leaving = False
        self._pidfd: int | None = None
        self._outbox = CommandOutbox()
        self._timer: asyncio.TimerHandle | None = None

    def forked(self, pid: int) -> None:
        """Its process is that one, which signals reach even when the zygote is gone."""
        self.pid = pid
        # Without a descriptor (the process is gone already, this one may open no more, or Python
        # was built for a Linux that has none) signals go through the zygote as long as it lives.
        with suppress(OSError, AttributeError):
            self._pidfd = os.pidfd_open(pid)

    def join(self, command: JoinCommand) -> None:
        """Send it to a meeting, over a pipe that shows the token to nobody else."""
        self._writer.write(command.encode())

    def renew(self, command: JoinCommand) -> None:
        """Send the newest join request of its session, for when it has to join anew.

        Nothing happens where it is about to leave.
        """
        self._outbox.renew(command)
        self._flush()

    def permit(self, serial: int) -> None:
        """Let it join its meeting anew; `serial` is that of its request."""
        self._outbox.permit(serial)
        self._flush()

    def _flush(self) -> None:
        """Write what is due, and look again as long as something is not acknowledged."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._leaving or self._writer.is_closing() or not self._outbox.pending:
            return
        loop = asyncio.get_running_loop()
        if not self._writer.transport.get_write_buffer_size():
            for each in self._outbox.due(loop.time()):
                self._writer.write(each.encode())
        self._timer = loop.call_later(AGAIN_S, self._flush)

    def leave(self) -> None:
        """Make it leave its meeting at once and exit, by ending its stdin."""
        self._leaving = True
        with suppress(OSError):
            self._writer.write_eof()

    def finish(self) -> None:
        """Let it speak out what it has begun, leave and exit."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, what: signal.Signals) -> None:
        """Straight to its process, as an order is lost with a zygote that exits meanwhile.

        After its exit, its number may be another worker's; the descriptor never is.
        """
        if self._pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, what)
        elif not self.status.done():
            self._zygote.signal(self.number, what)

    def exited(self, status: int | None) -> None:
        """Its process has exited with that status; None where it will never be known."""
        if not self.status.done():
            self.status.set_result(status)
        if status is not None:
            self._close_pidfd()

    def close_pipe(self) -> None:
        """Close its stdin, at the end of which it leaves its meeting at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._writer.close()

    def close(self) -> None:
        """Close the pipe and the descriptor of its process: no signal reaches it from then on."""
        self.close_pipe()
        self._close_pidfd()

    def _close_pidfd(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    async def received(self) -> AsyncIterator[WorkerReport]:
        """The worker's own reports, until its pipe has ended; acknowledgements are handled here."""
        while True:
            try:
                line = await self._reader.readline()
            except ConnectionError:
                return
            except ValueError:  # asyncio has dropped what is longer than it reads
                refuse("report", f"worker {self.number}", f"It is longer than {MAX_LINE} bytes.")
                continue
            if not line:
                return
            report = self._decode(line)
            if isinstance(report, Acknowledgement | CounterReport):
                self._outbox.acknowledge(report.acknowledged)
                self._flush()
            if report is not None and not isinstance(report, Acknowledgement):
                yield report

    def _decode(self, line: bytes) -> WorkerReport | None:
        """A report; None for a library's output, and for what is refused, logged and counted."""
        try:
            return decode_report(line)
        except MessageError as error:
            refuse("report", f"worker {self.number}", str(error))
            return None

    async def gone(self) -> WorkerGone:
        """The last report, after the pipe has ended."""
        self.close_pipe()
        status: int | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(STATUS_S):
                status = await asyncio.shield(self.status)
        return WorkerGone(status, _why_gone(status))


def _why_gone(status: int | None) -> str:
    if status is None:
        return "The worker is gone."
    if status < 0:
        return f"The worker was ended by signal {-status}."
    return f"The worker exited with status {status}."
