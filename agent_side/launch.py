"""Asking a dispatcher for a face: one POST, a few tries, no secret in any log."""

import asyncio
import json
import logging
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agent_side.join import JoinInfo, redact
from agent_side.launching.reach import Proxy, certificates, is_loopback, proxy_for

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger("avatar.agent_side")

CONNECT_TIMEOUT_S: Final = 10.0
CONNECT_PAUSES_S: Final = (0.5, 1.5, 3.0)
"""A dispatcher that is full or cannot be reached is asked again after these pauses, or after
those that it asks for."""

LONGEST_PAUSE_S: Final = 5.0
"""An agent whose dispatcher asks for a longer pause than this is better told at once."""

LATER: Final = (429, 503)
"""Too much of this agent, or of all."""

MAX_SENTENCE: Final = 300
"""How much of what a server says is shown (characters)."""


class AvatarError(Exception):
    """The face cannot be had or cannot be reached; the text says what to do."""


class LaunchError(AvatarError):
    """The dispatcher does not give a face; `status` is its HTTP status, None if out of reach."""

    def __init__(self, text: str, status: int | None) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class LaunchAnswer:
    """What a dispatcher answered to a launch.

    - `session_id`: the session's id; None for a dispatcher that is not ours.
    - `worker_version`: the version of the protocol that its workers speak; None if unknown.
    - `not_applied`: the fields of the join request that differ from the session that lives
      and cannot be changed in it.
    """

    session_id: str | None
    worker_version: int | None
    not_applied: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, body: bytes) -> "LaunchAnswer":
        """What the answer says; nothing of it has to be there."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            return cls(None, None)
        if isinstance(answer.get("session_id"), str):
            not_applied = answer.get("not_applied")
            names = not_applied if isinstance(not_applied, list) else []
            return cls(answer["session_id"], 2, tuple(str(name) for name in names))
        return cls(None, 1 if answer.get("status") == "success" else None)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why the dispatcher was not had, and what to do; `again` where another try may help."""

    problem: str
    advice: str
    again: bool = True
    pause_s: float = 0.0
    status: int | None = None


async def launch(url: str, join: JoinInfo) -> LaunchAnswer:
    """POST the join request; the URL's credentials go into a header and into no log.

    Asks a dispatcher on this machine directly and others as the environment says: through
    HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, but for those in NO_PROXY. Raises `LaunchError`, and
    `AvatarError`, without a POST, where the address or the environment cannot be used, or where
    the request has a fault that no meeting can take.
    """
    if join.fault is not None:
        raise AvatarError(f"The face cannot be asked for: {join.fault}")
    address = _address(url)
    auth = (address.username, address.password) if address.userinfo else None
    address = address.copy_with(userinfo=b"")
    proxy = proxy_for(address)
    async with _client(address, auth, proxy) as client:
        answer = await _ask(client, address, proxy, join)
        for pause_s in CONNECT_PAUSES_S:
            if isinstance(answer, LaunchAnswer) or not answer.again:
                break
            logger.warning("the avatar dispatcher %s, trying again", answer.problem)
            await asyncio.sleep(max(pause_s, answer.pause_s))
            answer = await _ask(client, address, proxy, join)
    if isinstance(answer, LaunchAnswer):
        logger.info("the dispatcher at %s has taken the session", address.host)
        return answer
    shown = address.copy_with(query=None)
    text = f"The avatar dispatcher at {shown} {answer.problem}. {answer.advice}"
    raise LaunchError(text.rstrip(), answer.status)


def _address(url: str) -> "httpx.URL":
    import httpx  # here, because it costs as much as all else that an agent imports of us

    try:
        address = httpx.URL(url)
    except (httpx.InvalidURL, TypeError, ValueError):
        address = httpx.URL()
    if address.scheme not in ("http", "https") or not address.host:
        raise AvatarError(
            "avatar_dispatcher_url has to look like http://host:port/path, with http or https; "
            "write special characters in a password as %XX."
        )
    return address


def _client(
    address: "httpx.URL", auth: tuple[str, str] | None, proxy: Proxy | None
) -> "httpx.AsyncClient":
    """A client that reads nothing of the environment by itself. Raises AvatarError."""
    import httpx

    try:
        # Certificates take 20 ms to load, in which the agent's event loop stands still.
        trusted = certificates() if address.scheme == "https" else False
    except OSError as error:
        name = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
        raise AvatarError(
            f"The certificates to trust cannot be read: {name} is "
            f"{os.environ.get(name, '')!r} ({_said(error)}). Let it lead to PEM files, or unset it."
        ) from error
    try:
        return httpx.AsyncClient(
            timeout=CONNECT_TIMEOUT_S,
            auth=auth,
            verify=trusted,
            proxy=proxy.url if proxy else None,
            trust_env=False,
        )
    except ImportError as error:
        raise AvatarError(
            f"The dispatcher would be asked through {proxy}, for which a package is missing. "
            f"Run pip install 'httpx[socks]', or add {address.host} to NO_PROXY."
        ) from error
    except (ValueError, httpx.InvalidURL) as error:
        raise AvatarError(
            f"The dispatcher would be asked through {proxy}, which is no address of a proxy. "
            f"Correct it to http://host:port, or add {address.host} to NO_PROXY."
        ) from error


async def _ask(
    client: "httpx.AsyncClient", address: "httpx.URL", proxy: Proxy | None, join: JoinInfo
) -> LaunchAnswer | _Failure:
    """One try."""
    import httpx

    headers = {"Content-Type": "application/json"}
    try:
        response = await client.post(address, content=join.to_json(), headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return _unreached(error, address, proxy)
    if response.is_success:
        return LaunchAnswer.from_json(response.content)
    return _refused(response, proxy)


def _unreached(error: Exception, address: "httpx.URL", proxy: Proxy | None) -> _Failure:
    """Why no answer came, from what lies below the library's error."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _Failure(
                f"does not speak TLS as it should ({cause.reason or _said(cause)})",
                "Check in avatar_dispatcher_url whether it is https or http.",
                again=False,
            )
    reasons = [_said(each) for each in causes if isinstance(each, OSError)]
    reason = reasons[-1] if reasons else _said(error) or type(error).__name__
    if proxy is not None:
        return _Failure(
            f"cannot be reached through the proxy {proxy} ({reason})",
            f"Check the proxy, or add {address.host} to NO_PROXY to ask it directly.",
        )
    if is_loopback(address.host):
        return _Failure(
            f"cannot be reached ({reason})",
            "Check that it runs on this very machine, to which that address leads (in a "
            "container: this container), and avatar_dispatcher_url.",
        )
    return _Failure(
        f"cannot be reached ({reason})", "Check that it runs, and avatar_dispatcher_url."
    )


def _untrusted(error: ssl.SSLCertVerificationError) -> _Failure:
    why = error.verify_message or _said(error)
    advice = (
        "Ask under a name that is in its certificate."
        if error.verify_code in (62, 64)  # OpenSSL: the name, the address does not match
        else "Put the certificate of the authority that signed it into a PEM file, and the "
        "file's path into SSL_CERT_FILE."
    )
    return _Failure(f"has a certificate that is not trusted ({why})", advice, again=False)


def _refused(response: "httpx.Response", proxy: Proxy | None) -> _Failure:
    """In the server's own words where it has any."""
    status = response.status_code
    pause_s = _seconds(response.headers.get("Retry-After", ""))
    sentence = _sentence(response)
    problem = f"answered {status}" + (f": {sentence.rstrip('.')}" if sentence else "")
    if sentence:
        advice = _ALWAYS.get(status, "")
    elif response.has_redirect_location:
        advice = "It leads elsewhere; put the address that it leads to into avatar_dispatcher_url."
    elif proxy is not None:
        advice = (
            f"It was asked through the proxy {proxy}, which may have answered instead; "
            f"add {response.request.url.host} to NO_PROXY to ask it directly."
        )
    else:
        advice = _ALWAYS.get(status) or _UNSAID.get(status, "It gives no reason; its log may.")
    again = status in LATER and pause_s <= LONGEST_PAUSE_S
    return _Failure(problem, advice, again, pause_s, status)


def _sentence(response: "httpx.Response") -> str:
    """What the server says of its refusal; empty where it says nothing in a form that is known."""
    body = _body(response)
    said = body.get("error") or body.get("detail")
    if not isinstance(said, str):
        return ""
    printable = "".join(each if each.isprintable() else " " for each in said[:MAX_SENTENCE])
    return redact(" ".join(printable.split()))


def _body(response: "httpx.Response") -> dict[str, Any]:
    """The object that is the answer; an empty one where it is none."""
    try:
        body: Any = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what lies below it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _said(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        system = error.errno if isinstance(error, ConnectionError) else None
        text = os.strerror(system) if system else error.strerror
    return redact(" ".join(text.split()))[:MAX_SENTENCE]


def _seconds(retry_after: str) -> float:
    """The pause that is asked for; none where a date is, as clocks differ."""
    return float(retry_after[:9]) if retry_after.isascii() and retry_after.isdigit() else 0.0


_ALWAYS: Final = {
    401: "Put its user and password into avatar_dispatcher_url: http://user:password@host/path; "
    "or sign the token with a VideoSDK API key that it knows, and let it not expire.",
    404: "Check the path in avatar_dispatcher_url.",
}
"""What to do on the agent's side, whatever the server says."""

_UNSAID: Final = {
    409: "Another face is in that room, and its dispatcher keeps it: end that session first.",
    429: "Its key has launched too much at once: launch less, or raise the dispatcher's "
    "AVATAR_RATE or AVATAR_SESSIONS_PER_KEY.",
    503: "All its workers are busy: give it more capacity or try again later.",
}
"""What to do where the server says nothing, for answers that have one meaning only."""
