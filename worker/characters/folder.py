"""A character's folder: its manifest, its pictures, and where they stand in a picture's frame."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from PIL import Image

from worker.errors import InputError

SHIPPED: Final = Path(__file__).parent
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
MANIFEST: Final = "manifest.json"

LOW_SHARE: Final = 0.35
"""Of the height that a tall picture has to spare, how much goes above the head."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels: left and top are inside, right and bottom are not."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def grown(self, margin: float) -> "Box":
        return Box(self.left - margin, self.top - margin, self.right + margin, self.bottom + margin)

    def within(self, other: "Box") -> "Box":
        return Box(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )


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


@dataclass(frozen=True, slots=True)
class Sheet:
    """One part of the face in all its states, each a picture of `box`, one below the other."""

    file: str
    box: Box
    states: int


@dataclass(frozen=True, slots=True)
class Character:
    """What a manifest says. All boxes and lengths are in pixels of the figure's picture."""

    folder: Path
    figure: str
    figure_height: float
    wall: str
    frame: Box
    head: Box
    head_fade: tuple[float, float, float, float]
    shoulders: tuple[float, float]
    mouth: Sheet
    openings: tuple[float, ...]
    widths: tuple[float, ...]
    inside_mouth: Box
    eyes: Sheet
    lids: tuple[float, ...]
    gazes: tuple[tuple[float, float], ...]
    brows: Sheet
    raised: tuple[float, ...]

    @classmethod
    def load(cls, name: str) -> Self:
        """The character of that name among those shipped. Raises InputError listing them."""
        folder = SHIPPED / name
        if NAME.fullmatch(name) is None or not (folder / MANIFEST).is_file():
            raise InputError(
                f"There is no character {name!r}; choose one of: {', '.join(names())}."
            )
        return cls.read(folder)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The character in `folder`. Raises InputError when its manifest cannot be used."""
        try:
            return cls._parse(folder, json.loads((folder / MANIFEST).read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"The manifest of the character in {folder} cannot be used ({error!r}); "
                "docs/characters.md says what it has to hold."
            ) from error

    @classmethod
    def _parse(cls, folder: Path, manifest: Mapping[str, object]) -> Self:
        head, shoulders = _group(manifest, "head"), _group(manifest, "shoulders")
        mouth, eyes, brows = (_group(manifest, part) for part in ("mouth", "eyes", "brows"))
        openings, widths = _numbers(mouth["openings"]), _numbers(mouth["widths"])
        lids, raised = _numbers(eyes["lids"]), _numbers(brows["raised"])
        gazes = tuple((x, y) for x, y in map(_numbers, _list(eyes["gazes"])))
        left, top, right, bottom = _numbers(head["fade"])
        rise_from, rise_to = _numbers([shoulders["from"], shoulders["to"]])
        return cls(
            folder=folder,
            figure=str(manifest["figure"]),
            figure_height=_numbers([manifest["figure_height"]])[0],
            wall=str(manifest["wall"]),
            frame=_box(manifest["frame"]),
            head=_box(head["box"]),
            head_fade=(left, top, right, bottom),
            shoulders=(rise_from, rise_to),
            mouth=Sheet(str(mouth["file"]), _box(mouth["box"]), len(openings) * len(widths)),
            openings=openings,
            widths=widths,
            inside_mouth=_box(mouth["inside"]),
            eyes=Sheet(str(eyes["file"]), _box(eyes["box"]), len(lids) * len(gazes)),
            lids=lids,
            gazes=gazes,
            brows=Sheet(str(brows["file"]), _box(brows["box"]), len(raised)),
            raised=raised,
        )

    def image(self, file: str) -> Image.Image:
        """One of its pictures, RGBA. Raises InputError when it is missing or no picture."""
        try:
            with Image.open(self.folder / file) as image:
                return image.convert("RGBA")
        except OSError as error:
            raise InputError(
                f"The character in {self.folder} has no usable picture {file!r}; restore the file."
            ) from error

    def place(self, width: int, height: int) -> Placement:
        """The frame fills the picture's shorter side; it never leaves a gap at the bottom."""
        scale = min(width, height) / self.frame.width
        left = self.frame.left - (width / scale - self.frame.width) / 2
        spare = height / scale - self.frame.height
        top = self.frame.top - max(0.0, spare) * LOW_SHARE
        return Placement(scale, left, min(top, self.figure_height - height / scale))


def names() -> list[str]:
    """The characters that are shipped."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST}"))


def even_pixels(box: Box) -> tuple[int, int, int, int]:
    """The smallest rectangle around `box` whose sides are even, as 4:2:0 chroma needs."""
    return (
        2 * math.floor(box.left / 2),
        2 * math.floor(box.top / 2),
        2 * math.ceil(box.right / 2),
        2 * math.ceil(box.bottom / 2),
    )


def _group(manifest: Mapping[str, object], name: str) -> Mapping[str, object]:
    group = manifest[name]
    if not isinstance(group, dict):
        raise TypeError(f"{name} is not an object")
    return group


def _list(value: object) -> list[object]:
    if not isinstance(value, list) or not value:
        raise TypeError(f"{value!r} is not a list with something in it")
    return value


def _numbers(value: object) -> tuple[float, ...]:
    numbers = []
    for number in _list(value):
        if not isinstance(number, int | float) or not math.isfinite(number):
            raise TypeError(f"{number!r} is not a number")
        numbers.append(float(number))
    return tuple(numbers)


def _box(value: object) -> Box:
    left, top, right, bottom = _numbers(value)
    if left >= right or top >= bottom:
        raise ValueError(f"{value!r} is no box: left, top, right, bottom")
    return Box(left, top, right, bottom)
