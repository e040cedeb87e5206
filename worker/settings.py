"""Settings: what an operator may choose, read from the environment once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from avatar_runtime.settings.kinds import SettingError
from avatar_runtime.settings.reading import read
from avatar_runtime.settings.table import SHARE, WORKER
from avatar_runtime.texts import tidied
from worker.errors import WorkerSettingsError

SIZES: Final = range(64, 2049)
"""Widths and heights that a picture may have, in pixels; even ones only."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may choose, by the names of the table; see docs/settings.md.

    `width` and `height` are those of AVATAR_SIZE. `input_rate` is the sample rate of version-1
    speech (Hz). `record` is empty where no session is recorded.
    """

    renderer: str = "character"
    meeting: str = "videosdk"
    character: str = "ada"
    characters: str = ""
    background: str = ""
    badge: bool = False
    stillness: float = 0.3
    width: int = 512
    height: int = 512
    seed: int = 1
    input_rate: int = 24_000
    join_timeout_s: float = 20.0
    finish_s: float = 10.0
    agent_absent_s: float = 30.0
    empty_room_s: float = 10.0
    longest_s: float = 4 * 3600.0
    record: str = ""
    record_sound: bool = False
    record_mb: int = 64
    log_level: str = "INFO"
    log_format: str = "text"
    tracing: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """The settings in `environ`. Raises WorkerSettingsError that names the variable."""
        try:
            found = read(tidied(environ), (WORKER,), WORKER)
            width, height = parse_size(found.pop("size"), "AVATAR_SIZE")
        except SettingError as error:
            raise WorkerSettingsError(str(error)) from None
        return cls(**found, width=width, height=height)


def parse_size(text: str, name: str) -> tuple[int, int]:
    """(width, height) from ``WIDTHxHEIGHT``. Raises WorkerSettingsError; `name` says whose size."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise WorkerSettingsError(
            f"{name} is {text!r}; it has to be WIDTHxHEIGHT, such as 512x512."
        )
    width, height = int(match[1]), int(match[2])
    for side in (width, height):
        if side not in SIZES or side % 2:
            raise WorkerSettingsError(
                f"{name} is {text!r}; both sides have to be even numbers "
                f"from {SIZES.start} to {SIZES.stop - 1}."
            )
    return width, height


def parse_share(text: str, name: str) -> float:
    """A number from 0 to 1. Raises WorkerSettingsError; `name` says whose it is."""
    try:
        return SHARE.value(text)
    except ValueError:
        raise WorkerSettingsError(f"{name} is {text!r}; it has to be {SHARE.rule}.") from None
