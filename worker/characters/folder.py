"""A character: what its manifest says, and where it stands in a picture's frame."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from PIL import Image

from agent_side.join import CHARACTER
from avatar_runtime.texts import folded
from worker.characters.acting import GestureMotion, Mood
from worker.characters.manifest import ManifestReader, parse
from worker.characters.parts import Box, Overlay, Part
from worker.characters.source import MANIFEST, Source, expanded, open_source, picture
from worker.errors import InputError

SHIPPED: Final = Path(__file__).parent

LOW_SHARE: Final = 0.35
"""Of the height that a tall picture has to spare, how much goes above the head."""

IS_PATH: Final = re.compile(r"[/\\]|\.zip$|^[.~]", re.IGNORECASE)
"""What distinguishes a path from a name in AVATAR_CHARACTER and --character."""


@dataclass(frozen=True, slots=True)
class Placement:
    """How the figure stands in a picture: picture pixels = (figure pixels - origin) * scale."""

    scale: float
    left: float
    top: float

    def to_picture(self, box: Box) -> Box:
        scale, left, top = self.scale, self.left, self.top
        return Box(
            (box.left - left) * scale,
            (box.top - top) * scale,
            (box.right - left) * scale,
            (box.bottom - top) * scale,
        )

    def to_figure(self, box: Box) -> Box:
        scale, left, top = self.scale, self.left, self.top
        return Box(
            box.left / scale + left,
            box.top / scale + top,
            box.right / scale + left,
            box.bottom / scale + top,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Character:
    """What a manifest says. All boxes and lengths are in pixels of the figure's picture."""

    source: Source = field(repr=False)
    title: str
    licence: str
    made_by: str
    figure: str
    figure_height: float
    wall: str
    frame: Box
    head: Box
    head_fade: tuple[float, float, float, float]
    face: Box | None
    face_fade: tuple[float, float, float, float]
    shoulders: tuple[float, float]
    mouth: Part
    inside_mouth: Box
    eyes: Part
    brows: Part
    overlays: Mapping[str, Overlay]
    gestures: Mapping[str, GestureMotion]
    expressions: Mapping[str, Mood]

    @classmethod
    def load(cls, name: str, folder: str = "") -> Self:
        """The character of that name among those shipped, or of `folder`, an operator's.

        Raises InputError listing them. A path is never followed, nor a link that leads out of
        the folder: whoever may only choose a name comes here.
        """
        return cls.read(by_name(name, folder))

    @classmethod
    def find(cls, name_or_path: str, folder: str = "") -> Self:
        """The character that an operator names, who may also give a folder's or .zip's path."""
        return cls.read(locate(name_or_path, folder))

    @classmethod
    def read(cls, path: Path) -> Self:
        """The character in the folder or .zip `path`. Raises InputError with the first fault."""
        source = open_source(path)
        character, faults, _ = cls.parse(source)
        if character is None:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise InputError(
                f"The character {source} cannot be used: {faults[0]}{more} "
                f"`avatar character check {source}` says all."
            )
        return character

    @classmethod
    def parse(cls, source: Source) -> tuple[Self | None, list[str], list[str]]:
        """The character, or None and all that is wrong with its manifest; and mere oddities."""
        try:
            reader = ManifestReader(parse(source.read(MANIFEST)))
        except InputError as error:
            return None, [str(error)], []
        character = cls._from(source, reader)
        return None if reader.faults else character, reader.faults, reader.strangers

    @classmethod
    def _from(cls, source: Source, reader: ManifestReader) -> Self:
        reader.version()
        overlays, expressions = reader.overlays(), reader.expressions()
        has_face = reader.has("face")
        rise_from, rise_to = reader.number("shoulders.from"), reader.number("shoulders.to")
        if rise_from >= rise_to:
            reader.fault("shoulders", "`from` has to be above `to`, so a smaller number.")
        character = cls(
            source=source,
            title=reader.text("title"),
            licence=reader.text("licence"),
            made_by=reader.text("made_by"),
            figure=reader.file("figure"),
            figure_height=reader.number("figure_height", 16, 20_000),
            wall=reader.file("wall"),
            frame=reader.box("frame"),
            head=reader.box("head.box"),
            head_fade=reader.fade("head.fade"),
            face=reader.box("face.box") if has_face else None,
            face_fade=reader.fade("face.fade") if has_face else (1, 1, 1, 1),
            shoulders=(rise_from, rise_to),
            mouth=reader.part("mouth"),
            inside_mouth=reader.box("mouth.inside"),
            eyes=reader.part("eyes"),
            brows=reader.part("brows"),
            overlays=overlays,
            gestures=reader.gestures(overlays, expressions),
            expressions=expressions,
        )
        character._fit(reader)
        return character

    def _fit(self, reader: ManifestReader) -> None:
        """What holds between entries."""
        if reader.faults:
            return
        if abs(self.frame.width - self.frame.height) > 1:
            reader.fault("frame", "has to be a square: what a square picture shows.")
        inner = {
            "mouth.box": self.mouth.box,
            "eyes.box": self.eyes.box,
            "brows.box": self.brows.box,
        }
        if self.face is not None and not self.head.contains(self.face):
            reader.fault("face.box", "has to lie within head.box.")
        for name, box in inner.items():
            if not self.head.contains(box):
                reader.fault(name, "has to lie within head.box.")
        if not self.mouth.box.contains(self.inside_mouth):
            reader.fault("mouth.inside", "has to lie within mouth.box.")
        names = list(inner)
        for place, name in enumerate(names):
            for other in names[place + 1 :]:
                if inner[name].overlaps(inner[other]):
                    reader.fault(name, f"overlaps {other}; draw each pixel in one of them only.")

    @property
    def name(self) -> str:
        return self.source.name

    def image(self, file: str) -> Image.Image:
        """One of its pictures, RGBA. Raises InputError when it is missing or no picture."""
        try:
            return picture(self.source, file)
        except InputError as error:
            raise InputError(f"The character {self.source} cannot be used: {error}") from error

    def place(self, width: int, height: int) -> Placement:
        """The frame fills the picture's shorter side; it never leaves a gap at the bottom."""
        scale = min(width, height) / self.frame.width
        left = self.frame.left - (width / scale - self.frame.width) / 2
        spare = height / scale - self.frame.height
        top = self.frame.top - max(0.0, spare) * LOW_SHARE
        return Placement(scale, left, min(top, self.figure_height - height / scale))


def locate(name_or_path: str, folder: str = "") -> Path:
    """Where the character is that an operator means, whichever program he asks.

    What has a slash, ends in .zip or begins with . or ~ is a path. Anything else is the name of a
    character, of `folder` or shipped; only where there is none, a folder or file of the working
    directory. Raises InputError with the names that there are.
    """
    if IS_PATH.search(name_or_path):
        return expanded(name_or_path)
    try:
        return by_name(name_or_path, folder)
    except UnknownError:
        here = Path(name_or_path)
        if name_or_path and here.exists():
            return here
        raise


class UnknownError(InputError):
    """No character has that name."""


def by_name(name: str, folder: str = "") -> Path:
    """Where the character of that name is, capital letters or small. Raises InputError."""
    wanted = name.lower() if name.isascii() else name
    if CHARACTER.fullmatch(wanted) is not None:
        for place in places(folder):
            path = characters_in(place).get(wanted)
            if path is None:
                continue
            if not path.resolve().is_relative_to(place.resolve()):
                raise InputError(
                    f"The character {name!r} is a link that leads out of its folder; "
                    "put the character itself there."
                )
            return path
    raise UnknownError(
        f"There is no character {name!r}; choose one of: {', '.join(names(folder))}."
    )


def places(folder: str) -> list[Path]:
    """Where characters are looked for by name, an operator's first."""
    return [*([expanded(folder)] if folder else []), SHIPPED]


def names(folder: str = "") -> list[str]:
    """The characters that are shipped, and those in `folder`, an operator's."""
    found: set[str] = set()
    for place in places(folder):
        found |= characters_in(place).keys()
    return sorted(found)


def characters_in(place: Path) -> dict[str, Path]:
    """The characters in a folder by their names; a folder goes before an archive."""
    found: dict[str, Path] = {}
    try:
        entries = sorted(place.iterdir(), key=lambda path: (path.name != path.name.lower(), path))
    except OSError:
        return {}
    for path in entries:
        if _is_character(path):
            found.setdefault(path.name.lower(), path)
    for path in entries:
        if path.suffix.lower() == ".zip" and path.is_file():
            found.setdefault(path.stem.lower(), path)
    return {name: path for name, path in found.items() if CHARACTER.fullmatch(name)}


def _is_character(path: Path) -> bool:
    """Whether it is a folder with a manifest."""
    try:
        return path.is_dir() and any(folded(each.name) == MANIFEST for each in path.iterdir())
    except OSError:
        return False
