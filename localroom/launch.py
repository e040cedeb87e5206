"""Starts the local room as a process of its own, and asks its control.

The SDK's first request blocks the event loop it is made on, so the room cannot share it.
"""

import http.client
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from localroom.export import direct
from localroom.faults import Faults

END_S: Final = 5.0
POLL_S: Final = 0.01


class RoomError(Exception):
    """The room could not be started, or refused what it was asked."""


@dataclass(frozen=True, slots=True)
class LocalRoom:
    """A room that runs. Participants need `signaling_base_url`, and `environment` in theirs."""

    signaling_base_url: str
    ca: Path
    control_url: str

    @property
    def environment(self) -> dict[str, str]:
        return {"REQUESTS_CA_BUNDLE": str(self.ca), **direct(os.environ)}

    def state(self) -> dict[str, Any]:
        """The rooms, their peers and what flows; see `localroom.control.api`."""
        state: dict[str, Any] = self._request("GET", "/state")
        return state

    def set_faults(self, faults: Faults) -> None:
        """Replace all faults."""
        self._request("PUT", "/faults", faults.as_json())

    def watch_url(self, room: str, participant: str) -> str:
        """A page that shows a participant, for a browser on this machine."""
        return f"{self.control_url}/watch/{quote(room, '')}/{quote(participant, '')}"

    def whep_url(self, room: str, participant: str) -> str:
        """The WHEP endpoint of a participant."""
        return f"{self.control_url}/whep/{quote(room, '')}/{quote(participant, '')}"

    def watchers(self) -> list[dict[str, Any]]:
        """Who watches by WHEP, and what flows to them."""
        found: list[dict[str, Any]] = self._request("GET", "/whep")
        return found

    def act(self, room: str, peer: str, action: str) -> None:
        """Do something to a peer's signalling: drop, cut, freeze, thaw, dismiss."""
        self._request("POST", f"/rooms/{quote(room, '')}/peers/{quote(peer, '')}/{action}")

    def wait_until_connected(self, room: str, timeout_s: float = 10.0) -> None:
        """Return when data flows between all in `room`. Raises TimeoutError. Blocks the caller."""
        give_up = time.monotonic() + timeout_s
        while time.monotonic() < give_up:
            if self.state().get(room, {}).get("settled"):
                return
            time.sleep(POLL_S)
        raise TimeoutError(f"Room {room} was not connected within {timeout_s:g} s.")

    def _request(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self.control_url).netloc, timeout=END_S)
        try:
            connection.request(method, path, json.dumps(body))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise RoomError(f"The room refused {method} {path}: {answer.get('error')}")
        return answer


@contextmanager
def local_room(*arguments: str) -> Iterator[LocalRoom]:
    """Start ``python -m localroom``; it ends with the block, and with this process.

    Raises RoomError where it does not start.
    """
    free = ("--port", "0", "--control-port", "0")
    command = [sys.executable, "-P", "-m", "localroom", "--until-eof", *free, *arguments]
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(  # noqa: S603 - our own program
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RoomError(f"The room ended with status {process.wait()}; see what it said.")
        yield _parse(line)
    finally:
        process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _parse(line: str) -> LocalRoom:
    values = dict(word.split("=", 1) for word in shlex.split(line)[1:])
    return LocalRoom(
        values["SIGNALING_BASE_URL"],
        Path(values["REQUESTS_CA_BUNDLE"]),
        values["LOCALROOM_CONTROL"],
    )
