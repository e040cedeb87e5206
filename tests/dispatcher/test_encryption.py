"""Seals: who has no key reads nothing, and keys rotate without a pause."""

from itertools import pairwise

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.errors import SettingsError
from dispatcher.ledger.encryption import Seal

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@given(st.text())
def test_what_was_sealed_is_read_again(text: str) -> None:
    assert Seal([OLD]).open(Seal([OLD]).close(text)) == text


def test_a_sealed_text_shows_nothing_of_it() -> None:
    sealed = Seal([OLD]).close("canary" * 20)
    assert "canary" not in sealed
    assert sealed != Seal([OLD]).close("canary" * 20)


def test_keys_rotate_in_three_steps_and_all_can_be_read_at_each() -> None:
    steps = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]]
    for before, after in pairwise(steps):
        assert Seal(after).open(Seal(before).close("text")) == "text"
        assert Seal(before).open(Seal(after).close("text")) == "text"


def test_a_strange_or_broken_seal_is_not_opened() -> None:
    sealed = Seal([OLD]).close("text")
    assert Seal([NEW]).open(sealed) is None
    assert Seal([OLD]).open(sealed[:-4] + "AAAA") is None
    assert Seal([OLD]).open("") is None
    assert Seal([OLD]).open("ünsealed") is None


@pytest.mark.parametrize("keys", [[], ["short"], ["!" * 44], [OLD, "ü" * 44]])
def test_keys_that_are_none_are_refused_and_not_repeated(keys: list[str]) -> None:
    with pytest.raises(SettingsError, match="AVATAR_SEAL_KEYS") as caught:
        Seal(keys)
    assert not any(key and key in str(caught.value) for key in keys)
