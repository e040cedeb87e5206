"""The body of POST /launch: what may be in it, and one clear sentence about what may not."""

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from agent_side.join import JoinInfo
from dispatcher.errors import BadRequest

MAX_BODY: Final = 16_384
"""The longest join request (bytes)."""

LENGTHS: Final = {
    "room_name": 256,
    "token": 8192,
    "participant_id": 256,
    "signaling_base_url": 256,
    "agent_participant_id": 256,
    "character": 64,
}
CHARACTER: Final = re.compile(r"[a-z0-9_-]{1,64}")
MAX_DEPTH: Final = 32
"""How deep `metadata` may be nested: enough for anybody, and far from what recursion can do."""

NAMELESS: Final = "avatar"
"""The participant id of a face to which neither the request nor its token gives one."""


def read_launch(body: bytes, hosts: Sequence[str]) -> JoinInfo:
    """The join request in `body`, complete: who joins is named, and the host is one of `hosts`.

    Raises BadRequest, whose text repeats nothing of the body.
    """
    join = _parse(body)
    for name, longest in LENGTHS.items():
        value = getattr(join, name)
        if value is None:
            continue
        if len(value) > longest:
            raise BadRequest(422, f"`{name}` is longer than {longest} characters.")
        if not value.isprintable():
            raise BadRequest(422, f"`{name}` contains characters that cannot be printed.")
    if not join.token.isascii():
        raise BadRequest(422, "`token` contains characters that no token has.")
    if join.character is not None and not CHARACTER.fullmatch(join.character):
        raise BadRequest(422, "`character` has to be a name in small letters, digits, - and _.")
    host = (join.signaling_base_url or hosts[0]).lower()
    if host not in hosts:
        raise BadRequest(
            422, "`signaling_base_url` is not a host that AVATAR_SIGNALING_HOSTS allows."
        )
    participant = join.participant_id or participant_of(join.token) or NAMELESS
    return replace(join, signaling_base_url=host, participant_id=participant)


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
    longest = LENGTHS["participant_id"]
    if isinstance(value, str) and 0 < len(value) <= longest and value.isprintable():
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
