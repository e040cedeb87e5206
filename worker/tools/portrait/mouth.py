"""The mouth of a portrait in every state: the photo's lips and jaw moved, the inside painted."""

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.tools.portrait.figure import Figure
from worker.tools.portrait.mouth_geometry import Mouth, MouthGeometry, MouthShift
from worker.tools.portrait.warp import Floats, blurred, ease, eased, mixed, sampled, sources

Window = tuple[slice, slice]

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


class MouthPainter:
    """Draws the mouth of one figure."""

    def __init__(self, figure: Figure) -> None:
        self._geometry = MouthGeometry(figure)
        self.box = self._geometry.box
        self.inside = self._geometry.inside
        left, top, right, bottom = self.box
        self._photo = figure.pixels[..., :3]
        self._x, self._y = np.meshgrid(
            np.arange(left, right, dtype=np.float32) + 0.5,
            np.arange(top, bottom, dtype=np.float32) + 0.5,
        )
        self.skin, self.white = self._light()

    def _light(self) -> tuple[Floats, Floats]:
        """The skin's colour beside the mouth, and what is white in the photo's light."""
        w = self._geometry.width
        around = [
            (self._geometry.middle - 0.75 * w, self._geometry.line_y - 0.25 * w),
            (self._geometry.middle + 0.75 * w, self._geometry.line_y - 0.25 * w),
            (self._geometry.middle, self._geometry.line_y + self._geometry.lower_lip + 0.22 * w),
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

    def draw(self, state: Mouth) -> Floats:
        """The mouth's box in that state: shape (height, width, 4), alpha 0 at its border."""
        shape = self._geometry.shift(state)
        x, y = self._x, self._y
        upper, lower = self._geometry.edges(shape, x[0])
        above = np.zeros((*x.shape, 3), np.float32)
        below = np.zeros_like(above)
        first = max(0, int(float(upper.min()) - self.box[1]) - 2)
        last = min(len(y), int(float(lower.max()) - self.box[1]) + 3)
        high, low = np.s_[:last], np.s_[first:]
        above[high] = sampled(
            self._photo, *sources(lambda a, b: self._geometry.upper(shape, a, b), x[high], y[high])
        )
        below[low] = sampled(
            self._photo, *sources(lambda a, b: self._geometry.lower(shape, a, b), x[low], y[low])
        )
        parted = np.maximum(lower - upper, 0)[None]
        wide = eased(parted, 0, 0.05 * self._geometry.width)
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
        edge = max(3.0, 0.05 * self._geometry.width)
        x, y = np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32)
        across = eased(np.minimum(x, columns - 1 - x) / edge)
        down = eased(np.minimum(y, rows - 1 - y) / edge)
        return np.asarray(255 * np.outer(down, across), np.float32)

    def _turned_in(self, lip: Floats, inwards: Floats, reach: float, much: Floats) -> Floats:
        """Lips are round: towards the gap they turn away from the light."""
        near = np.exp(-np.maximum(inwards, 0) / (reach * self._geometry.width)) * much
        dark = lip * np.array([0.52, 0.36, 0.36], np.float32)
        return mixed(lip, dark, near)

    def _inside(
        self, state: Mouth, shape: MouthShift, upper: Floats, lower: Floats, window: Window
    ) -> Floats:
        """What is seen between the lips, in a window of the box."""
        w = self._geometry.width
        x, y = self._x[window], self._y[window]
        half = w / 2 * (1 + shape.wider)
        u = (x - self._geometry.middle) / half
        skull = (x - self._geometry.middle) / w
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
        return self._geometry.line_y + (TEETH_BELOW + 0.022 * state.teeth) * self._geometry.width

    def _upper_teeth(
        self, state: Mouth, shape: MouthShift, skull: Floats, u: Floats, y: Floats, top: Floats
    ) -> tuple[Floats, Floats]:
        w = self._geometry.width
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
        gum = eased(self._geometry.line_y - 0.085 * w + 0.015 * w * across**2 - y, -1.5, 1.5)
        shade = mixed(shade, self.skin * np.array([0.66, 0.34, 0.34], np.float32), gum)
        return np.asarray(there, np.float32), np.asarray(shade, np.float32)

    def _lower_teeth(
        self, state: Mouth, shape: MouthShift, parted: float, skull: Floats, y: Floats, low: Floats
    ) -> tuple[Floats, Floats]:
        w = self._geometry.width
        across, _ = _tooth(np.abs(skull), LOWER_TEETH)
        shows = 0.050 * (1 - 0.85 * shape.round_) * ease(parted / w, 0.10, 0.24)
        middle = self._geometry.line_y + shape.down
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
        w = self._geometry.width
        much = ease(parted / w, 0.10, 0.22)
        half = 0.33 * w
        floor = float(low.max())
        high = 0.34 * parted + 0.02 * w
        du, dv = (x - self._geometry.middle) / half, (floor + 0.05 * w - y) / (high + 0.05 * w)
        inside = 1 - np.sqrt(du**2 + np.maximum(dv, 0) ** 2)
        there = eased(inside, 0.0, 0.14) * much
        light = 0.46 + 0.34 * eased(inside, 0.0, 0.6) - 0.10 * np.exp(-((du / 0.10) ** 2))
        shade = self.skin * np.array(TONGUE, np.float32) * light[..., None]
        return np.asarray(there, np.float32), np.asarray(shade, np.float32)

    def _tip(self, x: Floats, y: Floats, parted: float) -> tuple[Floats, Floats]:
        """The tongue's tip behind and below the upper teeth, for th and l."""
        w = self._geometry.width
        at = self._teeth_end(Mouth()) + 0.030 * w
        du, dv = (x - self._geometry.middle) / (0.27 * w), (y - at) / (0.085 * w)
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
