"""The eyes of a portrait in every state: lids that close, irises that look elsewhere.

The upper lid's skin is stretched down over the eyeball and takes the photo's own lashes with
it. An iris is cut out and put down elsewhere; where it was there is sclera, where a lid hid it
its mirror image.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.tools.portrait.figure import Figure
from worker.tools.portrait.landmarks import Eye
from worker.tools.portrait.warp import Floats, blurred, curve, ease, eased, mixed, sampled

# Movements, in parts of the eye's width where nothing else is said.
WIDE_OPEN: Final = 0.55
"""How much of the eye's height a lid of -1 would show more; it goes down to -0.3."""
MEETS: Final = 0.94
"""Where the upper lid meets the lower one, in parts of the opening."""
SQUINT_UP: Final = 0.30
SQUINT_DOWN: Final = 0.10
"""How far the lids narrow the eye, in parts of the opening."""
LOOK: Final = (0.21, 0.13)
"""Where a gaze of 1 moves the iris to."""
FOLLOWS: Final = (0.10, 0.30)
"""How far the upper lid goes with a gaze of 1 up and down, in parts of the opening."""
LASHES: Final = 0.17
"""How far above the lid's edge there may be lashes."""
UNDER: Final = 0.055
"""How far below the lower lid's line skin begins, for sure."""
BEYOND: Final = 0.04
"""How far lids go on behind the corners: a corner that stays open looks torn."""
SHADE: Final = 0.09
SPARE: Final = 24
"""Pixels of the photo around the box that blurs look at."""


@dataclass(frozen=True, slots=True)
class Eyes:
    """One state of both eyes; see docs/characters.md."""

    lid: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)
    squint: float = 0.0


def split(figure: Figure) -> int:
    """Down to where brows move the skin, and from where on lids do."""
    face = figure.face
    both = (face.left_eye, face.right_eye)
    brow = max(float(np.quantile(eye.brow_bottom[:, 1], 0.6)) for eye in both)
    lid = min(float(eye.upper[:, 1].min()) for eye in both)
    width = float(np.ptp(face.left_eye.upper[:, 0]))
    return int(min(brow + 0.45 * max(lid - brow, 0), lid - 0.16 * width))


class EyePainter:
    """Draws the eyes of one figure."""

    def __init__(self, figure: Figure) -> None:
        face = figure.face
        both = (face.left_eye, face.right_eye)
        width = max(float(np.ptp(eye.upper[:, 0])) for eye in both)
        columns, _ = figure.size
        left = min(float(eye.upper[0, 0]) for eye in both) - 0.42 * width
        right = max(float(eye.upper[-1, 0]) for eye in both) + 0.42 * width
        bottom = max(float(eye.lower[:, 1].max()) for eye in both) + 0.46 * width
        self.box = (max(2, int(left)), split(figure), min(columns - 2, int(right)), int(bottom))
        photo = figure.pixels[..., :3]
        middle = (float(both[0].upper[-1, 0]) + float(both[1].upper[0, 0])) / 2
        half = int(middle)
        l, t, r, b = self.box  # noqa: E741 - a box's sides
        self._eyes = (
            _Eyeball(photo, both[0], (l, t, half, b)),
            _Eyeball(photo, both[1], (half, t, r, b)),
        )

    def draw(self, look: Eyes) -> Floats:
        """The eyes' box in that state: shape (height, width, 4), alpha 0 at its border."""
        picture = np.concatenate([eye.draw(look) for eye in self._eyes], axis=1)
        rows, columns = picture.shape[:2]
        x, y = np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32)
        across = eased(np.minimum(x, columns - 1 - x) / max(3.0, 0.03 * columns))
        down = eased(np.minimum(y, rows - 1 - y) / max(2.0, 0.05 * rows))
        alpha = 255 * np.outer(down, across)
        return np.concatenate([picture, alpha[..., None].astype(np.float32)], axis=2)


class _Eyeball:
    """One eye within its half of the box."""

    def __init__(self, photo: Floats, eye: Eye, box: tuple[int, int, int, int]) -> None:
        self._photo = photo
        self._box = box
        left, top, right, bottom = box
        self._x, self._y = np.meshgrid(
            np.arange(left, right, dtype=np.float32) + 0.5,
            np.arange(top, bottom, dtype=np.float32) + 0.5,
        )
        self._plain = photo[top:bottom, left:right]
        xs = self._x[0]
        self._width = float(np.ptp(eye.upper[:, 0]))
        corners = np.array([(eye.upper[0] + eye.lower[0]) / 2, (eye.upper[-1] + eye.lower[-1]) / 2])
        beyond = np.array([[-BEYOND, 0], [BEYOND, 0]]) * self._width
        ends = corners + beyond
        upper = np.concatenate([ends[:1], eye.upper[1:-1], ends[1:]])
        lower = np.concatenate([ends[:1], eye.lower[1:-1], ends[1:]])
        self._upper = curve(upper, xs)
        self._lower = np.maximum(curve(lower, xs), self._upper)
        self._open = self._lower - self._upper
        self._share = self._open / max(float(self._open.max()), 1.0)
        self._middle = float(corners[:, 0].mean())
        self._iris = (float(eye.iris.middle[0]), float(eye.iris.middle[1]), eye.iris.radius)
        self._lash = self._lashes()
        wide = photo[max(0, top - SPARE) : bottom + SPARE, max(0, left - SPARE) : right + SPARE]
        self._soft = blurred(wide, 0.045 * self._width)
        low = int(float(self._lower.max()) + 0.16 * self._width) - top
        rows = (wide - blurred(wide, 0.03 * self._width))[SPARE + low : SPARE + bottom - top]
        grain = rows[:, SPARE : SPARE + right - left]
        self._grain = np.concatenate([grain, grain[::-1]])
        self._white = self._sclera()

    def _within(self, y: Floats, low: float, high: float) -> Floats:
        """How surely a place is inside the photo's opening."""
        return eased(np.minimum(y - self._upper, self._lower - y), low, high)

    def _lashes(self) -> Floats:
        """The skin's light that lashes leave, at each place near the open lid; 1 elsewhere."""
        band = LASHES * self._width * (0.4 + 0.6 * self._share)
        ground = sampled(self._photo, self._x[:1], (self._upper - 1.15 * band)[None])
        ratio = self._plain.mean(axis=2) / np.maximum(ground.mean(axis=2), 1)
        above = self._upper - self._y
        inside = 0.030 * self._width
        weight = (1 - eased(above, 0.75 * band, 1.1 * band)) * eased(above, -inside, -0.2 * inside)
        weight = weight * eased(self._share, 0.02, 0.25)
        dark = np.clip(ratio * 1.04, 0.12, 1)
        return np.asarray(1 + (dark - 1) * weight, np.float32)

    def _sclera(self) -> Floats:
        """The eyeball's white everywhere, from what is seen of it: a sloping, bulging plane."""
        x, y, radius = self._iris
        far = np.hypot(self._x - x, self._y - y)
        seen = (self._within(self._y, 0.8, 2.0) > 0.9) & (far > 1.12 * radius)
        u, v = self._places()
        if seen.sum() < 24:
            pale = np.percentile(self._plain.reshape(-1, 3), 90, axis=0)
            return np.broadcast_to(pale, self._plain.shape).astype(np.float32)
        colours = self._plain[seen]
        bright = colours.mean(axis=1) >= np.percentile(colours.mean(axis=1), 30)
        terms = np.stack([np.ones_like(u), u, u * u, v], axis=2)
        known, values = terms[seen][bright].astype(np.float64), colours[bright].astype(np.float64)
        ridge = np.diag([0.0, 1.0, 1.0, 1.0]) * 0.05 * len(values)
        factors = np.linalg.solve(known.T @ known + ridge, known.T @ values)
        fitted = terms @ factors
        low, high = np.percentile(values, 4, axis=0), np.percentile(values, 98, axis=0)
        shade = 1 - 0.16 * (1 - eased(v, 0.0, 0.45))
        return np.asarray(np.clip(fitted, low, high) * shade[..., None], np.float32)

    def _places(self) -> tuple[Floats, Floats]:
        """-1..1 across the eye, 0..1 down its opening."""
        x, _, _ = self._iris
        u = (self._x - x) / (self._width / 2)
        v = np.clip((self._y - self._upper) / np.maximum(self._open, 1), 0, 1)
        return u.astype(np.float32), v.astype(np.float32)

    def draw(self, look: Eyes) -> Floats:
        if look == Eyes():
            return self._plain
        y = self._y
        lid = look.lid + SQUINT_DOWN * look.squint * (1 - max(0.0, look.lid))
        _, down = look.gaze
        if look.lid < 1:
            lid += (FOLLOWS[1] if down > 0 else FOLLOWS[0]) * down * (1 - max(0.0, look.lid))
        drop = MEETS * lid if lid > 0 else WIDE_OPEN * lid
        lower = self._lower - SQUINT_UP * look.squint * self._open * (1 - 0.5 * max(0.0, look.lid))
        upper = np.minimum(self._upper + drop * self._open, lower - 0.0)
        skin = self._skin(upper, lower, max(0.0, lid))
        ball = self._ball(look.gaze, raised=lid < 0)
        moved = np.abs(upper - self._upper)
        near = np.exp(-np.maximum(y - upper, 0) / (SHADE * self._width))
        ball = ball * (1 - (0.42 * eased(moved / self._width, 0.0, 0.12) * near)[..., None])
        parted = lower - upper
        hole = eased(np.minimum(y - upper, lower - y), -0.8, 0.8) * eased(parted, 0.4, 1.6)
        still = eased(moved, 0.0, 0.6) + eased(np.abs(lower - self._lower), 0.0, 0.6)
        # Where the lids stay, the photo's own edge is kept and only the ball changes.
        hole = np.where(still > 0, hole, self._within(y, 0.4, 2.2))
        picture = mixed(skin, ball, hole)
        if moved.max() > 0.5:
            picture = picture * self._lashes_at(upper, min(1.0, max(0.0, lid)))[..., None]
        return np.asarray(picture, np.float32)

    def _skin(self, upper: Floats, lower: Floats, shut: float) -> Floats:
        """Both lids' skin when their edges are at `upper` and `lower`."""
        x, y = self._x, self._y
        top, bottom = self._box[1], self._box[3]
        band = LASHES * self._width * (0.4 + 0.6 * self._share) * eased(self._share, 0.0, 0.2)
        moved = eased(np.abs(upper - self._upper), 0.0, 1.0)
        end = self._upper - band * moved
        share = np.clip((upper - y) / np.maximum(upper - top, 1), 0, 1)
        share = share ** (1 + 0.45 * shut * self._share)
        above = end - share * (end - top)
        low = np.clip((y - lower) / np.maximum(bottom - lower, 1), 0, 1)
        # What is left of the eyeball below the lid's line is not to be seen when it is shut.
        first = self._lower + shut * UNDER * self._width * eased(self._share, 0.0, 0.2)
        below = first + low * (bottom - first)
        parting = (upper + lower) / 2
        from_y = np.where(y < parting, above, below).astype(np.float32)
        lid = sampled(self._photo, x, from_y)
        # Stretched skin is smeared: its fine grain is taken from below the eye instead.
        smooth = sampled(self._soft, x - self._box[0] + SPARE, from_y - top + SPARE)
        cheek = np.broadcast_to(
            self._grain[np.arange(len(y)) % len(self._grain)][:, : x.shape[1]], lid.shape
        )
        thin = shut * self._share * eased(upper - y, -1.0, 1.0) * (1 - eased(share, 0.55, 0.95))
        lid = mixed(lid, smooth + cheek, np.clip(2.0 * thin, 0, 1))
        # A shut lid is round: it darkens a little towards the lashes.
        near = np.exp(-np.maximum(upper - y, 0) / (0.07 * self._width)) * (y < parting)
        dark = 0.13 * shut * near * eased(self._share, 0.05, 0.5)
        return np.asarray(lid * (1 - dark[..., None]), np.float32)

    def _lashes_at(self, upper: Floats, shut: float) -> Floats:
        """The photo's lashes at the lid's edge: they turn down while it comes down."""
        columns = np.broadcast_to(self._x - self._box[0], self._x.shape).astype(np.float32)
        layer = self._lash[..., None]
        offset = self._y - upper
        first = self._upper - self._box[1]
        standing = sampled(layer, columns, (first + offset).astype(np.float32))[..., 0]
        hanging = sampled(layer, columns, (first - 0.8 * offset).astype(np.float32))[..., 0]
        turned = ease(shut, 0.45, 1.0)
        dark = 1 + (standing - 1) * (1 - turned) + (hanging - 1) * turned
        line = 0.40 * shut * np.exp(-((offset / (0.022 * self._width)) ** 2))
        line = line * eased(self._share, 0.05, 0.3)
        return np.asarray(np.clip(dark, 0.08, 1) * (1 - line), np.float32)

    def _ball(self, gaze: tuple[float, float], *, raised: bool) -> Floats:
        """The eyeball looking to `gaze`; without the open lid's edge where that is `raised`."""
        x, y, radius = self._iris
        to_x, to_y = x + gaze[0] * LOOK[0] * self._width, y + gaze[1] * LOOK[1] * self._width
        edge = (0.3, 2.4) if raised else (-1.5, 0.0)
        inside = self._within(self._y, *edge)
        far = np.hypot(self._x - x, self._y - y)
        u = (self._x - self._middle) / (self._width / 2)
        # The corners' red is the photo's; the white where the iris was is ours.
        was = 1 - eased(far, 1.06 * radius, 1.30 * radius)
        corner = eased(np.abs(u), 0.70, 0.95)
        ball = mixed(self._white, self._plain, np.maximum(inside * (1 - was), corner))
        far = np.hypot(self._x - to_x, self._y - to_y)
        disc = 1 - eased(far, 0.90 * radius, 1.05 * radius)
        return mixed(ball, self._iris_at(to_x, to_y), disc)

    def _iris_at(self, to_x: float, to_y: float) -> Floats:
        x, y, radius = self._iris
        right, down = self._x - to_x, self._y - to_y
        total = np.zeros_like(self._plain)
        left = np.ones_like(self._x)
        for sign_x, sign_y in ((1, 1), (1, -1), (-1, -1)):
            from_x, from_y = x + sign_x * right, y + sign_y * down
            seen = left * self._seen(from_x, from_y)
            total += sampled(self._photo, from_x, from_y) * seen[..., None]
            left = left - seen
        ring = self._ring(np.hypot(right, down) / radius)
        return np.asarray(total + ring * left[..., None], np.float32)

    def _seen(self, x: Floats, y: Floats) -> Floats:
        """How surely no lid hides a place of the photo."""
        column = np.clip(x - self._box[0], 0, self._x.shape[1] - 1).astype(np.intp)
        upper, lower = self._upper[column], self._lower[column]
        return eased(np.minimum(y - upper - 0.03 * self._width, lower - y), 0.0, 2.0)

    def _ring(self, share: Floats) -> Floats:
        """The iris's middle colour at each distance from its middle."""
        x, y, radius = self._iris
        far = np.hypot(self._x - x, self._y - y) / radius
        seen = self._seen(self._x, self._y) > 0.5
        steps = np.linspace(0, 1.1, 12)
        colours: list[npt.NDArray[np.float32]] = []
        for low, high in pairwise(steps):
            band = self._plain[seen & (far >= low) & (far < high)]
            if len(band):
                colours.append(np.median(band, axis=0).astype(np.float32))
            else:
                colours.append(colours[-1] if colours else np.full(3, 30, np.float32))
        table = np.stack(colours)
        place = np.clip(share * 10 - 0.5, 0, len(table) - 1.001)
        row = place.astype(np.intp)
        part = (place - row)[..., None]
        return np.asarray(table[row] * (1 - part) + table[row + 1] * part, np.float32)
