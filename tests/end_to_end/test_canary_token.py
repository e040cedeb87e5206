"""A token and the operator's secrets are planted, and searched for in all that anybody can see.

To search in one more place, add it to `Search`.
"""

import asyncio
import base64
import gzip
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from collector import collecting
from cryptography.fernet import Fernet
from dispatching import WAIT_TIMEOUT_S, Dispatcher, dispatcher, environ
from processes import descendants, shown, until
from redis_server import RedisServer, redis_server
from signalling import Certificate, Signalling
from tokens import KEYS, SECRET, token

PASSWORD = "canary-password-of-anna"
KEY = "canary-key-that-nobody-guesses"
SEAL = Fernet.generate_key().decode()
HEADER = base64.b64encode(f"anna:{PASSWORD}".encode()).decode()

GZIP = b"\x1f\x8b"
"""How a packed file begins."""

AUTH = {"AVATAR_AUTH": "jwt,basic,bearer", "AVATAR_LOG_LEVEL": "DEBUG"}
SECRETS = {
    "AVATAR_JWT_KEYS": KEYS,
    "AVATAR_BASIC_KEYS": f"anna:{PASSWORD}",
    "AVATAR_BEARER_KEYS": KEY,
}
OPERATOR = {"Authorization": f"Bearer {KEY}"}


@dataclass
class Search:
    """What was said and written, by place; `planted` must be in none of it."""

    planted: dict[str, str]
    said: dict[str, list[bytes]] = field(default_factory=dict)

    def hear(self, place: str, *said: bytes | str) -> None:
        """Something that anybody could have seen there."""
        heard = (each.encode() if isinstance(each, str) else each for each in said)
        self.said.setdefault(place, []).extend(heard)

    def hear_answer(self, answer: httpx.Response) -> None:
        self.hear(f"answers with {answer.status_code}", answer.text, str(answer.headers))

    def hear_processes(self, *pids: int) -> None:
        """What the kernel shows of them, and of all that they have started."""
        for pid in pids:
            for each in (pid, *descendants(pid)):
                for place in ("cmdline", "environ", "comm", "status"):
                    self.hear(f"/proc/*/{place}", shown(each, place))

    def hear_files(self, folder: Path) -> None:
        """All that was written below it; what is packed as it is when it is unpacked."""
        for path in folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                self.hear("files", str(path), content)
                if content.startswith(GZIP):
                    with suppress(EOFError):  # it is being written; it is read again in the end
                        self.hear("recordings", gzip.decompress(content))

    def found(self) -> list[tuple[str, str]]:
        """(what was planted, where it is)."""
        return sorted(
            {
                (name, place)
                for name, secret in self.planted.items()
                for place, said in self.said.items()
                if any(secret.encode() in each for each in said)
            }
        )


def planted(*tokens: str) -> dict[str, str]:
    """What is to be kept quiet; of a token, its claims and its signature alone, too."""
    parts = {
        f"part {part} of token {number}": piece
        for number, each in enumerate(tokens)
        for part, piece in enumerate(each.split(".")[1:], 1)
    }
    return {
        **parts,
        "the JWT secret": SECRET,
        "the password": PASSWORD,
        "the password in base64": HEADER,
        "the key": KEY,
        "the seal": SEAL,
    }


def misuse(url: httpx.URL, canary: str) -> Iterator[httpx.Response]:
    """Every answer that is no success, to requests that have the token in every place."""
    good = {"room_name": "room", "token": canary, "participant_id": "face"}
    strange = token(secret="x" * 32, canary="x")

    def launch(body: Any, **headers: str) -> httpx.Response:
        text = body if isinstance(body, str | bytes) else httpx.Request("P", "", json=body).content
        kind = {"Content-Type": "application/json", **headers}
        return httpx.post(url.join("/launch"), content=text, headers=kind)

    yield launch(f'{{"token": "{canary}", "room_name": NaN}}')  # 400
    yield launch(canary)
    yield launch({"token": canary})  # 422
    yield launch({**good, "participant_id": canary * 9})
    yield launch({**good, "signaling_base_url": canary[:200]})
    yield launch({**good, "character": canary[:60].lower()})
    yield launch({**good, "metadata": {canary: [canary] * 80}})  # 413
    yield launch(good, **{"Content-Type": f"text/{canary}"})
    yield launch({**good, "token": strange})  # 401
    yield launch({**good, "token": f"{canary}x"})
    yield launch(good | {"token": "t"}, Authorization=f"Basic {HEADER}x")
    yield launch({**good, "participant_id": "other"})  # 403
    yield launch(good, Host=f"{KEY}.net")
    yield launch(good, Origin=f"https://{KEY}.net")
    yield httpx.get(url.join(f"/{canary}?token={canary}"), headers={"X-Request-Id": canary})  # 404
    yield httpx.get(url.join(f"/v1/sessions/{canary}"), headers=OPERATOR)
    yield httpx.get(url.join("/v1/sessions"), headers={"Authorization": f"Bearer {canary}"})
    yield httpx.put(url.join(f"/launch?token={canary}"), json=good)  # 405
    yield httpx.get(url.join("/livez"), headers={"X-Request-Id": canary, "traceparent": canary})


FATES = ("room", "lost", "refused", "crash", "dismissed", "leaves")


def use(running: Dispatcher, search: Search, first: str, renewed: str) -> None:
    """Sessions of every fate, the first of them renewed, and what can be asked about them."""
    running.http.headers.update(OPERATOR)
    for fate in FATES:
        search.hear_answer(running.launch(fate, token=first))
    search.hear_answer(running.launch("room", token=renewed))
    search.hear_answer(running.launch("room-2", token=first, character="nobody"))
    for answer in misuse(httpx.URL(running.http.base_url), first):
        search.hear_answer(answer)
    over = {"lost": "failed", "refused": "failed", "crash": "failed", "leaves": "ended"}

    def settled() -> bool:
        states = {each["room"]: each["state"] for each in running.sessions()}
        return all(states.get(room, state) == state for room, state in over.items())

    until(settled, WAIT_TIMEOUT_S)
    search.hear_answer(running.http.get("/v1/sessions"))
    for session in running.sessions():
        search.hear_answer(running.http.get(f"/v1/sessions/{session['session_id']}"))
    search.hear("metrics", httpx.get(f"{running.admin()}/metrics").text)


def keys_in_files(folder: Path) -> dict[str, str]:
    """The operator's secrets as files have them, so that no environment does."""
    settings = {}
    for name, secret in {**SECRETS, "AVATAR_SEAL_KEYS": SEAL}.items():
        (folder / name).write_text(f"{secret}\n")
        settings[f"{name}_FILE"] = str(folder / name)
    return settings


def folders(tmp_path: Path) -> tuple[Path, Path, dict[str, str]]:
    """Where secrets are, where the programs may write, and the settings for both."""
    secret, written = tmp_path / "secret", tmp_path / "written"
    secret.mkdir()
    written.mkdir()
    recording = {"AVATAR_RECORD": str(written / "recordings"), "AVATAR_RECORD_SOUND": "on"}
    return secret, written, {**keys_in_files(secret), **recording, "TMPDIR": str(written)}


def test_on_one_machine_nothing_shows_a_token_or_a_key(tmp_path: Path) -> None:
    first, renewed = token(participantId="face"), token(participantId="face", renewed=1)
    search = Search(planted(first, renewed))
    _, written, settings = folders(tmp_path)
    with dispatcher(written / "log", **AUTH, **settings) as running:
        use(running, search, first, renewed)
        search.hear_processes(running.process.pid)
        search.hear_files(written)
        running.free()
        search.hear_files(written)
        assert running.stop() == 0
    search.hear_files(written)
    assert search.found() == []
    assert search.said["recordings"]
    assert {400, 401, 403, 404, 405, 413, 422} <= statuses(search)
    assert b"worker.process.zygote" in b"".join(search.said["/proc/*/cmdline"])
    assert b"a request of peer:127.0.0.1 was refused" in b"".join(search.said["files"])


def statuses(search: Search) -> set[int]:
    return {int(place.split()[-1]) for place in search.said if place.startswith("answers")}


def test_workers_do_not_inherit_the_operator_s_keys(tmp_path: Path) -> None:
    """Where they are in the environment of the dispatcher, they are there alone."""
    search = Search(planted(token()))
    with dispatcher(tmp_path / "log", **AUTH, **SECRETS) as running:
        running.launch("room", token=token())
        for pid in running.family():
            search.hear_processes(pid)
        assert search.found() == []
        search.hear_processes(running.process.pid)
        assert {place for _, place in search.found()} == {"/proc/*/environ"}, "it can be found"


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_the_sdk_has_to_say_shows_no_token(tmp_path: Path, form: str) -> None:
    """It joins with the token in an address, and logs addresses."""
    signed = token()
    search = Search(planted(signed))
    certificate = Certificate(tmp_path)

    def scene(room: Signalling) -> None:
        with dispatcher(
            tmp_path / "log",
            AVATAR_MEETING="videosdk",
            AVATAR_LOG_LEVEL="DEBUG",
            AVATAR_LOG_FORMAT=form,
            AVATAR_SIGNALING_HOSTS=room.host,
            REQUESTS_CA_BUNDLE=str(certificate.path),
        ) as running:
            session_id = running.launched("room", token=signed)
            until(lambda: "produceData" in room.methods)
            search.hear_processes(running.process.pid)
            running.http.delete(f"/v1/sessions/{session_id}")
            running.reach(session_id, "ended")
            assert running.stop() == 0
            search.hear("log", running.log(), running.printed())

    async def serving() -> None:
        async with Signalling().running(certificate) as room:
            await asyncio.to_thread(scene, room)
            assert room.queries[0]["secret"] == signed

    asyncio.run(serving())
    assert search.found() == []


# Many machines -------------------------------------------------------------------------------


@contextmanager
def node(log: Path, **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A node, once it has its slots."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dispatcher.node.program"],
            env=environ(**settings),
            stdout=file,
            stderr=file,
        )
    try:
        until(lambda: b"slots" in log.read_bytes() or process.poll() is not None, WAIT_TIMEOUT_S)
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def overheard(server: RedisServer, search: Search) -> Iterator[None]:
    """All that is said to the server meanwhile, and what it keeps of it in the end."""
    client = redis.Redis(unix_socket_path=str(server.socket_path), socket_timeout=None)
    listening = threading.Event()

    def listen() -> None:
        with client.monitor() as monitor, suppress(redis.ConnectionError):
            listening.set()
            for said in monitor.listen():
                search.hear("what Redis is told", str(said["command"]))

    thread = threading.Thread(target=listen, name="monitor")
    thread.start()
    assert listening.wait(WAIT_TIMEOUT_S)
    try:
        yield
    finally:
        with redis.Redis(unix_socket_path=str(server.socket_path)) as other:
            other.config_set("rdbcompression", "no")
            for key in other.scan_iter("*"):
                search.hear("what Redis keeps", key, other.dump(key) or b"")
            other.client_kill_filter(_type="normal", skipme=True)
        thread.join(WAIT_TIMEOUT_S)
        client.close()


def test_on_many_machines_nothing_shows_a_token_or_a_key(tmp_path: Path) -> None:
    first, renewed = token(participantId="face"), token(participantId="face", renewed=1)
    search = Search(planted(first, renewed))
    _, written, settings = folders(tmp_path)
    with redis_server(tcp=True) as server, collecting() as collector:
        server.pretend_uptime()
        shared = {
            **settings,
            "AVATAR_REDIS_URL": server.url,
            "AVATAR_LOG_FORMAT": "json",
            "AVATAR_TRACING": "on",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "AVATAR_SLOTS": "4",
        }
        with (
            overheard(server, search),
            node(written / "node", **AUTH, **shared) as slots,
            dispatcher(written / "log", **AUTH, **shared) as running,
        ):
            use(running, search, first, renewed)
            search.hear_processes(running.process.pid, slots.pid)
            said = (written / "node").read_text()
            admin = re.findall(r"the admin's port is on ([^\s\"]+)", said)[0]
            search.hear("metrics", httpx.get(f"{admin}/metrics").text)
            search.hear_files(written)
            running.free()
            assert running.stop() == 0
            slots.terminate()
            assert slots.wait(WAIT_TIMEOUT_S) == 0
        search.hear("traces", *collector.bodies)
        search.hear_files(written)
    assert search.found() == []
    assert b"claim" in b"".join(search.said["traces"])
    assert b'"what":"begin"' in b"".join(search.said["recordings"])
    assert b"{av}:" in b"".join(search.said["what Redis is told"])
    assert b"{av}:" in b"".join(search.said["what Redis keeps"])
