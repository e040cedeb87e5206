"""The dispatcher's settings: their defaults, and one line about what cannot be used."""

import pytest

from dispatcher.errors import SettingsError
from dispatcher.settings import Settings


def test_nothing_is_needed() -> None:
    settings = Settings.from_env({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8089)
    assert settings.signaling_hosts == ("api.videosdk.live",)
    assert settings.slots >= 2


def test_everything_can_be_chosen() -> None:
    assert Settings.from_env(
        {
            "AVATAR_HOST": "0.0.0.0",
            "AVATAR_PORT": "0",
            "AVATAR_SLOTS": "7",
            "AVATAR_WARM": "0",
            "AVATAR_SIGNALING_HOSTS": "127.0.0.1:4443, API.videosdk.live",
            "AVATAR_DRAIN_S": "0",
            "AVATAR_LOG_LEVEL": "DEBUG",
        }
    ) == Settings("0.0.0.0", 0, 7, 0, ("127.0.0.1:4443", "api.videosdk.live"), 0, "DEBUG")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("AVATAR_PORT", "65536"),
        ("AVATAR_PORT", "-1"),
        ("AVATAR_PORT", "\u0664"),
        ("AVATAR_SLOTS", "0"),
        ("AVATAR_SLOTS", "many"),
        ("AVATAR_WARM", "1.5"),
        ("AVATAR_DRAIN_S", "9" * 13),
        ("AVATAR_LOG_LEVEL", "debug"),
        ("AVATAR_SIGNALING_HOSTS", ""),
        ("AVATAR_SIGNALING_HOSTS", "a,,b"),
        ("AVATAR_SIGNALING_HOSTS", "https://api.videosdk.live"),
        ("AVATAR_SIGNALING_HOSTS", "user@api.videosdk.live"),
        ("AVATAR_SIGNALING_HOSTS", "*.videosdk.live"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_env({name: text})
