"""Hosts that a test makes: they reach each other, can be cut off and paused, and vanish."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import HUB, OWN, Host, hosts, why_not
from processes import alive, until

PORT = 7000
QUICK_S = 0.3
"""Long for an answer between two namespaces of one machine."""

ECHO = f"""
import socket
with socket.create_server(("0.0.0.0", {PORT})) as server:
    while True:
        with server.accept()[0] as line:
            while data := line.recv(64):
                line.sendall(data)
"""

TELL = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as line:
    print(line.getsockname()[0], flush=True)
"""


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """Two hosts; the first one echoes."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with hosts(2) as (first, second), (tmp_path / "log").open("wb") as log:
        first.start(log, sys.executable, "-c", ECHO)
        until(lambda: answers(first.address))
        yield first, second


def answers(address: str) -> bool:
    try:
        with socket.create_connection((address, PORT), QUICK_S) as line:
            line.settimeout(QUICK_S)
            line.sendall(b"?")
            return line.recv(64) == b"?"
    except OSError:
        return False


def test_hosts_reach_each_other_under_their_own_addresses(
    two: tuple[Host, Host], tmp_path: Path
) -> None:
    first, second = two
    log = tmp_path / "told"
    with log.open("wb") as file:
        reports = second.start(file, sys.executable, "-c", TELL, first.address, str(PORT))
        assert reports.wait(10) == 0
    assert log.read_text().split() == [second.address]
    assert len({HUB, first.address, second.address}) == 3


def test_a_host_that_is_cut_off_answers_nobody_until_it_is_restored(two: tuple[Host, Host]) -> None:
    first, _ = two
    first.cut()
    assert not answers(first.address)
    first.restore()
    until(lambda: answers(first.address))


def test_a_blocked_port_is_cut_off_and_no_other(two: tuple[Host, Host]) -> None:
    first, _ = two
    with socket.create_server((HUB, PORT)), socket.create_server((HUB, PORT + 1)):
        first.block(HUB, PORT)
        assert not reached_from(first, PORT)
        assert reached_from(first, PORT + 1)
        first.restore()
        assert reached_from(first, PORT)


def reached_from(host: Host, port: int) -> bool:
    connect = f"import socket; socket.create_connection(({HUB!r}, {port}), {QUICK_S})"
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - no path of ours
        return host.start(nowhere, sys.executable, "-c", connect).wait(10) == 0


def test_a_host_that_is_paused_goes_on_where_it_was(two: tuple[Host, Host]) -> None:
    first, _ = two
    first.pause()
    assert not answers(first.address)
    first.resume()
    until(lambda: answers(first.address))


def test_nothing_of_the_hosts_stays_and_we_are_where_we_were(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    network = OWN.readlink()
    links = sorted(name for _, name in socket.if_nameindex())
    with hosts(1) as (host,), (tmp_path / "log").open("wb") as log:
        assert [name for _, name in socket.if_nameindex()] == ["lo", "bridge", "port1"]
        process = host.start(log, "sh", "-c", "sleep 60 & sleep 60")
        until(lambda: len(host.processes()) >= 2)
        family = host.processes()
    assert process.returncode is not None
    assert not any(map(alive, family))
    assert OWN.readlink() == network
    assert sorted(name for _, name in socket.if_nameindex()) == links


def test_what_runs_on_a_host_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """Even where that one is killed and can clean up nothing."""
    if reason := why_not():
        pytest.skip(reason)
    here = Path(__file__).parents[1] / "support"
    program = f"""
import sys, time
sys.path.insert(0, {str(here)!r})
from hosts import hosts
with hosts(1) as (host,), open({str(tmp_path / "log")!r}, "wb") as log:
    print(host.start(log, "sleep", "60").pid, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        time.sleep(0.05)
        assert alive(pid)
        process.kill()
    until(lambda: not alive(pid))
