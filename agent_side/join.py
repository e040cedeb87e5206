"""JoinInfo: the body that an agent POSTs so that a worker joins its meeting."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

SECRET: Final = re.compile(
    r"""(?P<name>\b(?:secret|token)=["'\\]*)[^\s&"'<>\\]+"""
    r"""|(?P<user>://[^\s/:@]*:)[^\s/@]+(?=@)"""
    r"""|(?<![\w-])eyJ[\w-]*\.[\w-]*\.[\w-]*""",
    re.IGNORECASE,
)
"""A secret in an address's query, a password in an address, a JSON web token (RFC 7519)."""


def redact(text: str) -> str:
    """`text` with stars for all in it that looks like a secret, for logs."""
    return SECRET.sub(lambda found: f"{found['name'] or found['user'] or ''}***", text)


@dataclass(frozen=True, slots=True)
class JoinInfo:
    """Which meeting to join, as whom, and what to bring.

    The first four fields are the stock ones, the others are ours and optional; a stock
    agent never sends them, and a stock dispatcher ignores them.

    - `room_name`: the meeting's id.
    - `token`: a VideoSDK token that allows to join it. Never shown by ``repr``.
    - `participant_id`: the id under which the worker joins; None leaves it to the dispatcher.
    - `signaling_base_url`: host[:port] of the signalling service; None for the platform's.
    - `agent_participant_id`: the only participant that the face obeys. `AvatarAudioOut` fills it
      in as soon as it knows it; a stock agent names nobody, and the worker has to choose.
    - `character`: which face; None for the worker's own choice.
    - `metadata`: anything, handed through unread.
    """

    room_name: str
    token: str = field(repr=False)
    participant_id: str | None = None
    signaling_base_url: str | None = None
    agent_participant_id: str | None = None
    character: str | None = None
    metadata: Mapping[str, Any] | None = None

    def to_json(self) -> str:
        """One line of JSON; it contains the token, so it belongs on a pipe or in a body only."""
        return json.dumps({key: value for key, value in asdict(self).items() if value is not None})

    @classmethod
    def from_json(cls, text: str | bytes) -> "JoinInfo":
        """The join request in `text`; fields that are not ours are ignored.

        Raises ValueError with one sentence that names the field, never its content.
        """
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("The join request is not JSON.") from None
        if not isinstance(body, dict):
            raise ValueError("The join request is not a JSON object.")
        known = {each.name: body[each.name] for each in fields(cls) if each.name in body}
        for name in ("room_name", "token"):
            if not isinstance(known.get(name), str) or not known[name]:
                raise ValueError(f"The join request needs `{name}`, a string that is not empty.")
        for name, value in known.items():
            if value is None:
                continue
            if name == "metadata":
                if not isinstance(value, dict):
                    raise ValueError("`metadata` in the join request has to be an object.")
            elif not isinstance(value, str):
                raise ValueError(f"`{name}` in the join request has to be a string.")
        return cls(**known)
