"""The admin's port: probes, metrics and drain, and that nothing of it is on the public one."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dispatcher.http.admin import make_admin
from dispatcher.http.middleware import hosts_of


class Watched:
    """The admin's routes of a program that is whatever the test says."""

    def __init__(self) -> None:
        self.missing = ""
        self.drained = 0
        self._loop = asyncio.Runner()
        self.app = make_admin(lambda: self.missing, self.drain, self.metrics, hosts_of("127.0.0.1"))

    def close(self) -> None:
        self._loop.close()

    def drain(self) -> None:
        self.drained += 1

    async def metrics(self) -> bytes:
        return b"avatar_draining 0.0\n"

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def asking() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1"
            ) as client:
                return await client.request(method, path, **more)

        return self._loop.run(asking())


@pytest.fixture
def watched() -> Iterator[Watched]:
    one = Watched()
    yield one
    one.close()


def test_it_is_started_once_it_was_ready(watched: Watched) -> None:
    watched.missing = "No worker can be had now."
    for probe in ("/startupz", "/readyz"):
        answer = watched.ask("GET", probe)
        assert answer.status_code == 503
        assert answer.json()["error"] == watched.missing
        assert int(answer.headers["Retry-After"]) > 0
    watched.missing = ""
    assert watched.ask("GET", "/startupz").json() == {"status": "started"}
    assert watched.ask("GET", "/readyz").json() == {"status": "ready"}
    watched.missing = "The dispatcher is about to stop."
    assert watched.ask("GET", "/startupz").status_code == 200
    assert watched.ask("GET", "/readyz").status_code == 503


def test_it_lives_whatever_is_missing(watched: Watched) -> None:
    watched.missing = "Redis cannot be reached."
    assert watched.ask("GET", "/livez").json() == {"status": "alive"}


def test_prometheus_can_read_it(watched: Watched) -> None:
    answer = watched.ask("GET", "/metrics")
    assert answer.text == "avatar_draining 0.0\n"
    assert answer.headers["Content-Type"].startswith("text/plain; version=")


def test_it_can_be_told_to_drain(watched: Watched) -> None:
    assert watched.ask("POST", "/drain").status_code == 202
    assert watched.drained == 1


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {}, 405),
        ("POST", {"Origin": "https://evil.net"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Host": "evil.net"}, 403),
    ],
)
def test_a_page_in_a_browser_drains_nothing(
    watched: Watched, method: str, headers: dict[str, str], status: int
) -> None:
    answer = watched.ask(method, "/drain", headers=headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "request_id"}
    assert watched.drained == 0


def test_a_fault_says_nothing_of_itself(watched: Watched) -> None:
    async def broken() -> bytes:
        raise ZeroDivisionError("canary")

    watched.app = make_admin(lambda: "", watched.drain, broken)
    answer = watched.ask("GET", "/metrics")
    assert answer.status_code == 500
    assert "canary" not in answer.text
