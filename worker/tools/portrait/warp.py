"""Moving the pixels of a picture smoothly: eased steps, curves, sampling, inverting a movement."""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

Values = npt.NDArray[np.floating]
"""Floats of any width: what numpy makes of sums with numbers."""

Movement = Callable[[Floats, Floats], tuple[Floats, Floats]]
"""How far what is at (x, y) of the photo goes to the right and down."""

STEP: Final = 3
ROUNDS: Final = 14
"""Of looking for what comes to a place; movements change by less than 0.7 per pixel, so what is
left of the error is below a hundredth of a pixel."""


def floats(values: npt.ArrayLike) -> Floats:
    """The same as 32-bit floats."""
    return np.asarray(values, np.float32)


def eased(values: Values, low: float | Values = 0.0, high: float | Values = 1.0) -> Floats:
    """0 up to `low`, 1 from `high` on, smooth between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def curve(places: npt.NDArray[np.float64], x: Values) -> Floats:
    """The height of a line of points at each x: a smooth curve through them, level beyond.

    Piecewise cubic without overshoot (Fritsch and Carlson, SIAM J. Numer. Anal. 17, 1980).
    """
    px, py = places[:, 0], places[:, 1]
    order = np.argsort(px, kind="stable")
    px, py = px[order], py[order]
    keep = np.concatenate([[True], np.diff(px) > 1e-3])
    px, py = px[keep], py[keep]
    if len(px) == 1:
        return np.full(x.shape, py[0], np.float32)
    width, slope = np.diff(px), np.diff(py) / np.diff(px)
    tangent = np.concatenate([slope[:1], (slope[:-1] + slope[1:]) / 2, slope[-1:]])
    flat = np.concatenate([[False], slope[:-1] * slope[1:] <= 0, [False]])
    tangent[flat] = 0
    limit = np.minimum(
        np.abs(np.concatenate([slope[:1], slope])), np.abs(np.concatenate([slope, slope[-1:]]))
    )
    tangent = np.clip(tangent, -3 * limit, 3 * limit)
    at = np.clip(x.astype(np.float64), px[0], px[-1])
    piece = np.clip(np.searchsorted(px, at, side="right") - 1, 0, len(width) - 1)
    t, step = (at - px[piece]) / width[piece], width[piece]
    height = (
        py[piece] * (1 + 2 * t) * (1 - t) ** 2
        + tangent[piece] * step * t * (1 - t) ** 2
        + py[piece + 1] * t * t * (3 - 2 * t)
        - tangent[piece + 1] * step * t * t * (1 - t)
    )
    return np.asarray(height, np.float32)


def sources(move: Movement, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """What of the photo comes to (x, y) when everything moves: the fixed point of p - move(p).

    `x` and `y` are a grid of pixels. Movements are smooth: they are worked out at some of its
    places, and between those they are straight.
    """
    rows, columns = (_places(length) for length in x.shape)
    few_x, few_y = x[np.ix_(rows, columns)], y[np.ix_(rows, columns)]
    from_x, from_y = few_x, few_y
    for _ in range(ROUNDS):
        right, down = move(from_x, from_y)
        from_x, from_y = few_x - right, few_y - down
    return (
        x + _between(from_x - few_x, rows, columns, x.shape),
        y + _between(from_y - few_y, rows, columns, x.shape),
    )


def _places(length: int) -> npt.NDArray[np.intp]:
    return np.unique(np.append(np.arange(0, length, STEP), length - 1))


def _between(
    few: Floats,
    rows: npt.NDArray[np.intp],
    columns: npt.NDArray[np.intp],
    shape: tuple[int, ...],
) -> Floats:
    """Values that are known at some rows and columns, at all of them."""
    for axis, (known, length) in enumerate(zip((rows, columns), shape, strict=True)):
        place = np.arange(length)
        after = np.clip(np.searchsorted(known, place, side="right"), 1, len(known) - 1)
        share = floats((place - known[after - 1]) / (known[after] - known[after - 1]))
        share = share[:, None] if axis == 0 else share[None]
        low, high = few.take(after - 1, axis), few.take(after, axis)
        few = floats(low + (high - low) * share)
    return few


def sampled(picture: Floats, x: Values, y: Values) -> Floats:
    """Colours between pixels, whose middles are at .5, by Catmull-Rom; edges go on for ever."""
    rows, columns = picture.shape[:2]
    x, y = x - 0.5, y - 0.5
    column, row = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    across, down = _weights(floats(x - column)), _weights(floats(y - row))
    total = np.zeros((*x.shape, picture.shape[2]), np.float32)
    columns_near = [np.clip(column + step, 0, columns - 1) for step in (-1, 0, 1, 2)]
    for step, weight in zip((-1, 0, 1, 2), down, strict=True):
        line = np.clip(row + step, 0, rows - 1)
        near = np.zeros_like(total)
        for place, share in zip(columns_near, across, strict=True):
            near += picture[line, place] * share[..., None]
        total += near * weight[..., None]
    return total


def _weights(t: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    t = t.astype(np.float32)
    one = ((2 - t) * t - 1) * t / 2
    two = ((3 * t - 5) * t * t + 2) / 2
    three = ((4 - 3 * t) * t + 1) * t / 2
    four = (t - 1) * t * t / 2
    return floats(one), floats(two), floats(three), floats(four)


def blurred(picture: Floats, sigma: float) -> Floats:
    """Gaussian blur over the first two axes; edges go on for ever."""
    reach = max(1, round(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (0, 1):
        wide = [(0, 0)] * picture.ndim
        wide[axis] = (reach, reach)
        padded = np.pad(picture, wide, mode="edge")
        length = picture.shape[axis]
        total = np.zeros_like(picture)
        for place, weight in enumerate(weights):
            index = [slice(None)] * picture.ndim
            index[axis] = slice(place, place + length)
            total += padded[tuple(index)] * weight
        picture = total
    return picture


def mixed(ground: Values, over: Values, share: Values) -> Floats:
    """`over` on `ground` where `share` is 1."""
    return np.asarray(ground + (over - ground) * share[..., None], np.float32)


def ease(value: float, low: float, high: float) -> float:
    """`eased` of one number."""
    return float(eased(floats(value), low, high))
