"""Dispatchers and nodes in processes of their own, on a real Redis, with meetings in memory."""

import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dispatching import WAIT_TIMEOUT_S, Dispatcher, dispatcher, environ, printed_by
from processes import alive, descendants, parent, until
from redis_server import RedisServer

from avatar_runtime.programs import command

SEAL_KEY = "bm90aGluZyBvZiB2YWx1ZSBpcyBzZWFsZWQgaGVyZSE="


class NodeProgram:
    """A running node."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    def wait(self) -> None:
        """Until it is one."""
        until(lambda: " slots" in self.log() or self.process.poll() is not None, WAIT_TIMEOUT_S)
        assert self.process.poll() is None, self.log()

    @property
    def name(self) -> str:
        """By which slots are called."""
        found = re.search(r"node (\S+) has \d+ slots", self.log())
        assert found, self.log()
        return found[1]

    def admin(self) -> str:
        found = re.search(r"the admin's port is on ([^\s\"]+)", self.log())
        assert found, self.log()
        return found[1]

    def log(self) -> str:
        return self._log.read_text()

    def worker(self, session_id: str) -> int:
        """The process that took the session last on this node."""
        found = re.findall(
            rf"session {session_id} was taken by worker \d+ \(process (\d+)\)", self.log()
        )
        return int(found[-1])

    def family(self) -> set[int]:
        """Its zygote and its workers."""
        return {each for each in descendants(self.process.pid) if alive(each)}

    def zygote(self) -> int:
        (zygote,) = (each for each in self.family() if parent(each) == self.process.pid)
        return zygote

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit status after that signal."""
        self.tell(number)
        return self.process.wait(WAIT_TIMEOUT_S)


class Cluster:
    """What runs on one Redis; starts more when it is asked to."""

    def __init__(self, server: RedisServer, folder: Path, stack: ExitStack, lease_s: float) -> None:
        self.server = server
        self._folder = folder
        self._stack = stack
        self._count = 0
        self._settings = {
            "AVATAR_REDIS_URL": server.url,
            "AVATAR_SEAL_KEYS": SEAL_KEY,
            "AVATAR_LEASE_S": str(lease_s),
        }

    def log(self) -> Path:
        self._count += 1
        return self._folder / f"log-{self._count}"

    def start(
        self, dispatchers: int = 1, nodes: int = 1, slots: int = 2, /, **settings: str
    ) -> tuple[list[Dispatcher], list[NodeProgram]]:
        """So many, at the same time; they are ready, and all slots idle."""
        before = self.idle()
        chosen = {
            "AVATAR_SLOTS": str(slots),
            "AVATAR_WARM": str(slots),
            **self._settings,
            **settings,
        }
        started = [self._stack.enter_context(_node(self.log(), chosen)) for _ in range(nodes)]
        with ThreadPoolExecutor() as threads:
            entering = [
                threads.submit(self._stack.enter_context, dispatcher(self.log(), **chosen))
                for _ in range(dispatchers)
            ]
        services = [each.result() for each in entering]
        for node in started:
            node.wait()
        until(lambda: self.idle() >= before + nodes * slots)
        until(lambda: all(each.http.get("/readyz").status_code == 200 for each in services))
        return services, started

    def dispatcher(self) -> Dispatcher:
        """One more."""
        return self.start(1, 0)[0][0]

    def node(self, slots: int = 2, **settings: str) -> NodeProgram:
        """One more."""
        return self.start(0, 1, slots, **settings)[1][0]

    def pair(self, **settings: str) -> tuple[Dispatcher, NodeProgram]:
        """One of each."""
        (service,), (node,) = self.start(**settings)
        return service, node

    def idle(self) -> int:
        with self.server.client() as client:
            return int(client.zcard("{av}:idle"))


@contextmanager
def _node(log: Path, settings: dict[str, str]) -> Iterator[NodeProgram]:
    with log.open("wb") as file, printed_by(log).open("wb") as printed:
        process = subprocess.Popen(
            command("dispatcher.node.program"),
            env=environ(**settings),
            stderr=file,
            stdout=printed,
        )
    node = NodeProgram(process, log)
    family: set[int] = set()
    try:
        yield node
        family = node.family()
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
    until(lambda: not any(map(alive, family)))


@contextmanager
def cluster(server: RedisServer, folder: Path, lease_s: float = 1.5) -> Iterator[Cluster]:
    """Nothing yet, on an empty Redis; all that is started ends with the block."""
    server.flush()
    server.pretend_uptime()
    with ExitStack() as stack:
        yield Cluster(server, folder, stack, lease_s)
