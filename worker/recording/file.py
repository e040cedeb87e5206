"""A recording: one session as a file of lines, whole up to the last second that its writer lived.

The file is a row of gzip members, so ``zcat`` shows it. Each member is whole lines of JSON and is
read without the others; the writer adds one about every second and never goes back. The first
line is the `Header`. Every line has `at`, seconds from the recording's begin, and `what`:

    begin                             the header
    push finish drain reset idle      calls of the renderer, in order, with their arguments;
    gesture express pose words close  pictures are counted from 0, as they come from it
    failed                            the renderer raised
    tick                              a picture and 40 ms of sound go to the tracks
    cut                               what had not left them is silenced
    in out audio                      messages of the data channel; of speech only how much
    joined left away back             who is in the room, whether the worker is
    lost full ended                   records are missing; the file is full; the session is over
"""

import base64
import binascii
import gzip
import hashlib
import json
import os
import platform
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Self

import numpy as np

from worker.characters.folder import Character
from worker.characters.source import expanded
from worker.errors import InputError
from worker.media import Pcm, Picture
from worker.settings import Settings

FORMAT: Final = 1
SUFFIX: Final = ".avatar"

MAX_BLOCK: Final = 1024 * 1024
"""The most that one member unpacks to (bytes); what would be more is no recording's."""

CHUNK: Final = 65_536
LEVEL: Final = 6
GZIP: Final = 31
"""zlib's number for a gzip member."""

NUMBERS: Final = 2**53
"""Whole numbers of a line are smaller."""

PACKAGE: Final = Path(__file__).parents[1]
DRAWING: Final = ("*.py", "*.npz")
"""The files of this package that have a say in what a picture looks like."""

AS_DRAWN: Final = "as drawn"
SILENT: Final = "silent"
"""A tick's sound, where it is not samples: that of its frame, or none."""

NAMELESS: Final = "not installed"


class Damaged(InputError):  # noqa: N818 - a state of the file, not a fault of its reader
    """The recording cannot be read any further; the text says from where on and why."""


class CutOff(Damaged):
    """The recording stops in mid-block: its writer was killed, or the disk was full."""


@dataclass(frozen=True, slots=True)
class RecordingLine:
    """One line of a recording. What takes values out raises Damaged where they are not there."""

    number: int
    at: float
    what: str
    values: Mapping[str, object]

    def whole(self, name: str) -> int:
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < NUMBERS:
            raise self._damaged(name)
        return value

    def measure(self, name: str) -> float:
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._damaged(name)
        if not 0 <= value < NUMBERS:
            raise self._damaged(name)
        return float(value)

    def flag(self, name: str) -> bool:
        value = self.values.get(name)
        if not isinstance(value, bool):
            raise self._damaged(name)
        return value

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str):
            raise self._damaged(name)
        return value

    def rows(self, name: str, width: int) -> list[list[object]]:
        """Lists of `width` values each."""
        value = self.values.get(name)
        if not isinstance(value, list):
            raise self._damaged(name)
        if not all(isinstance(row, list) and len(row) == width for row in value):
            raise self._damaged(name)
        return value

    def pcm(self, name: str) -> Pcm:
        """Mono samples, int16."""
        try:
            data = base64.b64decode(self.text(name), validate=True)
        except (binascii.Error, ValueError):
            raise self._damaged(name) from None
        if len(data) % 2:
            raise self._damaged(name)
        return np.frombuffer(data, "<i2").astype(np.int16)

    def _damaged(self, name: str) -> Damaged:
        return Damaged(f"line {self.number} has no `{name}` that could be right")


@dataclass(frozen=True, slots=True)
class Header:
    """How a session's pictures were made: who makes them so again gets the same pictures.

    `product` is the version of the program, `code` a hash of the worker's files, `face` of the
    character's, `behind` of the background's; "" where there is none. `sound` is whether speech
    and its words are recorded.
    """

    product: str
    code: str
    utc: str
    session: str
    sound: bool
    renderer: str
    character: str
    characters: str
    face: str
    background: str
    behind: str
    badge: bool
    stillness: float
    width: int
    height: int
    seed: int
    numpy: str
    machine: str

    @classmethod
    def of(cls, settings: Settings, utc: str = "", session: str = "") -> Self:
        """The header of a session with these settings on this machine. Reads all those files."""
        return cls(
            product=_product(),
            code=_code(),
            utc=utc,
            session=session,
            sound=settings.record_sound,
            renderer=settings.renderer,
            character=settings.character,
            characters=settings.characters,
            face=_face(settings.character, settings.characters),
            background=settings.background,
            behind=_behind(settings),
            badge=settings.badge,
            stillness=settings.stillness,
            width=settings.width,
            height=settings.height,
            seed=settings.seed,
            numpy=np.__version__,
            machine=platform.machine(),
        )

    @classmethod
    def read(cls, line: RecordingLine) -> Self:
        """The header in a recording's first line. Raises Damaged."""
        if line.what != "begin":
            raise Damaged("it does not begin with how it was made")
        if line.whole("format") != FORMAT:
            raise Damaged(
                f"it has format {line.whole('format')} and this version reads {FORMAT}; "
                "replay it with the version that made it"
            )
        return cls(
            product=line.text("product"),
            code=line.text("code"),
            utc=line.text("utc"),
            session=line.text("session"),
            sound=line.flag("sound"),
            renderer=line.text("renderer"),
            character=line.text("character"),
            characters=line.text("characters"),
            face=line.text("face"),
            background=line.text("background"),
            behind=line.text("behind"),
            badge=line.flag("badge"),
            stillness=line.measure("stillness"),
            width=line.whole("width"),
            height=line.whole("height"),
            seed=line.whole("seed"),
            numpy=line.text("numpy"),
            machine=line.text("machine"),
        )


class RecordingReader:
    """Reads a recording line by line, in little memory however long or malicious it is."""

    def __init__(self, path: Path) -> None:
        """Reads the header. Raises InputError where `path` is no recording or cannot be read."""
        self.flaw: Damaged | None = None
        """Why the lines ended where the file does not."""
        try:
            missing = "is not an ordinary file" if path.exists() else "does not exist"
            if not path.is_file():
                raise InputError(f"{path} {missing}; name a recording of AVATAR_RECORD.")
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}); name a recording of AVATAR_RECORD."
            ) from error
        self._path = path
        self._lines = self._parsed()
        try:
            first = next(self._lines, None)
            if first is None:
                raise self.flaw or Damaged("it is empty")
            self.header = Header.read(first)
        except Damaged as damage:
            raise InputError(
                f"{path} is no recording that can be replayed: {damage}; name one of AVATAR_RECORD."
            ) from damage

    def lines(self) -> Iterator[RecordingLine]:
        """The lines behind the header, once. Ends where the file does or where it is damaged."""
        return self._lines

    def _parsed(self) -> Iterator[RecordingLine]:
        number = 0
        try:
            for block in self._blocks():
                for text in block.splitlines():
                    number += 1
                    yield parse(text, number)
        except Damaged as damage:
            self.flaw = damage
        except OSError as error:
            raise InputError(
                f"{self._path} cannot be read ({error.strerror}); copy it where it can be."
            ) from error

    def _blocks(self) -> Iterator[bytes]:
        """What the members unpack to. Raises Damaged at the first that is not whole."""
        with self._path.open("rb") as file:
            data = file.read(CHUNK)
            place = 0
            while data:
                unpacking = zlib.decompressobj(GZIP)
                block = bytearray()
                while not unpacking.eof:
                    try:
                        block += unpacking.decompress(data, MAX_BLOCK + 1 - len(block))
                    except zlib.error:
                        raise Damaged(f"it is damaged behind byte {place}") from None
                    if len(block) > MAX_BLOCK:
                        raise Damaged(f"it is damaged behind byte {place}: a block is too long")
                    if not unpacking.eof and not (data := unpacking.unconsumed_tail):
                        data = file.read(CHUNK)
                        if not data:
                            raise CutOff(f"it was cut off behind byte {place}")
                yield bytes(block)
                data = unpacking.unused_data or file.read(CHUNK)
                place = file.tell() - len(data)


def parse(text: bytes, number: int) -> RecordingLine:
    """The line of that number. Raises Damaged."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise Damaged(f"line {number} is not JSON") from None
    if not isinstance(values, dict):
        raise Damaged(f"line {number} is not an object")
    line = RecordingLine(number, 0.0, "", values)
    return RecordingLine(number, line.measure("at"), line.text("what"), values)


def compose(at: float, what: str, values: Mapping[str, object]) -> bytes:
    """The line for it; bytes among the values are samples."""
    written = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in values.items()
    }
    line = {"at": round(at, 4), "what": what, **written}
    return json.dumps(line, separators=(",", ":"), default=_plain).encode() + b"\n"


def pack(lines: bytes) -> bytes:
    """The member of whole lines, at most `MAX_BLOCK` bytes of them."""
    return gzip.compress(lines, LEVEL, mtime=0)


def checksum(picture: Picture) -> int:
    """CRC-32 of the planes, one behind the other: 0.1 ms for 512x512, without the GIL."""
    check = 0
    for plane in (picture.y, picture.u, picture.v):
        check = zlib.crc32(np.ascontiguousarray(plane).data, check)
    return check


def _plain(message: object) -> object:
    """What a message of the protocol says, without its own speech: that is noted as `audio`."""
    if is_dataclass(message) and not isinstance(message, type):
        return asdict(message)
    raise TypeError(f"{type(message).__name__} has no place in a recording.")


def _product() -> str:
    try:
        return version("avatar-face")
    except PackageNotFoundError:
        return NAMELESS


@cache
def _code() -> str:
    return _hash_of(*sorted(path for kind in DRAWING for path in PACKAGE.rglob(kind)))


@cache
def _face(character: str, folder: str) -> str:
    """Of whatever character the name means here; "" where a renderer means something else."""
    try:
        place = Path(str(Character.find(character, folder).source))
    except InputError:
        return ""
    files = sorted(path for path in place.rglob("*") if path.is_file()) or [place]
    return _hash_of(*files)


def _behind(settings: Settings) -> str:
    try:
        path = expanded(settings.background)
    except InputError:
        return ""
    return _hash_of(path) if settings.background and path.is_file() else ""


def _hash_of(*paths: Path) -> str:
    """Of the files' names and contents, in that order; "" where one cannot be read."""
    total = hashlib.sha256()
    try:
        for path in paths:
            content = hashlib.sha256(path.read_bytes()).digest()
            total.update(os.fsencode(path.name) + b"\0" + content)
    except OSError:
        return ""
    return total.hexdigest()[:16]
