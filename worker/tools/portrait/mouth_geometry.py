"""How lips, jaw and cheeks of a portrait move with the state of its mouth.

The photo shows a closed mouth. Its lips part along the line where they meet: what is above
follows the upper lip, what is below the lower lip and the jaw, and both do the same beside the
mouth, so that nothing tears. Lengths that are not pixels are parts of the mouth's width.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from worker.tools.portrait.figure import Figure
from worker.tools.portrait.warp import (
    Floats,
    Values,
    curve,
    eased,
    floats,
)

Window = tuple[slice, slice]

# How far a mouth moves.
GAP: Final = 0.46
"""Between the lips of the widest opening: an open vowel, not a yawn."""
GAP_ROUNDED: Final = 0.36
RAISED: Final = 0.17
"""Of the gap, what the upper lip does."""
JAW: Final = 0.86
"""Of the lower lip's way, how far the chin goes."""
CORNERS: Final = 0.34
"""Of the lower lip's way, how far the corners go down."""
ROUNDED: Final = 0.31
SPREAD: Final = 0.11
DRAWN_IN: Final = 0.07
"""How much narrower it gets, or wider: rounded, spread, and wide open."""
SMILE_WIDER: Final = 0.13
SMILE_UP: Final = 0.125
SAD_DOWN: Final = 0.075
TUCKED: Final = 0.10
"""The gap that the upper teeth show in for f and v."""


@dataclass(frozen=True, slots=True)
class Mouth:
    """One state; see docs/characters.md."""

    opening: float = 0.0
    width: float = 0.0
    teeth: float = 0.0
    tongue: float = 0.0
    smile: float = 0.0


@dataclass(frozen=True, slots=True)
class MouthShift:
    """A state in pixels: how far things go, and what shape the gap has."""

    up: float
    """The upper lip's middle, upwards."""
    down: float
    """The lower lip's middle, downwards."""
    jaw: float
    corner: float
    """The corners, downwards."""
    wider: float
    """Of the width."""
    thicker: float
    """Of the lips' height."""
    tuck: float
    round_: float
    blunt: float


class MouthGeometry:
    """Where the mouth of one figure is, and how far each place of it goes in a state."""

    def __init__(self, figure: Figure) -> None:
        face = figure.face
        inner = (face.lips_inner_top, face.lips_inner_bottom)
        self.left = min(float(line[0, 0]) for line in (*inner, face.lips_outer_top))
        self.right = max(float(line[-1, 0]) for line in (*inner, face.lips_outer_top))
        self.width = self.right - self.left
        self.middle = (self.left + self.right) / 2
        self._face = face
        self._figure = figure
        xs = np.linspace(self.left, self.right, 41).astype(np.float32)
        self._xs = xs
        meet = (curve(inner[0], xs) + curve(inner[1], xs)) / 2
        self._meet = np.stack([xs, meet], axis=1).astype(np.float64)
        self.line_y = float(meet[20])
        self.upper_lip = max(2.0, self.line_y - float(curve(face.lips_outer_top, xs)[20]))
        self.lower_lip = max(2.0, float(curve(face.lips_outer_bottom, xs)[20]) - self.line_y)
        self.chin = float(face.chin[1])
        self.nose = float(face.nose_base[1])
        cheeks = face.oval[:, 0]
        low = face.oval[face.oval[:, 1] > self.line_y]
        self.half_face = float(np.ptp(low[:, 0])) / 2 if len(low) > 1 else float(np.ptp(cheeks)) / 2
        self.face_middle = float(cheeks.min() + cheeks.max()) / 2
        self.box = self._box()
        left, _, right, _ = self.box
        free = min(self.middle - left, right - self.middle) - 2.0
        self._beside = max(1.3, free / (self.width / 2))

    def _box(self) -> tuple[int, int, int, int]:
        """Where anything changes, whole pixels: from below the nose to the neck."""
        columns, rows = self._figure.size
        reach = 1.14 * self.half_face
        top = self.nose - 0.10 * self.width
        bottom = self.chin + 0.80 * self.width
        return (
            max(2, int(self.face_middle - reach)),
            int(top),
            min(columns - 2, int(self.face_middle + reach)),
            min(rows - 2, int(bottom)),
        )

    @property
    def inside(self) -> tuple[int, int, int, int]:
        """Where the dark of the mouth may show."""
        half = 0.56 * self.width
        return (
            int(self.middle - half),
            int(self.line_y - 0.14 * self.width),
            int(self.middle + half),
            int(self.line_y + 0.50 * self.width),
        )

    def shift(self, state: Mouth) -> MouthShift:
        w, o = self.width, state.opening
        rounded, spread = max(0.0, -state.width), max(0.0, state.width)
        smile, sad = max(0.0, state.smile), max(0.0, -state.smile)
        gap = o * (GAP + (GAP_ROUNDED - GAP) * rounded) * (1 - 0.10 * spread) * w
        up, down = RAISED * gap + 0.012 * o * w, (1 - RAISED) * gap
        if state.teeth:
            up, down = max(up, 0.040 * w), TUCKED * w - max(up, 0.040 * w)
        wider = SPREAD * spread - ROUNDED * rounded - DRAWN_IN * o * (1 - rounded)
        wider += SMILE_WIDER * smile - 0.03 * sad
        corner = CORNERS * down * (1 - 0.35 * smile) * (1 - 0.5 * rounded)
        corner += (SAD_DOWN * sad - SMILE_UP * smile) * w
        return MouthShift(
            up=up + 0.012 * smile * w,
            down=down,
            jaw=JAW * down if not state.teeth else 0.25 * down,
            corner=corner,
            wider=wider,
            thicker=0.20 * rounded - 0.10 * spread - 0.14 * smile,
            tuck=state.teeth,
            round_=rounded,
            blunt=2.0 + 0.8 * spread - 0.1 * rounded,
        )

    def _profile(self, shape: MouthShift, u: Floats) -> Floats:
        """How much of the gap there is at a place between the corners, -1..1."""
        sharp = 0.82 - 0.24 * shape.round_
        return np.asarray((1 - np.clip(np.abs(u), 0, 1) ** shape.blunt) ** sharp, np.float32)

    def _corner(self, u: Floats) -> Floats:
        """How much of the corners' way a place takes: all at the corner, little in the middle."""
        near = np.clip(np.abs(u), 0, 1) ** 2.2
        return floats(near * (1 - eased(np.abs(u), 1.0, min(2.2, self._beside))))

    def _across(self, shape: MouthShift, x: Floats, y: Floats) -> Floats:
        """How far a place goes to the right."""
        half = self.width / 2
        u = (x - self.middle) / half
        away = np.abs(u)
        reach = np.minimum(away, 1.0) * (1 - eased(away, 1.0, min(2.4, self._beside)))
        below = y - self._line(x)
        falls = np.where(
            below < 0,
            1 - eased(-below / (self.line_y - self.box[1] - 1.0), 0.20, 1.0),
            1 - eased(below / (0.9 * (self.chin - self.line_y)), 0.25, 1.0),
        )
        return floats(shape.wider * half * np.sign(u) * reach * falls)

    def _line(self, x: Values) -> Floats:
        return curve(self._meet, x)

    def lower(self, shape: MouthShift, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """The lower lip, the chin and the jaw; anything below the line where the lips meet."""
        u = (x - self.middle) / (self.width / 2)
        below = np.maximum(y - self._line(x), 0)
        at_line = shape.corner * self._corner(u) + shape.down * self._profile(shape, u)
        deep = eased(below / (0.80 * (self.chin - self.line_y)))
        beside = np.abs(x - self.face_middle) / self.half_face
        across = 1 - eased(beside, 0.50, 1.12)
        bottom = self.box[3]
        falls = 1 - eased(y, self.chin + 0.02 * self.width, bottom - 1.0)
        down = at_line * (1 - deep) + shape.jaw * across * deep
        lip = self.lower_lip
        swell = np.minimum(below, lip) * (1 - eased(below, lip, 3.2 * lip))
        inner = 1 - eased(np.abs(u), 0.55, 1.15)
        down = down + (shape.thicker * swell - 0.36 * shape.tuck * swell) * inner
        return self._across(shape, x, y), np.asarray(down * falls, np.float32)

    def upper(self, shape: MouthShift, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """The upper lip and the cheeks."""
        u = (x - self.middle) / (self.width / 2)
        above = np.maximum(self._line(x) - y, 0)
        at_line = shape.corner * self._corner(u) - shape.up * self._profile(shape, u)
        cheek = eased(np.abs(u), 0.5, 1.3)
        room = self.line_y - self.box[1] - 1.0
        groove = self.line_y - self.nose
        fade = 1 - eased(above / (groove * (1 - cheek) + room * cheek))
        lip = self.upper_lip
        swell = np.minimum(above, lip) * (1 - eased(above, lip, 1.0 * groove + 0.01))
        inner = 1 - eased(np.abs(u), 0.55, 1.15)
        up = 0.9 * shape.thicker * swell * inner
        edge = eased(y, self.box[1] + 0.5, self.box[1] + 0.10 * self.width)
        return self._across(shape, x, y), np.asarray((at_line * fade - up) * edge, np.float32)

    def edges(self, shape: MouthShift, x: Floats) -> tuple[Floats, Floats]:
        """Where the upper and the lower lip end, at each x of the moved picture."""
        beside = 0.6 * self.width
        xs = floats(np.linspace(self.left - beside, self.right + beside, 240))
        line = self._line(xs)
        ends = []
        for move in (self.upper, self.lower):
            right, down = move(shape, xs, line)
            places = np.stack([xs + right, line + down], axis=1).astype(np.float64)
            ends.append(np.interp(x, places[:, 0], places[:, 1]).astype(np.float32))
        return ends[0], np.maximum(ends[1], ends[0])
