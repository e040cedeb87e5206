"""Descriptors: how many connections each port may have, so that workers can still be forked.

A connection, a worker and a file all take descriptors from one limit (RLIMIT_NOFILE). What workers,
Redis and this process itself need is set aside first; connections share the rest.
"""

import resource
from typing import Final, NamedTuple

from dispatcher.errors import SettingsError
from dispatcher.http.listener import extra

OWN: Final = 96
"""Libraries, logs, metrics, Redis and the listening sockets; and what is open for a moment."""

PER_WORKER: Final = 5
"""A pipe, the process and its numbers; a second end of the pipe while it is forked, and a spare."""

MOST_PUBLIC: Final = 512
MOST_ADMIN: Final = 64
LEAST: Final = 16
"""Fewer connections at a port than that are no service."""


class Shares(NamedTuple):
    """The most connections at the public port and at the admin's."""

    public: int
    admin: int


def share(limit: int, workers: int) -> Shares:
    """What a `limit` of descriptors leaves for connections beside that many `workers`.

    Raises SettingsError where that is too little.
    """
    rest = (limit - needed(workers, 0, 0)) * 8 // 9
    admin = min(MOST_ADMIN, rest // 4)
    shares = Shares(min(MOST_PUBLIC, rest - admin), admin)
    if min(shares) < LEAST:
        least = needed(workers, 3 * LEAST, LEAST)
        raise SettingsError(
            f"This process may open {limit} files, and needs {least} for its workers and its "
            "connections; raise the limit (`ulimit -n`, LimitNOFILE= of systemd), or lower "
            "AVATAR_SLOTS."
        )
    return shares


def needed(workers: int, public: int, admin: int) -> int:
    """Descriptors for that many workers and connections."""
    return OWN + PER_WORKER * workers + public + extra(public) + admin + extra(admin)


def shares_of_this_process(workers: int) -> Shares:
    """Raise this process' own limit as far as it needs and may, and `share` it.

    Raises SettingsError.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed(workers, MOST_PUBLIC, MOST_ADMIN)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return share(wanted if soft == resource.RLIM_INFINITY else soft, workers)
