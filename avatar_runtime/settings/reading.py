"""Reads the settings of a program from its environment."""

from collections.abc import Collection, Mapping
from typing import Any

from avatar_runtime.settings.kinds import Setting, SettingError
from avatar_runtime.settings.table import SETTINGS


def read(environ: Mapping[str, str], readers: Collection[str], reader: str) -> dict[str, Any]:
    """What `environ` says of the settings of `readers`, by their names in small letters; the
    defaults are those of `reader`. A default that is empty stays a text. Raises SettingError."""
    return {
        each.name.lower(): _value(each, environ.get(each.variable), each.default_of(reader))
        for each in SETTINGS
        if {*each.readers} & {*readers}
    }


def _value(setting: Setting, text: str | None, default: str) -> Any:
    if text is None and not default:
        return default
    try:
        return setting.kind.value(default if text is None else text)
    except (ValueError, KeyError):
        raise SettingError(
            f"{setting.variable} is {text!r}; it has to be {setting.kind.rule}."
        ) from None
