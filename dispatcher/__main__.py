"""The dispatcher program: settings, a socket, warm workers, then the routes until a signal.

Run it as ``python -P -m dispatcher`` or as ``avatar serve``. On SIGTERM or SIGINT it takes no
more requests, lets the sessions speak out what they have begun, and exits with status 0; on a
second one they leave at once. With ``--local`` a room of our own runs beside it, and what to do
with both is printed as lines that a shell can evaluate.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import os
import shlex
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import uvicorn

from dispatcher.app import make_app
from dispatcher.errors import DispatcherError, RoomError, SettingsError
from dispatcher.node import Node
from dispatcher.pools.local import LocalPool
from dispatcher.room import Room, local_room
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
  1  its workers cannot be started, or the local room did not open or has ended
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
    parser.add_argument(
        "--local",
        action="store_true",
        help="run a room of our own beside it: no account and no internet is needed",
    )
    options = parser.parse_args(arguments)
    given = {"AVATAR_HOST": options.host, "AVATAR_PORT": options.port}
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        settings = Settings.from_env({**os.environ, **chosen})
        _set_up_logs(settings.log_level)
        with _listen(settings.host, settings.port) as listener:
            asyncio.run(run(settings, listener, local=options.local))
    except DispatcherError as error:
        sys.stderr.write(f"avatar serve: {error}\n")
        return REFUSED if isinstance(error, SettingsError) else EXIT_FAILED
    except KeyboardInterrupt:
        logger.info("stopped before it was ready")
    return EXIT_OK


async def run(settings: Settings, listener: socket.socket, *, local: bool) -> None:
    """The service, and the `local` room beside it if that is wanted, until a signal.

    Raises NodeError and RoomError.
    """
    if local:
        async with local_room() as room:
            hosts = (room.signaling_host, *settings.signaling_hosts)
            await serve(replace(settings, signaling_hosts=hosts), listener, room)
    else:
        await serve(settings, listener, None)


async def serve(settings: Settings, listener: socket.socket, room: Room | None) -> None:
    """The service on `listener` until a signal, or until the `room` is lost.

    Raises NodeError where no worker can be had, and RoomError where the room is lost.
    """
    node = Node(settings.slots, settings.warm, room.trust if room else {})
    await node.start()
    async with asyncio.TaskGroup() as tasks:
        pool = LocalPool(node, tasks)
        keeping = tasks.create_task(node.run(), name="node")
        server = _server(pool, settings.signaling_hosts)
        hurry = asyncio.Event()

        def stop() -> None:
            if server.should_exit:
                hurry.set()
            server.should_exit = True

        async def watch(room: Room) -> RoomError:
            lost = await room.lost()
            server.should_exit = True
            hurry.set()
            return lost

        watching = tasks.create_task(watch(room), name="room") if room else None
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, stop)
        if room:
            _say(_what_to_do(room, _address(listener)))
        logger.info("listening on %s, %d slots", _address(listener), settings.slots)
        await server.serve(sockets=[listener])
        logger.info("stopping; sessions may speak out for %g s", settings.drain_s)
        await _drain(pool, settings.drain_s, hurry)
        keeping.cancel()
        if watching:
            watching.cancel()
    if watching and not watching.cancelled():
        raise watching.result()


def _server(pool: LocalPool, hosts: Sequence[str]) -> Server:
    return Server(
        uvicorn.Config(
            make_app(pool, hosts),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=CLOSE_S,
        )
    )


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


def _what_to_do(room: Room, address: str) -> str:
    """All of it may be evaluated by a shell; only one line does something there."""
    variables = {**room.exported, "AVATAR_DISPATCHER_URL": f"{address}/launch"}
    line = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    return (
        "# The room and the dispatcher are ready. In the shell in which your agent runs:\n"
        f"export {line}\n"
        "# There, join any meeting with signaling_base_url=$SIGNALING_BASE_URL, and give\n"
        "# AvatarAudioOut avatar_dispatcher_url=$AVATAR_DISPATCHER_URL. Any token will do.\n"
        f"# See the face in a browser: {room.exported['LOCALROOM_CONTROL']}/watch\n"
    )


def _say(text: str) -> None:
    """On stdout, which may be read by nobody."""
    with contextlib.suppress(OSError):
        sys.stdout.write(text)
        sys.stdout.flush()


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
