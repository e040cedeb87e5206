"""The dispatcher program: settings, a socket, warm workers, then the routes until a signal.

Run it as ``python -P -m dispatcher`` or as ``avatar serve``. On SIGTERM or SIGINT it takes no
more requests, lets the sessions speak out what they have begun, and exits with status 0; on a
second one they leave at once.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import uvicorn

from dispatcher.app import make_app
from dispatcher.errors import DispatcherError, NodeError, SettingsError
from dispatcher.node import Node
from dispatcher.pools.local import LocalPool
from dispatcher.settings import Settings

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
REFUSED: Final = 2

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
CLOSE_S: Final = 5
"""How long answers that were begun may take when the dispatcher is told to stop."""

MAX_CONNECTIONS: Final = 512

HELP: Final = """\
settings, from the environment:
  AVATAR_HOST             the address to listen on (127.0.0.1)
  AVATAR_PORT             the port; 0 takes a free one (8089)
  AVATAR_SLOTS            sessions at once (two for each core)
  AVATAR_WARM             workers that wait for the next session (2)
  AVATAR_SIGNALING_HOSTS  the signalling hosts that a join request may name, host or host:port,
                          with commas; the first is for those that name none (api.videosdk.live)
  AVATAR_DRAIN_S          how long sessions may speak out when it is told to stop (15)
  AVATAR_LOG_LEVEL        DEBUG, INFO, WARNING or ERROR (INFO)
  The workers' own settings are in the same environment: `python -P -m worker --help`.

exit status:
  0  it was told to stop
  1  its workers cannot be started
  2  a setting cannot be used, or the address is taken
"""

logger = logging.getLogger("avatar.dispatcher")


class Server(uvicorn.Server):
    """uvicorn, which leaves the signals to us: it would end the process with the one it got."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser(
        "avatar serve",
        description="Takes join requests from agents and keeps a face in each meeting.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--host", help="instead of AVATAR_HOST")
    parser.add_argument("--port", help="instead of AVATAR_PORT")
    options = parser.parse_args(arguments)
    given = {"AVATAR_HOST": options.host, "AVATAR_PORT": options.port}
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        settings = Settings.from_env({**os.environ, **chosen})
        _set_up_logs(settings.log_level)
        with _listen(settings.host, settings.port) as listener:
            asyncio.run(serve(settings, listener))
    except DispatcherError as error:
        sys.stderr.write(f"avatar serve: {error}\n")
        return EXIT_FAILED if isinstance(error, NodeError) else REFUSED
    return EXIT_OK


async def serve(settings: Settings, listener: socket.socket) -> None:
    """The service on `listener` until a signal. Raises NodeError where no worker can be had."""
    node = Node(settings.slots, settings.warm)
    await node.start()
    async with asyncio.TaskGroup() as tasks:
        pool = LocalPool(node, tasks)
        keeping = tasks.create_task(node.run(), name="node")
        server = Server(
            uvicorn.Config(
                make_app(pool, settings.signaling_hosts),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=CLOSE_S,
            )
        )
        patience = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stop() -> None:
            if server.should_exit:
                patience.set()
            server.should_exit = True

        for number in SIGNALS:
            loop.add_signal_handler(number, stop)
        logger.info("listening on %s, %d slots", _address(listener), settings.slots)
        await server.serve(sockets=[listener])
        logger.info("stopping; sessions may speak out for %g s", settings.drain_s)
        await _drain(pool, settings.drain_s, patience)
        keeping.cancel()


async def _drain(pool: LocalPool, patience_s: float, enough: asyncio.Event) -> None:
    """Let the sessions speak out; a second signal, `enough`, makes them leave at once."""
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(pool.drain(patience_s), name="drain")
        hurry = tasks.create_task(enough.wait(), name="second signal")
        await asyncio.wait([draining, hurry], return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        draining.cancel()
    if enough.is_set():
        await pool.drain(0.0)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        raise SettingsError(
            f"Nothing can listen on {host}, port {port}: {error.strerror}; "
            "choose others with --host and --port."
        ) from error
    with contextlib.suppress(ValueError):
        if not ipaddress.ip_address(address[0]).is_loopback:
            logger.warning(
                "%s can be reached from other machines, and whoever reaches it may launch and "
                "end sessions; put something in front of it that asks who they are",
                host,
            )
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _set_up_logs(level: str) -> None:
    """Log to stderr, our own loggers from `level` on, others' warnings only."""
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING
    )
    logging.getLogger("avatar").setLevel(level)


if __name__ == "__main__":
    sys.exit(main())
