"""The zygote: warm workers in no time, each on its control_channel, and nobody left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dispatching import TOKEN, WAIT_TIMEOUT_S, environ
from processes import alive, until
from room_of_one import CRASHED

from agent_side.join import JoinInfo


class Line:
    """A zygote in a process of its own, and the dispatcher's end of its line."""

    def __init__(self, **settings: str) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(WAIT_TIMEOUT_S)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "worker.process.zygote"],
            stdin=theirs.fileno(),
            stderr=subprocess.PIPE,
            env=environ(**settings),
            text=True,
        )
        theirs.close()
        self.workers: list[Worker] = []

    def hear(self) -> str:
        return self.socket.recv(100).decode()

    def fork(self, slot: int) -> "Worker":
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self.socket, [f"fork {slot}".encode()], [theirs.fileno()])
        verb, number, pid = self.hear().split()
        assert (verb, number) == ("born", str(slot))
        self.workers.append(Worker(ours, int(pid)))
        return self.workers[-1]

    def tell(self, order: str) -> None:
        self.socket.send(order.encode())

    def close(self) -> None:
        self.socket.close()
        for worker in self.workers:
            worker.close()
        self.process.communicate(timeout=WAIT_TIMEOUT_S)


class Worker:
    """A worker that was forked, and the dispatcher's end of its control_channel."""

    def __init__(self, control_channel: socket.socket, pid: int) -> None:
        control_channel.settimeout(WAIT_TIMEOUT_S)
        self.control_channel = control_channel
        self.pid = pid
        self._lines = control_channel.makefile("rb")

    def join(self, room: str) -> None:
        self.control_channel.sendall(JoinInfo(room, TOKEN).to_json().encode() + b"\n")

    def says(self) -> dict[str, Any]:
        """What it says next of its state."""
        while (said := self.says_anything())["state"] in ("counters", "heard"):
            pass
        return said

    def says_anything(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self._lines.readline())
        return said

    def let_go(self) -> None:
        self.control_channel.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._lines.close()
        self.control_channel.close()


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    try:
        assert line.hear() == "ready"
        yield line
    finally:
        line.close()


IDLE = {"state": "idle"}
JOINING = {"state": "joining", "within_s": 20.0}
ACTIVE = {"state": "active"}
ASKING = {"state": "asking", "serial": 1}
LOST = {"state": "rejoining", "reason": "The room was gone for a while."}


def test_each_worker_gets_ready_and_its_death_is_told(line: Line) -> None:
    for slot in range(5):
        worker = line.fork(slot)
        assert worker.says() == IDLE
        worker.close()
        assert line.hear() == f"died {slot} 0"


def test_a_worker_tells_how_far_it_is_and_leaves_when_its_leash_ends(line: Line) -> None:
    worker = line.fork(1)
    worker.join("room")
    assert [worker.says() for _ in range(3)] == [IDLE, JOINING, ACTIVE]
    worker.let_go()
    assert worker.says() == {"state": "ended", "reason": "The worker was told to stop."}
    assert line.hear() == "died 1 0"
    worker.close()


@pytest.mark.parametrize(
    ("room", "states", "reason", "status"),
    [
        ("leaves", [JOINING, ACTIVE], "The meeting is over.", 0),
        ("lost", [JOINING, ACTIVE], "The room is gone.", 1),
        ("again", [JOINING, ACTIVE, LOST, ASKING], None, -signal.SIGKILL),
        ("dismissed", [JOINING, ACTIVE], "The room told the worker to leave.", 0),
        ("closed", [JOINING], "The room lets nobody in; try another.", 1),
        ("refused", [JOINING], "The room refused the token; send a fresh one.", 2),
        ("crash", [JOINING], None, CRASHED),
        ("", [], "The join request needs `room_name`, a string that is not empty.", 2),
    ],
)
def test_each_end_has_its_reason_and_status(
    line: Line, room: str, states: list[dict[str, Any]], reason: str | None, status: int
) -> None:
    worker = line.fork(1)
    assert worker.says() == IDLE
    worker.join(room)
    assert [worker.says() for _ in states] == states
    if reason is not None:
        state = "dismissed" if room == "dismissed" else "ended"
        assert worker.says() == {"state": state, "reason": reason}
    elif status == -signal.SIGKILL:
        line.tell("kill 1")
    assert worker.control_channel.recv(1) == b""
    assert line.hear() == f"died 1 {status}"
    worker.close()


def test_a_worker_comes_back_with_the_newest_join_request(line: Line, tmp_path: Path) -> None:
    """And only when it is told that it may: somebody else may have its place by now."""
    diary = tmp_path / "diary"
    request = JoinInfo("again", TOKEN, metadata={"diary": str(diary)})
    fresh = replace(request, token="fresh")
    worker = line.fork(1)
    assert worker.says() == IDLE
    renewal = json.dumps({**json.loads(fresh.to_json()), "renewal": 1})
    lines = [request.to_json(), "nonsense", renewal, ""]
    worker.control_channel.sendall("\n".join(lines).encode())
    assert [worker.says() for _ in range(4)] == [JOINING, ACTIVE, LOST, ASKING]
    assert diary.read_text().split() == [TOKEN]
    worker.control_channel.sendall(b'\n{"permission": 1}\n')
    assert worker.says() == ACTIVE
    assert diary.read_text().split() == [TOKEN, "fresh"]
    worker.close()


def test_a_worker_that_waits_for_leave_to_join_anew_can_be_told_to_go(line: Line) -> None:
    worker = line.fork(1)
    assert worker.says() == IDLE
    worker.join("again")
    assert [worker.says() for _ in range(4)] == [JOINING, ACTIVE, LOST, ASKING]
    worker.let_go()
    assert worker.says() == {"state": "ended", "reason": "The worker was told to stop."}
    assert line.hear() == "died 1 0"
    worker.close()


@pytest.mark.parametrize(("order", "status"), [("term", 0), ("kill", -signal.SIGKILL)])
@pytest.mark.parametrize("room", [None, "room"])
def test_a_worker_can_be_stopped(line: Line, order: str, status: int, room: str | None) -> None:
    worker = line.fork(3)
    assert worker.says() == IDLE
    if room is not None:
        worker.join(room)
        assert [worker.says(), worker.says()] == [JOINING, ACTIVE]
    line.tell(f"{order} 3")
    assert line.hear() == f"died 3 {status}"
    worker.close()
    line.tell(f"{order} 3")
    assert line.fork(4).pid > 0, "an order for a worker that is gone hurts nobody"


def test_a_worker_counts_for_its_dispatcher_before_it_ends(line: Line) -> None:
    worker = line.fork(1)
    worker.join("goes")
    assert [worker.says() for _ in range(3)] == [IDLE, JOINING, ACTIVE]
    counted = worker.says_anything()
    assert counted["state"] == "counters"
    assert 10 <= counted["counters"]["frames"] <= 20, "half a second of them"
    assert worker.says_anything()["state"] == "ended"
    worker.close()


def test_workers_share_no_descriptor(line: Line) -> None:
    """Whoever held another's control_channel would keep it from hearing its end."""
    workers = [line.fork(slot) for slot in range(3)]
    for worker in workers:
        assert worker.says() == IDLE
        held = {each.name for each in Path(f"/proc/{worker.pid}/fd").iterdir()}
        assert held == {"0", "1", "2"}
    for worker in workers:
        worker.close()


def test_nobody_outlives_the_dispatcher(line: Line) -> None:
    """Not even one whose event loop is blocked, nor one that is stopped."""
    rooms = [None, "room", "deaf", "room"]
    workers = [line.fork(slot) for slot in range(len(rooms))]
    for worker, room in zip(workers, rooms, strict=True):
        assert worker.says() == IDLE
        if room is not None:
            worker.join(room)
            assert [worker.says(), worker.says()][-1] == ACTIVE
    os.kill(workers[-1].pid, signal.SIGSTOP)
    line.socket.close()
    for worker in workers:
        worker.close()
    assert line.process.wait(WAIT_TIMEOUT_S) == 0
    assert not any(alive(worker.pid) for worker in workers)


def test_a_worker_whose_zygote_was_killed_still_hears_the_end(line: Line) -> None:
    worker = line.fork(1)
    worker.join("room")
    assert [worker.says() for _ in range(3)] == [IDLE, JOINING, ACTIVE]
    line.process.kill()
    assert line.hear() == ""
    assert alive(worker.pid)
    worker.close()
    until(lambda: not alive(worker.pid))


def test_nothing_starts_a_thread_before_the_fork() -> None:
    """With the renderer and the SDK that ship, and with tracing; the workers would miss it."""
    line = Line(AVATAR_RENDERER="character", AVATAR_MEETING="videosdk", AVATAR_TRACING="on")
    try:
        assert line.hear() == "ready"
        assert len(list(Path(f"/proc/{line.process.pid}/task").iterdir())) == 1
        worker = line.fork(1)
        assert worker.says() == IDLE
        worker.close()
    finally:
        line.close()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"AVATAR_SIZE": "huge"}, "AVATAR_SIZE is 'huge'"),
        ({"AVATAR_RENDERER": "nobody"}, "no renderer 'nobody'"),
        ({"AVATAR_MEETING": "nowhere"}, "no meeting 'nowhere'; choose one of memory, videosdk"),
        ({"AVATAR_MEETING": "no.such:create"}, "Meeting 'no.such:create' cannot be imported"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_status_2(
    settings: dict[str, str], reason: str
) -> None:
    line = Line(**settings)
    try:
        assert line.hear() == ""
        _, errors = line.process.communicate(timeout=WAIT_TIMEOUT_S)
        assert line.process.returncode == 2
        assert errors.startswith("worker: ")
        assert reason in errors
        assert errors.count("\n") == 1
    finally:
        line.close()
