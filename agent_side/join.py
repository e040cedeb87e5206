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

ADDRESSABLE: Final = re.compile(r"[A-Za-z0-9._~!$'()*,;:@/-]+")
"""A room, a participant or a token that reaches a meeting as it is: VideoSDK's SDK puts all three
into the query of an address without quoting, where ``&``, ``#``, ``%`` and ``+`` change them and
a space breaks the request."""

CHARACTER: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""A character's name, once it is in small letters: never a path."""

LENGTHS: Final = {
    "room_name": 256,
    "token": 8192,
    "participant_id": 256,
    "signaling_base_url": 256,
    "agent_participant_id": 256,
    "character": 64,
}
"""The longest value of each field (characters)."""

SCHEME: Final = "bearer "
"""What stands before a token in a header, and in no token."""


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
    - `agent_participant_id`: the only participant that the face obeys; `AvatarAudioOut` fills it
      in as soon as it knows it. None binds the face to the agent that was in the room first.
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

    def __post_init__(self) -> None:
        """A character's name means the same in capital letters."""
        if self.character is not None and self.character.isascii():
            object.__setattr__(self, "character", self.character.lower())

    @property
    def fault(self) -> str | None:
        """Why no meeting can take this, in one sentence without its content; None if one can.

        The one rule for agents, dispatchers and workers. What only the meeting knows, such as
        whether the room exists, is not looked at.
        """
        faults = (fault_of(name, getattr(self, name)) for name in LENGTHS)
        found = next(filter(None, faults), None)
        if not found and self.participant_id and self.participant_id == self.agent_participant_id:
            return (
                "`participant_id` is the agent's own `agent_participant_id`; give the face another "
                "one, as a meeting removes the first of two with the same id."
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """The fields that are not None; the token is one of them."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def to_json(self) -> str:
        """One line of JSON; it contains the token, so it belongs on a pipe or in a body only."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str | bytes) -> "JoinInfo":
        """The join request in `text`; fields that are not ours are ignored.

        Raises ValueError with one sentence that names the field, never its content: where the
        text is no join request, and where it has a `fault`.
        """
        return cls.from_dict(parsed(text))

    @classmethod
    def from_dict(cls, body: object) -> "JoinInfo":
        """The join request in `body`, as `from_json` reads it from a text. Raises ValueError."""
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
        join = cls(**known)
        if join.fault is not None:
            raise ValueError(join.fault)
        return join


def parsed(text: str | bytes) -> object:
    """The JSON value in `text`, of which `JoinInfo.from_dict` makes a join request. Raises
    ValueError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("The join request is not JSON.") from None


def fault_of(name: str, value: str | None) -> str | None:
    """What is wrong with one field, in a sentence without its content."""
    if value is None or (not value and name != "character"):
        # The dispatcher gives what is left out; `from_json` asks for what has to be there.
        return None
    if len(value) > LENGTHS[name]:
        return f"`{name}` is longer than {LENGTHS[name]} characters."
    if not value.isprintable():
        return f"`{name}` contains characters that cannot be printed."
    if name == "token" and value.lower().startswith(SCHEME):
        return "`token` begins with the word Bearer and a space; give the token alone."
    if name in ("room_name", "token", "participant_id") and not ADDRESSABLE.fullmatch(value):
        return (
            f"`{name}` contains characters that VideoSDK's SDK cannot put into an address; "
            "use letters from a to z, digits and -._~ only."
        )
    if name == "character" and not CHARACTER.fullmatch(value):
        return "`character` has to be a name of letters from a to z, digits, - and _."
    return None
