"""The landmarks of a face: what they are, and the file that a person can correct."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from avatar_runtime.texts import read_text
from worker.characters.pictures import regular
from worker.errors import InputError

Points = npt.NDArray[np.float64]
"""Places in pixels of the photo, right and down from its corner: shape (n, 2) or (2,)."""

FILE: Final = "landmarks.json"


@dataclass(frozen=True, slots=True, eq=False)
class Iris:
    """The coloured disc of an eye, of which lids may hide a part."""

    middle: Points
    radius: float


@dataclass(frozen=True, slots=True, eq=False)
class Eye:
    """One eye and its brow. Each line goes from left to right in the photo.

    `upper` and `lower` are the edges of the lids where they meet the eyeball; both begin and
    end in the eye's corners. `brow_top` and `brow_bottom` are the edges of the brow.
    """

    upper: Points
    lower: Points
    iris: Iris
    brow_top: Points
    brow_bottom: Points


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """One face. Left and right are the photo's, not the person's.

    `oval` goes around the face from the middle of the forehead, clockwise. Each line of the
    lips goes from left to right and begins and ends in a corner of the mouth; the inner ones
    meet where the lips do. `nose_base` is where the nose meets the upper lip's groove.
    """

    oval: Points
    lips_outer_top: Points
    lips_outer_bottom: Points
    lips_inner_top: Points
    lips_inner_bottom: Points
    left_eye: Eye
    right_eye: Eye
    nose_tip: Points
    nose_base: Points
    chin: Points

    @classmethod
    def read(cls, path: Path, size: tuple[int, int]) -> Self:
        """The landmarks in a file, of a photo of `size`. Raises InputError saying what is wrong."""
        try:
            regular(path, "one with landmarks")
            content = json.loads(read_text(path.read_bytes()))
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}).") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not JSON ({error}); fix it there.") from error
        try:
            return cls._parse(content, size)
        except ValueError as error:
            raise InputError(f"{path}: {error} (docs/portrait.md describes the file.)") from error

    @classmethod
    def _parse(cls, content: object, size: tuple[int, int]) -> Self:
        face = _Reader(content, size)
        noted = face.numbers("photo", 2)
        if tuple(noted) != size:
            raise ValueError(
                f"it belongs to a photo of {noted[0]:g}x{noted[1]:g} pixels, "
                f"this one has {size[0]}x{size[1]}."
            )
        left, right = (face.eye(name) for name in ("left_eye", "right_eye"))
        return cls(
            oval=face.line("oval", OVAL_POINTS),
            lips_outer_top=face.line("lips_outer_top"),
            lips_outer_bottom=face.line("lips_outer_bottom"),
            lips_inner_top=face.line("lips_inner_top"),
            lips_inner_bottom=face.line("lips_inner_bottom"),
            left_eye=left,
            right_eye=right,
            nose_tip=face.point("nose_tip"),
            nose_base=face.point("nose_base"),
            chin=face.point("chin"),
        )

    def write(self, path: Path, size: tuple[int, int]) -> None:
        """Put them into a file that `read` takes, a line of text for each line of the face."""
        entries = {"photo": json.dumps(list(size))} | dict(self._entries())
        body = ",\n".join(f'  "{name}": {text}' for name, text in entries.items())
        path.write_text(f"{{\n{body}\n}}\n", encoding="utf-8")

    def _entries(self) -> list[tuple[str, str]]:
        entries = []
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if isinstance(value, Eye):
                lines = {
                    "upper": _rounded(value.upper),
                    "lower": _rounded(value.lower),
                    "iris": [*_rounded(value.iris.middle), round(value.iris.radius, 1)],
                    "brow_top": _rounded(value.brow_top),
                    "brow_bottom": _rounded(value.brow_bottom),
                }
                inner = ",\n".join(f'    "{k}": {json.dumps(v)}' for k, v in lines.items())
                entries.append((name, f"{{\n{inner}\n  }}"))
            else:
                entries.append((name, json.dumps(_rounded(value))))
        return entries

    def mapped(self, turn: float, about: Points, scale: float, origin: Points) -> "Landmarks":
        """Turned clockwise by `turn` radians around `about`, then scaled from `origin`."""
        cos, sin = math.cos(turn), math.sin(turn)
        matrix = np.array([[cos, sin], [-sin, cos]])

        def move(places: Points) -> Points:
            return np.asarray(((places - about) @ matrix + about - origin) * scale)

        def eye(one: Eye) -> Eye:
            iris = Iris(move(one.iris.middle), one.iris.radius * scale)
            brow = move(one.brow_top), move(one.brow_bottom)
            return Eye(move(one.upper), move(one.lower), iris, *brow)

        return Landmarks(
            move(self.oval),
            move(self.lips_outer_top),
            move(self.lips_outer_bottom),
            move(self.lips_inner_top),
            move(self.lips_inner_bottom),
            eye(self.left_eye),
            eye(self.right_eye),
            move(self.nose_tip),
            move(self.nose_base),
            move(self.chin),
        )

    @property
    def height(self) -> float:
        """From the chin to the top of the oval, pixels."""
        return float(np.ptp(self.oval[:, 1]))

    @property
    def roll(self) -> float:
        """How far the head leans to the right of the photo, radians, by the eyes' irises."""
        across = self.right_eye.iris.middle - self.left_eye.iris.middle
        return math.atan2(across[1], across[0])

    @property
    def yaw(self) -> float:
        """How far the head is turned: where the nose's tip is between both sides of the face.

        0 is the middle, -1 and 1 are the sides; a head turned by 35 degrees has 0.66.
        """
        upright = self.mapped(-self.roll, self.chin, 1.0, np.zeros(2))
        left, right = upright.oval[:, 0].min(), upright.oval[:, 0].max()
        return float(2 * (upright.nose_tip[0] - left) / (right - left) - 1)

    @property
    def gap(self) -> float:
        """How far the lips are apart at their middle, in parts of the mouth's width."""
        top, bottom = self.lips_inner_top, self.lips_inner_bottom
        width = float(np.linalg.norm(top[-1] - top[0]))
        return float((bottom[:, 1].mean() - top[:, 1].mean()) / width)


LINE_POINTS: Final = 3
OVAL_POINTS: Final = 8
MOST_POINTS: Final = 400
MOST: Final = 1e6


class _Reader:
    """Takes landmarks out of JSON. Raises ValueError naming the entry that is wrong."""

    def __init__(self, content: object, size: tuple[int, int], inside: str = "") -> None:
        if not isinstance(content, Mapping):
            raise ValueError(f"{inside or 'the whole'} has to be an object, {{ ... }}.")
        self._content = content
        self._size = size
        self._inside = inside

    def numbers(self, name: str, count: int) -> tuple[float, ...]:
        value = self._content.get(name)
        if not isinstance(value, list) or len(value) != count or not all(map(_is_number, value)):
            raise ValueError(f"{self._inside}{name} has to be {count} numbers.")
        return tuple(map(float, value))

    def point(self, name: str) -> Points:
        place: Points = self._inside_photo(name, np.array([self.numbers(name, 2)]))[0]
        return place

    def line(self, name: str, least: int = LINE_POINTS) -> Points:
        value = self._content.get(name)
        whole = isinstance(value, list) and least <= len(value) <= MOST_POINTS
        if not whole or not all(
            isinstance(each, list) and len(each) == 2 and all(map(_is_number, each))
            for each in value or ()
        ):
            raise ValueError(f"{self._inside}{name} has to be {least} or more points, [x, y] each.")
        places = self._inside_photo(name, np.array(value, np.float64))
        if least == LINE_POINTS and (np.diff(places[:, 0]) <= 0).any():
            raise ValueError(f"{self._inside}{name} has to go from left to right.")
        return places

    def eye(self, name: str) -> Eye:
        inner = _Reader(self._content.get(name), self._size, f"{name}.")
        x, y, radius = inner.numbers("iris", 3)
        if radius < 1:
            raise ValueError(f"{name}.iris has to be [x, y, radius] with a radius of 1 or more.")
        return Eye(
            inner.line("upper"),
            inner.line("lower"),
            Iris(np.array([x, y]), radius),
            inner.line("brow_top"),
            inner.line("brow_bottom"),
        )

    def _inside_photo(self, name: str, places: Points) -> Points:
        width, height = self._size
        beyond = 0.25 * max(width, height)
        if (places < -beyond).any() or (places > np.array([width, height]) + beyond).any():
            raise ValueError(f"{self._inside}{name} lies outside of the photo.")
        return places


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < MOST  # NaN compares false


def _rounded(places: Points) -> list[object]:
    return list(np.round(places, 1).tolist())
