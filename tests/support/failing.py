"""What may fail while faces speak: how it is struck and mended, and whose speech may break."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

import redis
from cluster import LEASE_S, PORT, REDIS_PORT, HostCluster, HostNode
from onlooker import PIECE_S
from processes import alive, descendants, parent, shown
from silent import Silent
from talking import Talk

HOLD_S: Final = LEASE_S + 3.0
"""How long a failure lasts: past the end of any lease."""

SILENT: Final = 1100
"""Silent connections: more than a process may have files, where nobody has raised that."""

HEALED_S: Final = 2.0
"""How long one who is replaced may go on that could not know it, and can now; what it sends
the room takes no more."""

HEALED: Final = round(HEALED_S / PIECE_S)
APART: Final = round((HOLD_S + HEALED_S) / PIECE_S)
"""The documented case: a worker speaks on whose node cannot reach Redis, or stands still."""

Hit = Literal["the face", "its node's", "nobody's"]


@dataclass(frozen=True, slots=True)
class FailureTarget:
    """What a failure may touch: the cluster, and the face that it is aimed at."""

    cluster: HostCluster
    talk: Talk

    @property
    def node(self) -> HostNode:
        return self.cluster.home(self.talk.session)


Strike = Callable[[FailureTarget], Callable[[], None] | None]
"""Breaks something; returns what repairs it, where starting it again does not."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that fails.

    `hit` is whose speech may break, `doubles` in how many tenths of a second two may send one
    face's pictures. In a `discreet` room whoever is replaced is gone for all others but is not
    told, so that our own fence alone ends it. `store` says that no new session can be had.
    """

    name: str
    hit: Hit
    strike: Strike
    doubles: int = 0
    discreet: bool = False
    store: bool = False


def _kill_worker(scene: FailureTarget) -> None:
    os.kill(scene.cluster.worker(scene.talk.session), signal.SIGKILL)


def _kill_node(scene: FailureTarget) -> None:
    scene.node.kill()


def _kill_dispatcher(scene: FailureTarget) -> None:
    scene.cluster.dispatchers[0].kill()


def _kill_redis(scene: FailureTarget) -> None:
    scene.cluster.redis.kill()


def _empty_redis(scene: FailureTarget) -> None:
    with redis.Redis(scene.cluster.redis.host.address, REDIS_PORT) as store:
        store.flushall()


def _cut_off(scene: FailureTarget) -> Callable[[], None]:
    scene.node.host.cut()
    return scene.node.host.restore


def _cut_off_redis(scene: FailureTarget) -> Callable[[], None]:
    scene.node.host.block(scene.cluster.redis.host.address, REDIS_PORT)
    return scene.node.host.restore


def _stop_host(scene: FailureTarget) -> Callable[[], None]:
    scene.node.host.pause()
    return scene.node.host.resume


def _stop_worker(scene: FailureTarget) -> Callable[[], None]:
    return _stopped(scene.cluster.worker(scene.talk.session))


def _stop_node(scene: FailureTarget) -> Callable[[], None]:
    return _stopped(scene.node.pid)


def _stop_dispatcher(scene: FailureTarget) -> Callable[[], None]:
    return _stopped(scene.cluster.dispatchers[0].pid)


def _stop_redis(scene: FailureTarget) -> Callable[[], None]:
    return _stopped(scene.cluster.redis.pid)


def _stop_zygote(scene: FailureTarget) -> Callable[[], None]:
    """It has to be gone, and another in its place, long before it may go on."""
    node = scene.node
    before = _zygotes(node)
    go_on = [_stopped(pid) for pid in before]

    def replaced() -> None:
        for each in go_on:
            each()
        after = _zygotes(node)
        assert after, f"{node.name} has no process that forks workers"
        assert not after & before, f"{node.name} still has the one that was stopped"

    return replaced


def _zygotes(node: HostNode) -> set[int]:
    """The processes of that node that fork workers; workers are their children."""
    named = {
        each for each in descendants(node.pid) if b"worker.process.zygote" in shown(each, "cmdline")
    }
    return {each for each in named if alive(each) and parent(each) == node.pid}


def _be_silent(scene: FailureTarget) -> Callable[[], None]:
    """At a dispatcher, and as often as one hangs up."""
    lines = Silent((scene.cluster.dispatchers[0].host.address, PORT), SILENT)
    lines.start()
    return lines.stop


def _stopped(pid: int) -> Callable[[], None]:
    os.kill(pid, signal.SIGSTOP)

    def go_on() -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    return go_on


def _discreet(name: str, strike: Strike, doubles: int) -> Failure:
    """A node's failure where the room keeps to itself who is replaced."""
    return Failure(f"{name}, discreet room", "its node's", strike, doubles, discreet=True)


FAILURES: Final = (
    Failure("kill -9 of a worker", "the face", _kill_worker),
    Failure("kill -9 of a node", "its node's", _kill_node),
    Failure("kill -9 of a dispatcher", "nobody's", _kill_dispatcher),
    Failure("kill -9 of Redis, which comes back empty", "nobody's", _kill_redis, store=True),
    Failure("Redis emptied (FLUSHALL)", "nobody's", _empty_redis, store=True),
    Failure("a node cut off from all", "its node's", _cut_off, HEALED),
    _discreet("a node cut off from all", _cut_off, HEALED),
    Failure("a node cut off from Redis alone", "its node's", _cut_off_redis),
    _discreet("a node cut off from Redis alone", _cut_off_redis, APART),
    Failure("SIGSTOP of a worker", "the face", _stop_worker),
    Failure("SIGSTOP of a node's program", "its node's", _stop_node),
    _discreet("SIGSTOP of a node's program", _stop_node, APART),
    Failure("SIGSTOP of a node's whole host", "its node's", _stop_host, HEALED),
    _discreet("SIGSTOP of a node's whole host", _stop_host, HEALED),
    Failure("SIGSTOP of a dispatcher", "nobody's", _stop_dispatcher),
    Failure("SIGSTOP of Redis", "nobody's", _stop_redis, store=True),
    Failure("SIGSTOP of what forks a node's workers", "nobody's", _stop_zygote),
    Failure(f"{SILENT} silent connections", "nobody's", _be_silent),
)
