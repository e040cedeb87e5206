"""The preloaded fork server: one line in on a pipe, one warm worker out.

Run it as ``python -P -m worker.process.zygote [MB]`` with one end of a pair of Unix sockets as
its stdin (SOCK_SEQPACKET, so that one packet is one line and may carry descriptors); each worker
may have MB of memory of its own. It imports all that a worker needs, makes a renderer, says
``ready``, and then does what it is told:

    in:   fork 7   with a socket   a warm worker, whose stdin and stdout are that socket; with a
                   second descriptor, it counts in the memory behind that
          term 7                   SIGTERM: speak out what was begun, leave
          kill 7                   SIGKILL
          ping 3                   whether it still does what it is told
    out:  ready
          pong 3                   all that came before that ping is done
          born 7 4711              its process id
          died 7 -9                its exit status, below zero for a signal

Forking takes a few milliseconds and shares the memory of what was imported; a new process
would take most of a second and 100 MB. When stdin ends, the dispatcher is gone: the workers
hear that too, as their own sockets end, and whoever has not left then is killed.

A thread does not survive a fork, so nothing here starts one, nor an event loop.
"""

import logging
import os
import resource
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from worker.renderer import Renderer

LEAVE_S: Final = 3.5
"""How long workers may take to leave once the dispatcher is gone."""

MAX_LINE: Final = 64

SINGLE: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Numpy's libraries start threads when they are imported, unless these are 1."""


logger = logging.getLogger("avatar.worker.zygote")


class Zygote:
    """The parent of all workers: answers one dispatcher on `line`, and buries its children."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._slots: dict[int, int] = {}
        self._wake_read, self._wake_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> tuple[socket.socket, int | None] | None:
        """Fork workers until the dispatcher is gone; returns None then.

        Returns the worker's socket and the descriptor of its block in each child.
        """
        self._tell("ready")
        while True:
            readable, _, _ = select.select([self._line.fileno(), self._wake_read], [], [])
            if self._wake_read in readable:
                self._bury()
            if self._line.fileno() not in readable:
                continue
            try:
                line, descriptors, _, _ = socket.recv_fds(self._line, MAX_LINE, 2)
            except ConnectionError:
                line, descriptors = b"", []
            if not line:
                break
            verb, slot = line.decode().split()
            if verb == "fork":
                if self._fork(int(slot)):
                    block = descriptors[1] if len(descriptors) > 1 else None
                    return socket.socket(fileno=descriptors[0]), block
                for descriptor in descriptors:
                    os.close(descriptor)
            elif verb == "ping":
                self._tell(f"pong {slot}")
            else:
                self._signal(int(slot), signal.SIGTERM if verb == "term" else signal.SIGKILL)
        self._end()
        return None

    def _fork(self, slot: int) -> bool:
        """True in the child."""
        try:
            pid = os.fork()
        except OSError as error:
            logger.error("cannot fork: %s; the machine has no room for more", error)
            self._tell(f"died {slot} {os.EX_OSERR}")
            return False
        if pid == 0:
            self._let_go()
            return True
        self._slots[pid] = slot
        self._tell(f"born {slot} {pid}")
        return False

    def _let_go(self) -> None:
        """In the child: nothing of the zygote's is left open."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._line.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _signal(self, slot: int, number: signal.Signals) -> None:
        """A worker that was not buried yet keeps its process id, so it hits nobody else."""
        for pid, each in self._slots.items():
            if each == slot:
                os.kill(pid, number)

    def _bury(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        while self._slots:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            self._tell(f"died {self._slots.pop(pid)} {os.waitstatus_to_exitcode(status)}")

    def _end(self) -> None:
        deadline = time.monotonic() + LEAVE_S
        while self._slots and (left := deadline - time.monotonic()) > 0:
            select.select([self._wake_read], [], [], left)
            self._bury()
        for pid in self._slots:
            os.kill(pid, signal.SIGKILL)
        while self._slots:
            self._slots.pop(os.wait()[0])

    def _tell(self, line: str) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # noticed where it is read
            self._line.send(line.encode())


def warm_up(renderer: "Renderer") -> None:
    """Let it speak a little, so that what it loads on first use is there before the fork."""
    import numpy as np

    hum = (3000 * np.sin(np.arange(960) / 20)).astype(np.int16)
    for _ in range(8):
        renderer.push(1, hum)
    renderer.finish(1)
    renderer.drain()
    renderer.idle()
    renderer.close()


def warn_of_threads() -> None:
    """Say so where a renderer has started threads: the workers will not have them."""
    try:
        threads = len(list(Path("/proc/self/task").iterdir()))
    except OSError:  # no /proc is mounted
        return
    if threads > 1:
        logger.warning(
            "%d threads were started before the fork and will be missing in the workers; "
            "a renderer should start its threads when it is first pushed to",
            threads - 1,
        )


def limit_memory(megabytes: int) -> None:
    """Let this process have so much of its own, on top of what it shares with the zygote.

    What is asked for beyond that is refused (MemoryError), and the worker ends instead of others.
    It is what RLIMIT_DATA counts: heap and private pages, not files and libraries that are mapped.
    """
    if megabytes:
        try:
            limit = _own_memory() + megabytes * 2**20
        except OSError as error:
            logger.error("AVATAR_WORKER_MEMORY_MB limits nothing: /proc is missing (%s)", error)
            return
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _own_memory() -> int:
    """What counts for RLIMIT_DATA now (bytes)."""
    (line,) = (
        each
        for each in Path("/proc/self/status").read_text().splitlines()
        if each.startswith("VmData:")
    )
    return int(line.split()[1]) * 1024


def main() -> int:
    """The program; returns the exit status of the zygote, and in each child the worker's."""
    for name in SINGLE:
        os.environ[name] = "1"
    # Imported here, as numpy reads those variables once.
    from worker import __main__ as program
    from worker.errors import WorkerError
    from worker.process import logs, tracing
    from worker.process.control_channel import ControlChannel
    from worker.process.loading import load_before_fork, load_meeting, load_renderer, preload
    from worker.process.metrics import Metrics
    from worker.recording.recorder import prepare
    from worker.settings import Settings
    from worker.tools.arguments import REFUSED

    try:
        settings = Settings.from_env(os.environ)
        logs.set_up(settings.log_level, settings.log_format)
        prepare(settings)
        if settings.tracing:
            tracing.load()
        make = load_meeting(settings)
        renderer = load_before_fork(settings)
        if renderer is not None:
            warm_up(renderer)
            renderer = load_renderer(settings)
            preload(settings)
    except WorkerError as error:
        return program.give_up(error, REFUSED)
    warn_of_threads()
    program.settle()
    forked = Zygote(socket.socket(fileno=os.dup(sys.stdin.fileno()))).run()
    if forked is None:
        return program.EXIT_OK
    channel, block = forked
    limit_memory(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    program.stop_quietly()
    for descriptor in (0, 1):
        os.dup2(channel.fileno(), descriptor)
    channel.close()
    try:
        metrics = Metrics() if block is None else Metrics.shared(block)
    except (OSError, ValueError) as error:
        logger.error("this worker is not counted in the metrics: %s", error)
        metrics = Metrics()
    if block is not None:
        os.close(block)
    if renderer is None:
        try:
            renderer = load_renderer(settings)
        except WorkerError as error:
            return program.give_up(error, REFUSED)
    return program.serve(settings, make, renderer, metrics, ControlChannel())


if __name__ == "__main__":
    sys.exit(main())
