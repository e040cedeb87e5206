"""What a worker needs of videosdk 0.4.1 beyond its public API: the one place that reaches in.

The SDK's join blocks the event loop without a timeout, its failures are not raised, it decodes
everybody's sound and pictures whether they are wanted or not, and it never notices that the
meeting is gone. All of that is patched from outside, through names that are private to the
SDK. They are here and nowhere else; a test holds that the pinned version has them.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from types import FunctionType
from typing import Any, Final, TypeVar

from requests.exceptions import (  # type: ignore[import-untyped]
    HTTPError,
    InvalidJSONError,
    InvalidSchema,
    ProxyError,
    RequestException,
    SSLError,
)
from videosdk._events import Events
from videosdk.exceptions import MeetingInitializationError
from videosdk.room_client import TASK_INCOMING_MESSAGES, RoomClient
from videosdk.utils import get_server_config
from vsaiortc.codecs import vpx
from websockets.exceptions import InvalidStatus, WebSocketException

from agent_side.sctp import mend
from avatar_runtime.cpus import cpus as usable_cpus
from worker.errors import JoinError, JoinRefused

VERSION: Final = "0.4.1"

PING_S: Final = 1.0
PONG_S: Final = 2.5
"""A signalling server that does not answer a ping for so long is gone. The SDK would ask
after 2000 s, and until then a dead connection looks like a quiet meeting."""

SILENCE_S: Final = 3.5
"""Media servers that answer no question for so long are gone: some twenty questions, so that
it is no bad luck even where every third one is lost. The SDK would notice after 30 s."""

REPEATS: Final = 2
"""A question is asked again after 0.5 s and 1.5 s and given up after 3.5 s, so an answer may be
slow, too."""

CLOSE_S: Final = 0.5
"""How long leaving waits for a signalling server that does not answer the goodbye; the media
transports are closed after that."""

TOKEN_REFUSED: Final = (401, 403)
"""HTTP's words for a token that will not do."""

PASSING: Final = (408, 425, 429)
"""Answers that blame the client and that change when it waits."""

DEAD: Final = frozenset({"closing", "closed", "failed"})
"""States from which neither a transport nor a data channel comes back."""

T = TypeVar("T")

mend()

_sdk_threads = vpx.number_of_threads

USABLE_THREADS: Final = usable_cpus().threads
"""CPUs that this process may use. Read at import, before the fork, so that no worker reads it."""


def _encoder_threads(pixels: int, cpus: int) -> int:
    """The SDK's choice for the picture's encoder, limited to the CPUs that are usable."""
    threads: int = _sdk_threads(pixels, min(cpus, USABLE_THREADS))
    return threads


vpx.number_of_threads = _encoder_threads


class SdkInternals:
    """The internals of one SDK meeting. Raises JoinError where the SDK is another version."""

    def __init__(self, meeting: Any) -> None:
        installed = version("videosdk")
        if installed != VERSION:
            raise JoinError(
                f"videosdk {installed} is installed, but this worker knows the internals of "
                f"{VERSION} only; run `pip install videosdk=={VERSION}`."
            )
        self._client: Any = meeting._Meeting__room_client
        self._paths = {"send": Path(), "recv": Path()}
        self.refusal: str | None = None
        """Why the signalling connection could not be opened, if that was it."""
        self.refused = False
        """Trying to open it again is of no use."""

    async def join(self, config: object) -> None:
        """The SDK's own join, with `config` instead of its blocking request for one.

        Two names of the SDK's module are rebound for this call alone: the request, and the
        opening of the WebSocket, which gets pings and reports why it failed. Other meetings
        in the process are not touched. Returns after a failed join too, as the SDK does.
        """
        plain = RoomClient.async_join
        connect = plain.__globals__["connect"]

        async def watched_connect(url: str, **options: Any) -> Any:
            keepalive = {
                "ping_interval": PING_S,
                "ping_timeout": PONG_S,
                "close_timeout": CLOSE_S,
            }
            try:
                return await connect(url, **{**options, **keepalive})
            except (OSError, ImportError, WebSocketException) as error:
                self.refusal = _why_not_connected(error)
                self.refused = isinstance(error, InvalidStatus) and is_final(
                    error.response.status_code
                )
                raise

        names = {"get_server_config": lambda *_: config, "connect": watched_connect}
        await FunctionType(plain.__code__, {**plain.__globals__, **names})(self._client)

    async def leave(self) -> None:
        """Leave and wait until that is done; the SDK's public ``leave`` does not wait."""
        for path in self._paths.values():
            path.close()
        await self._client.async_leave()

    def decline_media(self) -> None:
        """From now on, agree to every offer of somebody's sound or picture and take none.

        Nothing is negotiated, decoded or kept, and as the SDK does not ask for the stream to
        begin, the server never sends it. Data is offered separately and is not touched.
        (A server that sends nevertheless is ignored: nothing here listens to its packets.
        Answering "no" is no better, as it is an error to some servers, and the SDK's own
        ``auto_consume=False`` is one switch for media and data.)
        """

        async def decline(**_: object) -> None:
            return

        self._client.handleConsume = decline

    def on_peer_closed(self, callback: Callable[[Any], None]) -> None:
        """Call `callback` with ``{"peerId": ...}`` for everybody who leaves.

        The public events leave out those who were in the room before us.
        """
        self._client.on(Events.REMOVE_PEER, callback)

    @property
    def leaving(self) -> bool:
        """Whether the SDK has begun to leave: it does what the server says, unasked."""
        return bool(self._client._closed)

    @property
    def published(self) -> bool:
        """Whether the server has accepted both tracks."""
        client = self._client
        return client._RoomClient__audio_producer is not None and (
            client._RoomClient__video_producer is not None
        )

    @property
    def open(self) -> bool:
        """Whether media and data can leave, some 50 ms after the SDK says that it has joined."""
        transport = self._client._RoomClient__send_transport
        return transport.connectionState == "connected" and self._channels == {"open"}

    @property
    def _channels(self) -> set[str]:
        channels = (self._client._reliable_data_producer, self._client._unreliable_data_producer)
        return {"closed" if each is None else each.readyState for each in channels}

    def ask(self, since_s: float) -> str | None:
        """Ask the media servers whether they are there; returns which has long been silent.

        Called a few times a second; `since_s` is the time since the last call.
        """
        for name, path in self._paths.items():
            transport = getattr(self._client, f"_RoomClient__{name}_transport")
            silence_s = path.ask(transport.handler.pc, since_s)
            if silence_s >= SILENCE_S:
                return f"the media server has not answered on the {name} transport for a while"
        return None

    def lost(self) -> str | None:
        """What of a meeting that was joined has ended without being asked to, if anything."""
        client = self._client
        reading = client._RoomClient__tasks.get(TASK_INCOMING_MESSAGES)
        if reading is None or reading.done():
            return "the signalling connection has closed"
        for name in ("send", "recv"):
            transport = getattr(client, f"_RoomClient__{name}_transport")
            states = {transport.connectionState, transport.handler.pc.connectionState}
            if states & DEAD:
                return f"the {name} transport is {' and '.join(sorted(states & DEAD))}"
        if self._channels & DEAD:
            return "the data channel has closed"
        for kind in ("audio", "video"):
            # A host who mutes the face closes the producer; that is not a loss.
            producer = getattr(client, f"_RoomClient__{kind}_producer")
            if producer and not producer.closed and producer.track.readyState == "ended":
                return f"the {kind} track has stopped"
        return None


class Path:
    """The way to one transport's media server: STUN questions that are there and back, or not.

    aioice asks for consent itself (RFC 7675), but seldom.
    """

    def __init__(self) -> None:
        self._silence_s = 0.0
        self._asking: set[asyncio.Future[Any]] = set()

    def ask(self, connection: Any, since_s: float) -> float:
        """Ask once more; returns how long nothing was answered (s).

        A way that was never open is not silent. Time in which nobody could ask is not counted
        in full: an event loop that stood still has heard nothing either.
        """
        self._silence_s += since_s
        for transport in connection._RTCPeerConnection__iceTransports:
            ice = transport._connection
            for pair in ice._nominated.values():
                question = pair.protocol.request(
                    ice.build_request(pair, nominate=False),
                    pair.remote_addr,
                    integrity_key=ice.remote_password.encode(),
                    retransmissions=REPEATS,
                )
                asking = asyncio.ensure_future(question)
                self._asking.add(asking)
                asking.add_done_callback(self._answered)
        if not self._asking:
            self._silence_s = 0.0
        return self._silence_s

    def close(self) -> None:
        for asking in self._asking:
            asking.cancel()

    def _answered(self, asking: "asyncio.Future[Any]") -> None:
        self._asking.discard(asking)
        if not asking.cancelled() and asking.exception() is None:
            self._silence_s = 0.0


async def fetch_config(room: str, token: str, host: str) -> Any:
    """The servers of a meeting, asked for by the SDK's own function.

    It blocks without a timeout, so it runs in a thread that a cancelled caller leaves behind.
    Raises JoinError.
    """
    try:
        return await _in_daemon_thread(lambda: get_server_config(room, token, host))
    except Exception as error:
        raise _no_config(error, host) from error


async def _in_daemon_thread(call: Callable[[], T]) -> T:
    """What `call` returns. asyncio's own threads would keep the process from ending."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def resolve(result: T | None, error: Exception | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        try:
            report: tuple[T | None, Exception | None] = (call(), None)
        except Exception as error:  # noqa: BLE001 - it is raised where it is awaited
            report = (None, error)
        with suppress(RuntimeError):  # the loop has closed, nobody waits
            loop.call_soon_threadsafe(resolve, *report)

    threading.Thread(target=run, name="videosdk-config", daemon=True).start()
    return await outcome


def _no_config(error: Exception, host: str) -> JoinError:
    cause = error.args[0] if isinstance(error, MeetingInitializationError) else error
    if isinstance(cause, (SSLError, ProxyError, InvalidSchema)) or _names_no_file(cause):
        return JoinError(f"{host} cannot be reached: {_on_the_way(cause)}.")
    if isinstance(cause, HTTPError):
        code = cause.response.status_code
        if code in TOKEN_REFUSED:
            return JoinRefused(
                f"{host} refused the token (HTTP {code}); "
                "send a fresh one that allows to join this meeting."
            )
        if is_final(code):
            return JoinRefused(
                f"{host} refused to let anybody join this meeting (HTTP {code}); "
                "check that the room exists and that the token is for it."
            )
        return JoinError(f"{host} answered HTTP {code} to the join; try again later.")
    if isinstance(cause, RequestException) and not isinstance(cause, InvalidJSONError):
        return JoinError(
            f"{host} cannot be reached ({type(cause).__name__}); "
            "check the network and signaling_base_url."
        )
    return JoinError(
        f"{host} answered the join with something that is not VideoSDK's "
        f"({type(cause).__name__}); check signaling_base_url."
    )


def _names_no_file(cause: object) -> bool:
    """Whether it is what `requests` raises for a bundle of certificates that is not there."""
    return type(cause) is OSError and "CA certificate bundle" in str(cause)


def _on_the_way(cause: object) -> str:
    """What is wrong between here and there, and what to do, in the words of none of them."""
    if isinstance(cause, SSLError):
        return (
            "its certificate is not trusted here; put the path of a PEM file with its authority "
            "into REQUESTS_CA_BUNDLE"
        )
    if isinstance(cause, ProxyError):
        return "the proxy refuses or is not there; check HTTPS_PROXY and NO_PROXY"
    if isinstance(cause, InvalidSchema):
        return (
            "HTTPS_PROXY or ALL_PROXY names a kind of proxy for which a package is missing; run "
            "`pip install pysocks python-socks`, or list the host in NO_PROXY"
        )
    return (
        "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names a file that is not there; correct or unset it"
    )


def is_final(code: int) -> bool:
    """Whether an HTTP status says that the same request will never be granted."""
    return 400 <= code < 500 and code not in PASSING


def _why_not_connected(error: Exception) -> str:
    """Says nothing that is in the error's text, as the token is part of the address."""
    if isinstance(error, ImportError):
        return (
            "the signalling server is behind a SOCKS proxy, for which a package is missing; run "
            "`pip install python-socks`, or list its host in NO_PROXY"
        )
    if "Proxy" in type(error).__name__:  # those of websockets 15, which older ones do not have
        return (
            "the signalling server cannot be reached through the proxy; check HTTPS_PROXY, "
            "ALL_PROXY and NO_PROXY"
        )
    if isinstance(error, ssl.SSLError):
        return (
            "the signalling server's certificate is not trusted here; put the path of a PEM file "
            "with its authority into SSL_CERT_FILE"
        )
    if isinstance(error, InvalidStatus):
        return f"the signalling server refused the connection (HTTP {error.response.status_code})"
    return f"the signalling server cannot be reached ({type(error).__name__})"
