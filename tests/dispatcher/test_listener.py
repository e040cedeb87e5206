"""Who says nothing keeps nobody else out: connections are counted when they are accepted."""

import ast
import asyncio
import logging
import resource
import socket
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from few_connections import MOST, LimitedServer, serving

from dispatcher.errors import SettingsError
from dispatcher.http import descriptors
from dispatcher.http.descriptors import MOST_ADMIN, MOST_PUBLIC, needed, share
from dispatcher.http.listener import RateLimitedLog, extra
from dispatcher.http.server import listen

ROOT = Path(__file__).parents[2]


async def connected(service: LimitedServer) -> socket.socket:
    line = socket.socket()
    line.setblocking(False)
    await asyncio.get_running_loop().sock_connect(line, service.address)
    return line


async def test_the_oldest_of_the_silent_are_closed_and_never_more_than_so_many_are_open() -> None:
    async with serving() as service:
        service.may_answer.set()
        lines: list[socket.socket] = []
        for _ in range(4 * MOST):
            lines.append(await connected(service))
            await asyncio.sleep(0)
            assert service.open <= MOST + extra(MOST)
        async with httpx.AsyncClient() as client:
            assert (await client.get(service.url)).status_code == 200
        while service.open > MOST:
            await asyncio.sleep(0.01)
        closed = [line for line in lines if _is_closed(line)]
        assert closed == lines[: len(closed)], "the oldest"
        assert len(closed) >= 3 * MOST
        for line in lines:
            line.close()


def _is_closed(line: socket.socket) -> bool:
    try:
        return line.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_where_no_file_can_be_opened_whoever_comes_is_hung_up_on_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Until there are descriptors again; asyncio writes a traceback for each place in the queue."""

    async def scene() -> None:
        async with serving() as service:
            service.may_answer.set()
            hoard: list[socket.socket] = []
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lines = [socket.socket() for _ in range(8)]
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
            try:
                with suppress(OSError):
                    while True:
                        hoard.append(socket.socket())
                for line in lines:
                    line.setblocking(False)
                    await asyncio.get_running_loop().sock_connect(line, service.address)
                while not all(map(_is_closed, lines)):
                    await asyncio.sleep(0.01)
            finally:
                for each in (*hoard, *lines):
                    each.close()
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            async with httpx.AsyncClient() as client:
                assert (await client.get(service.url)).status_code == 200

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    said = [each for each in caplog.messages if "no connection can be accepted" in each]
    assert 1 <= len(said) < 8
    assert "socket.accept() out of system resource" not in caplog.text


def test_the_same_trouble_is_logged_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    complaints = RateLimitedLog(lambda: now)
    for hundredth in range(301):
        now = hundredth / 100
        complaints.add("no connection can be accepted")
    assert [each[each.index("(") :] for each in caplog.messages] == [
        "(1 times since this was last said)",
        *["(100 times since this was last said)"] * 3,
    ]


def test_a_listener_that_is_closed_leaves_no_descriptor() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with listen("127.0.0.1", 0, "choose another", MOST):
        assert len(list(Path("/proc/self/fd").iterdir())) > before
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("workers", [0, 6, 100, 512])
def test_workers_have_their_descriptors_before_connections_do(workers: int) -> None:
    enough = needed(workers, MOST_PUBLIC, MOST_ADMIN)
    assert share(10 * enough, workers) == (MOST_PUBLIC, MOST_ADMIN)
    served = 0
    with pytest.raises(SettingsError, match="LimitNOFILE"):
        share(64, workers)
    for limit in range(64, enough + 200):
        try:
            shares = share(limit, workers)
        except SettingsError:
            assert not served, "more is never worse"
            continue
        served += 1
        assert needed(workers, *shares) <= limit
    assert served


def test_the_limit_is_raised_as_far_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))
    wanted = needed(258, MOST_PUBLIC, MOST_ADMIN)
    for limits, expected in (((1024, 524_288), wanted), ((1024, 1500), 1500), ((4096, 4096), None)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limits=limits: limits)
        given.clear()
        descriptors.shares_of_this_process(258)
        assert [soft for soft, _ in given] == ([] if expected is None else [expected])


SAME_CLASSES = {
    "RateLimitedLog": "Complaints",
    "CountedConnection": "Connection",
    "HttpListener": "Listener",
}
"""The dispatcher's, and what the local room calls its own."""


def test_the_local_room_counts_as_the_dispatcher_does() -> None:
    """It imports nothing of ours, so it has the same code once more."""
    ours = classes(ROOT / "dispatcher/http/listener.py")
    theirs = classes(ROOT / "localroom/http/listener.py")
    for mine, its in SAME_CLASSES.items():
        same = ours[mine]
        for name, other in SAME_CLASSES.items():
            same = same.replace(f"'{name}'", f"'{other}'")
        assert same == theirs[its], mine


def classes(path: Path) -> dict[str, str]:
    """The code of each class of a module, without its docstrings."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text())):
        for each in ast.iter_child_nodes(node):
            if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
                each.value.value = ""
        if isinstance(node, ast.ClassDef):
            found[node.name] = node
    return {name: ast.dump(node) for name, node in found.items()}
