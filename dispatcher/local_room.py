"""The local room beside the dispatcher: a program that is started, read and ended, no import.

It stands in for VideoSDK's servers, so that a face can be tried without an account.
"""

import asyncio
import os
import shlex
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from avatar_runtime.programs import command
from dispatcher.errors import LocalRoomError, SettingsError

PROGRAM: Final = "localroom"

EXPORTED: Final = frozenset(
    {"REQUESTS_CA_BUNDLE", "SIGNALING_BASE_URL", "LOCALROOM_CONTROL", "NO_PROXY", "no_proxy"}
)
"""What the room's line of variables has to have."""

ANY_PORT: Final = ("--port", "0", "--control-port", "0")

READY_S: Final = 60.0
"""How long the room may take to open."""

CLOSE_S: Final = 5.0
"""How long the room may take to end when its stdin is closed."""


class RoomProcess:
    """An open room; `exported` are the variables that a participant needs."""

    def __init__(self, process: Process, exported: Mapping[str, str]) -> None:
        self.exported = exported
        self._process = process

    @property
    def signaling_host(self) -> str:
        """The ``host:port`` to which a join request leads."""
        return self.exported["SIGNALING_BASE_URL"]

    @property
    def trust(self) -> dict[str, str]:
        """What makes workers trust it, and ask it directly."""
        names = ("REQUESTS_CA_BUNDLE", "NO_PROXY", "no_proxy")
        return {name: self.exported[name] for name in names}

    async def lost(self) -> LocalRoomError:
        """Why it is there no more, once it is not."""
        status = await self._process.wait()
        return LocalRoomError(
            f"The local room has ended (exit status {status}), and every meeting with it; "
            "see above what it said, and start again."
        )


@asynccontextmanager
async def local_room(*, any_port: bool = False) -> AsyncIterator[RoomProcess]:
    """A room until the block ends, on its usual ports or on any.

    Raises LocalRoomError where it does not open.

    It ends when its stdin does, so it does not outlive this process.
    """
    process = await asyncio.create_subprocess_exec(
        *command(PROGRAM, "--until-eof", *(ANY_PORT if any_port else ())),
        stdin=PIPE,
        stdout=PIPE,
        start_new_session=True,
    )
    try:
        yield RoomProcess(process, await _first_line(process))
    finally:
        await _close(process)


async def _first_line(process: Process) -> dict[str, str]:
    assert process.stdout is not None
    line = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(READY_S):
            line = await process.stdout.readline()
    exported = _parse(line.decode())
    if exported is None:
        raise LocalRoomError("The local room did not open; see above what it said.")
    return exported


def write_env_file(path: Path, variables: Mapping[str, str]) -> None:
    """One ``NAME=value`` a line, for a shell, Docker or systemd. Raises SettingsError."""
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    part = path.parent / f".{path.name}.{os.getpid()}"
    try:
        part.write_text(lines, "utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SettingsError(
            f"--env-file {str(path)!r} cannot be written: {error.strerror}; name another file."
        ) from error


def _parse(line: str) -> dict[str, str] | None:
    """The variables of one ``export`` line."""
    words = shlex.split(line)
    exported = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    complete = exported.keys() >= EXPORTED
    return exported if words[:1] == ["export"] and complete else None


async def _close(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(CLOSE_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
