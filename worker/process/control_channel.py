"""ControlChannel: the pipe between a worker and its dispatcher, from the worker's end.

Reports go out on stdout and commands come in on stdin, after the join command; all of them are in
avatar_runtime/messages. Each command is acknowledged at once, and again in every report of
counters, as the dispatcher sends it until it is acknowledged. When stdin ends, the dispatcher is
gone or has no use for the worker, which leaves.
"""

import asyncio
import logging
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from io import BufferedReader
from typing import Final, Literal, cast

from avatar_runtime.messages.commands import JoinCommand, Renewal, RenewalError, decode_command
from avatar_runtime.messages.encoding import MessageError
from avatar_runtime.messages.reports import (
    Acknowledgement,
    CounterReport,
    PartDegraded,
    PartRestored,
    PermissionRequest,
    Serials,
    WorkerReport,
)

GOODBYE_S: Final = 4
"""How long a worker whose stdin has ended may take to leave; SIGALRM ends it then."""

LOOK_S: Final = 1.0
"""How long a worker that waits for a join command may overlook a signal."""

CHUNK: Final = 65_536
MAX_LINE: Final = 1024 * 1024
"""The longest renewed join request (bytes)."""

STDIN: Final = 0
STDOUT: Final = 1

logger = logging.getLogger("avatar.worker.control_channel")


class ControlChannel:
    """The worker's end of a two-way pipe, which is its stdin and its stdout."""

    def __init__(self) -> None:
        self._may_join = asyncio.Event()
        self._asked = 0
        self._acknowledged = Serials()

    def report(self, report: WorkerReport) -> None:
        """Send it; nothing happens where the dispatcher is gone, as the end of stdin says that.

        Any thread may call it: a report is short enough to be written in one piece.
        """
        with suppress(BrokenPipeError, ConnectionResetError):
            os.write(STDOUT, report.encode())

    def degraded(self, part: str, reason: str) -> None:
        """Report that `part` fails beside the face, or works where `reason` is empty."""
        with suppress(OSError):
            self.report(PartDegraded(part, reason) if reason else PartRestored(part))

    def count(self, counters: Mapping[str, int]) -> None:
        """Report how far the session has come, unless the dispatcher does not read."""
        self._report_if_read(CounterReport(dict(counters), self._acknowledged))

    def _report_if_read(self, report: WorkerReport) -> None:
        """Send what is sent again anyway, unless the dispatcher does not read.

        A face does not wait for its dispatcher: frequent reports must not fill the pipe in which
        the states need room.
        """
        _, writable, _ = select.select([], [STDOUT], [], 0)
        if writable:
            self.report(report)

    def wanted(self) -> bool:
        """Wait until a join command comes; False where the dispatcher is gone instead.

        A signal that arrives just before a wait is handled when that wait ends, so each wait is
        short.
        """
        try:
            while not select.select([STDIN], [], [], LOOK_S)[0]:
                pass
            return bool(cast(BufferedReader, sys.stdin.buffer).peek(1))
        except ConnectionResetError:
            return False

    async def ask(self) -> None:
        """Wait for the permission to join the meeting anew."""
        self._asked += 1
        self._may_join.clear()
        self.report(PermissionRequest(self._asked))
        await self._may_join.wait()

    def _obey(self, line: bytes, renew: Callable[[JoinCommand], None]) -> None:
        """Follow a command that is new, and acknowledge it however often it comes."""
        try:
            command = decode_command(line)
        except RenewalError as error:
            if self._is_new("renewal", error.serial):
                logger.warning("%s", error)
        except MessageError as error:
            logger.warning("%s", error)
            return
        else:
            if isinstance(command, Renewal):
                if self._is_new("renewal", command.serial):
                    renew(command.command)
            elif self._is_new("permission", command.serial) and command.serial == self._asked:
                self._may_join.set()
        self._report_if_read(Acknowledgement(self._acknowledged))

    def _is_new(self, kind: Literal["renewal", "permission"], serial: int) -> bool:
        """Whether no command of that kind with that serial or a later one has come before."""
        if serial <= getattr(self._acknowledged, kind):
            return False
        self._acknowledged = replace(self._acknowledged, **{kind: serial})
        return True

    def attend(self, renew: Callable[[JoinCommand], None], leave: Callable[[], None]) -> None:
        """Call `renew` with each newer join request on stdin, and `leave` when stdin ends.

        From then on the process has `GOODBYE_S` to exit. Called in the event loop. What the reader
        of the join command has read ahead counts too; an overlong line is dropped.
        """
        loop = asyncio.get_running_loop()
        line = b""

        def take(data: bytes) -> None:
            nonlocal line
            *whole, line = (line + data).split(b"\n")
            for each in whole:
                self._obey(each, renew)
            if len(line) > MAX_LINE:
                line = b""

        def read() -> None:
            try:
                data = os.read(STDIN, CHUNK)
            except ConnectionResetError:
                data = b""
            if data:
                take(data)
                return
            loop.remove_reader(STDIN)
            signal.alarm(GOODBYE_S)
            leave()

        take(_read_ahead())
        loop.add_reader(STDIN, read)


def _read_ahead() -> bytes:
    """What stdin's own buffer holds."""
    stdin = cast(BufferedReader, sys.stdin.buffer)
    os.set_blocking(STDIN, False)
    try:
        return stdin.read1(len(stdin.peek(1)))
    except ConnectionResetError:
        return b""
    finally:
        os.set_blocking(STDIN, True)
