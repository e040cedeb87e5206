"""The mouth of a portrait in every state: lips and jaw are moved, what is inside is painted.

All that is known of the photo's mouth is a closed one. Its lips are parted along the line where
they meet: what is above follows the upper lip, what is below the lower lip and the jaw, and
both do the same beside the mouth, so that nothing tears. Lengths that are not pixels are parts
of the mouth's width.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.tools.portrait.figure import Figure
from worker.tools.portrait.warp import (
    Floats,
    Values,
    blurred,
    curve,
    ease,
    eased,
    floats,
    mixed,
    sampled,
    sources,
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

# What a mouth is made of.
TEETH_BELOW: Final = 0.055
"""How far the upper teeth come out below the upper lip at rest."""
TEETH: Final = (0.0, 0.155, 0.275, 0.365, 0.43, 0.475)
"""Where one upper tooth ends and the next begins, from the middle."""
LOWER_TEETH: Final = (0.0, 0.10, 0.205, 0.30, 0.37, 0.42)
IVORY: Final = (1.0, 0.975, 0.915)
DARK: Final = (0.150, 0.050, 0.048)
"""The throat, and the cheeks' insides, in parts of the skin's light."""
FLESH: Final = (0.62, 0.27, 0.255)
TONGUE: Final = (0.72, 0.36, 0.345)


@dataclass(frozen=True, slots=True)
class Mouth:
    """One state; see docs/characters.md."""

    opening: float = 0.0
    width: float = 0.0
    teeth: float = 0.0
    tongue: float = 0.0
    smile: float = 0.0


@dataclass(frozen=True, slots=True)
class _Shape:
    """A state in pixels: how far things go, and how the gap is shaped."""

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


class Painter:
    """Draws the mouth of one figure."""

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
        left, top, right, bottom = self.box
        free = min(self.middle - left, right - self.middle) - 2.0
        self._beside = max(1.3, free / (self.width / 2))
        self._photo = figure.pixels[..., :3]
        self._x, self._y = np.meshgrid(
            np.arange(left, right, dtype=np.float32) + 0.5,
            np.arange(top, bottom, dtype=np.float32) + 0.5,
        )
        self.skin, self.white = self._light()

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

    def _light(self) -> tuple[Floats, Floats]:
        """The skin's colour beside the mouth, and what is white in the photo's light."""
        w = self.width
        around = [
            (self.middle - 0.75 * w, self.line_y - 0.25 * w),
            (self.middle + 0.75 * w, self.line_y - 0.25 * w),
            (self.middle, self.line_y + self.lower_lip + 0.22 * w),
        ]
        reach = max(2, round(0.07 * w))
        patches = []
        for x, y in around:
            patch = self._photo[int(y) - reach : int(y) + reach, int(x) - reach : int(x) + reach]
            patches.append(patch.reshape(-1, 3))
        skin = np.median(np.concatenate(patches), axis=0).astype(np.float32)
        grey = skin.mean()
        # Skin is warmer than white in the same light; a third of its tint is the light's.
        white = np.minimum(grey + (skin - grey) * 0.20, 255.0)
        white = white / white.max() * min(250.0, 1.22 * float(skin.max()))
        return skin, np.asarray(white * np.array(IVORY), np.float32)

    # Movement

    def _shape(self, state: Mouth) -> _Shape:
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
        return _Shape(
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

    def _profile(self, shape: _Shape, u: Floats) -> Floats:
        """How much of the gap there is at a place between the corners, -1..1."""
        sharp = 0.82 - 0.24 * shape.round_
        return np.asarray((1 - np.clip(np.abs(u), 0, 1) ** shape.blunt) ** sharp, np.float32)

    def _corner(self, u: Floats) -> Floats:
        """How much of the corners' way a place takes: all at the corner, little in the middle."""
        near = np.clip(np.abs(u), 0, 1) ** 2.2
        return floats(near * (1 - eased(np.abs(u), 1.0, min(2.2, self._beside))))

    def _across(self, shape: _Shape, x: Floats, y: Floats) -> Floats:
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

    def _lower(self, shape: _Shape, x: Floats, y: Floats) -> tuple[Floats, Floats]:
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

    def _upper(self, shape: _Shape, x: Floats, y: Floats) -> tuple[Floats, Floats]:
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

    def _edges(self, shape: _Shape, x: Floats) -> tuple[Floats, Floats]:
        """Where the upper and the lower lip end, at each x of the moved picture."""
        beside = 0.6 * self.width
        xs = floats(np.linspace(self.left - beside, self.right + beside, 240))
        line = self._line(xs)
        ends = []
        for move in (self._upper, self._lower):
            right, down = move(shape, xs, line)
            places = np.stack([xs + right, line + down], axis=1).astype(np.float64)
            ends.append(np.interp(x, places[:, 0], places[:, 1]).astype(np.float32))
        return ends[0], np.maximum(ends[1], ends[0])

    # Painting

    def draw(self, state: Mouth) -> Floats:
        """The mouth's box in that state: shape (height, width, 4), alpha 0 at its border."""
        shape = self._shape(state)
        x, y = self._x, self._y
        upper, lower = self._edges(shape, x[0])
        above = np.zeros((*x.shape, 3), np.float32)
        below = np.zeros_like(above)
        first = max(0, int(float(upper.min()) - self.box[1]) - 2)
        last = min(len(y), int(float(lower.max()) - self.box[1]) + 3)
        high, low = np.s_[:last], np.s_[first:]
        above[high] = sampled(
            self._photo, *sources(lambda a, b: self._upper(shape, a, b), x[high], y[high])
        )
        below[low] = sampled(
            self._photo, *sources(lambda a, b: self._lower(shape, a, b), x[low], y[low])
        )
        parted = np.maximum(lower - upper, 0)[None]
        wide = eased(parted, 0, 0.05 * self.width)
        above = self._turned_in(above, upper[None] - y, 0.030, 0.34 * wide)
        below = self._turned_in(below, y - lower[None], 0.026, (0.26 + 0.25 * shape.tuck) * wide)
        middle = (upper + lower)[None] / 2
        picture = mixed(above, below, eased(y - middle, -0.7, 0.7))
        within = np.minimum(y - upper[None], lower[None] - y)
        hole = eased(within, -0.9, 0.9) * eased(parted, 0.6, 2.4)
        if hole.max() > 0:
            window = _around(hole)
            inside = self._inside(state, shape, upper[window[1]], lower[window[1]], window)
            picture[window] = mixed(picture[window], inside, hole[window])
        return np.concatenate([picture, self._alpha[..., None]], axis=2)

    @cached_property
    def _alpha(self) -> Floats:
        """Opaque, but for a soft border: what an encoder does to both sides never shows."""
        rows, columns = self._x.shape
        edge = max(3.0, 0.05 * self.width)
        x, y = np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32)
        across = eased(np.minimum(x, columns - 1 - x) / edge)
        down = eased(np.minimum(y, rows - 1 - y) / edge)
        return np.asarray(255 * np.outer(down, across), np.float32)

    def _turned_in(self, lip: Floats, inwards: Floats, reach: float, much: Floats) -> Floats:
        """Lips are round: towards the gap they turn away from the light."""
        near = np.exp(-np.maximum(inwards, 0) / (reach * self.width)) * much
        dark = lip * np.array([0.52, 0.36, 0.36], np.float32)
        return mixed(lip, dark, near)

    def _inside(
        self, state: Mouth, shape: _Shape, upper: Floats, lower: Floats, window: Window
    ) -> Floats:
        """What is seen between the lips, in a window of the box."""
        w = self.width
        x, y = self._x[window], self._y[window]
        half = w / 2 * (1 + shape.wider)
        u = (x - self.middle) / half
        skull = (x - self.middle) / w
        parted = float((lower - upper).max())
        top, low = upper[None], lower[None]
        depth = np.clip((y - top) / np.maximum(low - top, 1), 0, 1)

        # The dark: cheeks' insides to the sides and the lip's below catch some light.
        dark, flesh = (self.skin * np.array(tint, np.float32) for tint in (DARK, FLESH))
        lit = 0.50 * np.exp(-np.maximum(low - y, 0) / (0.055 * w))
        lit += 0.16 * eased(depth, 0.35, 1.0) + 0.20 * eased(np.abs(u), 0.55, 1.0)
        picture = mixed(np.broadcast_to(dark, (*x.shape, 3)), flesh * 0.62, np.clip(lit, 0, 1))

        tongue, shade = self._tongue(state, parted, x, y, low)
        picture = mixed(picture, shade, tongue)
        jaw_teeth, shade = self._lower_teeth(state, shape, parted, skull, y, low)
        picture = mixed(picture, shade, jaw_teeth)
        if state.tongue:
            tip, shade = self._tip(x, y, parted)
            picture = mixed(picture, shade, tip)
        teeth, shade = self._upper_teeth(state, shape, skull, u, y, top)
        shadow = eased(blurred(teeth[..., None], 0.022 * w)[..., 0], 0.0, 0.9) * (1 - teeth)
        picture = picture * (1 - 0.45 * shadow[..., None])
        return mixed(picture, shade, teeth)

    def _teeth_end(self, state: Mouth) -> float:
        """How far down the upper teeth come: they hang from the skull, whatever the lips do."""
        return self.line_y + (TEETH_BELOW + 0.022 * state.teeth) * self.width

    def _upper_teeth(
        self, state: Mouth, shape: _Shape, skull: Floats, u: Floats, y: Floats, top: Floats
    ) -> tuple[Floats, Floats]:
        w = self.width
        across, tooth = _tooth(np.abs(skull), TEETH)
        shorter = np.array([0.0, 0.012, 0.004, 0.018, 0.024, 0.03], np.float32)[tooth]
        hidden = 0.055 * shape.round_
        rim = self._teeth_end(state) - (0.16 * skull**2 + shorter + 0.016 * across**4 + hidden) * w
        there = eased(rim - y, -1.1, 1.1) * (1 - eased(np.abs(skull), 0.40, 0.48))
        hung = (y - top) / w
        light = 0.52 + 0.42 * eased(hung, -0.01, 0.065)
        light = light * (1 - 0.50 * eased(np.abs(skull), 0.10, 0.46)) * (1 - 0.30 * shape.round_)
        light = light * (1 - 0.34 * eased(np.abs(u), 0.62, 1.0))
        between = np.exp(-(((1 - np.abs(across)) / 0.13) ** 2))
        light = light * (1 - 0.20 * between) * (1 + 0.05 * (1 - across**2))
        light = light * (1 - 0.16 * eased((y - rim) / w, -0.022, 0.0))
        shade = self.white * light[..., None]
        shade = shade * (1 - 0.10 * between[..., None] * np.array([0.2, 1.0, 1.0], np.float32))
        # The gums, when the lip is high.
        gum = eased(self.line_y - 0.085 * w + 0.015 * w * across**2 - y, -1.5, 1.5)
        shade = mixed(shade, self.skin * np.array([0.66, 0.34, 0.34], np.float32), gum)
        return np.asarray(there, np.float32), np.asarray(shade, np.float32)

    def _lower_teeth(
        self, state: Mouth, shape: _Shape, parted: float, skull: Floats, y: Floats, low: Floats
    ) -> tuple[Floats, Floats]:
        w = self.width
        across, _ = _tooth(np.abs(skull), LOWER_TEETH)
        shows = 0.050 * (1 - 0.85 * shape.round_) * ease(parted / w, 0.10, 0.24)
        middle = self.line_y + shape.down
        rim = middle - (shows - 0.10 * skull**2 - 0.010 * across**4) * w
        there = eased(y - rim, -1.1, 1.1) * (1 - eased(np.abs(skull), 0.28, 0.40))
        there = there * (shows > 0.004)
        light = 0.76 * (1 - 0.5 * eased(np.abs(skull), 0.08, 0.38))
        light = light * (1 - 0.42 * np.exp(-np.maximum(low - y, 0) / (0.018 * w)))
        between = np.exp(-(((1 - np.abs(across)) / 0.17) ** 2))
        light = light * (1 - 0.24 * between)
        return np.asarray(there, np.float32), np.asarray(self.white * light[..., None], np.float32)

    def _tongue(
        self, state: Mouth, parted: float, x: Floats, y: Floats, low: Floats
    ) -> tuple[Floats, Floats]:
        """It lies on the floor of the mouth, seen when that is open."""
        w = self.width
        much = ease(parted / w, 0.10, 0.22)
        half = 0.33 * w
        floor = float(low.max())
        high = 0.34 * parted + 0.02 * w
        du, dv = (x - self.middle) / half, (floor + 0.05 * w - y) / (high + 0.05 * w)
        inside = 1 - np.sqrt(du**2 + np.maximum(dv, 0) ** 2)
        there = eased(inside, 0.0, 0.14) * much
        light = 0.46 + 0.34 * eased(inside, 0.0, 0.6) - 0.10 * np.exp(-((du / 0.10) ** 2))
        shade = self.skin * np.array(TONGUE, np.float32) * light[..., None]
        return np.asarray(there, np.float32), np.asarray(shade, np.float32)

    def _tip(self, x: Floats, y: Floats, parted: float) -> tuple[Floats, Floats]:
        """The tongue's tip behind and below the upper teeth, for th and l."""
        w = self.width
        at = self._teeth_end(Mouth()) + 0.030 * w
        du, dv = (x - self.middle) / (0.27 * w), (y - at) / (0.085 * w)
        body = np.where(dv > 0, dv * 0.45, dv)
        inside = 1 - np.sqrt(du**2 + body**2)
        there = eased(inside, 0.0, 0.16)
        light = 0.62 + 0.32 * eased(inside, 0.0, 0.55) - 0.25 * eased(dv, 0.2, 2.0)
        shade = self.skin * np.array(TONGUE, np.float32) * light[..., None]
        gloss = np.exp(-((du / 0.35) ** 2) - (((dv + 0.05) / 0.30) ** 2)) * 0.16
        return np.asarray(there, np.float32), mixed(shade, self.white, gloss)


def _around(share: Floats) -> Window:
    """The rows and columns with anything in them."""
    rows, columns = np.flatnonzero(share.any(axis=1)), np.flatnonzero(share.any(axis=0))
    return np.s_[rows[0] : rows[-1] + 1], np.s_[columns[0] : columns[-1] + 1]


def _tooth(from_middle: Floats, ends: tuple[float, ...]) -> tuple[Floats, npt.NDArray[np.intp]]:
    """For places along a row of teeth: -1..1 across their tooth, and which it is."""
    edges = np.array(ends, np.float32)
    tooth = np.clip(np.searchsorted(edges, from_middle, side="right") - 1, 0, len(ends) - 1)
    begin = edges[tooth]
    end = np.append(edges[1:], edges[-1] + 0.04)[tooth]
    across = np.clip(2 * (from_middle - begin) / (end - begin) - 1, -1, 1)
    return np.asarray(across, np.float32), tooth
