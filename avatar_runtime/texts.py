"""Text that people edit: files and environment variables, on whatever system they were written."""

import codecs
import unicodedata
from collections.abc import Mapping
from typing import Final

BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""What editors put before a text, and what it says of the text's encoding."""

OURS: Final = "AVATAR_"


def read_text(content: bytes) -> str:
    """The text in `content`, with ``\\n`` as its line ends: UTF-8, or what its mark says.

    Raises UnicodeDecodeError, a ValueError.
    """
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def tidied(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without what an edited environment file leaves around our variables' values.

    Such as the ``\\r`` of a line that ends as on Windows: whoever passes the file on keeps it.
    """
    return {
        name: value.strip("\ufeff \t\r\n") if name.startswith(OURS) else value
        for name, value in environ.items()
    }


def folded(name: str) -> str:
    """What is the same for all spellings of a file's name that people take for the same one:
    capital and small letters, and both of Unicode's forms of an accented letter."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
