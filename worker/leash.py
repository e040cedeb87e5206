"""Leash: what ties a worker to the dispatcher that asked for it.

Its states go out on stdout, one line of JSON each: ``{"state": "idle"}`` when it is warm,
``joining`` when it has taken a join request, ``active`` when it is in the meeting, and
``ended`` with a ``reason`` before it exits. When its stdin ends, nobody wants it any more.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from io import BufferedReader
from typing import Final, Literal, cast

State = Literal["idle", "joining", "active", "ended"]

GOODBYE_S: Final = 4
"""How long a worker whose leash has ended may take to leave; SIGALRM ends it then."""

CHUNK: Final = 65_536
STDIN: Final = 0
STDOUT: Final = 1


class Leash:
    """The worker's end of a two-way pipe, which is its stdin and its stdout."""

    def report(self, state: State, reason: str | None = None) -> None:
        """Tell the dispatcher; nothing happens where it is gone, as the end of stdin tells."""
        line = {"state": state} if reason is None else {"state": state, "reason": reason}
        with suppress(BrokenPipeError, ConnectionResetError):
            os.write(STDOUT, json.dumps(line).encode() + b"\n")

    def wanted(self) -> bool:
        """Wait until a join request comes; False where the dispatcher is gone instead."""
        try:
            return bool(cast(BufferedReader, sys.stdin.buffer).peek(1))
        except ConnectionResetError:
            return False

    def on_end(self, leave: Callable[[], None]) -> None:
        """Call `leave` when stdin ends, and see that the process does not outlive it for long.

        Called in the event loop. What still comes on stdin is thrown away.
        """
        loop = asyncio.get_running_loop()

        def read() -> None:
            try:
                ended = not os.read(STDIN, CHUNK)
            except ConnectionResetError:
                ended = True
            if ended:
                loop.remove_reader(STDIN)
                signal.alarm(GOODBYE_S)
                leave()

        loop.add_reader(STDIN, read)
