"""The gate as a program: where it refuses to listen, whom it lets in, what can be reached."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from dispatching import WAIT_TIMEOUT_S, Dispatcher, dispatcher, dispatcher_of_few_files, environ
from few_connections import MOST, serving
from processes import alive
from silent import silent
from tokens import KEYS, token

from agent_side.join import JoinInfo
from agent_side.launch import AvatarError, launch

PASSWORD = "canary-password-of-anna"
KEY = "canary-key-that-nobody-guesses"
SEAL = "bm90aGluZyBvZiB2YWx1ZSBpcyBzZWFsZWQgaGVyZSE="
SECOND = "second:another-secret-of-enough-length-for-it"

SILENT = 1100

LISTENS = "0A"
"""What the kernel calls a socket that listens."""


def start(
    *arguments: str, program: str = "dispatcher", **settings: str
) -> "subprocess.CompletedProcess[str]":
    """A program that should not stay."""
    return subprocess.run(
        [sys.executable, "-P", "-m", program, *arguments],
        env=environ(**settings),
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=False,
    )


# Where it listens ----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_it_does_not_listen_where_others_reach_it_and_nobody_is_asked(host: str) -> None:
    done = start("--host", host)
    assert done.returncode == 2
    assert re.fullmatch(
        r"avatar serve: \S+ can be reached from other machines, [^\n]*--auth none\.\n", done.stderr
    )


@pytest.mark.parametrize("program", ["dispatcher", "dispatcher.node.program"])
def test_the_admin_s_port_has_the_gate_of_the_public_one(program: str) -> None:
    """Where others reach it; they could drain it."""
    many = {"AVATAR_REDIS_URL": "redis://127.0.0.1:1/0", "AVATAR_SEAL_KEYS": SEAL}
    done = start(program=program, AVATAR_ADMIN_HOST="0.0.0.0", **many)
    assert done.returncode == 2
    assert "0.0.0.0 can be reached from other machines" in done.stderr


def test_who_drains_from_elsewhere_needs_an_operator_s_key(tmp_path: Path) -> None:
    keys = {"AVATAR_AUTH": "bearer", "AVATAR_BEARER_KEYS": KEY}
    with dispatcher(tmp_path / "log", AVATAR_ADMIN_HOST="0.0.0.0", **keys) as running:
        admin = running.admin().replace("0.0.0.0", "127.0.0.1")
        for probe in ("/livez", "/readyz", "/startupz", "/metrics"):
            assert httpx.get(f"{admin}{probe}").status_code == 200
        for header in ({}, {"Authorization": "Bearer canary-key-of-nobody"}):
            refused = httpx.post(f"{admin}/drain", headers=header)
            assert refused.status_code == 401
            assert "Bearer" in refused.headers["WWW-Authenticate"]
        assert running.http.get("/readyz").status_code == 200
        known = {"Authorization": f"Bearer {KEY}"}
        assert httpx.post(f"{admin}/drain", headers=known).status_code == 202
        assert running.process.wait(WAIT_TIMEOUT_S) == 0


def test_it_listens_there_when_it_is_told_that_everybody_may(tmp_path: Path) -> None:
    with dispatcher(tmp_path / "log", "--host", "0.0.0.0", "--auth", "none") as running:
        assert running.launch("room").status_code == 200
        assert "no authentication is required" in running.log()


def test_it_listens_there_when_it_asks(tmp_path: Path) -> None:
    keys = {"AVATAR_AUTH": "bearer", "AVATAR_BEARER_KEYS": KEY}
    with dispatcher(tmp_path / "log", "--host", "0.0.0.0", **keys) as running:
        assert running.launch("room").status_code == 401
        running.http.headers["Authorization"] = f"Bearer {KEY}"
        assert running.launch("room").status_code == 200


def test_a_secret_that_cannot_be_used_is_not_shown() -> None:
    done = start(AVATAR_AUTH="bearer", AVATAR_BEARER_KEYS="canary")
    assert done.returncode == 2
    assert done.stderr.startswith("avatar serve: AVATAR_BEARER_KEYS")
    assert "canary" not in done.stderr


def listening(pids: set[int]) -> set[tuple[str, int]]:
    """Where these processes listen: (address as the kernel has it, port)."""
    inodes = set()
    for pid in pids:
        for each in Path(f"/proc/{pid}/fd").iterdir():
            inodes |= set(re.findall(r"socket:\[(\d+)\]", str(each.readlink())))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def test_what_is_the_admin_s_is_on_a_port_of_its_own(tmp_path: Path) -> None:
    """Both are on loopback, and no process of ours listens anywhere else."""
    with dispatcher(tmp_path / "log") as running:
        public, admin = httpx.URL(running.http.base_url), httpx.URL(running.admin())
        running.reach(running.launched("room"), "active")
        there = listening({running.process.pid, *running.family()})
        loopback = "0100007F"
        assert there == {(loopback, public.port), (loopback, admin.port)}
        for method, path in (("GET", "/metrics"), ("POST", "/drain"), ("GET", "/startupz")):
            assert running.http.request(method, path).status_code == 404
        for method, path in (
            ("POST", "/launch"),
            ("GET", "/v1/sessions"),
            ("GET", "/openapi.json"),
        ):
            assert httpx.request(method, admin.join(path)).status_code == 404
        assert "avatar_pool_slots" in httpx.get(admin.join("/metrics")).text
        for probe in ("/livez", "/readyz", "/startupz"):
            assert httpx.get(admin.join(probe)).status_code == 200


def test_a_drain_lets_sessions_speak_out_and_ends_it(tmp_path: Path) -> None:
    """The admin's port answers to the last; asking twice is no hurry."""
    with dispatcher(tmp_path / "log", AVATAR_DRAIN_S="20") as running:
        admin = running.admin()
        session = running.launched("room")
        running.reach(session, "active")
        family = running.family()
        worker = running.worker(session)
        os.kill(worker, signal.SIGSTOP)  # so that it does not leave before all is asked
        for _ in range(2):
            assert httpx.post(f"{admin}/drain").status_code == 202
        assert httpx.get(f"{admin}/livez").status_code == 200
        os.kill(worker, signal.SIGCONT)
        assert running.process.wait(WAIT_TIMEOUT_S) == 0
        assert not any(map(alive, family))
        assert "ended: The dispatcher was told to stop." in running.log()


# Who is let in -------------------------------------------------------------------------------


def asked_by_an_agent(url: httpx.URL, signed: str) -> None:
    asyncio.run(launch(str(url), JoinInfo("room", signed, "face")))


def test_an_agent_gets_in_with_the_password_in_its_url(tmp_path: Path) -> None:
    keys = {"AVATAR_AUTH": "basic", "AVATAR_BASIC_KEYS": f"anna:{PASSWORD}"}
    with dispatcher(tmp_path / "log", AVATAR_LOG_LEVEL="DEBUG", **keys) as running:
        url = httpx.URL(running.http.base_url).join("/launch")
        good = url.copy_with(username="anna", password=PASSWORD)
        asked_by_an_agent(good, "eyJ.any.token")
        stock = httpx.post(str(good), json={"room_name": "room-2", "token": "t"})
        assert stock.status_code == 200, "as the stock agent's httpx sends it"
        for wrong in (url, url.copy_with(username="anna", password="canary-but-not-hers")):
            with pytest.raises(AvatarError, match="401"):
                asked_by_an_agent(wrong, "eyJ.any.token")
        assert "canary" not in running.log()


def test_an_agent_gets_in_with_its_token(tmp_path: Path) -> None:
    """One API key may have only so many sessions; another's do not count."""
    keys = {"AVATAR_AUTH": "jwt", "AVATAR_JWT_KEYS": f"{KEYS},{SECOND}"}
    name, _, secret = SECOND.partition(":")
    with dispatcher(tmp_path / "log", AVATAR_SESSIONS_PER_KEY="1", **keys) as running:
        url = httpx.URL(running.http.base_url).join("/launch")
        asked_by_an_agent(url, token())
        with pytest.raises(AvatarError, match="401"):
            asked_by_an_agent(url, token(exp=1))
        with pytest.raises(AvatarError, match="403"):
            asked_by_an_agent(url, token(permissions=[]))
        assert running.launch("room-2", token=token()).status_code == 429
        assert running.launch("room", token=token()).status_code == 200, "it is there already"
        other = running.launch("room-2", token=token(secret, apikey=name))
        assert other.status_code == 200
        assert running.http.get("/v1/sessions").status_code == 401
        running.http.headers["Authorization"] = token(permissions=["allow_mod"])
        assert len(running.sessions()) == 2


# Proxies -------------------------------------------------------------------------------------


def launched_for(running: Dispatcher, room: str, forwarded: str) -> int:
    running.http.headers["X-Forwarded-For"] = forwarded
    return running.launch(room).status_code


def test_a_proxy_that_is_trusted_says_for_whom_it_asks(tmp_path: Path) -> None:
    """What its client has written to the left of that is nobody's word."""
    proxy = {"AVATAR_FORWARDED_ALLOW_IPS": "127.0.0.1,10.9.0.0/16"}
    with dispatcher(tmp_path / "log", AVATAR_RATE="1/hour", **proxy) as running:
        assert launched_for(running, "a", "10.0.0.1") == 200
        assert launched_for(running, "b", "10.0.0.2") == 200
        for lie in ("10.0.0.3, 10.0.0.1", "canary, 10.0.0.1, 10.9.1.1", "10.0.0.1:443"):
            assert launched_for(running, "c", lie) == 429


def test_nobody_else_says_for_whom_he_asks(tmp_path: Path) -> None:
    with dispatcher(tmp_path / "log", AVATAR_RATE="1/hour") as running:
        assert launched_for(running, "a", "10.0.0.1") == 200
        assert launched_for(running, "b", "10.0.0.2") == 429


# Time ----------------------------------------------------------------------------------------


BEGINNINGS = {
    "nothing": b"",
    "half a head": b"POST /launch HTTP/1.1\r\nHost: loc",
    "half a second head": b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /livez HT",
    "a body that nobody reads": b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 99\r\n\r\n",
}


def hung_up(address: tuple[str, int], beginning: bytes) -> bool:
    """Whether a connection ends on which a byte comes now and then, and nothing is ever
    complete."""
    began = time.monotonic()
    with socket.create_connection(address, WAIT_TIMEOUT_S) as line:
        line.sendall(beginning)
        line.settimeout(0.25)
        while time.monotonic() - began < WAIT_TIMEOUT_S:
            try:
                if not line.recv(4096):
                    return True
            except TimeoutError:
                line.sendall(b"x" if beginning else b"")
            except ConnectionError:
                return True
    return False


def test_silent_connections_keep_nobody_out_and_cost_workers_nothing(tmp_path: Path) -> None:
    """At either port, where no more than 1,024 files can be opened."""
    with dispatcher_of_few_files(tmp_path / "log", 1024) as running:
        public, admin = httpx.URL(running.http.base_url), httpx.URL(running.admin())
        addresses = [(url.host, url.port or 0) for url in (public, admin)]
        running.http.timeout = httpx.Timeout(WAIT_TIMEOUT_S)
        for number in range(3):
            with silent(addresses[0], SILENT), silent(addresses[1], SILENT):
                assert running.http.get("/livez").status_code == 200
                assert httpx.get(admin.join("/livez"), timeout=WAIT_TIMEOUT_S).status_code == 200
                running.reach(running.launched(f"room-{number}"), "active")
        log = running.log()
        assert "Traceback" not in log
        assert "there are too many connections" in log


async def test_too_many_connections_are_answered_so_and_soon_there_is_room() -> None:
    """None that is served is closed for another."""

    limits = httpx.Limits(max_connections=None)
    async with serving() as service, httpx.AsyncClient(limits=limits, timeout=30) as client:
        served = [asyncio.create_task(client.get(service.url)) for _ in range(MOST)]
        while service.asked < MOST:
            await asyncio.sleep(0.01)
        answer = await client.get(service.url)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        service.may_answer.set()
        assert {(await each).status_code for each in served} == {200}
        assert (await client.get(service.url)).status_code == 200


def test_who_does_not_say_what_he_wants_is_hung_up_on(tmp_path: Path) -> None:
    with dispatcher(tmp_path / "log") as running:
        url = running.http.base_url
        address = (url.host, url.port or 0)
        with ThreadPoolExecutor(len(BEGINNINGS)) as threads:
            ends = list(threads.map(lambda each: hung_up(address, each), BEGINNINGS.values()))
        assert all(ends), dict(zip(BEGINNINGS, ends, strict=True))
        assert running.http.get("/livez").status_code == 200
