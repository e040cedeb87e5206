"""Asking a dispatcher for a face: one POST, a few tries, no secret in any log."""

import asyncio
import logging
from typing import Final

from agent_side.join import JoinInfo

logger = logging.getLogger("avatar.agent_side")

CONNECT_TIMEOUT_S: Final = 10.0
CONNECT_PAUSES_S: Final = (0.5, 1.5, 3.0)
"""A dispatcher that is full or cannot be reached is asked again after these pauses, or after
those that it asks for."""

LONGEST_PAUSE_S: Final = 5.0
"""An agent whose dispatcher asks for a longer pause than this is better told at once."""

LATER: Final = (429, 503)
"""Too much of this agent, or of all."""


class AvatarError(Exception):
    """The face cannot be had or cannot be reached; the text says what to do."""


async def launch(url: str, join: JoinInfo) -> None:
    """POST the join request; the URL's credentials go into a header and into no log.

    Raises `AvatarError`, without a POST where the request has a fault that no meeting can take.
    """
    if join.fault is not None:
        raise AvatarError(f"The face cannot be asked for: {join.fault}")
    import httpx  # here, because it costs as much as all else that an agent imports of us

    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in ("http", "https") or not address.host:
        raise AvatarError(
            "avatar_dispatcher_url has to look like http://host:port/path, with http or https; "
            "write special characters in a password as %XX."
        )
    auth = (address.username, address.password) if address.userinfo else None
    address = address.copy_with(userinfo=b"")
    shown = address.copy_with(query=None)
    headers = {"Content-Type": "application/json"}
    # Certificates take 20 ms to load, in which the agent's event loop stands still.
    secure = address.scheme == "https"
    async with httpx.AsyncClient(timeout=CONNECT_TIMEOUT_S, auth=auth, verify=secure) as client:
        for pause_s in (*CONNECT_PAUSES_S, None):
            asked_s = 0.0
            try:
                response = await client.post(address, content=join.to_json(), headers=headers)
            except httpx.HTTPError as error:
                problem = f"cannot be reached ({type(error).__name__})"
                advice = "Check that it runs, and avatar_dispatcher_url."
            else:
                if response.is_success:
                    logger.info("the dispatcher at %s has taken the session", address.host)
                    return
                problem = f"answered {response.status_code}"
                advice = _ADVICE.get(response.status_code, "Its log says why.")
                asked_s = _seconds(response.headers.get("Retry-After", ""))
                if response.status_code not in LATER or asked_s > LONGEST_PAUSE_S:
                    break
            if pause_s is not None:
                logger.warning("the avatar dispatcher %s, trying again", problem)
                await asyncio.sleep(max(pause_s, asked_s))
    raise AvatarError(f"The avatar dispatcher at {shown} {problem}. {advice}")


def _seconds(retry_after: str) -> float:
    """The pause that is asked for; none where a date is, as clocks differ."""
    return float(retry_after[:9]) if retry_after.isascii() and retry_after.isdigit() else 0.0


_ADVICE: Final = {
    401: "Put its user and password into avatar_dispatcher_url: http://user:password@host/path; "
    "or sign the token with a VideoSDK API key that it knows, and let it not expire.",
    403: "The token or the user may not do that: the token has to allow_join, and to be for "
    "this room and participant.",
    404: "Check the path in avatar_dispatcher_url.",
    409: "Another face is in that room, and its dispatcher keeps it: end that session first.",
    429: "Its key has launched too much at once: launch less, or raise the dispatcher's "
    "AVATAR_RATE or AVATAR_SESSIONS_PER_KEY.",
    503: "All its workers are busy: give it more capacity or try again later.",
}
