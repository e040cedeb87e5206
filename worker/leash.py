"""Leash: what ties a worker to the dispatcher that asked for it.

Its states go out on stdout, one line of JSON each: ``{"state": "idle"}`` when it is warm,
``joining`` when it has taken a join request, ``active`` when it is in the meeting,
``rejoining`` with a ``reason`` when it has lost its place there and looks for another,
``asking`` when it could take one and waits for leave to, and ``ended`` with a ``reason`` before it
exits, or ``dismissed`` where it was thrown out. In between it counts: ``{"state": "counters",
"counters": {"frames": 250}}``, all that its session has had so far. What fails beside the face is
``{"state": "degraded", "part": "recording", "reason": "No space left on device"}``, and
``restored`` when it works again.

What follows the join request on its stdin are newer requests for the same session, a line each,
and ``{"may": "join"}``, the leave to take another place: by now, somebody else may have it.
When its stdin ends, nobody wants it any more.
"""

import asyncio
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BufferedReader
from typing import Final, Literal, cast

from agent_side.join import redact

State = Literal["idle", "joining", "active", "rejoining", "asking", "ended", "dismissed"]

GOODBYE_S: Final = 4
"""How long a worker whose leash has ended may take to leave; SIGALRM ends it then."""

LOOK_S: Final = 1.0
"""How long a worker that waits for a join request may overlook a signal."""

CHUNK: Final = 65_536
MAX_LINE: Final = 1024 * 1024
"""The longest renewed join request (bytes)."""

MAY_JOIN: Final = b'{"may": "join"}'
"""The answer to ``asking``."""

STDIN: Final = 0
STDOUT: Final = 1


class Leash:
    """The worker's end of a two-way pipe, which is its stdin and its stdout."""

    def __init__(self) -> None:
        self._may_join = asyncio.Event()

    def report(self, state: State, reason: str | None = None) -> None:
        """Tell the dispatcher; nothing happens where it is gone, as the end of stdin tells."""
        line = {"state": state} if reason is None else {"state": state, "reason": redact(reason)}
        with suppress(BrokenPipeError, ConnectionResetError):
            os.write(STDOUT, json.dumps(line).encode() + b"\n")

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
        """Tell the dispatcher how far the session has come, unless it does not read.

        A face does not stand still because its dispatcher does: what is told so often may not
        fill the pipe in which the states have to find room.
        """
        _, writable, _ = select.select([], [STDOUT], [], 0)
        if writable:
            line = {"state": "counters", "counters": dict(counters)}
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
        self._may_join.clear()
        self.report("asking")
        await self._may_join.wait()

    def attend(self, renew: Callable[[bytes], None], leave: Callable[[], None]) -> None:
        """Call `renew` with each line that comes on stdin, and `leave` when it ends.

        Sees that the process does not outlive the end for long. Called in the event loop. What
        the join request's reader has read ahead is taken too; an overlong line is thrown away.
        """
        loop = asyncio.get_running_loop()
        line = b""

        def take(data: bytes) -> None:
            nonlocal line
            *whole, line = (line + data).split(b"\n")
            for each in whole:
                if each == MAY_JOIN:
                    self._may_join.set()
                else:
                    renew(each)
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
