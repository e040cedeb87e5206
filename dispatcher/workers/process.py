"""Workers as the dispatcher sees them: the zygote that forks them, and a pipe to each."""

import asyncio
import json
import logging
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final, NamedTuple, Self

from avatar_runtime.programs import command
from dispatcher.errors import NodeError, SettingsError, Unreadable
from dispatcher.ledger.refusals import counters, refuse, text, whole
from dispatcher.settings import without_secrets
from dispatcher.workers.outbox import AGAIN_S, Outbox
from dispatcher.workers.watchdog import Watchdog

PROGRAM: Final = "worker.process.zygote"

EXIT_REFUSED: Final = 2
"""With which a worker, and what forks them, says that it cannot use what it was given."""

READY_S: Final = 60.0
"""How long the zygote may take to load all that a worker needs."""

PING_S: Final = 0.5
"""How often the zygote is asked whether it still does what it is told."""

LATE_S: Final = 1.0
"""After so long without an answer no worker is expected of it,"""
DEAF_S: Final = 2.5
"""and after so long it is killed. A fork takes milliseconds, and what follows a second."""

CLOSE_S: Final = 6.0
"""How long the zygote may take to bury its workers when it is left."""

STATUS_S: Final = 1.0
"""How long after a worker's pipe has ended its exit status may come."""

MAX_LINE: Final = 65_536
"""The longest report of a worker (bytes)."""

MAX_WITHIN_S: Final = 3600.0
"""The longest time that a worker may ask for."""

NOTHING_HEARD: Final = (-1, -1)
"""No renewal and no permission was read yet."""

MAX_REASON: Final = 2000
"""So much of a reason is kept (characters)."""

STATES: Final = frozenset(
    {
        *("idle", "joining", "active", "rejoining", "asking", "ended", "dismissed"),
        *("counters", "heard", "degraded", "restored"),
    }
)
"""What a worker reports; ``gone`` is said for it, and never by it."""

FATE: Final = re.compile(r"(born|died) ([0-9]{1,9}) (-?[0-9]{1,9})")
"""What a zygote says of a worker."""

PONG: Final = re.compile(r"pong ([0-9]{1,9})")
"""Its answer to a ping."""

logger = logging.getLogger("avatar.dispatcher.workers")


class Report(NamedTuple):
    """What a worker says of itself: ``idle``, ``joining``, ``active``, ``rejoining`` when it
    has lost its meeting and joins it anew, ``asking`` whether it may, ``counters`` with all that
    it has counted, ``ended``, or ``dismissed`` where the meeting has thrown it out; ``degraded``
    with the `part` that has failed beside the face, and ``restored`` when that works again.

    The last is ``gone``, which is said for it, with the `status` it has exited with; None
    where nobody knows. `serial` counts the questions of ``asking``. `within_s` is how long the
    worker itself allows for joining. `heard` has the serials of the newest renewal and the newest
    permission that it has read; a line ``heard`` says nothing else.
    """

    state: str
    reason: str | None = None
    status: int | None = None
    counters: Mapping[str, int] = MappingProxyType({})
    part: str = ""
    serial: int = 0
    within_s: float | None = None
    heard: tuple[int, int] = NOTHING_HEARD


class Zygote:
    """The process that forks workers, at the other end of a pair of sockets.

    It ends with all its workers when this end of the pair closes, however that happens.
    """

    def __init__(self, process: asyncio.subprocess.Process, line: socket.socket) -> None:
        self._process = process
        self._line = line
        self._pings = 0
        self._answered = 0
        self._dog = Watchdog(asyncio.get_running_loop().time())

    @property
    def answers(self) -> bool:
        """Whether it has done lately what it was told, so that a worker can be had."""
        return self._dog.idle_s < LATE_S

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
        try:
            async with asyncio.timeout(READY_S):
                first = await zygote._receive()
        except TimeoutError:
            first = ""
        if first != "ready":
            await zygote.close()
            if process.returncode == EXIT_REFUSED:
                raise SettingsError("The workers cannot use a setting; see above which.")
            raise NodeError(
                f"The process that forks workers did not start (exit status "
                f"{process.returncode}); it has said above what it needs."
            )
        return zygote

    async def hear(
        self, born: Callable[[int, int], None], died: Callable[[int, int], None]
    ) -> None:
        """Call `born` with a worker's number and process id, `died` with its exit status.

        Returns when the zygote is gone; a child of it may hold its end of the line for longer.
        One that does nothing any more is killed.
        """
        ending = asyncio.create_task(self._process.wait(), name="zygote")
        ending.add_done_callback(self._hang_up)
        watching = asyncio.create_task(self._watch(), name="zygote watchdog")
        try:
            while message := await self._receive():
                if pong := PONG.fullmatch(message):
                    self._answered = int(pong[1])
                    self._dog.sign(asyncio.get_running_loop().time())
                    continue
                try:
                    verb, number, value = _read_fate(message)
                except Unreadable as error:
                    refuse("report", "the zygote", str(error))
                    continue
                (born if verb == "born" else died)(number, value)
        finally:
            ending.cancel()
            watching.cancel()

    async def _watch(self) -> None:
        """Ping it, and kill it by its process id when it does not answer any more.

        It answers in the order in which it is told things, so that an answer is progress.
        """
        loop = asyncio.get_running_loop()
        self._dog.sign(loop.time())
        while not self._dog.expired(loop.time(), DEAF_S):
            if self._answered == self._pings:
                self._pings += 1
                with suppress(OSError):  # it has not read for long, or is gone
                    self._line.send(f"ping {self._pings}".encode())
            await asyncio.sleep(PING_S)
        logger.error("the process that forks workers does not answer any more; it is killed")
        with suppress(ProcessLookupError):
            self._process.kill()

    def fork(self, number: int, channel: socket.socket, block: int | None) -> None:
        """Ask for a worker at the other end of `channel`, which counts in the shared memory of
        `block` where there is one. Raises OSError."""
        descriptors = [channel.fileno(), *([] if block is None else [block])]
        socket.send_fds(self._line, [f"fork {number}".encode()], descriptors)

    def signal(self, number: int, what: signal.Signals) -> None:
        """SIGTERM or SIGKILL for a worker; nothing happens where it is gone already."""
        verb = "term" if what == signal.SIGTERM else "kill"
        with suppress(OSError):
            self._line.send(f"{verb} {number}".encode())

    async def close(self) -> None:
        """Leave it, and wait until it and all its workers have ended."""
        self._line.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def _hang_up(self, _: object) -> None:
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    async def _receive(self) -> str:
        loop = asyncio.get_running_loop()
        try:
            return (await loop.sock_recv(self._line, MAX_LINE)).decode(errors="replace")
        except ConnectionError:
            return ""


class Worker:
    """One worker process: a join request goes in, `reports` come out, the last is ``gone``."""

    def __init__(
        self,
        number: int,
        zygote: Zygote,
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
        self._left = False
        self._pidfd: int | None = None
        self._outbox = Outbox()
        self._again: asyncio.TimerHandle | None = None

    def born(self, pid: int) -> None:
        """Its process is that one, which can be reached even when the zygote is gone."""
        self.pid = pid
        # Without a descriptor (the process is gone already, this one may open no more, or Python
        # was built for a Linux that has none) signals go through the zygote as long as it lives.
        with suppress(OSError, AttributeError):
            self._pidfd = os.pidfd_open(pid)

    def take(self, request: str) -> None:
        """Give it the join request, which a pipe carries and nothing else shows."""
        self._writer.write(request.encode() + b"\n")

    def renew(self, request: str) -> None:
        """Give it a newer join request for its session, for when it has to join anew.

        Nothing happens where it is about to leave.
        """
        self._outbox.renew(request)
        self._flush()

    def permit(self, serial: int) -> None:
        """Let it join its meeting anew; `serial` is that of its question."""
        self._outbox.permit(serial)
        self._flush()

    def _flush(self) -> None:
        """Write what is due, and look again as long as something is not acknowledged."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._left or self._writer.is_closing() or not self._outbox.pending:
            return
        loop = asyncio.get_running_loop()
        if not self._writer.transport.get_write_buffer_size():
            for command in self._outbox.due(loop.time()):
                self._writer.write(command.encode())
        self._again = loop.call_later(AGAIN_S, self._flush)

    def leave(self) -> None:
        """Make it leave its meeting at once and exit, by ending its stdin."""
        self._left = True
        with suppress(OSError):
            self._writer.write_eof()

    def finish(self) -> None:
        """Let it speak out what it has begun, leave and exit."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, what: signal.Signals) -> None:
        """Straight to its process: what a zygote is told that dies meanwhile is lost.

        Once it has died, its number may be another's; the descriptor never is.
        """
        if self._pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, what)
        elif not self.status.done():
            self._zygote.signal(self.number, what)

    def died(self, status: int | None) -> None:
        """Its process has exited with that status; None where nobody will ever know."""
        if not self.status.done():
            self.status.set_result(status)
        if status is not None:
            self._let_go()

    def leave_pipe(self) -> None:
        """Which tells it to leave its meeting at once."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._writer.close()

    def close(self) -> None:
        """Leave its pipe and its process, which can be sent no signal any more."""
        self.leave_pipe()
        self._let_go()

    def _let_go(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    async def said(self) -> AsyncIterator[Report]:
        """What the worker itself reports, until its pipe has ended."""
        while True:
            try:
                line = await self._reader.readline()
            except ConnectionError:
                return
            except ValueError:  # asyncio has thrown away what is longer than it reads
                refuse("report", f"worker {self.number}", f"It is longer than {MAX_LINE} bytes.")
                continue
            if not line:
                return
            report = _parse(line, self.number)
            if report is None:
                continue
            if report.heard != NOTHING_HEARD:
                self._outbox.acknowledge(*report.heard)
                self._flush()
            if report.state != "heard":
                yield report

    async def buried(self) -> Report:
        """The last report, after the pipe has ended."""
        self.leave_pipe()
        status: int | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(STATUS_S):
                status = await asyncio.shield(self.status)
        return Report("gone", _why_gone(status), status)


def _parse(line: bytes, number: int = 0) -> Report | None:
    """A report of that worker; None for what a library has printed, as a worker's stdout is its
    pipe, and for a report that is none, which is logged and counted."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or "state" not in said:
        return None
    try:
        return _read_report(said)
    except Unreadable as error:
        refuse("report", f"worker {number}", str(error))
        return None


def _read_report(said: Mapping[str, object]) -> Report:
    state, reason = said["state"], said.get("reason")
    if not isinstance(state, str) or state not in STATES:
        raise Unreadable("Its state is none.")
    if reason is not None:
        reason = text(reason, "reason")[:MAX_REASON]
    return Report(
        state,
        reason,
        counters=counters(said.get("counters") or {}),
        part=text(said.get("part", ""), "part"),
        serial=whole(said.get("serial", 0), "serial"),
        within_s=_within(said.get("within_s")),
        heard=_heard(said.get("heard")),
    )


def _heard(value: object) -> tuple[int, int]:
    """The serials of the newest renewal and permission that were read. Raises Unreadable."""
    if value is None:
        return NOTHING_HEARD
    if not isinstance(value, dict):
        raise Unreadable("What it has heard is none.")
    renewal, permission = (
        whole(value[name], name) if name in value else -1 for name in ("renewal", "permission")
    )
    return renewal, permission


def _read_fate(message: str) -> tuple[str, int, int]:
    """What a zygote says of a worker: verb, number, and process id or exit status. Raises
    Unreadable."""
    if found := FATE.fullmatch(message):
        return found[1], int(found[2]), int(found[3])
    raise Unreadable("It is no worker's begin or end.")


def _within(value: object) -> float | None:
    """A time that a worker asks for. Raises Unreadable."""
    if value is None:
        return None
    if not isinstance(value, int | float) or not 0 <= value <= MAX_WITHIN_S:
        raise Unreadable(f"The time that it asks for is not from 0 to {MAX_WITHIN_S:g} s.")
    return float(value)


def _why_gone(status: int | None) -> str:
    if status is None:
        return "The worker is gone."
    if status < 0:
        return f"The worker was ended by signal {-status}."
    return f"The worker exited with status {status}."
