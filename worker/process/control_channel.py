"""ControlChannel: what ties a worker to the dispatcher that asked for it.

Its states go out on stdout, one line of JSON each: ``{"state": "idle"}`` when it is warm,
``joining`` when it has taken a join request, ``active`` when it is in the meeting,
``rejoining`` with a ``reason`` when it has lost its place there and looks for another,
``asking`` when it could take one and waits for leave to, and ``ended`` with a ``reason`` before it
exits, or ``dismissed`` where it was thrown out. In between it counts: ``{"state": "counters",
"counters": {"frames": 250}}``, all that its session has had so far. What fails beside the face is
``{"state": "degraded", "part": "recording", "reason": "No space left on device"}``, and
``restored`` when it works again.

What follows the join request on its stdin are commands, a line each: a newer join request for the
same session, which has a serial as ``renewal``, and ``{"permission": 2}``, which answers the
question 2 of ``asking``: the worker may take another place, which somebody else may have by now.
Both are state that the dispatcher sends until the worker acknowledges it: ``heard`` has the newest
serials, at once in a line of its own and again in each line of counters. When its stdin ends,
nobody wants it any more.
"""

import asyncio
import json
import logging
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, Final, Literal, cast

from agent_side.join import redact

State = Literal["idle", "joining", "active", "rejoining", "asking", "ended", "dismissed"]

GOODBYE_S: Final = 4
"""How long a worker whose control_channel has ended may take to leave; SIGALRM ends it then."""

LOOK_S: Final = 1.0
"""How long a worker that waits for a join request may overlook a signal."""

CHUNK: Final = 65_536
MAX_LINE: Final = 1024 * 1024
"""The longest renewed join request (bytes)."""

STDIN: Final = 0
STDOUT: Final = 1

logger = logging.getLogger("avatar.worker.control_channel")


@dataclass(frozen=True, slots=True)
class Renewal:
    """A newer join request, which is the whole `line`."""

    serial: int
    line: bytes


@dataclass(frozen=True, slots=True)
class Permission:
    """The answer to the question of that serial."""

    serial: int


def parse(line: bytes) -> Renewal | Permission:
    """A command of the dispatcher. Raises ValueError."""
    try:
        message: dict[str, Any] = json.loads(line)
        if "permission" in message:
            return Permission(int(message["permission"]))
        return Renewal(int(message["renewal"]), line)
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"a command cannot be read ({type(error).__name__})") from error


class ControlChannel:
    """The worker's end of a two-way pipe, which is its stdin and its stdout."""

    def __init__(self) -> None:
        self._may_join = asyncio.Event()
        self._asked = 0
        self._heard: dict[str, int] = {}
        """The newest serial of each kind of command."""

    def report(
        self,
        state: State,
        reason: str | None = None,
        *,
        serial: int | None = None,
        within_s: float | None = None,
    ) -> None:
        """Tell the dispatcher; nothing happens where it is gone, as the end of stdin tells.

        `serial` counts the questions, and `within_s` is how long joining may take.
        """
        more = {
            "reason": None if reason is None else redact(reason),
            "serial": serial,
            "within_s": within_s,
        }
        given = {name: value for name, value in more.items() if value is not None}
        with suppress(BrokenPipeError, ConnectionResetError):
            os.write(STDOUT, json.dumps({"state": state, **given}).encode() + b"\n")

    def degraded(self, part: str, reason: str) -> None:
        """Tell the dispatcher that `part` fails beside the face, or works where `reason` is empty.

        Any thread may call it: the line is short enough to be written in one piece.
        """
        line = {"state": "restored", "part": part}
        if reason:
            line = {"state": "degraded", "part": part, "reason": redact(reason)}
        with suppress(OSError):
            os.write(STDOUT, json.dumps(line).encode() + b"\n")

    def count(self, counters: Mapping[str, int]) -> None:
        """Tell the dispatcher how far the session has come, unless it does not read."""
        heard = {"heard": self._heard} if self._heard else {}
        self._mention({"state": "counters", "counters": dict(counters), **heard})

    def _mention(self, line: Mapping[str, Any]) -> None:
        """Say what is said again, unless the dispatcher does not read.

        A face does not stand still because its dispatcher does: what is told so often may not
        fill the pipe in which the states have to find room.
        """
        _, writable, _ = select.select([], [STDOUT], [], 0)
        if writable:
            with suppress(BrokenPipeError, ConnectionResetError):
                os.write(STDOUT, json.dumps(line).encode() + b"\n")

    def wanted(self) -> bool:
        """Wait until a join request comes; False where the dispatcher is gone instead.

        A signal that comes just before a wait is seen when that ends, so none is for ever.
        """
        try:
            while not select.select([STDIN], [], [], LOOK_S)[0]:
                pass
            return bool(cast(BufferedReader, sys.stdin.buffer).peek(1))
        except ConnectionResetError:
            return False

    async def ask(self) -> None:
        """Wait for leave to join the meeting anew."""
        self._asked += 1
        self._may_join.clear()
        self.report("asking", serial=self._asked)
        await self._may_join.wait()

    def _obey(self, line: bytes, renew: Callable[[bytes], None]) -> None:
        """Follow a command that is new, and acknowledge it however often it comes."""
        try:
            command = parse(line)
        except ValueError as error:
            logger.warning("%s", error)
            return
        kind = "renewal" if isinstance(command, Renewal) else "permission"
        if command.serial > self._heard.get(kind, -1):
            self._heard[kind] = command.serial
            if isinstance(command, Renewal):
                renew(command.line)
            elif command.serial == self._asked:
                self._may_join.set()
        self._mention({"state": "heard", "heard": self._heard})

    def attend(self, renew: Callable[[bytes], None], leave: Callable[[], None]) -> None:
        """Call `renew` with each newer join request on stdin, and `leave` when stdin ends.

        Sees that the process does not outlive the end for long. Called in the event loop. What
        the join request's reader has read ahead is taken too; an overlong line is thrown away.
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
