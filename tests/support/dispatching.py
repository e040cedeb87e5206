"""The dispatcher in a process of its own, with workers that meet in memory."""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from processes import alive, descendants, parent, shown, until

from avatar_runtime.programs import command

ROOT = Path(__file__).parents[2]
TOKEN = "eyJ.canary-token.sig"
WAIT_TIMEOUT_S = 120

QUICK = {
    "AVATAR_RENDERER": "plain_renderer:create",
    "AVATAR_SIZE": "64x64",
    "AVATAR_MEETING": "room_of_one:create",
    "AVATAR_PORT": "0",
    "AVATAR_ADMIN_PORT": "0",
}
"""What makes workers cheap, and ports nobody else's."""


def environ(**settings: str) -> dict[str, str]:
    """An environment with these settings and no others of ours."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AVATAR_")}
    places = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    return {**bare, "PYTHONPATH": places, **QUICK, **settings}


def printed_by(log: Path) -> Path:
    """Where stdout goes that has that log."""
    return log.with_suffix(".out")


class Dispatcher:
    """A running dispatcher, and what it can be asked."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log
        until(lambda: "listening on" in self.log() or process.poll() is not None, WAIT_TIMEOUT_S)
        found = re.search(r"listening on (\S+),", self.log())
        assert found, self.log()
        alone = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(base_url=found[1], timeout=30.0, limits=alone)

    def admin(self) -> str:
        """Where its admin's port is."""
        found = re.search(r"the admin's port is on ([^\s\"]+)", self.log())
        assert found, self.log()
        return found[1]

    def printed(self) -> str:
        """What it wrote to stdout."""
        return printed_by(self._log).read_text()

    def exported(self) -> dict[str, str]:
        """What its line for a shell would set there; with ``--local`` only."""
        (line,) = (each for each in self.printed().splitlines() if not each.startswith("#"))
        return dict(word.split("=", 1) for word in shlex.split(line)[1:])

    def log(self) -> str:
        return self._log.read_text()

    def launch(self, room: str, **fields: Any) -> httpx.Response:
        stock = {"token": TOKEN, "participant_id": "face", "signaling_base_url": None}
        return self.http.post("/launch", json={"room_name": room, **stock, **fields})

    def launched(self, room: str, **fields: Any) -> str:
        """The id of the session, which is launched."""
        answer = self.launch(room, **fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["session_id"])

    def sessions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get("/v1/sessions").json()["sessions"]
        return found

    def session(self, session_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/v1/sessions/{session_id}").json()
        return found

    def reach(self, session_id: str, state: str) -> dict[str, Any]:
        """The session once it is in that state."""
        until(lambda: self.session(session_id)["state"] == state)
        return self.session(session_id)

    def worker(self, session_id: str) -> int:
        """The process that took the session last."""
        found = re.findall(
            rf"session {session_id} was taken by worker \d+ \(process (\d+)\)", self.log()
        )
        return int(found[-1])

    def zygote(self) -> int:
        """The process that forks workers."""
        (zygote,) = (
            each for each in self.children() if b"worker.process.zygote" in shown(each, "cmdline")
        )
        return zygote

    def children(self) -> set[int]:
        """What it has started itself: the zygote, and with ``--local`` the room."""
        return {each for each in self.family() if parent(each) == self.process.pid}

    def family(self) -> set[int]:
        """All that is there because of it: its children, and all workers."""
        return {each for each in descendants(self.process.pid) if alive(each)}

    def warm(self, count: int) -> None:
        """Wait until there are that many workers."""
        until(lambda: len(self.family() - self.children()) == count)

    def free(self) -> None:
        """End all sessions, and wait until their workers are gone."""
        for session in self.sessions():
            self.http.delete(f"/v1/sessions/{session['session_id']}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit status after that signal."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_TIMEOUT_S)


def dispatcher(log: Path, *arguments: str, **settings: str) -> AbstractContextManager[Dispatcher]:
    """One that is ready; whatever the test leaves of it ends."""
    return _started(log, [], arguments, settings)


def dispatcher_of_few_files(log: Path, most: int) -> AbstractContextManager[Dispatcher]:
    """One that can open so many files at most, as under ``ulimit -n``."""
    return _started(log, ["prlimit", f"--nofile={most}"], (), {})


@contextmanager
def _started(
    log: Path, before: Sequence[str], arguments: Sequence[str], settings: Mapping[str, str]
) -> Iterator[Dispatcher]:
    with log.open("wb") as file, printed_by(log).open("wb") as printed:
        process = subprocess.Popen(
            [*before, *command("dispatcher", *arguments)],
            env=environ(**settings),
            stderr=file,
            stdout=printed,
        )
    try:
        running = Dispatcher(process, log)
        with running.http:
            yield running
        family = running.family()
    finally:
        process.kill()
        process.wait()
    until(lambda: not any(map(alive, family)))
