"""The routes: what agents and operators may ask over HTTP."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from dispatcher.errors import BadRequest, Full, Refused
from dispatcher.pool import Pool
from dispatcher.request import MAX_BODY, read_launch

BODY_S: Final = 2.0
ANSWER_S: Final = 4.2
"""When a body has to be there, and when it is answered at the latest: stock agents give up
after 5 s, and what runs on this machine may take its time."""

RETRY_AFTER_S: Final = 2

SENTENCES: Final = {
    404: "There is nothing at this address.",
    405: "This address does not know that method.",
}

logger = logging.getLogger("avatar.dispatcher.app")


def make_app(pool: Pool, hosts: Sequence[str]) -> FastAPI:
    """The service in front of `pool`; join requests may lead to the signalling `hosts` only.

    Errors are ``{"error": sentence}``, and repeat nothing of a request. Bodies are read here
    and not by FastAPI, whose own errors quote them.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)

    @app.post("/launch")
    async def launch(request: Request) -> Response:
        """What an agent POSTs: the session, once a worker has taken it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ANSWER_S
        join = read_launch(await _body(request), hosts)
        session = await pool.launch(join, deadline - loop.time())
        return JSONResponse(
            {"status": "success", "room": session.room, "session_id": session.session_id}
        )

    @app.get("/v1/sessions")
    async def sessions() -> Response:
        return JSONResponse({"sessions": [session.to_dict() for session in pool.sessions()]})

    @app.get("/v1/sessions/{session_id}")
    async def session(session_id: str) -> Response:
        found = pool.find(session_id)
        return _unknown() if found is None else JSONResponse(found.to_dict())

    @app.delete("/v1/sessions/{session_id}")
    async def end(session_id: str) -> Response:
        """The worker leaves at once, in mid-word; asking twice changes nothing."""
        found = await pool.end(session_id)
        return _unknown() if found is None else JSONResponse(found.to_dict())

    @app.get("/livez")
    async def livez() -> Response:
        return JSONResponse({"status": "alive"})

    @app.get("/readyz")
    async def readyz() -> Response:
        if pool.ready:
            return JSONResponse({"status": "ready"})
        return _error(503, "No worker can be had now.")

    @app.exception_handler(BadRequest)
    async def bad_request(_: Request, error: BadRequest) -> Response:
        return _error(error.status, str(error))

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return _error(422, str(error))

    @app.exception_handler(Full)
    async def full(_: Request, error: Full) -> Response:
        return _error(503, str(error))

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        return _error(error.status_code, SENTENCES.get(error.status_code, "This cannot be done."))

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> Response:
        return _error(500, "The dispatcher failed; its log says why.")

    return app


async def _body(request: Request) -> bytes:
    """The body of a JSON request. Raises BadRequest.

    A page in somebody's browser may send text to any address without asking, but not JSON.
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


def _unknown() -> Response:
    return _error(404, "There is no such session.")


def _error(status: int, sentence: str) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    return JSONResponse({"error": sentence}, status, headers)
