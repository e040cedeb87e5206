"""Settings: what an operator may choose, read from the environment once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from agent_side.wire import SAMPLE_RATES
from avatar_runtime.texts import tidied
from worker.errors import WorkerSettingsError

SIZES: Final = range(64, 2049)
"""Widths and heights that a picture may have, in pixels; even ones only."""

RECORD_MB: Final = range(1, 4097)

MAX_SECONDS: Final = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may choose. Each field is an environment variable, ``AVATAR_<FIELD>``.

    - `renderer`: a file of ``worker/renderers``, or ``package.module:create``.
    - `meeting`: a file of ``worker/meetings``, or ``package.module:create``.
    - `character`: which face the character renderer draws: a name, or a folder's or .zip's path.
    - `characters`: an operator's folder of characters, whose names join requests may have too.
    - `background`: behind it instead of its wall, a colour such as #20404f or a picture file.
    - `badge`: whether a corner says that this is an AI (``on`` or ``off``).
    - `stillness`: 0 for a lively face, 1 for one that only blinks and breathes.
    - `width`, `height`: of the picture, in pixels (``AVATAR_SIZE=512x512``).
    - `seed`: of blinks and other small movements; the same seed gives the same film.
    - `input_rate`: sample rate of version-1 speech, which does not say its own (Hz).
    - `join_timeout_s`: how long joining the meeting may take.
    - `finish_s`: how long a worker that has to stop goes on speaking before it leaves.
    - `agent_absent_s`: how long it stays where there is no agent, before it came or after.
    - `empty_room_s`: how long it stays alone in a room that somebody was in.
    - `longest_s`: how long a session may last.
    - `record`: a folder for a recording of each session, which holds no speech unless
      `record_sound` is on and at most `record_mb` million bytes; "" for none.
    - `log_format`: ``text``, or ``json`` for whoever collects logs.
    - `tracing`: whether the steps of a session are sent to a collector (``on`` or ``off``).
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
        environ = tidied(environ)
        get = environ.get
        default = cls()
        width, height = parse_size(get("AVATAR_SIZE", "512x512"), "AVATAR_SIZE")
        return cls(
            renderer=get("AVATAR_RENDERER", default.renderer),
            meeting=get("AVATAR_MEETING", default.meeting),
            character=get("AVATAR_CHARACTER", default.character),
            characters=get("AVATAR_CHARACTERS", default.characters),
            background=get("AVATAR_BACKGROUND", default.background),
            badge=_switch(get("AVATAR_BADGE", "off"), "AVATAR_BADGE"),
            stillness=parse_share(get("AVATAR_STILLNESS", "0.3"), "AVATAR_STILLNESS"),
            width=width,
            height=height,
            seed=_whole(environ, "AVATAR_SEED", default.seed, range(2**32)),
            input_rate=_whole(environ, "AVATAR_INPUT_RATE", default.input_rate, SAMPLE_RATES),
            join_timeout_s=_seconds(environ, "AVATAR_JOIN_TIMEOUT_S", default.join_timeout_s),
            finish_s=_seconds(environ, "AVATAR_FINISH_S", default.finish_s),
            agent_absent_s=_seconds(environ, "AVATAR_AGENT_ABSENT_S", default.agent_absent_s),
            empty_room_s=_seconds(environ, "AVATAR_EMPTY_ROOM_S", default.empty_room_s),
            longest_s=_seconds(environ, "AVATAR_LONGEST_S", default.longest_s),
            record=get("AVATAR_RECORD", default.record),
            record_sound=_switch(get("AVATAR_RECORD_SOUND", "off"), "AVATAR_RECORD_SOUND"),
            record_mb=_whole(environ, "AVATAR_RECORD_MB", default.record_mb, RECORD_MB),
            log_level=_level(get("AVATAR_LOG_LEVEL", default.log_level)),
            log_format=_log_format(get("AVATAR_LOG_FORMAT", default.log_format)),
            tracing=_switch(get("AVATAR_TRACING", "off"), "AVATAR_TRACING"),
        )


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
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise WorkerSettingsError(f"{name} is {text!r}; it has to be a number from 0 to 1.")
    return share


def _switch(text: str, name: str) -> bool:
    if text not in ("on", "off"):
        raise WorkerSettingsError(f"{name} is {text!r}; it has to be on or off.")
    return text == "on"


def _whole(environ: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    text = environ.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 12 or int(text) not in allowed:
        raise WorkerSettingsError(
            f"{name} is {text!r}; it has to be a whole number "
            f"from {allowed.start} to {allowed.stop - 1}."
        )
    return int(text)


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= MAX_SECONDS:
        raise WorkerSettingsError(
            f"{name} is {text!r}; it has to be seconds, above 0 and up to {MAX_SECONDS}."
        )
    return seconds


def _level(text: str) -> str:
    if text not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise WorkerSettingsError(
            f"AVATAR_LOG_LEVEL is {text!r}; it has to be DEBUG, INFO, WARNING or ERROR."
        )
    return text


def _log_format(text: str) -> str:
    if text not in ("text", "json"):
        raise WorkerSettingsError(f"AVATAR_LOG_FORMAT is {text!r}; it has to be text or json.")
    return text
