"""Where a character's files lie: a folder or one .zip, read with bounds and never left."""

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from PIL import Image

from avatar_runtime.texts import folded
from worker.characters.pictures import BROKEN as DAMAGED
from worker.characters.pictures import DRAWN, opened
from worker.errors import InputError

MANIFEST: Final = "manifest.json"

MAX_FILE: Final = 32 * 1024 * 1024
"""The longest file of a character (bytes), as it is when unpacked."""
MAX_ENTRIES: Final = 256
MAX_TOTAL: Final = 128 * 1024 * 1024
BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What unpacking an archive raises that is damaged, encrypted or packed in an unusual way."""
UTF8: Final = 0x800
"""The flag of an archive's entry whose name is UTF-8; any other is in whatever its maker used."""
CODE_PAGES: Final = ("utf-8", "cp850", "cp1252")
"""What makers of archives use for names beside cp437: Unix, and Windows in Western Europe."""
MAX_PIXELS: Final = 40_000_000
"""Of one picture: 160 MB while it is unpacked, and five times what a sheet needs."""


class Source(Protocol):
    """The files of one character."""

    name: str
    """What people call it: the folder's or the archive's name."""

    def __str__(self) -> str: ...

    def read(self, file: str) -> bytes:
        """The content of `file`. Raises InputError that names it."""


def open_source(path: Path) -> Source:
    """The folder or archive at `path`. Raises InputError where it is neither."""
    try:
        if path.is_dir():
            return Folder(path)
        if path.is_file() and zipfile.is_zipfile(path):
            return Archive(path)
    except OSError as error:
        raise InputError(
            f"The character {path} cannot be read ({error.strerror}); name another."
        ) from error
    except BROKEN as error:
        raise InputError(f"{path} cannot be unpacked ({_line(error)}); pack it anew.") from error
    if path.exists():
        raise InputError(f"{path} is no character: give a folder with a {MANIFEST}, or a .zip.")
    raise InputError(
        f"There is no character at {path}; give a folder with a {MANIFEST}, or a .zip."
    )


def expanded(path: str) -> Path:
    """The path, its ``~`` made the home that it stands for. Raises InputError where none is."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path} has no home folder ({error}); write the whole path.") from error


class Folder:
    """A character's files in a folder; their names may differ in case and Unicode's forms."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.resolve().name

    def __str__(self) -> str:
        return str(self.path)

    def read(self, file: str) -> bytes:
        try:
            place = self._place(plain(file))
            if not place.resolve().is_relative_to(self.path.resolve()):
                raise InputError(f"{file}: leads out of the folder; put the file itself there.")
            if not place.is_file():
                raise InputError(f"{file}: is missing in {self.path}; put it there.")
            if place.stat().st_size > MAX_FILE:
                raise InputError(_too_long(file))
            return place.read_bytes()
        except OSError as error:
            raise InputError(
                f"{file}: cannot be read ({error.strerror}); restore the file."
            ) from error

    def _place(self, file: str) -> Path:
        """Where `file` lies: what has that very name, else what has the same one, folded."""
        place = self.path
        for part in PurePosixPath(file).parts:
            exact = place / part
            place = exact
            if not exact.exists() and exact.parent.is_dir():
                near = sorted(each.name for each in exact.parent.iterdir())
                same = [name for name in near if folded(name) == folded(part)]
                place = exact.parent / (same[0] if same else part)
        return place


class Archive:
    """A character's files in a .zip, at its top or in its only folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        with self._opened() as archive:
            named = [entry for entry in archive.infolist() if entry.filename]
        entries = [entry for entry in named if not entry.is_dir()]
        if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_TOTAL:
            raise InputError(
                f"{path} holds more than {MAX_ENTRIES} files or {MAX_TOTAL // 2**20} MB; "
                "keep only what the manifest names."
            )
        self._files = _named(entries)
        manifests = [name for name in self._files if PurePosixPath(name).name == MANIFEST]
        nearest = min(manifests, key=lambda name: name.count("/"), default=MANIFEST)
        self._top = nearest.removesuffix(MANIFEST) if nearest.count("/") <= 1 else ""

    def __str__(self) -> str:
        return str(self.path)

    def read(self, file: str) -> bytes:
        entry = self._files.get(self._top + folded(plain(file)))
        if entry is None:
            raise InputError(f"{file}: is missing in {self.path}; put it there.")
        with self._opened() as archive:
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise InputError(f"{file}: is a link in {self.path}; pack the file itself.")
            try:
                with archive.open(entry) as opened:
                    content = opened.read(MAX_FILE + 1)
            except BROKEN as error:
                raise InputError(
                    f"{file}: cannot be unpacked ({_line(error)}); pack it anew."
                ) from error
        if len(content) > MAX_FILE:
            raise InputError(_too_long(file))
        return content

    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except BROKEN as error:
            raise InputError(
                f"{self.path} cannot be unpacked ({_line(error)}); pack it anew."
            ) from error


def _named(entries: Iterable[zipfile.ZipInfo]) -> Mapping[str, zipfile.ZipInfo]:
    """Entries by their folded names, with ``/`` between folders; of several, the first.

    Windows writes ``\\`` and its code page, Unix often UTF-8 that it does not declare: an entry is
    found under each name that its bytes may mean.
    """
    entries = list(entries)
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        found.setdefault(_key(entry.filename), entry)
    for entry in entries:
        if not entry.flag_bits & UTF8 and not entry.filename.isascii():
            for name in _other_names(entry.filename):
                found.setdefault(_key(name), entry)
    return found


def _other_names(name: str) -> Iterator[str]:
    """What the bytes of a name that was read as cp437 are in other code pages."""
    for page in CODE_PAGES:
        with suppress(UnicodeError):
            yield name.encode("cp437").decode(page)


def _key(name: str) -> str:
    return folded(name.replace("\\", "/"))


def plain(file: str) -> str:
    """`file` if it is a plain path that stays in the folder. Raises InputError otherwise."""
    path = PurePosixPath(file)
    simple = file == str(path) and "\\" not in file and file.isprintable() and ":" not in file
    if not simple or path.is_absolute() or ".." in path.parts or file in ("", "."):
        raise InputError(f"{file!r} is no name of a file in the folder; name it as it lies there.")
    return file


def picture(source: Source, file: str) -> Image.Image:
    """One of a character's pictures, RGBA. Raises InputError when it is missing or no picture."""
    with _opened(source, file) as image:
        return image.convert("RGBA")


def picture_size(source: Source, file: str) -> tuple[int, int]:
    """(width, height) of one of its pictures, which is not unpacked. Raises InputError."""
    with _opened(source, file) as image:
        return image.size


@contextmanager
def _opened(source: Source, file: str) -> Iterator[Image.Image]:
    try:
        with opened(BytesIO(source.read(file)), DRAWN) as image:
            bounded(image.size, file)
            yield image
    except DAMAGED as error:
        raise InputError(
            f"{file}: is no picture that can be used ({_line(error)}); save it anew as WebP or PNG."
        ) from error


def bounded(size: tuple[int, int], file: str) -> None:
    """Refuse a picture that would take too much memory. Raises InputError."""
    if size[0] * size[1] > MAX_PIXELS:
        raise InputError(
            f"{file}: has {size[0]}x{size[1]} pixels; make it smaller, "
            f"at most {MAX_PIXELS // 1_000_000} million."
        )


def _too_long(file: str) -> str:
    return f"{file}: is longer than {MAX_FILE // 2**20} MB; make it smaller."


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
