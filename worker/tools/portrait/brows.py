"""The brows of a portrait in every state: each moves as a whole, the skin around it gives way."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from worker.tools.portrait.eyes import split
from worker.tools.portrait.figure import Figure
from worker.tools.portrait.landmarks import Eye
from worker.tools.portrait.warp import Floats, blurred, curve, eased, mixed, sampled

# Movements, in parts of the face's height.
RAISED: Final = 0.042
SLANT_INNER: Final = 0.034
SLANT_OUTER: Final = 0.010
SKEW: Final = 0.046
SKEW_OTHER: Final = 0.008
CLOSER: Final = 0.55
"""Of the skin between brow and lid, the most that a lowered brow takes."""


@dataclass(frozen=True, slots=True)
class Brows:
    """One state; see docs/characters.md."""

    raised: float = 0.0
    slant: float = 0.0
    skew: float = 0.0


class BrowPainter:
    """Draws the brows of one figure."""

    def __init__(self, figure: Figure) -> None:
        face = figure.face
        both = (face.left_eye, face.right_eye)
        columns, _ = figure.size
        self._height = face.height
        low = float(min(eye.brow_top[:, 1].min() for eye in both))
        wide = max(float(np.ptp(eye.brow_top[:, 0])) for eye in both)
        left = min(float(eye.brow_top[0, 0]) for eye in both) - 0.24 * wide
        right = max(float(eye.brow_top[-1, 0]) for eye in both) + 0.24 * wide
        self.box = (
            max(2, int(left)),
            max(2, int(low - 0.24 * self._height)),
            min(columns - 2, int(right)),
            split(figure),
        )
        left_, top, right_, bottom = self.box
        self._photo = figure.pixels[..., :3]
        self._x, self._y = np.meshgrid(
            np.arange(left_, right_, dtype=np.float32) + 0.5,
            np.arange(top, bottom, dtype=np.float32) + 0.5,
        )
        self._both = both
        xs = self._x[0]
        top_edge, bottom_edge = self._edges(xs)
        self._bottom_edge = np.minimum(bottom_edge, bottom - 0.02 * self._height)
        self._top_edge = np.minimum(top_edge, self._bottom_edge - 2)
        plain = self._photo[top:bottom, left_:right_]
        fine = 0.018 * self._height
        self._soft = blurred(plain, fine)
        forehead = max(4, int(self._top_edge.min()) - top)
        grain = (plain - self._soft)[:forehead]
        self._grain = np.concatenate([grain, grain[::-1]])

    def _edges(self, x: Floats) -> tuple[Floats, Floats]:
        """The upper and the lower edge of the brow at each column, joined over the nose."""
        tops = np.concatenate([eye.brow_top for eye in self._both])
        lows = np.concatenate([eye.brow_bottom for eye in self._both])
        margin = 0.014 * self._height
        return curve(tops, x) - margin, curve(lows, x) + margin

    def _lift(self, state: Brows) -> Floats:
        """How far up each column goes, pixels."""
        x = self._x[0]
        total = np.zeros_like(x)
        for side, eye in enumerate(self._both):
            inner, near = self._along(eye, side, x)
            lean = state.slant * (SLANT_INNER * (1 - inner) - SLANT_OUTER * inner)
            skew = state.skew * (SKEW * (0.7 + 0.3 * inner) if side else -SKEW_OTHER)
            total += (RAISED * state.raised + lean + skew) * near
        return np.asarray(total * self._height, np.float32)

    def _along(self, eye: Eye, side: int, x: Floats) -> tuple[Floats, Floats]:
        """From the brow's inner end (0) to its outer one (1), and how near a column is to it."""
        low, high = float(eye.brow_top[0, 0]), float(eye.brow_top[-1, 0])
        share = (x - low) / (high - low)
        inner = share if side else 1 - share
        other = self._both[1 - side].brow_top
        between = abs(float(other[0 if side == 0 else -1, 0]) - (high if side == 0 else low))
        reach = between / (high - low)
        near = eased(inner, -reach, 0.0) * (1 - eased(inner, 1.0, 1.24))
        return np.clip(inner, 0, 1).astype(np.float32), near

    def _regrained(self, from_y: Floats, lower: Floats) -> Floats:
        """The skin from there; where it is stretched, with the forehead's grain, not a smear."""
        left, top, _, bottom = self.box
        picture = sampled(self._photo, self._x, from_y)
        soft = sampled(self._soft, self._x - left, from_y - top)
        stretch = (bottom - lower) / np.maximum(bottom - self._bottom_edge, 1)
        thin = eased(stretch, 1.1, 1.8) * eased(self._y - lower, 0.0, 0.02 * self._height)
        grain = self._grain[np.arange(len(soft)) % len(self._grain)]
        return mixed(picture, soft + grain, thin)

    def draw(self, state: Brows) -> Floats:
        """The brows' box in that state: shape (height, width, 4), alpha 0 at its border."""
        _, top, _, bottom = self.box
        lift = self._lift(state)
        room = self._bottom_edge - bottom
        lift = np.maximum(lift, CLOSER * room)
        lift = np.minimum(lift, 0.6 * (self._top_edge - top))
        y = self._y
        upper, lower = self._top_edge - lift, self._bottom_edge - lift
        above = top + (y - top) * (self._top_edge - top) / np.maximum(upper - top, 1)
        below = bottom - (bottom - y) * (bottom - self._bottom_edge) / np.maximum(bottom - lower, 1)
        from_y = np.where(y < upper, above, np.where(y > lower, below, y + lift))
        picture = self._regrained(from_y.astype(np.float32), lower)
        rows, columns = y.shape
        ax, ay = np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32)
        across = eased(np.minimum(ax, columns - 1 - ax) / max(3.0, 0.03 * columns))
        down = eased(ay / max(3.0, 0.08 * rows)) * eased((rows - 1 - ay) / max(2.0, 0.02 * rows))
        alpha = 255 * np.outer(down, across)
        return np.concatenate([picture, alpha[..., None].astype(np.float32)], axis=2)
