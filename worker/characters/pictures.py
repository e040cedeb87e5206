"""Pictures that others made: which formats are opened, and what a broken one may raise.

Pillow knows forty formats. Some start other programs, such as Ghostscript for EPS, so every
picture is opened with a list of those that are wanted.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from PIL import Image, ImageOps

from worker.errors import InputError

DRAWN: Final = ("WEBP", "PNG", "JPEG")
"""The formats of a character's pictures and of backgrounds."""

PHOTOS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
"""The formats of a portrait: what cameras, scanners and editors write."""

BROKEN: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for pictures that are damaged; its readers leave most of it to chance."""


@contextmanager
def opened(file: Path | IO[bytes], formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """The picture in `file` if it is of one of the `formats`, without Pillow's warnings.

    Raises what `BROKEN` lists. The limits are the caller's, and they are errors.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(file, formats=formats) as image:
            yield image


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF says; as it is where that cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except BROKEN:
        return image


def regular(path: Path, what: str) -> None:
    """Refuse what would block or never end when it is read. Raises InputError.

    `what` is to be named instead. A path that does not exist is left to whoever opens it.
    """
    try:
        usable = path.is_file() or path.is_dir() or not path.exists()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); name {what}.") from error
    if not usable:
        raise InputError(f"{path} is not an ordinary file; name {what}.")
