"""A pool that launches nothing: the routes alone, without processes and without a socket."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self

import httpx

from agent_side.join import JoinInfo
from dispatcher.http.app import make_app
from dispatcher.http.rate_limit import RateLimiter
from dispatcher.ledger.record import SessionRecord
from dispatcher.settings import DispatcherSettings

NOW_S: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
URL: Final = "http://localhost"


class PoolInMemory:
    """Sessions that are active at once; `failure` is what the next calls raise instead."""

    def __init__(self) -> None:
        self.kept: dict[str, SessionRecord] = {}
        self.asked: list[tuple[JoinInfo, str, str | None]] = []
        self.failure: Exception | None = None
        self.why_not_ready = ""

    @property
    def ready(self) -> bool:
        return not self.why_not_ready

    async def launch(
        self, join: JoinInfo, timeout_s: float, owner: str = "", traceparent: str | None = None
    ) -> SessionRecord:
        self._fail()
        self.asked.append((join, owner, traceparent))
        claimed = SessionRecord.claimed(f"{len(self.kept) + 1:016x}", join, NOW_S)
        session = claimed.entered("active", None, NOW_S)
        self.kept[session.session_id] = session
        return session

    async def sessions(self) -> list[SessionRecord]:
        self._fail()
        return list(self.kept.values())

    async def find(self, session_id: str) -> SessionRecord | None:
        self._fail()
        return self.kept.get(session_id)

    async def end(self, session_id: str) -> SessionRecord | None:
        self._fail()
        found = self.kept.get(session_id)
        if found is not None:
            self.kept[session_id] = found.entered("ended", "It was ended by a request.", NOW_S)
        return self.kept.get(session_id)

    async def drain(self, timeout_s: float) -> None:
        self.why_not_ready = "The dispatcher is about to stop."

    async def slots(self) -> Mapping[str, int]:
        return {"idle": 1, "claimed": 0, "busy": len(self.kept), "draining": 0}

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class Service:
    """The routes in front of a pool in memory; asked as over HTTP."""

    def __init__(self, **environ: str) -> None:
        self.settings = DispatcherSettings.from_env(environ)
        self.pool = PoolInMemory()
        self.quota = RateLimiter(self.settings)
        self.app = make_app(self.pool, self.settings, self.quota)
        self._loop = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.close()

    def ask(
        self, method: str, path: str, *, peer: str = "127.0.0.1", **more: Any
    ) -> httpx.Response:
        """One request and its answer."""
        return self._loop.run(self.asked(method, path, peer=peer, **more))

    async def asked(
        self, method: str, path: str, *, peer: str = "127.0.0.1", **more: Any
    ) -> httpx.Response:
        """The same, in an event loop of the test's own."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(peer, 9))
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            return await client.request(method, path, **more)

    def launch(self, token: str = "eyJ.canary.sig", **more: Any) -> httpx.Response:
        """What a stock agent POSTs."""
        body = {"room_name": "room", "token": token, "participant_id": "face"}
        return self.ask("POST", "/launch", json=body, **more)
