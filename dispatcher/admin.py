"""The admin's port: metrics, probes and drain, apart from what agents can reach.

It asks nobody who he is: it listens on loopback unless it is told, and where a cluster reaches
it, a NetworkPolicy says who does.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dispatcher.front import Front, error, http_error

RETRY_AFTER: Final = {"Retry-After": "1"}


def make_admin(
    readiness: Callable[[], str],
    drain: Callable[[], None],
    metrics: Callable[[], Awaitable[bytes]],
    hosts: Sequence[str] = ("*",),
    degraded: Callable[[], Sequence[str]] = tuple,
) -> Front:
    """The admin's routes, for those who ask under one of the names `hosts`.

    - `readiness` is one sentence about what is missing, and empty where nothing is. A probe
      hears it: who is not ready gets no new work, and Kubernetes removes him first.
    - `drain` begins what a first SIGTERM begins; calling it again changes nothing.
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

    async def drained(_: Request) -> Response:
        drain()
        return JSONResponse({"status": "draining"}, 202)

    async def measured(_: Request) -> Response:
        return Response(await metrics(), media_type=CONTENT_TYPE_LATEST)

    async def failed(_: Request, __: Exception) -> Response:
        return error(500, "The admin's port failed; the log says why.")

    routes = [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/startupz", startupz),
        Route("/metrics", measured),
        Route("/drain", drained, methods=["POST"]),
    ]
    handlers = {HTTPException: http_error, Exception: failed}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Front(app, hosts)


def _state(state: str, missing: str, degraded: Sequence[str] = ()) -> Response:
    if missing:
        return error(503, missing, RETRY_AFTER)
    return JSONResponse({"status": state, **({"degraded": [*degraded]} if degraded else {})})
