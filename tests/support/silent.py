"""Connections on which nobody says anything."""

import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

AGAIN_S = 0.2


class Silent:
    """So many silent TCP connections to an address, opened anew whenever one of them is closed."""

    def __init__(self, address: tuple[str, int], count: int) -> None:
        self._address = address
        self._count = count
        self._lines: list[socket.socket] = []
        self._over = threading.Event()
        self._opening = threading.Thread(target=self._keep, name="silent", daemon=True)

    def start(self) -> None:
        """Keep so many open until `stop`."""
        self.open()
        self._opening.start()

    def stop(self) -> None:
        self._over.set()
        self._opening.join()
        self.close()

    def close(self) -> None:
        for line in self._lines:
            line.close()

    def open(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < self._count + 512:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(self._count + 512, hard), hard))
        self._open()

    def _keep(self) -> None:
        while not self._over.wait(AGAIN_S):
            gone = [line for line in self._lines if _is_closed(line)]
            for line in gone:
                line.close()
            self._lines = [line for line in self._lines if line not in gone]
            self._open()

    def _open(self) -> None:
        while len(self._lines) < self._count:
            line = socket.socket()
            line.setblocking(False)
            with suppress(BlockingIOError):
                line.connect(self._address)
            self._lines.append(line)


def _is_closed(line: socket.socket) -> bool:
    try:
        return line.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@contextmanager
def silent(address: tuple[str, int], count: int) -> Iterator[None]:
    """So many of them, opened once."""
    lines = Silent(address, count)
    lines.open()
    try:
        yield
    finally:
        lines.close()
