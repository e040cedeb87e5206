"""avatar character: look at a character, film it, or build one from a portrait.

python -P -m worker.tools.character check FOLDER
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from worker.errors import WorkerError
from worker.tools.arguments import REFUSED, Parser

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
        except WorkerError as error:
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
        from worker.tools.portrait.__main__ import main as build

        return build(arguments)
    if command == "check":
        return _check(arguments)
    return _preview(arguments)


def _check(arguments: Sequence[str]) -> int:
    parser = Parser("avatar character check", "Says all that is wrong with a character.")
    parser.add_argument(
        "character", metavar="FOLDER", help="the name of a character, a folder or a .zip"
    )
    given = parser.parse_args(arguments)
    from worker.characters.check import findings
    from worker.characters.folder import locate

    wrong = notes = 0
    place = locate(given.character, os.environ.get("AVATAR_CHARACTERS", ""))
    for finding in findings(place):
        wrong += finding.wrong
        notes += not (finding.wrong or finding.is_fact)
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
    if wrong:
        sys.stdout.write(f"{wrong} to fix, {notes} notes: do what those lines say, check again.\n")
        return FAULTY
    sys.stdout.write(f"{place} can be used ({notes} notes).\n")
    return 0


def _preview(arguments: Sequence[str]) -> int:
    parser = Parser("avatar character preview", "A contact sheet and a short film of a character.")
    add = parser.add_argument
    add("character", metavar="FOLDER", help="the name of a character, a folder or a .zip")
    add("-o", "--output", metavar="OUT", type=Path, required=True,
        help="a folder for NAME.webp and NAME.mp4; made where it is not there")  # fmt: skip
    add("--speech", metavar="IN.wav", type=Path, help="what it says in the film")
    add("--size", metavar="WIDTHxHEIGHT", default="512x512", help="of the film (512x512)")
    add("--seconds", metavar="S", type=float, default=20.0, help="the film's length (20)")
    add("--png", action="store_true", help="the sheet as PNG")
    given = parser.parse_args(arguments)
    from worker.tools.character_preview import preview

    for line in preview(given):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
