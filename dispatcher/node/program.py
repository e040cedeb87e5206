"""The node program: this machine's slots, for the sessions that dispatchers put into Redis.

Run it as ``python -P -m dispatcher.node.program`` or as ``avatar node``, on each machine, beside
any number of ``avatar serve`` with the same Redis. On SIGTERM, SIGINT or POST /drain it takes
nothing more and lets its sessions go on; after AVATAR_DRAIN_S, or on a second signal, other nodes
take them over, one with another for a moment; when none is left it exits with status 0. A third
signal gives them back at once, with a gap.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from itertools import chain, repeat
from typing import Final

from avatar_runtime import logs
from avatar_runtime.proxies import direct_loopback
from avatar_runtime.settings.kinds import NODE
from avatar_runtime.settings.pages import help_of
from dispatcher import metrics
from dispatcher.degraded import Degraded
from dispatcher.errors import DispatcherError, SettingsError
from dispatcher.http.admin import gate_of, make_admin
from dispatcher.http.auth import may_listen
from dispatcher.http.descriptors import shares_of_this_process
from dispatcher.http.listener import HttpListener
from dispatcher.http.middleware import hosts_of
from dispatcher.http.server import freeze_gc, listen, make_server, url_of
from dispatcher.ledger.encryption import Encryption
from dispatcher.ledger.redis_node import RedisNodeLedger
from dispatcher.node.kubernetes import PodAnnotator
from dispatcher.node.node import Node
from dispatcher.settings import DispatcherSettings
from dispatcher.workers.shared_numbers import SharedNumbers
from dispatcher.workers.supervisor import WorkerSupervisor

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
REFUSED: Final = 2

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
ADMIN: Final = "choose others with AVATAR_ADMIN_HOST and AVATAR_ADMIN_PORT"

STATUSES: Final = """\
signals:
  the first SIGTERM or SIGINT, or POST /drain: nothing new; sessions go on up to AVATAR_DRAIN_S, and
  are then handed over to other nodes; the second: they are handed over at once; the third: they
  leave at once, and go on where a slot is idle

exit status:
  0  it was told to stop, and no session is left here
  1  its workers cannot be started
  2  a setting cannot be used, or the admin's address is taken
"""

logger = logging.getLogger("avatar.dispatcher.node")


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit status."""
    parser = argparse.ArgumentParser(
        "avatar node",
        description="Serves sessions on this machine that dispatchers put into Redis.",
        epilog=f"{help_of(NODE)}\n{STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, until it is ready
    os.environ.update(direct_loopback(os.environ))
    logs.begin(os.environ, "avatar.dispatcher")
    try:
        settings = DispatcherSettings.from_env(os.environ, node=True)
        if not settings.redis_url:
            raise SettingsError(
                "AVATAR_REDIS_URL is not set; a node needs the Redis of its dispatchers."
            )
        logs.set_up(settings.log_level, settings.log_format)
        most = shares_of_this_process(settings.slots + settings.warm)
        allowed = partial(may_listen, settings)
        with listen(settings.admin_host, settings.admin_port, ADMIN, most.admin, allowed) as admin:
            asyncio.run(run(settings, admin))
    except DispatcherError as error:
        logs.last_words("avatar node", str(error), "avatar.dispatcher")
        return REFUSED if isinstance(error, SettingsError) else EXIT_FAILED
    except KeyboardInterrupt:
        logger.info("stopped before it was ready")
    return EXIT_OK


async def run(settings: DispatcherSettings, admin: HttpListener) -> None:
    """Be a node until a signal, and then until no session is left; with its port for the `admin`.

    Raises NodeError.
    """
    ledger = RedisNodeLedger(
        settings.redis_url,
        Encryption(settings.seal_keys),
        name=settings.node_name,
        lease_s=settings.lease_s,
    )
    degraded = Degraded()
    numbers = SharedNumbers(degraded)
    supervisor = WorkerSupervisor(
        settings.slots,
        settings.warm,
        {},
        settings.worker_memory_mb,
        numbers,
        degraded,
    )
    await supervisor.start()
    annotator = PodAnnotator(settings.protect) if settings.protect else None
    draining, hurry, enough = asyncio.Event(), asyncio.Event(), asyncio.Event()
    signals = chain((draining, hurry), repeat(enough))

    def stop() -> None:
        """The first signal drains, as POST /drain does; the second hurries; the third stops."""
        next(signals).set()

    async with asyncio.TaskGroup() as tasks:
        node = Node(
            ledger, supervisor, tasks, settings.lease_s, annotator.mark if annotator else _ignore
        )
        private = make_server(
            make_admin(
                lambda: node.why_not_ready,
                draining.set,
                partial(metrics.exposition, numbers, node.slots),
                hosts_of(settings.admin_host),
                gate_of(settings, admin),
                lambda: degraded.sentences,
            )
        )
        answering = tasks.create_task(private.answer(admin), name="admin")
        running = {"supervisor": supervisor.run(), "node": node.run()}
        if annotator:
            running["annotator"] = annotator.run()
        keeping = [tasks.create_task(each, name=name) for name, each in running.items()]
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, stop)
        freeze_gc()
        logger.info("the admin's port is on %s", url_of(admin))
        logger.info("node %s has %d slots", ledger.node, settings.slots)
        await draining.wait()
        logger.info("draining; sessions may go on for %g s", settings.drain_s)
        await node.drain(settings.drain_s, hurry, enough)
        private.should_exit = True
        await answering
        for each in keeping:
            each.cancel()


def _ignore(_: bool) -> None:
    """There is no pod to annotate."""


if __name__ == "__main__":
    sys.exit(main())
