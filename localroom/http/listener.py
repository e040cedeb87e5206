"""Listener: a listening socket whose connections are counted when they are accepted.

Whoever connects and says nothing costs a descriptor. So only so many connections are open at a
time; beyond that the one that has been silent for longest is closed for each that comes. A
connection is silent until `busy` is called for it, and again from `quiet` on. Where this process or
the machine can open no more files, whoever comes is hung up on, which is said in the log once a
second. asyncio's own answer is a traceback for each place in the backlog, each second.
"""

import asyncio
import errno
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

SAY_AGAIN_S: Final = 1.0
"""Between two lines in the log about the same."""

NO_MORE_FILES: Final = (errno.EMFILE, errno.ENFILE)

logger = logging.getLogger("avatar.localroom.listener")


def extra(most: int) -> int:
    """Connections beyond the limit, while those that were closed for them are still on their way
    out, or that are told that there are too many. So few come at a time that whoever speaks at once
    is read before it is the oldest of the silent."""
    return max(4, most // 8)


class Complaints:
    """One kind of trouble, which is logged once in `SAY_AGAIN_S` however often it happens."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at: float | None = None
        self._count = 0

    def add(self, text: str) -> None:
        """It has happened once more; `text` says what."""
        self._count += 1
        now = self._clock()
        if self._said_at is None or now - self._said_at >= SAY_AGAIN_S:
            logger.warning("%s (%d times since this was last said)", text, self._count)
            self._said_at, self._count = now, 0


class Connection(socket.socket):
    """A connection that was accepted; `closed` is called with its descriptor when it is closed."""

    closed: Callable[[int], None]

    def close(self) -> None:
        descriptor = self.fileno()
        super().close()
        if descriptor >= 0:
            self.closed(descriptor)


class Listener(socket.socket):
    """A TCP socket for asyncio's servers, with `most` connections at a time."""

    def __init__(self, family: int, kind: int, protocol: int, most: int) -> None:
        super().__init__(family, kind, protocol)
        self._most = most
        self._extra = extra(most)
        self._open: dict[int, Connection] = {}
        self._silent: dict[int, Connection] = {}
        """In the order in which they fell silent."""
        self._leaving: set[int] = set()
        """Closed by us, and not gone yet."""
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._crowd = Complaints()
        self._failures = Complaints()

    @property
    def crowded(self) -> bool:
        """Whether so many connections are busy that another one has to come later."""
        return self._staying - len(self._silent) >= self._most

    @property
    def _staying(self) -> int:
        return len(self._open) - len(self._leaving)

    def busy(self, transport: asyncio.BaseTransport) -> None:
        """The other side of that connection has said what it wants."""
        self._silent.pop(_descriptor(transport), None)

    def quiet(self, transport: asyncio.BaseTransport) -> None:
        """It has to say something again."""
        descriptor = _descriptor(transport)
        if descriptor in self._open and descriptor not in self._leaving:
            self._silent.setdefault(descriptor, self._open[descriptor])

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises BlockingIOError where there is none for now."""
        if len(self._open) >= self._most + self._extra:
            if not self._leaving:
                self._crowd.add("too many connections are busy; a new one was closed")
                self._hang_up()
            raise BlockingIOError
        try:
            accepted, address = super().accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            raise
        except OSError as error:
            self._failures.add(f"no connection can be accepted: {error.strerror}")
            if error.errno in NO_MORE_FILES:
                self._close_oldest()
                self._hang_up()
            raise BlockingIOError from error
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        connection = Connection(family, kind, protocol, fileno=accepted.detach())
        connection.closed = self._forget
        self._open[connection.fileno()] = connection
        if self._staying > self._most:
            self._close_oldest()
        self._silent[connection.fileno()] = connection
        return connection, address

    def close(self) -> None:
        super().close()
        self._drop_spare()

    def _close_oldest(self) -> None:
        """Its transport hears that, and closes the descriptor as soon as it can."""
        if not self._silent:
            return
        descriptor = next(iter(self._silent))
        connection = self._silent.pop(descriptor)
        self._leaving.add(descriptor)
        with suppress(OSError):  # it has left by itself
            connection.shutdown(socket.SHUT_RDWR)
        self._crowd.add("there are too many connections; the one silent for longest was closed")

    def _hang_up(self) -> None:
        """Take whoever waits off the queue, with the descriptor that is kept for that."""
        self._drop_spare()
        with suppress(OSError):
            super().accept()[0].close()
        with suppress(OSError):  # somebody else has it now; the next one may be kept
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _drop_spare(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _forget(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        self._silent.pop(descriptor, None)
        self._leaving.discard(descriptor)


def listen(host: str, port: int, most: int) -> Listener:
    """A socket that listens at an IPv4 address, for `most` connections. Raises OSError."""
    listener = Listener(socket.AF_INET, socket.SOCK_STREAM, 0, most)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _descriptor(transport: asyncio.BaseTransport) -> int:
    found = transport.get_extra_info("socket")
    return -1 if found is None else int(found.fileno())
