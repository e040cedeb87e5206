"""The local room as a program: it prints what to export, and runs until a signal ends it.

The first line is for a shell's ``eval``. A participant in that shell trusts the room's
certificate, and joins with the `signaling_base_url` that the line has. The second is a comment
to a shell and says where to watch. The ports and the path of the certificate are the same at
each start, so that a shell needs the line once.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from localroom import export
from localroom.faults import Faults
from localroom.server import CONTROL_PORT, PORT, Config, running

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser("avatar room", description=__doc__, allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1", help="IPv4 address (%(default)s)")
    parser.add_argument(
        "--port", type=int, help=f"of the entry; 0 is any ({PORT}, or any where that is taken)"
    )
    parser.add_argument("--control-port", type=int, help=f"on 127.0.0.1, likewise ({CONTROL_PORT})")
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="write the variables there, too"
    )
    parser.add_argument(
        "--relay", action="store_true", help="offer a TURN relay (always done where only lo is)"
    )
    parser.add_argument(
        "--faults", default="{}", metavar="JSON", help="what goes wrong; see localroom/faults.py"
    )
    parser.add_argument(
        "--until-eof", action="store_true", help="end when standard input does, too"
    )
    chosen = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # A peer that leaves before its WebSocket is open is no error of the room.
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    try:
        faults = Faults.parse(json.loads(chosen.faults))
        config = Config(chosen.host, chosen.port, chosen.control_port, chosen.relay, faults)
        asyncio.run(_run(config, chosen.env_file, until_eof=chosen.until_eof))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"The room cannot be opened: {error}\n")
        return 1
    return 0


async def _run(config: Config, env_file: Path | None, *, until_eof: bool) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in SIGNALS:
        loop.add_signal_handler(number, ended.set)
    if until_eof:
        loop.add_reader(sys.stdin.fileno(), _end_at_eof, ended)
    with _folder() as folder:
        async with running(config, folder) as address:
            values = export.variables(address, os.environ)
            if env_file is not None:
                export.write_file(env_file, values)
            _print_last(f"{export.shell_line(values)}\n# Watch: {address.control_url}/watch\n")
            await ended.wait()


@contextmanager
def _folder() -> Iterator[Path | None]:
    """A temporary folder; None where none can be created."""
    try:
        made = TemporaryDirectory(prefix="localroom-", ignore_cleanup_errors=True)
    except OSError:
        yield None
        return
    with made as name:
        yield Path(name)


def _print_last(text: str) -> None:
    """Print `text` and close standard output, for which a shell's ``eval`` waits."""
    with suppress(BrokenPipeError):
        sys.stdout.write(text)
        sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _end_at_eof(ended: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        ended.set()


if __name__ == "__main__":
    sys.exit(main())
