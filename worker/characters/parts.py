"""Rectangles of a figure, and the parts of a face that are drawn in several states."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

WEIGHTS: Final[Mapping[str, Floats]] = {
    "mouth": np.array([6.0, 1.0, 1.5, 1.5, 2.0], np.float32),
    "eyes": np.array([4.0, 1.0, 1.0, 0.7], np.float32),
    "brows": np.array([1.0, 1.0, 1.0], np.float32),
}
"""Of squared differences, in the order of `manifest.PARAMETERS`: how far a mouth is open and an
eye is shut is seen first; a smile is worth more than a tongue, so that it stays in speech."""

SHUT_BELOW: Final = 0.04
"""Half of the smallest opening that anybody draws."""
FAR: Final = 1000.0


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

    def contains(self, other: "Box") -> bool:
        return self.within(other) == other

    def overlaps(self, other: "Box") -> bool:
        shared = self.within(other)
        return shared.left < shared.right and shared.top < shared.bottom

    @property
    def whole(self) -> tuple[int, int, int, int]:
        """Its sides as whole pixels."""
        return round(self.left), round(self.top), round(self.right), round(self.bottom)


State = tuple[float, ...]
"""One state of a part: its parameters' values, in the order of `manifest.PARAMETERS`."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture of a part in several states, one below the other."""

    file: str
    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the face: what it covers of the figure, and its states in all its sheets."""

    name: str
    box: Box
    sheets: tuple[Sheet, ...]

    states: tuple[State, ...] = field(init=False)
    """Those of all sheets, in order."""
    _table: Floats = field(init=False, repr=False, compare=False)
    _shut: Bools = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        states = tuple(state for sheet in self.sheets for state in sheet.states)
        table = np.array(states, np.float32).reshape(len(states), len(WEIGHTS[self.name]))
        shut = table[:, 0] == 0 if self.name == "mouth" and len(states) else np.ones(0, bool)
        for name, value in (("states", states), ("_table", table), ("_shut", shut)):
            object.__setattr__(self, name, value)

    def nearest(self, wanted: State) -> int:
        """The place of the state that is most like `wanted`.

        Parameters weigh by how much one sees them. A mouth that is wanted shut is shut, whatever
        else there is: a closure is a closure.
        """
        distance = np.square(self._table - np.array(wanted, np.float32)) @ WEIGHTS[self.name]
        if self.name == "mouth" and wanted[0] < SHUT_BELOW and max(wanted[2:4]) < 0.5:
            distance[~self._shut] += FAR
        return int(distance.argmin())


@dataclass(frozen=True, slots=True)
class Overlay:
    """Something drawn over everything, such as a hand: `frames` pictures of `box`, with alpha."""

    file: str
    box: Box
    frames: int


def even_pixels(box: Box) -> tuple[int, int, int, int]:
    """The smallest rectangle around `box` whose sides are even, as 4:2:0 chroma needs."""
    return (
        2 * math.floor(box.left / 2),
        2 * math.floor(box.top / 2),
        2 * math.ceil(box.right / 2),
        2 * math.ceil(box.bottom / 2),
    )
