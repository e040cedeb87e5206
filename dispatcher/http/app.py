"""The routes: what agents and operators may ask over HTTP."""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from agent_side.join import JoinInfo
from dispatcher import metrics, tracing
from dispatcher.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Full,
    Refused,
    TooMany,
    Unauthorized,
)
from dispatcher.http.auth import Caller, Gate, peer_of
from dispatcher.http.middleware import RequestMiddleware, error, hosts_of, http_error
from dispatcher.http.openapi import (
    Health,
    LaunchAnswer,
    SessionAnswer,
    SessionsAnswer,
    describe,
    launch_body,
    refusals,
)
from dispatcher.http.rate_limit import RateLimiter
from dispatcher.http.request import MAX_BODY, read_launch
from dispatcher.pool import Pool
from dispatcher.settings import DispatcherSettings

if TYPE_CHECKING:  # older ones have no telemetry of their own, and take no notice of ours
    from fastapi.telemetry import TelemetryConfig

BODY_S: Final = 2.0
ANSWER_S: Final = 4.2
"""When a body has to be there, and when it is answered at the latest: stock agents give up
after 5 s, and what runs on this machine may take its time."""

RETRY_AFTER_S: Final = 2

SESSION_ID: Final = re.compile(r"[0-9a-f]{1,64}")
"""What a session may be called; anything else, such as a token, is asked about nowhere."""

SILENT: "Final[TelemetryConfig]" = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI's own spans have the path and the query of a request, in which there may be a token;
ours are in dispatcher/tracing.py."""

logger = logging.getLogger("avatar.dispatcher.app")


def make_app(
    pool: Pool,
    settings: DispatcherSettings,
    quota: RateLimiter,
    degraded: Callable[[], Sequence[str]] = tuple,
) -> RequestMiddleware:
    """The service in front of `pool`, for those whom `settings` lets in.

    `degraded` says what fails beside the faces, a sentence each; a probe that is ready shows it.

    Errors are ``{"error": sentence, "request_id": name}``, and repeat nothing of a request.
    Bodies are read here and not by FastAPI, whose own errors quote them.
    """
    gate = Gate(settings)
    app = FastAPI(
        title="avatar serve",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=SILENT,
    )
    _launching(app, pool, gate, quota, settings.signaling_hosts)
    _operating(app, pool, gate, quota)
    _probes(app, pool, degraded)
    _refusing(app, gate)
    describe(app, gate)
    return RequestMiddleware(app, hosts_of(settings.host, settings.allowed_hosts))


def _launching(
    app: FastAPI, pool: Pool, gate: Gate, quota: RateLimiter, hosts: Sequence[str]
) -> None:
    async def admitted(request: Request, peer: str) -> tuple[Caller, JoinInfo]:
        """The caller and the join request; one with a header is known before the body is read."""
        caller = gate.by_header(_authorization(request), peer)
        if caller is None and not gate.reads_tokens:
            raise Unauthorized(
                "This needs an Authorization header with a key that is known here; in a URL, "
                "http://user:password@host."
            )
        join = read_launch(await _body(request), hosts)
        return caller or gate.by_token(join), join

    @app.post(
        "/launch",
        response_model=LaunchAnswer,
        responses=refusals(400, 401, 403, 409, 413, 422, 429, 503),
        openapi_extra={"requestBody": launch_body()},
    )
    async def launch(request: Request) -> Response:
        """What an agent POSTs: the session, once a worker has taken it.

        For a session that lives it is a renewal: `agent_participant_id` counts at once, `token`
        and `signaling_base_url` when a worker joins anew; `not_applied` names what stays as it is.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ANSWER_S
        peer = _peer(request)
        asked = request.headers.get("traceparent")
        with metrics.launching(), tracing.dispatching(asked) as traceparent:
            try:
                caller, join = await admitted(request, peer)
            except (BadRequest, Unauthorized, Forbidden) as refusal:
                await _count(quota, peer, refusal)
                raise
            await quota.launch(caller.owner)
            session = await pool.launch(join, deadline - loop.time(), caller.owner, traceparent)
        answer: dict[str, object] = {
            "status": "success",
            "room": session.room,
            "session_id": session.session_id,
        }
        if session.not_applied:
            answer["not_applied"] = list(session.not_applied)
        return JSONResponse(answer)


def _operating(app: FastAPI, pool: Pool, gate: Gate, quota: RateLimiter) -> None:
    async def admit(request: Request) -> None:
        peer = _peer(request)
        try:
            gate.operator(_authorization(request), peer)
        except (Unauthorized, Forbidden) as refusal:
            await _count(quota, peer, refusal)
            raise

    @app.get("/v1/sessions", response_model=SessionsAnswer, responses=refusals(401, 403, 429, 503))
    async def sessions(request: Request) -> Response:
        """All sessions that live, and the latest that are over."""
        await admit(request)
        return JSONResponse({"sessions": [session.to_dict() for session in await pool.sessions()]})

    known = refusals(401, 403, 404, 429, 503)

    @app.get("/v1/sessions/{session_id}", response_model=SessionAnswer, responses=known)
    async def session(session_id: str, request: Request) -> Response:
        """One session: its life, and its counters."""
        await admit(request)
        found = await pool.find(session_id) if SESSION_ID.fullmatch(session_id) else None
        return _unknown() if found is None else JSONResponse(found.to_dict())

    @app.delete("/v1/sessions/{session_id}", response_model=SessionAnswer, responses=known)
    async def end(session_id: str, request: Request) -> Response:
        """The worker leaves at once, in mid-word; asking twice changes nothing."""
        await admit(request)
        found = await pool.end(session_id) if SESSION_ID.fullmatch(session_id) else None
        return _unknown() if found is None else JSONResponse(found.to_dict())


def _probes(app: FastAPI, pool: Pool, degraded: Callable[[], Sequence[str]]) -> None:
    @app.get("/livez", response_model=Health)
    async def livez() -> Response:
        """Whether this process answers."""
        return JSONResponse({"status": "alive"})

    @app.get("/readyz", response_model=Health, responses=refusals(503))
    async def readyz() -> Response:
        """Whether a session that is launched now may be served."""
        if pool.ready:
            failing = [*degraded()]
            return JSONResponse({"status": "ready", **({"degraded": failing} if failing else {})})
        return _later(503, pool.why_not_ready)


def _refusing(app: FastAPI, gate: Gate) -> None:
    @app.exception_handler(BadRequest)
    async def bad_request(_: Request, refusal: BadRequest) -> Response:
        return error(refusal.status, str(refusal))

    @app.exception_handler(Unauthorized)
    async def unauthorized(_: Request, refusal: Unauthorized) -> Response:
        return error(401, str(refusal), {"WWW-Authenticate": gate.challenge})

    @app.exception_handler(Forbidden)
    async def forbidden(_: Request, refusal: Forbidden) -> Response:
        return error(403, str(refusal))

    @app.exception_handler(Refused)
    async def refused(_: Request, refusal: Refused) -> Response:
        logger.info("a launch was refused: %s", refusal)
        return error(422, str(refusal))

    @app.exception_handler(Conflict)
    async def conflict(_: Request, refusal: Conflict) -> Response:
        logger.info("a launch was refused: %s", refusal)
        return error(409, str(refusal))

    @app.exception_handler(TooMany)
    async def too_many(_: Request, refusal: TooMany) -> Response:
        return _later(429, str(refusal), refusal.retry_after_s)

    @app.exception_handler(Full)
    async def full(_: Request, refusal: Full) -> Response:
        logger.info("a launch found no slot: %s", refusal)
        return _later(503, str(refusal))

    app.add_exception_handler(HTTPException, http_error)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> Response:
        return error(500, "The dispatcher failed; its log says why.")


async def _count(quota: RateLimiter, peer: str, refusal: Exception) -> None:
    """Say in the log who was refused, and why. Raises TooMany where it was said too often."""
    await quota.refusal(peer)
    logger.info("a request of %s was refused: %s", peer, refusal)


async def _body(request: Request) -> bytes:
    """The body of a JSON request. Raises BadRequest.

    A page in a browser may send text to any address without asking, but not JSON.
    """
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_BODY:
                    raise BadRequest(413, f"The join request is longer than {MAX_BODY} bytes.")
    except ClientDisconnect:
        raise BadRequest(400, "The join request was broken off.") from None
    except TimeoutError:
        raise BadRequest(400, f"The join request was not complete within {BODY_S:g} s.") from None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadRequest(422, "The Content-Type of a join request has to be application/json.")
    return body


def _authorization(request: Request) -> str:
    return request.headers.get("authorization", "")


def _peer(request: Request) -> str:
    """Who is at the other end, or whom a proxy names that AVATAR_FORWARDED_ALLOW_IPS trusts."""
    return peer_of(request.client.host if request.client else None)


def _unknown() -> Response:
    return error(404, "There is no such session.")


def _later(status: int, sentence: str, retry_after_s: int = RETRY_AFTER_S) -> Response:
    return error(status, sentence, {"Retry-After": str(retry_after_s)})
