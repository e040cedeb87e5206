"""A file of keys is read as whatever editor saved it, and what is none is one sentence."""

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest

from dispatcher.errors import SettingsError
from dispatcher.settings import DispatcherSettings

BEARERS = ("a-bearer-of-sixteen-or-more", "another-bearer-of-sixteen")
SEALS = ("A" * 43 + "=", "B" * 42 + "A=")
TEXTS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "Notepad's Unicode": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "Windows' line ends": lambda text: text.replace("\n", "\r\n").encode(),
    "a Mac's line ends": lambda text: text.replace("\n", "\r").encode(),
}


@pytest.mark.parametrize("edited", TEXTS.values(), ids=TEXTS)
def test_keys_are_the_same_however_they_were_saved(
    edited: Callable[[str], bytes], tmp_path: Path
) -> None:
    for name, keys in (("bearer", BEARERS), ("seal", SEALS)):
        (tmp_path / name).write_bytes(edited("\n".join(keys) + "\n"))
    settings = DispatcherSettings.from_env(
        {
            "AVATAR_AUTH": "bearer\r",
            "AVATAR_BEARER_KEYS_FILE": f"{tmp_path / 'bearer'}\r",
            "AVATAR_SEAL_KEYS_FILE": str(tmp_path / "seal"),
        }
    )
    assert (settings.bearer_keys, settings.seal_keys) == (BEARERS, SEALS)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/", "/nowhere"])
def test_what_is_no_file_of_keys_is_one_sentence(path: str) -> None:
    with pytest.raises(SettingsError, match=f"AVATAR_BEARER_KEYS_FILE is '{path}', which "):
        DispatcherSettings.from_env({"AVATAR_AUTH": "bearer", "AVATAR_BEARER_KEYS_FILE": path})
