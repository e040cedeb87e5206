"""Hosts on one machine: network namespaces behind a bridge, which vanish with this process.

Whoever opens them moves into a namespace of its own, where the bridge is; each host is another
one, with an address and a link to that bridge. None of them has a name: the kernel keeps a
namespace for as long as a descriptor or a process holds it, so however this process ends nothing
is left behind, and the machine's own network is never touched.
"""

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from processes import alive, until

NETWORK: Final = "10.77.0"
"""A /24 that nothing outside ever sees."""

HUB: Final = f"{NETWORK}.1"
"""Where whoever opens the hosts is, beside the bridge."""

NEW_NETWORK: Final = 0x40000000
"""CLONE_NEWNET of <sched.h>."""

TOOLS: Final = ("ip", "iptables", "nsenter", "setpriv")
OWN: Final = Path("/proc/thread-self/ns/net")
END_S: Final = 5.0


def why_not() -> str:
    """Why there can be no hosts on this machine; nothing where they can be made."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} is not installed (Debian: iproute2, iptables, util-linux)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    home = _own_namespace()
    try:
        _unshare()
    except OSError as error:
        return f"this machine lends no network namespaces ({error.strerror})"
    else:
        _enter(home)
    finally:
        os.close(home)
    return ""


class Host:
    """One host: its processes have its network and nothing else of their own."""

    def __init__(self, number: int, namespace: int) -> None:
        self.name = f"host {number}"
        self.address = f"{NETWORK}.{number + 1}"
        self._port = f"port{number}"
        self._namespace = namespace
        self._blocked: list[tuple[str, ...]] = []
        self._started: list[subprocess.Popen[bytes]] = []
        _run("ip", "link", "add", self._port, "type", "veth", "peer", "eth0", "netns", self._path)
        _run("ip", "link", "set", self._port, "master", "bridge", "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")

    def start(self, log: IO[bytes], *command: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a program here, with that environment alone; it is killed when we end."""
        process = subprocess.Popen(
            [*self._inside(), "setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def run(self, *command: str) -> None:
        """Run a command here to its end. Raises CalledProcessError."""
        _run(*self._inside(), *command)

    def cut(self) -> None:
        """Nothing leaves and nothing arrives any more, as with a pulled cable."""
        _run("ip", "link", "set", self._port, "down")

    def restore(self) -> None:
        """Undo `cut` and `block`."""
        _run("ip", "link", "set", self._port, "up")
        while self._blocked:
            self.run("iptables", "--delete", *self._blocked.pop())

    def block(self, other: str, port: int) -> None:
        """Nothing leaves for that port of the other address, and nothing comes from it."""
        for chain, end, which in (("OUTPUT", "-d", "--dport"), ("INPUT", "-s", "--sport")):
            rule = (chain, end, other, "-p", "tcp", which, str(port), "-j", "DROP")
            self.run("iptables", "--append", *rule)
            self._blocked.append(rule)

    def processes(self) -> set[int]:
        """All that run here, and whatever they have started."""
        ours = os.fstat(self._namespace).st_ino
        return {pid for pid in _all_processes() if _namespace_of(pid) == ours and alive(pid)}

    def pause(self) -> None:
        """Stop all its processes where they stand, as a machine whose owner has paused it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End everything that runs here."""
        self._signal(signal.SIGKILL)
        for process in self._started:
            process.wait(END_S)
        until(lambda: not self.processes(), END_S)
        os.close(self._namespace)

    @property
    def _path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self._namespace}"

    def _inside(self) -> list[str]:
        return ["nsenter", f"--net={self._path}"]

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """That many hosts; this thread, and what it starts, is beside their bridge meanwhile.

    Raises OSError where there can be none; see `why_not`.
    """
    home = _own_namespace()
    made: list[Host] = []
    try:
        _unshare()
        hub = _own_namespace()
        try:
            _run("ip", "link", "set", "lo", "up")
            _run("ip", "link", "add", "bridge", "type", "bridge")
            _run("ip", "address", "add", f"{HUB}/24", "dev", "bridge")
            _run("ip", "link", "set", "bridge", "up")
            for number in range(1, count + 1):
                made.append(Host(number, _new_namespace(hub)))  # noqa: PERF401 - all end below
            yield made
        finally:
            os.close(hub)
    finally:
        for host in made:
            host.close()
        _enter(home)
        os.close(home)


def _new_namespace(back: int) -> int:
    """A descriptor that holds a new namespace; this thread goes `back` to its own."""
    _unshare()
    try:
        return _own_namespace()
    finally:
        _enter(back)


def _own_namespace() -> int:
    return os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)


def _unshare() -> None:
    _call("unshare", NEW_NETWORK)


def _enter(namespace: int) -> None:
    _call("setns", namespace, NEW_NETWORK)


def _call(name: str, *arguments: int) -> None:
    """A function of the C library that Python has from 3.12 on only. Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if library[name](*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _all_processes() -> Iterator[int]:
    return (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())


def _namespace_of(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return 0
