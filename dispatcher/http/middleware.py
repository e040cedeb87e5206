"""What stands in front of all routes: a name for each request, and no pages of other origins."""

import re
import secrets
import socket
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from dispatcher.http.auth import is_loopback

REQUEST_ID: Final = ContextVar("request id", default="")
"""The name of the request that is being answered."""

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A name that a client may give its request: nothing that could pass for a token."""

NUMERIC: Final = re.compile(r"[0-9a-fx.]+", re.IGNORECASE)
"""An IPv4 address in any of its forms: 127.0.0.1, 127.1, 0x7f.1."""

LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")

SAFE: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer: it is not cached, framed, or taken for anything but JSON."""

NOT_BY_NAME: Final = (
    "The host in the address is none under which this may be asked for; ask under one of "
    "AVATAR_ALLOWED_HOSTS (on loopback: localhost and its addresses), or add it there."
)
NOT_A_PAGE: Final = "This is not for pages in browsers; a proxy may drop the Origin header."

SENTENCES: Final = {
    404: "There is nothing at this address.",
    405: "This address does not know that method.",
}


def error(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """What every refusal looks like."""
    return JSONResponse({"error": sentence, "request_id": REQUEST_ID.get()}, status, headers)


async def http_error(request: Request, fault: Exception) -> Response:
    """What Starlette refuses by itself, in our words."""
    assert isinstance(fault, HTTPException)
    sentence = SENTENCES.get(fault.status_code, "This cannot be done.")
    headers = {"Allow": _allowed(request)} if fault.status_code == 405 else None
    return error(fault.status_code, sentence, headers)


def _allowed(request: Request) -> str:
    """The methods of all routes at an address; Starlette would name those of the first."""
    routes = [each for each in request.app.router.routes if isinstance(each, Route)]
    here = [each for each in routes if each.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for each in here for method in each.methods or ()}))


def hosts_of(host: str, chosen: Sequence[str] = ()) -> Sequence[str]:
    """The names under which a service that listens on `host` may be asked for.

    Of one that only its own machine reaches, a page in a browser there could ask under a name
    of its own (DNS rebinding); one that others reach is known by names that we do not know.
    """
    if chosen:
        return chosen
    return (*LOOPBACK, host) if host == "localhost" or is_loopback(host) else ("*",)


class RequestMiddleware:
    """`app` for those who ask under one of the names `hosts`; answers each request by name."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._on_loopback = {*LOOPBACK} <= {*hosts}
        self._doorman = TrustedHostMiddleware(_admit, hosts, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if NAME.fullmatch(given) else secrets.token_hex(8)
        REQUEST_ID.set(name)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update({"X-Request-Id": name, **SAFE})
            await send(message)

        with bound_contextvars(request_id=name):
            if not await self._is_asked_by_name(scope, receive):
                answer: ASGIApp = error(403, NOT_BY_NAME)
            elif "origin" in Headers(scope=scope):
                answer = error(403, NOT_A_PAGE)
            elif not _is_spelled_out(scope):
                answer = error(404, SENTENCES[404])
            else:
                answer = self._app
            await answer(scope, receive, send_with_headers)

    async def _is_asked_by_name(self, scope: Scope, receive: Receive) -> bool:
        """The library decides; what it would say is not in our words.

        Where loopback may be asked by name, so may it by all its addresses, such as 127.1: no name
        that somebody else owns leads there, which is what the names are looked at for.
        """
        if self._on_loopback and _is_here(Headers(scope=scope).get("host", "")):
            return True
        asked = {**scope, ADMITTED: False}
        await self._doorman(asked, receive, _nowhere)
        return bool(asked[ADMITTED])


def _is_spelled_out(scope: Scope) -> bool:
    """Whether the path is written as the routes are. One that stands for a route only once it is
    decoded (``/v1%2Fsessions``) may have passed a proxy that was to keep it out."""
    raw_path = scope.get("raw_path")
    return raw_path is None or raw_path == scope["path"].encode()


def _is_here(host: str) -> bool:
    """Whether a Host header has an address of this machine itself: 127.*, 0.0.0.0 or [::]."""
    if host.startswith("["):
        address = host[1:].partition("]")[0]
        return is_loopback(address) or address == "::"
    name = host.partition(":")[0]
    try:
        # What inet_aton takes for an address may be followed by anything.
        address = socket.inet_ntoa(socket.inet_aton(name if NUMERIC.fullmatch(name) else ""))
    except OSError:
        return False
    return is_loopback(address) or address == "0.0.0.0"  # noqa: S104 - asked for, not listened on


ADMITTED: Final = "avatar.admitted"


async def _admit(scope: Scope, _: Receive, __: Send) -> None:
    scope[ADMITTED] = True


async def _nowhere(_: Message) -> None:
    return
