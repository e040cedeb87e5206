"""Seals: who has no key reads nothing, and keys rotate without a pause."""

from itertools import pairwise

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.errors import SettingsError
from dispatcher.ledger.encryption import Encryption

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@given(st.text())
def test_what_was_sealed_is_read_again(text: str) -> None:
    assert Encryption([OLD]).decrypt(Encryption([OLD]).encrypt(text)) == text


def test_a_sealed_text_shows_nothing_of_it() -> None:
    sealed = Encryption([OLD]).encrypt("canary" * 20)
    assert "canary" not in sealed
    assert sealed != Encryption([OLD]).encrypt("canary" * 20)


def test_keys_rotate_in_three_steps_and_all_can_be_read_at_each() -> None:
    steps = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]]
    for before, after in pairwise(steps):
        assert Encryption(after).decrypt(Encryption(before).encrypt("text")) == "text"
        assert Encryption(before).decrypt(Encryption(after).encrypt("text")) == "text"


def test_a_strange_or_broken_seal_is_not_opened() -> None:
    sealed = Encryption([OLD]).encrypt("text")
    assert Encryption([NEW]).decrypt(sealed) is None
    assert Encryption([OLD]).decrypt(sealed[:-4] + "AAAA") is None
    assert Encryption([OLD]).decrypt("") is None
    assert Encryption([OLD]).decrypt("ünsealed") is None


@pytest.mark.parametrize("keys", [[], ["short"], ["!" * 44], [OLD, "ü" * 44]])
def test_keys_that_are_none_are_refused_and_not_repeated(keys: list[str]) -> None:
    with pytest.raises(SettingsError, match="AVATAR_SEAL_KEYS") as caught:
        Encryption(keys)
    assert not any(key and key in str(caught.value) for key in keys)
