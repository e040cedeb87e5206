"""avatar character build: one frontal portrait becomes a character that speaks.

python -P -m worker.tools.portrait photo.jpg -o me
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from worker.errors import InputError, WorkerError
from worker.tools.arguments import REFUSED, Parser
from worker.tools.portrait import figure, models, photo
from worker.tools.portrait.build import build
from worker.tools.portrait.landmarks import FILE, Landmarks

INTERRUPTED: Final = 128 + signal.SIGINT
MOST_TITLE: Final = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """The program: 0 and one line about the character, or 2 and one line about what is wrong."""
    given = _parser().parse_args(arguments)
    try:
        portrait = photo.load(given.photo)
        face = _face(portrait, given.photo, given.landmarks)
        figure.check(face, str(given.photo))
        title = _printable(given.title or given.photo.stem)[:MOST_TITLE]
        build(portrait, face, given.output, title, force=given.force)
    except WorkerError as error:
        _say(" ".join(str(error).split()))
        return REFUSED
    except KeyboardInterrupt:
        _say("interrupted; nothing was written.")
        return INTERRUPTED
    sys.stdout.write(
        f"{given.output} is a character now; its landmarks are in {given.output / FILE}, to be "
        "corrected and given back with --landmarks.\n"
    )
    return 0


def _printable(title: str) -> str:
    """The title where it came from a file's name that is no UTF-8."""
    return title.encode(errors="replace").decode()


def _say(line: str) -> None:
    sys.stderr.write(f"avatar character build: {line}\n")
    sys.stderr.flush()


def _face(portrait: Image.Image, path: Path, given: Path | None) -> Landmarks:
    """The face that was told, or the only one that is found. Raises InputError."""
    if given is not None:
        return Landmarks.read(given, portrait.size)
    # Imported here: whoever tells the landmarks needs no finder.
    from worker.tools.portrait.finder import Finder

    faces = Finder(lambda: models.obtain(models.place(os.environ), _say)).find(portrait)
    if not faces:
        raise InputError(
            f"There is no face in {path}; use a portrait from the front, the face at least "
            f"{figure.MIN_FACE} pixels tall."
        )
    if len(faces) > 1:
        raise InputError(f"There are {len(faces)} faces in {path}; cut the photo down to one.")
    return faces[0]


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="avatar character build",
        description="Make a character that speaks from one portrait taken from the front.",
    )
    parser.add_argument("photo", type=Path, metavar="PHOTO", help="a JPEG, PNG or WebP picture")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", required=True)
    parser.add_argument(
        "--landmarks", type=Path, metavar="JSON", help="where the face is, instead of finding it"
    )
    parser.add_argument("--title", help="the character's name; the photo's unless given")
    parser.add_argument("--force", action="store_true", help="replace a character that is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
