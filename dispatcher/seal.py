"""Seal: join requests contain tokens, so they are encrypted before they reach Redis."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from dispatcher.errors import SettingsError


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
        except InvalidToken:
            return None
