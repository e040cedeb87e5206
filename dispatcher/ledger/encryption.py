"""Seal: join requests contain tokens, so they are encrypted before they reach Redis.

What is sealed says inside, where nobody without a key can change it, which key, session and epoch
it was sealed for, so that it does not open in another session's record. Older versions read past
that, and seal for nobody (`VERSION` 1 of records): what they have sealed opens under the key of
the room and participant that it names itself, and nowhere else.
"""

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from agent_side.join import JoinInfo
from dispatcher.errors import SettingsError, Unreadable
from dispatcher.ledger.record import key_of

FOR: Final = "sealed_for"
"""The field of a sealed join request that says for whom; no field of a join request itself."""


class Holder(NamedTuple):
    """For whom a join request is sealed: a session, and the epoch at which it was sealed.

    A session keeps its join request when it moves to another node, at a higher epoch.
    """

    key: str
    session_id: str
    epoch: int


class Seal:
    """Encrypts with the first of `keys` and decrypts with any of them, so that keys rotate: add
    the new one at the end everywhere, then move it to the front, then take the old one away."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Raises SettingsError, which repeats no key."""
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise SettingsError(
                "AVATAR_SEAL_KEYS needs at least one key of 32 bytes in URL-safe base64, the same "
                "for all dispatchers and nodes; make one with `openssl rand -base64 32 | tr +/ -_`."
            ) from error

    def close(self, text: str) -> str:
        """`text`, unreadable to whoever has none of the keys."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str | None:
        """The text again; None where none of our keys has sealed it."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except (InvalidToken, UnicodeError):
            return None

    def close_join(self, join: JoinInfo, holder: Holder) -> str:
        """The join request, sealed for that holder alone."""
        return self.close(json.dumps({**json.loads(join.to_json()), FOR: list(holder)}))

    def open_join(self, sealed: str, holder: Holder) -> JoinInfo | None:
        """The join request, where it was sealed for `holder`, at its epoch or a lower one; None
        where none of our keys has sealed it. Raises Unreadable where it is another's."""
        text = self.open(sealed)
        if text is None:
            return None
        try:
            join, inside = JoinInfo.from_json(text), json.loads(text)
        except ValueError:
            raise Unreadable("Its join request is none.") from None
        if FOR not in inside:
            if key_of(join.room_name, join.participant_id or "") != holder.key:
                raise Unreadable("Its join request is another session's.")
            return join
        match inside[FOR]:
            case [holder.key, holder.session_id, int(epoch)] if 0 < epoch <= holder.epoch:
                return join
            case _:
                raise Unreadable("Its join request is another session's.")
