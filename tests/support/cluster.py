"""A pool of faces on three hosts: Redis and two dispatchers, two nodes, each program real."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography.fernet import Fernet
from dispatching import environ
from hosts import Host, hosts
from hosts import why_not as hosts_why_not
from processes import until
from redis_server import program as redis_program

from localroom.launch import LocalRoom

REDIS_PORT: Final = 6379
PORT: Final = 8089
LEASE_S: Final = 4
DRAIN_S: Final = 6

CHEAP: Final = {
    "AVATAR_RENDERER": "plain_renderer:create",
    "AVATAR_SIZE": "64x64",
    "AVATAR_SLOTS": "4",
    "AVATAR_WARM": "1",
    "AVATAR_LEASE_S": str(LEASE_S),
    "AVATAR_DRAIN_S": str(DRAIN_S),
    "AVATAR_RATE": "6000/minute",
}
"""Settings for two cores: plain pictures, and timers short enough to wait for."""

START_S: Final = 60.0
STOP_S: Final = 30.0
QUICK_S: Final = 2.0
"""How long whoever is well may take to answer."""

EMPTY_REDIS: Final = ("--save", "", "--appendonly", "no", "--protected-mode", "no")
"""One that keeps nothing: killed, it comes back empty."""


def why_not() -> str:
    """Why there can be no cluster on this machine; nothing where there can."""
    return hosts_why_not()


class HostProgram:
    """A program on a host, which may die and be started again; its log goes on."""

    def __init__(
        self, host: Host, name: str, folder: Path, *command: str, **environment: str
    ) -> None:
        self.host = host
        self.name = name
        self.log_path = folder / f"{name}.log"
        self.log_path.touch()
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    def start(self) -> None:
        self.starts += 1
        with self.log_path.open("ab") as log:
            self._process = self.host.start(log, *self._command, **self._environment)

    def runs_from(self, tree: Path | None) -> None:
        """From the next start on, its code is that of this `tree`; None stands for our own."""
        ours = self._environment["PYTHONPATH"].split(os.pathsep)[-2:]
        places = ours if tree is None else [str(tree), *ours]
        self._environment["PYTHONPATH"] = os.pathsep.join(places)

    def stop(self) -> None:
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self, timeout_s: float = STOP_S) -> int:
        """Its exit status, once it has ended."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.wait(timeout_s)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")


class HostDispatcher(HostProgram):
    """Takes join requests."""

    @property
    def url(self) -> str:
        return f"http://{self.host.address}:{PORT}"

    def ready(self) -> bool:
        return _answers(f"{self.url}/readyz")


class HostNode(HostProgram):
    """Has workers."""

    def ready(self) -> bool:
        """Whether it has said so as often as it was started."""
        said = re.findall(r"has \d+ slots", self.log())
        return len(said) == self.starts


class HostCluster:
    """Host 1 has Redis and a dispatcher, host 2 another one and a node, host 3 a node."""

    def __init__(self, machines: list[Host], room: LocalRoom, folder: Path) -> None:
        self.hosts = machines
        self.folder = folder
        first, second, third = machines
        self._settings = environ(
            AVATAR_AUTH="none",
            AVATAR_HOST="0.0.0.0",
            AVATAR_PORT=str(PORT),
            AVATAR_ADMIN_PORT="0",
            AVATAR_MEETING="videosdk",
            AVATAR_REDIS_URL=f"redis://{first.address}:{REDIS_PORT}/0",
            AVATAR_SEAL_KEYS=Fernet.generate_key().decode(),
            AVATAR_SIGNALING_HOSTS=room.signaling_base_url,
            **room.environment,
            **CHEAP,
        )
        where = ("--bind", first.address, "--port", str(REDIS_PORT), "--dir", str(folder))
        self.redis = HostProgram(
            first, "redis", folder, redis_program(), *where, *EMPTY_REDIS, PATH=os.environ["PATH"]
        )
        self.dispatchers = [self._dispatcher(first, "A"), self._dispatcher(second, "B")]
        self._numbers = count(1)
        self.nodes = [self._node(second), self._node(third)]

    @property
    def programs(self) -> list[HostProgram]:
        return [self.redis, *self.dispatchers, *self.nodes]

    def succeed(self, old: HostNode, tree: Path | None = None) -> None:
        """Start a node on the same host, which has the other's place here from now on; of the
        version in that `tree`, if one is given."""
        new = self._node(old.host, tree)
        new.runs_from(tree)
        self.nodes[self.nodes.index(old)] = new
        new.start()

    def _node(self, host: Host, tree: Path | None = None) -> HostNode:
        """In the tree of an older version, the program is one file."""
        number = next(self._numbers)
        is_file = tree is not None and (tree / "dispatcher" / "node.py").is_file()
        module = "dispatcher.node" if is_file else "dispatcher.node.program"
        command = (sys.executable, "-P", "-m", module)
        name = f"node-{number}"
        settings = {**self._settings, "AVATAR_NODE_NAME": name}
        return HostNode(host, name, self.folder, *command, **settings)

    def _dispatcher(self, host: Host, name: str) -> HostDispatcher:
        command = (sys.executable, "-P", "-m", "dispatcher")
        return HostDispatcher(host, f"dispatcher-{name}", self.folder, *command, **self._settings)

    def start(self) -> None:
        """Start what does not run."""
        for program in self.programs:
            if not program.runs:
                program.start()

    def until_ready(self) -> None:
        """Wait until all of it takes sessions. Blocks the caller."""
        for program in (*self.dispatchers, *self.nodes):
            until(lambda program=program: program.ready() or not program.runs, START_S)  # type: ignore[misc]
            if not program.runs:
                raise RuntimeError(f"{program.name} has ended:\n{program.log()[-2000:]}")

    def session(self, session_id: str) -> dict[str, Any] | None:
        """What whichever dispatcher is well says of it; None where none knows it."""
        for dispatcher in self.dispatchers:
            try:
                url = f"{dispatcher.url}/v1/sessions/{session_id}"
                answer = httpx.get(url, timeout=QUICK_S, verify=False)
            except httpx.HTTPError:
                continue
            if answer.status_code == 200:
                found: dict[str, Any] = answer.json()
                return found
        return None

    def home(self, session: dict[str, Any]) -> HostNode:
        """The node that has the session. Raises KeyError where it is none of ours now."""
        return {node.name: node for node in self.nodes}[self.named(session)]

    def named(self, session: dict[str, Any]) -> str:
        """The name of the node that has the session; a slot is ``NAME@INCARNATION/N``."""
        return re.split("[@/]", str(session["slot"]))[0]

    def worker(self, session: dict[str, Any]) -> int:
        """The process that took the session last on the node that has it."""
        found = re.findall(
            rf"session {session['session_id']} was taken by worker \d+ \(process (\d+)\)",
            self.home(session).log(),
        )
        return int(found[-1])


@contextmanager
def machines(count: int) -> Iterator[list[Host]]:
    """Hosts, with SIGTERM ending the block as Ctrl-C does, even in a shell's background."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with hosts(count) as made:
            yield made
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def cluster(room: LocalRoom, made: list[Host], folder: Path) -> Iterator[HostCluster]:
    """One that takes sessions; its programs end with their hosts."""
    running = HostCluster(made, room, folder)
    with ExitStack() as stack:
        for host in made:
            stack.callback(host.resume)
        running.start()
        running.until_ready()
        yield running


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=QUICK_S, verify=False).status_code == 200
    except httpx.HTTPError:
        return False
