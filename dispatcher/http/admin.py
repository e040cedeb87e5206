"""The admin's port: metrics, probes and drain, apart from what agents can reach.

It listens on loopback by default. Where other machines reach it, it starts only with the gate of
the public port, and draining requires an operator's key. Probes and metrics, which change nothing
and name nobody, require no authentication; a NetworkPolicy limits who reaches them.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dispatcher.errors import Forbidden, Unauthorized
from dispatcher.http.auth import Gate, is_loopback, peer_of
from dispatcher.http.listener import HttpListener
from dispatcher.http.middleware import RequestMiddleware, error, http_error
from dispatcher.settings import DispatcherSettings

RETRY_AFTER: Final = {"Retry-After": "1"}


def make_admin(
    readiness: Callable[[], str],
    drain: Callable[[], None],
    metrics: Callable[[], Awaitable[bytes]],
    hosts: Sequence[str] = ("*",),
    gate: Gate | None = None,
    degraded: Callable[[], Sequence[str]] = tuple,
) -> RequestMiddleware:
    """The admin's routes, for those who ask under one of the names `hosts`.

    - `readiness` is one sentence about what is missing, and empty where nothing is. A probe
      gets it: a process that is not ready gets no new work, and Kubernetes removes it first.
    - `drain` begins what a first SIGTERM begins; calling it again changes nothing.
    - `gate` says who may drain; without one, every client may.
    - `metrics` are those of the whole machine, as Prometheus reads them.
    - `degraded` says what fails beside the faces, a sentence each; who is ready stays so.
    """
    started = False

    async def livez(_: Request) -> Response:
        """The loop goes round: nothing else may get a pod with speaking faces killed."""
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> Response:
        return _state("ready", readiness(), degraded())

    async def startupz(_: Request) -> Response:
        """Whether it has been ready once."""
        nonlocal started
        missing = "" if started else readiness()
        started = not missing
        return _state("started", missing)

    async def drained(request: Request) -> Response:
        if gate is not None:
            host = request.client.host if request.client else None
            gate.operator(request.headers.get("authorization", ""), peer_of(host))
        drain()
        return JSONResponse({"status": "draining"}, 202)

    async def measured(_: Request) -> Response:
        return Response(await metrics(), media_type=CONTENT_TYPE_LATEST)

    async def unauthorized(_: Request, refusal: Exception) -> Response:
        challenge = "" if gate is None else gate.challenge
        return error(401, str(refusal), {"WWW-Authenticate": challenge})

    async def forbidden(_: Request, refusal: Exception) -> Response:
        return error(403, str(refusal))

    async def failed(_: Request, __: Exception) -> Response:
        return error(500, "The admin's port failed; the log says why.")

    routes = [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/startupz", startupz),
        Route("/metrics", measured),
        Route("/drain", drained, methods=["POST"]),
    ]
    handlers = {
        HTTPException: http_error,
        Unauthorized: unauthorized,
        Forbidden: forbidden,
        Exception: failed,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return RequestMiddleware(app, hosts)


def gate_of(settings: DispatcherSettings, listener: HttpListener) -> Gate | None:
    """The gate of an admin's port that other machines can reach."""
    return None if is_loopback(str(listener.getsockname()[0])) else Gate(settings)


def _state(state: str, missing: str, degraded: Sequence[str] = ()) -> Response:
    if missing:
        return error(503, missing, RETRY_AFTER)
    return JSONResponse({"status": state, **({"degraded": [*degraded]} if degraded else {})})
