"""The body of POST /launch: what may be in it, and one clear sentence about what may not."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from agent_side.join import JoinInfo, fault_of
from dispatcher.errors import BadRequest

MAX_BODY: Final = 16_384
"""The longest join request (bytes)."""

MAX_DEPTH: Final = 32
"""How deep `metadata` may be nested: enough for anybody, and far from what recursion can do."""

NAMELESS: Final = "avatar"
"""The participant id of a face to which neither the request nor its token gives one."""


def read_launch(body: bytes, hosts: Sequence[str]) -> JoinInfo:
    """The join request in `body`, complete: who joins is named, and the host is one of `hosts`.

    Raises BadRequest, whose text repeats nothing of the body.
    """
    join = _parse(body)
    host = (join.signaling_base_url or hosts[0]).lower()
    if host not in hosts:
        raise BadRequest(
            422, "`signaling_base_url` is not a host that AVATAR_SIGNALING_HOSTS allows."
        )
    participant = join.participant_id or participant_of(join.token) or NAMELESS
    complete = replace(join, signaling_base_url=host, participant_id=participant)
    if complete.fault is not None:
        raise BadRequest(422, complete.fault)
    return complete


def claims_of(token: str) -> dict[str, object]:
    """What a JSON web token (RFC 7519) says, not verified; nothing where it cannot be read."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, LookupError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def participant_of(token: str) -> str | None:
    """The ``participantId`` in a VideoSDK token, not verified, or None.

    The token itself stays what admits to the meeting; this only says under which name.
    """
    value = claims_of(token).get("participantId")
    if isinstance(value, str) and value and fault_of("participant_id", value) is None:
        return value
    return None


def _parse(body: bytes) -> JoinInfo:
    if len(body) > MAX_BODY:
        raise BadRequest(413, f"The join request is longer than {MAX_BODY} bytes.")
    try:
        # What Python reads and JSON has not: NaN, infinities, halves of a surrogate pair, and
        # other encodings than UTF-8.
        request = json.loads(body.decode())
        plain = json.dumps(request, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise BadRequest(400, "The join request is not JSON.") from None
    if _is_deeper(request, MAX_DEPTH):
        raise BadRequest(422, f"The join request is nested more than {MAX_DEPTH} deep.")
    try:
        return JoinInfo.from_json(plain)
    except ValueError as error:
        raise BadRequest(422, str(error)) from None


def _is_deeper(value: object, most: int) -> bool:
    """Arrays and objects stand in each other more than `most` deep."""
    level = [value]
    for _ in range(most + 1):
        inside = [each for each in level if isinstance(each, list | dict)]
        level = [
            part for each in inside for part in (each.values() if isinstance(each, dict) else each)
        ]
        if not inside:
            return False
    return True
