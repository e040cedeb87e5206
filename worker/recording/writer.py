"""Writes a recording's lines into a bounded file, on a thread of its own."""

import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Final

from worker.recording.file import FORMAT, SUFFIX, Header, compose, pack
from worker.settings import Settings

logger = logging.getLogger("avatar.worker.recorder")

MOST_WAITING: Final = 2 * 1024 * 1024
"""Lines that wait for the writer (bytes): 20 s of a session with its sound."""

BLOCK: Final = 64 * 1024
BLOCK_S: Final = 1.0
"""A block is written when it is so long (bytes), or has waited so long."""

FINISH_S: Final = 1.0
"""How long the end of a session waits for the writer."""

RESERVE: Final = 256
"""Bytes that are kept for saying that the file is full."""

PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A session's name that may stand in a file's name."""

Report = Callable[[str], None]
"""Called by the thread with why a recording fails, or "" when one was written to its end."""


class Writer:
    """Writes notes into a file of its own, on a thread of its own.

    `note` never waits and never raises. Any thread may call it; the file keeps their order. It
    formats the line itself, so that the thread only compresses and writes, once a second.
    """

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], float],
        session: str,
        waiting: int,
        report: Report,
    ) -> None:
        self._report = report
        self._settings = settings
        self._now = now
        self._began = now()
        self._utc = datetime.now(UTC)
        self._session = session
        self._most_waiting = waiting
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._lines: list[bytes] = []
        self._waiting = 0
        self._lost = 0
        self._over = False
        self._thread = start_thread(self._run, self._fail)

    def note(self, what: str, **values: object) -> None:
        """A line of the file, sooner or later; bytes among the values are samples."""
        if self._over:
            return
        line = self._line(what, values)
        with self._lock:
            if len(line) > BLOCK or self._waiting + len(line) > self._most_waiting:
                self._lost += 1
                return
            if self._lost:
                self._lines.append(self._line("lost", {"lines": self._lost}))
                self._lost = 0
            self._lines.append(line)
            self._waiting += len(line)
        if self._waiting >= BLOCK:
            self._wake.set()

    def close(self) -> None:
        """Write what waits, unless the disk takes too long."""
        self._over = True
        self._wake.set()
        if self._thread is None:
            return
        self._thread.join(FINISH_S)
        if self._thread.is_alive():
            logger.warning("the end of the recording is lost: its disk is too slow")
            self._report("its disk is too slow")

    def _line(self, what: str, values: Mapping[str, object]) -> bytes:
        return compose(self._now() - self._began, what, values)

    def _run(self) -> None:
        try:
            with self._create() as file:
                self._write(file)
            self._report("")
        except OSError as error:
            self._fail(failure(self._settings.record, error))
        finally:
            self._over = True
            self._lines.clear()

    def _fail(self, reason: str) -> None:
        self._over = True
        logger.warning("the recording ends here, the session goes on: %s", reason)
        self._report(reason)

    def _create(self) -> FileIO:
        session = self._session if PLAIN.fullmatch(self._session) else secrets.token_hex(8)
        name = f"{self._utc:%Y%m%dT%H%M%S.%f}Z-{session}{SUFFIX}"
        make_folder(self._settings.record)
        path = Path(self._settings.record) / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        return os.fdopen(descriptor, "wb", buffering=0)

    def _write(self, file: FileIO) -> None:
        left = self._settings.record_mb * 1_000_000 - RESERVE
        for block in self._blocks():
            member = pack(block)
            left -= len(member)
            if left < 0:
                write_all(file, pack(self._line("full", {})))
                logger.warning(
                    "the recording is full, the session goes on: AVATAR_RECORD_MB is %d",
                    self._settings.record_mb,
                )
                return
            write_all(file, member)

    def _blocks(self) -> Iterator[bytes]:
        """Whole lines, as soon as they are many or old enough, to the end of the session."""
        header = Header.of(self._settings, self._utc.isoformat(), self._session)
        yield compose(0.0, "begin", {"format": FORMAT, **asdict(header)})
        over = False
        while not over:
            self._wake.wait(BLOCK_S)
            over = self._over
            yield from _in_blocks(self._taken())
        if self._lost:
            yield self._line("lost", {"lines": self._lost})

    def _taken(self) -> list[bytes]:
        """The lines that wait, which do so no longer."""
        with self._lock:
            self._wake.clear()
            lines, self._lines, self._waiting = self._lines, [], 0
        return lines


def _in_blocks(lines: list[bytes]) -> Iterator[bytes]:
    block = bytearray()
    for line in lines:
        block += line
        if len(block) >= BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def write_all(file: FileIO, data: bytes) -> None:
    """All of it, now: what is written is there when the worker is killed."""
    while data:
        data = data[file.write(data) :]


def make_folder(folder: str) -> None:
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)


def failure(folder: str, error: OSError) -> str:
    return f"AVATAR_RECORD is {folder!r}: {error.strerror or error}"


def start_thread(run: Callable[[], None], report: Report) -> threading.Thread | None:
    """A thread that holds up nobody's end; None where this process may start no more."""
    thread = threading.Thread(target=run, name="avatar-record", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        report(f"no thread could be started: {error}")
        return None
    return thread
