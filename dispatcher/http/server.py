"""Listening: a socket, and uvicorn on it, for the routes and for the admin's."""

import contextlib
import errno
import gc
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from dispatcher.errors import SettingsError
from dispatcher.http.connections import HeaderTimeout, State
from dispatcher.http.listener import HttpListener

logger = logging.getLogger("avatar.dispatcher")

CLOSE_S: Final = 5
"""How long answers that were begun may take when the server stops."""


class Server(uvicorn.Server):
    """uvicorn on one listener, which leaves the signals to us: it would end the process with the
    one it got."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state: State = State()

    async def answer(self, listener: HttpListener) -> None:
        """Serve until `should_exit` is set."""
        self.server_state.listener = listener
        await self.serve(sockets=[listener])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def make_server(app: ASGIApp, proxies: Sequence[str] = ()) -> Server:
    """A server of `app`; only `proxies` may say for whom they ask (X-Forwarded-For).

    Of that header, the last address counts that is none of theirs: what stands further left
    may be written by any client.
    """
    return Server(
        uvicorn.Config(
            app,
            http=HeaderTimeout,
            ws="none",
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            # It would warn of each request that is none, as often as a client likes.
            log_level="error",
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=CLOSE_S,
        )
    )


def freeze_gc() -> None:
    """Keep the garbage collector away from what is here now, as it stays.

    Else each full collection holds up all that goes on: 60 to 190 ms where all of FastAPI is here.
    """
    gc.collect()
    gc.freeze()


def listen(
    host: str,
    port: int,
    advice: str,
    most: int,
    may: Callable[[str], None] = lambda _: None,
    *,
    or_free: bool = False,
) -> HttpListener:
    """A socket that listens, for `most` connections. Raises SettingsError, with the `advice` what
    to choose instead.

    `may` is asked about the resolved address before anybody can reach it, and raises its own.
    With `or_free`, a port that is taken is no error: another one is used, and that is said.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = HttpListener(family, kind, protocol, most)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            may(str(address[0]))
            listener.listen()
        except (OSError, SettingsError):
            listener.close()
            raise
    except OSError as error:
        if or_free and error.errno == errno.EADDRINUSE:
            logger.warning("port %d is taken; using another one, see below", port)
            return listen(host, 0, advice, most, may)
        raise SettingsError(
            f"Nothing can listen on {host}, port {port}: {error.strerror}; {advice}."
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Where it listens, without a path."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
