"""avatar character: look at a character, film it, or build one from a portrait.

python -P -m worker.character check FOLDER
"""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from worker.arguments import REFUSED, Parser
from worker.errors import AvatarError

ABOUT: Final = {
    "check": "say all that is wrong with a character, and what to do",
    "preview": "make a contact sheet and a short film of a character",
    "build": "make a character from a portrait",
}
FAULTY: Final = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The program: 0 when all is well, 1 when the character has faults, 2 when it is no use."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in ABOUT:
        command, *rest = given
        try:
            return _run(command, rest)
        except AvatarError as error:
            sys.stderr.write(f"avatar character {command}: {' '.join(str(error).split())}\n")
            return REFUSED
    if not given or given[0] in ("-h", "--help"):
        lines = [f"  {name:8} {about}" for name, about in ABOUT.items()]
        sys.stdout.write("\n".join(["usage: avatar character COMMAND ...", "", *lines, ""]))
        return 0
    sys.stderr.write(
        f"avatar character: there is no command {given[0]!r}; choose one of: {', '.join(ABOUT)}.\n"
    )
    return REFUSED


def _run(command: str, arguments: Sequence[str]) -> int:
    """Nothing heavy is imported before it is known what is wanted."""
    if command == "build":
        status: int = importlib.import_module("worker.portrait").main(arguments)
        return status
    if command == "check":
        return _check(arguments)
    raise NotImplementedError


def _check(arguments: Sequence[str]) -> int:
    parser = Parser("avatar character check", "Says all that is wrong with a character.")
    parser.add_argument("character", metavar="FOLDER", type=Path, help="a folder, or a .zip of one")
    given = parser.parse_args(arguments)
    from worker.characters.check import findings

    wrong = notes = 0
    for finding in findings(given.character):
        wrong, notes = wrong + finding.wrong, notes + (not finding.wrong)
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
    if wrong:
        sys.stdout.write(f"{wrong} to mend, {notes} notes: do what those lines say, ask again.\n")
        return FAULTY
    sys.stdout.write(f"{given.character} can be used ({notes} notes).\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
