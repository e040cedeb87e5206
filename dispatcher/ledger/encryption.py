"""Encryption: join requests contain tokens, so they are encrypted before they reach Redis.

The encrypted text names the key, session and epoch that it was encrypted for, so that it cannot be
used in another session's record. Older versions ignore that, and encrypt for no session (`VERSION`
1 of records): what they have written is accepted under the key of the room and participant that it
names itself, and nowhere else.
"""

import json
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from agent_side.join import JoinInfo
from dispatcher.errors import SettingsError, Unreadable
from dispatcher.ledger.record import SessionRecord, key_of

FOR: Final = "sealed_for"
"""The field of an encrypted join request with its recipient; a join request itself has none."""


class Recipient(NamedTuple):
    """For whom a join request is encrypted: a session, and the epoch at which it was encrypted.

    A session keeps its join request when it moves to another node, at a higher epoch.
    """

    key: str
    session_id: str
    epoch: int

    @classmethod
    def of(cls, record: SessionRecord) -> Self:
        return cls(record.key, record.session_id, record.epoch)


class Encryption:
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

    def encrypt(self, text: str) -> str:
        """`text`, unreadable without one of the keys."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, encrypted: str) -> str | None:
        """The text again; None where it was encrypted with none of our keys."""
        try:
            return self._fernet.decrypt(encrypted.encode()).decode()
        except (InvalidToken, UnicodeError):
            return None

    def encrypt_join(self, join: JoinInfo, recipient: Recipient) -> str:
        """The join request, encrypted for that recipient alone."""
        return self.encrypt(json.dumps({**join.to_dict(), FOR: list(recipient)}))

    def decrypt_join(self, encrypted: str, recipient: Recipient) -> JoinInfo | None:
        """The join request, where it was encrypted for `recipient`, at its epoch or a lower one;
        None where that was with none of our keys. Raises Unreadable where it is another's."""
        text = self.decrypt(encrypted)
        if text is None:
            return None
        try:
            body = json.loads(text)
            join = JoinInfo.from_dict(body)
        except (ValueError, RecursionError):
            raise Unreadable("Its join request is none.") from None
        if FOR not in body:
            if key_of(join.room_name, join.participant_id or "") != recipient.key:
                raise Unreadable("Its join request is another session's.")
            return join
        match body[FOR]:
            case [recipient.key, recipient.session_id, int(epoch)] if 0 < epoch <= recipient.epoch:
                return join
            case _:
                raise Unreadable("Its join request is another session's.")
