"""Cells of the fault matrix: one conversation each, of real processes in one local room server.

Nobody's peer ids are another cell's, since faults are per peer id, so cells run side by side.
Everybody joins undisturbed; the faults begin with the first turn and end with the last.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal

from dispatching import ROOT, Dispatcher, dispatcher
from matrix_agent import Diary
from matrix_figures import PlayedConversation
from matrix_script import speech
from matrix_tap import FOLDER, read, tap_of
from processes import until

from localroom.faults import DatagramFaults, Faults, MessageFaults, PeerFaults
from localroom.launch import LocalRoom, local_room

Kind = Literal["ours", "stock"]

SUPPORT: Final = Path(__file__).parent
AT_ONCE: Final = 3

LISTENS_S: Final = 1.0
"""The SDK agrees to a data channel some time before it listens to it, and nothing tells when.
What a stock agent says until then is lost, as on the platform."""

FAULTS: Final = {
    "none": PeerFaults(),
    "5 % datagrams lost": PeerFaults(datagrams=DatagramFaults(loss=0.05)),
    "20 % datagrams lost": PeerFaults(datagrams=DatagramFaults(loss=0.2)),
    "30 % messages reordered by 300 ms": PeerFaults(MessageFaults(reorder=0.3, jitter_s=0.3)),
    "10 % messages doubled": PeerFaults(MessageFaults(duplicate=0.1)),
    "200 ms one way": PeerFaults(datagrams=DatagramFaults(delay_s=0.1)),
}
"""Each for the agent and for the face: what goes from one to the other passes both, so datagrams
are delayed by 0.1 s at each of them. Message faults act on what each of them sends."""

SLOWEST: Final = "20 % datagrams lost"


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """Who talks to whom, and what goes wrong meanwhile."""

    agent: Kind
    worker: Kind
    fault: str

    @property
    def room(self) -> str:
        return f"{self.agent}-{self.worker}-{list(FAULTS).index(self.fault)}"


class MatrixRoom:
    """The local room and the dispatcher that all cells share.

    `stock_python` is an interpreter that has videosdk-agents.
    """

    def __init__(
        self, local: LocalRoom, running: Dispatcher, folder: Path, stock_python: Path | None
    ) -> None:
        self._local = local
        self._dispatcher = running
        self._folder = folder
        self._stock_python = stock_python
        self._peers: dict[str, PeerFaults] = {}
        self._lock = Lock()

    def play(self, cell: MatrixCell) -> PlayedConversation:
        """Play the cell's conversation. Raises AssertionError with what its programs said."""
        agent, face = f"agent-{cell.room}", f"face-{cell.room}"
        tap = tap_of(self._folder, cell.room)
        host = self._local.signaling_base_url
        with ExitStack() as programs:
            url = []
            if cell.worker == "ours":
                url = [str(self._dispatcher.http.base_url.join("/launch"))]
            else:
                worker = self._program("matrix_worker", "stock", cell.room, face, host, str(tap))
                programs.enter_context(worker).wait_for("started")
            said = programs.enter_context(
                self._program(
                    "matrix_agent", cell.agent, cell.agent, cell.room, agent, face, host, *url
                )
            )
            said.wait_for("ready")
            self._both_in(cell.room, {agent, face})
            with self._faults({agent: FAULTS[cell.fault], face: FAULTS[cell.fault]}):
                said.tell("go")
                diary = Diary(**json.loads(said.wait_for("{")))
        self._end(cell.room)
        diary.begun = {int(turn): at for turn, at in diary.begun.items()}
        diary.outcomes = {int(turn): outcome for turn, outcome in diary.outcomes.items()}
        return PlayedConversation(speech(cell.room), read(tap), diary)

    def _both_in(self, room: str, peers: set[str]) -> None:
        until(lambda: set(self._local.state().get(room, {}).get("peers", ())) == peers)
        try:
            self._local.wait_until_connected(room)
        except TimeoutError as late:
            raise AssertionError(f"{late} {self._local.state().get(room)}") from late
        time.sleep(LISTENS_S)

    def _end(self, room: str) -> None:
        """End the session there, if any, so that its slot is free."""
        with self._lock:
            for session in self._dispatcher.http.get("/v1/sessions").json()["sessions"]:
                if session["room"] == room:
                    self._dispatcher.http.delete(f"/v1/sessions/{session['session_id']}")

    @contextmanager
    def _faults(self, peers: dict[str, PeerFaults]) -> Iterator[None]:
        """The room takes all faults at once, so each cell adds its own to those of the others."""
        with self._lock:
            self._peers |= peers
            self._local.set_faults(Faults(peers=self._peers))
        try:
            yield
        finally:
            with self._lock:
                for peer in peers:
                    del self._peers[peer]
                self._local.set_faults(Faults(peers=self._peers))

    def _program(self, name: str, kind: Kind, *arguments: str) -> "LineProgram":
        python = sys.executable
        if kind == "stock":
            assert self._stock_python is not None, "stock peers need an interpreter of their own"
            python = str(self._stock_python)
        log = self._folder / f"{name}-{arguments[0]}-{arguments[1]}.log"
        return LineProgram([python, str(SUPPORT / f"{name}.py"), *arguments], log, self._local)


class LineProgram:
    """One of our programs, in the room: lines in and out; it ends when its stdin does."""

    def __init__(self, command: list[str], log: Path, local: LocalRoom) -> None:
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env=os.environ | local.environment | {"PYTHONPATH": _path()},
            )

    def __enter__(self) -> "LineProgram":
        return self

    def __exit__(self, *_: Any) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def wait_for(self, begin: str) -> str:
        """The next line that begins so."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(begin):
                return line
        raise AssertionError(f"{self._log.name} has ended:\n{self._log.read_text()[-4000:]}")


def play_all(
    cells: Iterable[MatrixCell], folder: Path, stock_python: Path | None = None
) -> dict[MatrixCell, PlayedConversation]:
    """Some cells at once, the slowest first: conversations wait more than they work."""
    ordered = sorted(cells, key=lambda cell: cell.fault != SLOWEST)
    with (
        matrix_stage(folder, stock_python) as stage,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        return dict(zip(ordered, threads.map(stage.play, ordered), strict=True))


@contextmanager
def matrix_stage(folder: Path, stock_python: Path | None = None) -> Iterator[MatrixRoom]:
    """A room and a dispatcher whose workers are tapped; taps and logs go to `folder`."""
    with local_room() as local:
        settings = {
            "AVATAR_MEETING": "matrix_tap:create",
            "AVATAR_SIGNALING_HOSTS": local.signaling_base_url,
            "AVATAR_SLOTS": "8",
            FOLDER: str(folder),
            "PYTHONPATH": _path(),
            **local.environment,
        }
        with dispatcher(folder / "dispatcher.log", **settings) as running:
            yield MatrixRoom(local, running, folder, stock_python)


def _path() -> str:
    return os.pathsep.join([str(ROOT), str(SUPPORT)])
