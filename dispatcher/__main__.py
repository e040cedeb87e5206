"""The dispatcher program: settings, a socket, a pool of sessions, then the routes until a signal.

Run it as ``python -P -m dispatcher`` or as ``avatar serve``. Its sessions are on this machine; with
AVATAR_REDIS_URL they are on all machines that run ``avatar node`` with the same one, and go on
without it. On SIGTERM or SIGINT it takes no more requests, lets the sessions of this machine speak
out what they have begun, and exits with status 0; on a second one they leave at once. With
``--local`` a room of our own runs beside it, and what to do with both is printed as lines that a
shell can evaluate; with ``--env-file`` it is in a file, too. With ``--background`` the command ends
when it has printed them, and the service goes on.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import shlex
import signal
import stat
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from avatar_runtime import logs
from avatar_runtime.proxies import direct_loopback
from avatar_runtime.settings.pages import help_of
from avatar_runtime.settings.table import SERVE
from avatar_runtime.variables import own
from dispatcher import metrics, tracing
from dispatcher.background import detach
from dispatcher.degraded import Degraded
from dispatcher.errors import DispatcherError, LocalRoomError, SettingsError
from dispatcher.http.admin import gate_of, make_admin
from dispatcher.http.app import make_app
from dispatcher.http.auth import may_listen
from dispatcher.http.descriptors import shares_of_this_process
from dispatcher.http.listener import HttpListener
from dispatcher.http.middleware import hosts_of
from dispatcher.http.rate_limit import RateLimiter
from dispatcher.http.server import freeze_gc, listen, make_server, url_of
from dispatcher.ledger.encryption import Encryption
from dispatcher.ledger.redis import RedisLedger
from dispatcher.local_room import RoomProcess, local_room, write_env_file
from dispatcher.pool import Pool
from dispatcher.pools.local import LocalPool
from dispatcher.pools.redis import RedisPool
from dispatcher.settings import DispatcherSettings
from dispatcher.workers.shared_numbers import SharedNumbers
from dispatcher.workers.supervisor import WorkerSupervisor

NAME: Final = "avatar serve"

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
REFUSED: Final = 2

PIPED: Final = (
    "avatar serve: a shell that evaluates what this prints waits for its end; with --background it "
    "does not, and with --env-file FILE any shell has the variables\n"
)

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
PUBLIC: Final = "choose others with --host and --port"
ADMIN: Final = "choose others with AVATAR_ADMIN_HOST and AVATAR_ADMIN_PORT"

STATUSES: Final = """\
exit status:
  0  it was asked to stop
  1  its workers cannot be started, or the local room did not open or has ended
  2  a setting cannot be used, or the address is taken, or others can reach it and it requires no
     authentication
"""

logger = logging.getLogger("avatar.dispatcher")


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser(
        NAME,
        description="Takes join requests from agents and keeps a face in each meeting.",
        epilog=f"{help_of(SERVE)}\n{STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--host", help="instead of AVATAR_HOST")
    parser.add_argument("--port", help="instead of AVATAR_PORT")
    parser.add_argument("--auth", help="instead of AVATAR_AUTH; none requires no authentication")
    parser.add_argument("--forwarded-allow-ips", help="instead of AVATAR_FORWARDED_ALLOW_IPS")
    parser.add_argument(
        "--local",
        action="store_true",
        help="run a room of our own beside it: no account and no internet is needed",
    )
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="with --local: write the variables for your agent there, too, one NAME=value a line",
    )
    parser.add_argument(
        "--background",
        action="store_true",
        help="with --local: return when it is ready; for a shell's eval",
    )
    options = parser.parse_args(arguments)
    if not options.local and (options.env_file or options.background):
        parser.error("--env-file and --background are for --local")
    if options.background:
        status = detach()
        if status is not None:
            return status
    elif options.local and stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        sys.stderr.write(PIPED)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, until it is ready
    given = {
        "AVATAR_HOST": options.host,
        "AVATAR_PORT": options.port,
        "AVATAR_AUTH": options.auth,
        "AVATAR_FORWARDED_ALLOW_IPS": options.forwarded_allow_ips,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    os.environ.update(direct_loopback(os.environ))
    logs.begin(os.environ, logger.name)
    try:
        settings = DispatcherSettings.from_env({**os.environ, **chosen})
        if options.local and settings.redis_url:
            raise SettingsError(
                "--local is for one machine; unset AVATAR_REDIS_URL, or leave --local out."
            )
        logs.set_up(settings.log_level, settings.log_format)
        free = {
            name: options.local and name not in own({**os.environ, **chosen})
            for name in ("AVATAR_PORT", "AVATAR_ADMIN_PORT")
        }
        workers = 0 if settings.redis_url else settings.slots + settings.warm
        most = shares_of_this_process(workers)
        allowed = partial(may_listen, settings)
        with (
            listen(
                settings.host,
                settings.port,
                PUBLIC,
                most.public,
                allowed,
                or_free=free["AVATAR_PORT"],
            ) as public,
            listen(
                settings.admin_host,
                settings.admin_port,
                ADMIN,
                most.admin,
                allowed,
                or_free=free["AVATAR_ADMIN_PORT"],
            ) as admin,
            tracing.sent(settings.tracing),
        ):
            beside = Beside(settings.port == 0, options.env_file) if options.local else None
            asyncio.run(run(settings, public, admin, beside))
    except DispatcherError as error:
        logs.last_words(NAME, str(error), logger.name)
        return REFUSED if isinstance(error, SettingsError) else EXIT_FAILED
    except KeyboardInterrupt:
        logger.info("stopped before it was ready")
    return EXIT_OK


@dataclass(frozen=True, slots=True)
class Beside:
    """The room that runs beside the service: whether its ports are any, and where its variables
    are written; None for nowhere."""

    any_port: bool
    env_file: Path | None


async def run(
    settings: DispatcherSettings,
    public: HttpListener,
    admin: HttpListener,
    beside: Beside | None,
) -> None:
    """The service, and the room `beside` it if one is wanted, until a signal.

    Raises NodeError, LocalRoomError and SettingsError.
    """
    if beside:
        async with local_room(any_port=beside.any_port) as room:
            variables = {**room.exported, "AVATAR_DISPATCHER_URL": f"{url_of(public)}/launch"}
            if beside.env_file:
                write_env_file(beside.env_file, variables)
            hosts = (room.signaling_host, *settings.signaling_hosts)
            local = replace(settings, signaling_hosts=hosts)
            await serve(local, public, admin, room, _what_to_do(variables))
    else:
        await serve(settings, public, admin, None, "")


async def serve(
    settings: DispatcherSettings,
    public: HttpListener,
    admin: HttpListener,
    room: RoomProcess | None,
    advice: str,
) -> None:
    """The service on `public` until a signal, or until the `room` is lost; all the while, and
    while it drains, the admin's port. Prints the `advice` when it is ready.

    Raises NodeError where no worker can be had, and LocalRoomError where the room is lost.
    """
    degraded = Degraded()
    numbers = SharedNumbers(degraded)
    pooling = _pool(settings, room, numbers, degraded)
    async with pooling as pool, asyncio.TaskGroup() as tasks:
        quota = RateLimiter(settings)
        app = make_app(pool, settings, quota, lambda: degraded.sentences)
        server = make_server(app, settings.forwarded_allow_ips)
        hurry = asyncio.Event()
        stopping = asyncio.Event()

        def drain() -> None:
            server.should_exit = True
            metrics.DRAINING.set(1)

        def stop() -> None:
            if stopping.is_set():
                hurry.set()
            stopping.set()
            drain()

        private = make_server(
            make_admin(
                lambda: pool.why_not_ready,
                drain,
                partial(metrics.exposition, numbers, pool.slots),
                hosts_of(settings.admin_host),
                gate_of(settings, admin),
                lambda: degraded.sentences,
            )
        )
        admitting = tasks.create_task(private.answer(admin), name="admin")

        async def watch(room: RoomProcess) -> LocalRoomError:
            lost = await room.lost()
            server.should_exit = True
            hurry.set()
            return lost

        watching = tasks.create_task(watch(room), name="room") if room else None
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, stop)
        freeze_gc()
        if advice:
            _say(advice)
        logger.info("the admin's port is on %s", url_of(admin))
        where = "the slots are the nodes'" if settings.redis_url else f"{settings.slots} slots"
        logger.info("listening on %s, %s", url_of(public), where)
        await server.answer(public)
        logger.info("stopping; sessions may speak out for %g s", settings.drain_s)
        await _drain(pool, settings.drain_s, hurry)
        await quota.aclose()
        private.should_exit = True
        await admitting
        if watching:
            watching.cancel()
    if watching and not watching.cancelled():
        raise watching.result()


@asynccontextmanager
async def _pool(
    settings: DispatcherSettings,
    room: RoomProcess | None,
    numbers: SharedNumbers,
    degraded: Degraded,
) -> AsyncIterator[Pool]:
    """The pool that `settings` ask for, while the block lasts. Raises NodeError."""
    policy, cap = settings.room_policy, settings.sessions_per_key
    if settings.redis_url:
        ledger = RedisLedger(
            settings.redis_url,
            Encryption(settings.seal_keys),
            name=settings.node_name,
            lease_s=settings.lease_s,
        )
        async with asyncio.TaskGroup() as tasks:
            shared = RedisPool(ledger, policy, cap)
            keeping = tasks.create_task(shared.run(), name="pool")
            yield shared
            keeping.cancel()
        return
    supervisor = WorkerSupervisor(
        settings.slots,
        settings.warm,
        room.trust if room else {},
        settings.worker_memory_mb,
        numbers,
        degraded,
    )
    await supervisor.start()
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(supervisor.run(), name="supervisor")
        yield LocalPool(supervisor, tasks, policy, cap)
        keeping.cancel()


async def _drain(pool: Pool, timeout_s: float, enough: asyncio.Event) -> None:
    """Let the sessions speak out; a second signal, `enough`, makes them leave at once."""
    async with asyncio.TaskGroup() as tasks:
        draining = tasks.create_task(pool.drain(timeout_s), name="drain")
        hurry = tasks.create_task(enough.wait(), name="second signal")
        await asyncio.wait([draining, hurry], return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        draining.cancel()
    if enough.is_set():
        await pool.drain(0.0)


def _what_to_do(variables: Mapping[str, str]) -> str:
    """All of it may be evaluated by a shell; only one line does something there."""
    line = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    return (
        "# The room and the dispatcher are ready. In the shell in which your agent runs:\n"
        f"export {line}\n"
        "# There, join any meeting with signaling_base_url=$SIGNALING_BASE_URL, and give\n"
        "# AvatarAudioOut avatar_dispatcher_url=$AVATAR_DISPATCHER_URL. Any token will do.\n"
        f"# See the face in a browser: {variables['LOCALROOM_CONTROL']}/watch\n"
    )


def _say(text: str) -> None:
    """On stdout, which may have no reader, and close it, as a reader may wait for its end."""
    with contextlib.suppress(OSError):
        sys.stdout.write(text)
        sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
