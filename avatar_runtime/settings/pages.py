"""What the table of settings looks like: in a program's ``--help``, and as docs/settings.md.

python -m avatar_runtime.settings.pages > docs/settings.md
"""

import sys
import textwrap
from collections.abc import Iterator
from typing import Final

from avatar_runtime.settings.kinds import Choice, Setting, Switch
from avatar_runtime.settings.table import DISPATCHERS, GROUPS, SECRETS, SETTINGS

WIDTH: Final = 100
"""Of the help (characters)."""

COLUMN: Final = 30
"""Where the help of a setting begins."""

INTRODUCTION: Final = """\
# Settings

All settings are environment variables, which a program reads once, at its start. A node and a
dispatcher hand theirs on to their workers, but for secrets. `avatar serve --help`,
`avatar node --help` and `avatar worker --help` list those of one program. This page is made by
`python -m avatar_runtime.settings.pages > docs/settings.md`.
"""


def help_of(reader: str) -> str:
    """The settings that a program reads, for its ``--help``."""
    parts = ["settings, from the environment"]
    for title, settings in GROUPS.items():
        entries = [_entry(each, reader) for each in settings if reader in each.readers]
        if entries:
            parts.append("\n".join([f"{title.lower()}:", *entries]))
    secrets = [f"{each.variable}_FILE" for each in SETTINGS if _is_secret(each, reader)]
    if secrets:
        parts.append(
            _filled(f"Secrets can be in files, whose paths are in {', '.join(secrets)}.", "  ")
        )
    if reader in DISPATCHERS:
        parts.append("  The workers' settings are in the same environment: `avatar worker --help`.")
    return "\n\n".join(parts) + "\n"


def page() -> Iterator[str]:
    """The lines of docs/settings.md."""
    yield INTRODUCTION
    for title, settings in GROUPS.items():
        yield f"## {title}\n\n| Variable | Default | Read by | Meaning |\n|---|---|---|---|"
        yield from map(_row, settings)
        yield ""
    secrets = ", ".join(f"`{name}`" for name in SECRETS)
    yield f"Secrets ({secrets})"
    yield "can be in files instead, whose paths are in variables with `_FILE` at their ends."


def _is_secret(setting: Setting, reader: str) -> bool:
    return setting.secret and reader in setting.readers


def _entry(setting: Setting, reader: str) -> str:
    default = setting.shown or setting.default_of(reader)
    about = f"{_meaning(setting)} ({default})" if default else _meaning(setting)
    return _filled(about, " " * COLUMN, f"  {setting.variable} ".ljust(COLUMN))


def _filled(text: str, indent: str, first: str = "  ") -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    )


def _row(setting: Setting) -> str:
    default = setting.shown or (f"`{setting.default}`" if setting.default else "")
    if setting.node_default:
        default += f"; node: `{setting.node_default}`"
    readers = ", ".join(setting.readers)
    return f"| `{setting.variable}` | {default} | {readers} | {_meaning(setting)} |"


def _meaning(setting: Setting) -> str:
    words = isinstance(setting.kind, Choice | Switch)
    return f"{setting.kind.rule}: {setting.about}" if words else setting.about


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in page())
