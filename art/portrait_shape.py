"""The form of the head that `portrait_face` paints: ellipsoids, traced to a relief from the front.

Lengths are units of half a head's width, about 75 mm. x grows to the right of the picture, y
upwards, z towards the camera; 0 is between the eyes, well inside the head.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]

# The relief: what of the scene it covers and how fine.
LEFT, RIGHT, LOW, HIGH = -2.3, 2.3, -2.5, 1.35
STEP: Final = 0.004
NEAR, FAR = 1.3, -1.2
NOTHING: Final = -9.0

EYE_X, EYE_Y, EYE_Z, EYE_R = 0.318, 0.040, 0.400, 0.150
LID: Final = 0.016
"""Thickness of a lid."""
EYE_IN, EYE_OUT = -0.158, 0.158
"""The corners of the eye, from its middle towards the nose and the temple."""
IRIS_R: Final = 0.066
MOUTH_Y: Final = -0.545
MOUTH_X: Final = 0.252


@dataclass(frozen=True, slots=True)
class Blob:
    """An ellipsoid; `blend` is how far it flows into what is there already."""

    middle: tuple[float, float, float]
    radii: tuple[float, float, float]
    blend: float
    tilt: float = 0.0
    """Turned around z, radians."""

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        px, py, pz = x - self.middle[0], y - self.middle[1], z - self.middle[2]
        if self.tilt:
            cos, sin = math.cos(self.tilt), math.sin(self.tilt)
            px, py = px * cos + py * sin, py * cos - px * sin
        rx, ry, rz = self.radii
        near = np.sqrt((px / rx) ** 2 + (py / ry) ** 2 + (pz / rz) ** 2)
        steep = np.sqrt((px / rx**2) ** 2 + (py / ry**2) ** 2 + (pz / rz**2) ** 2)
        return np.asarray(near * (near - 1) / np.maximum(steep, 1e-6), np.float32)


def both(blob: Blob) -> tuple[Blob, Blob]:
    """A blob and its mirror image."""
    x, y, z = blob.middle
    return blob, Blob((-x, y, z), blob.radii, blob.blend, -blob.tilt)


SOLID: Final = (
    Blob((0, 0.40, -0.30), (0.83, 0.93, 1.0), 0.0),
    Blob((0, -0.16, 0.02), (0.68, 0.88, 0.64), 0.18),
    *both(Blob((0.29, -0.56, 0.02), (0.25, 0.36, 0.42), 0.20)),
    Blob((0, -0.66, 0.20), (0.36, 0.38, 0.40), 0.18),
    Blob((0, -0.955, 0.40), (0.15, 0.115, 0.14), 0.16),
    *both(Blob((0.40, -0.17, 0.36), (0.22, 0.17, 0.19), 0.20)),
    *both(Blob((0.30, 0.245, 0.50), (0.30, 0.075, 0.12), 0.12, -0.10)),
    Blob((0, 0.50, 0.36), (0.52, 0.40, 0.36), 0.20),
    # Neck and shoulders.
    Blob((0, -1.5, -0.30), (0.43, 1.1, 0.42), 0.10),
    Blob((0, -2.45, -0.42), (1.75, 0.72, 0.55), 0.34),
    Blob((0, -3.2, -0.30), (1.5, 1.25, 0.62), 0.30),
)
SOCKETS: Final = both(Blob((0.315, 0.035, 0.67), (0.205, 0.115, 0.14), 0.12))
FEATURES: Final = (
    Blob((0, 0.10, 0.60), (0.075, 0.27, 0.105), 0.10),
    Blob((0, -0.13, 0.68), (0.075, 0.20, 0.12), 0.09),
    Blob((0, -0.245, 0.775), (0.092, 0.082, 0.088), 0.07),
    *both(Blob((0.112, -0.275, 0.665), (0.062, 0.066, 0.088), 0.055)),
    Blob((0, -0.325, 0.70), (0.045, 0.05, 0.10), 0.04),
    # The roundness behind the lips, and the lips.
    Blob((0, -0.54, 0.44), (0.33, 0.20, 0.205), 0.13),
    *both(Blob((0.065, -0.492, 0.607), (0.100, 0.036, 0.050), 0.035, -0.14)),
    *both(Blob((0.145, -0.515, 0.555), (0.100, 0.030, 0.055), 0.04, -0.16)),
    *both(Blob((0.055, -0.600, 0.607), (0.115, 0.046, 0.052), 0.035)),
    *both(Blob((0.135, -0.578, 0.56), (0.100, 0.036, 0.050), 0.04, 0.24)),
)
HOLES: Final = (
    *both(Blob((0.055, -0.325, 0.735), (0.034, 0.022, 0.07), 0.02, -0.35)),
    # The groove above the upper lip, and the dent under the lower one.
    Blob((0, -0.40, 0.675), (0.026, 0.065, 0.03), 0.05),
    Blob((0, -0.725, 0.625), (0.15, 0.045, 0.06), 0.09),
)


def union(a: Floats, b: npt.NDArray[np.floating], blend: float) -> Floats:
    """The nearer of two distances, rounded where they meet (polynomial smooth minimum)."""
    if blend == 0:
        return np.asarray(np.minimum(a, b), np.float32)
    share = np.clip(0.5 + 0.5 * (b - a) / blend, 0, 1)
    return np.asarray(b + (a - b) * share - blend * share * (1 - share), np.float32)


def head(x: Floats, y: Floats, z: Floats) -> Floats:
    """How far a place is from the head."""
    raster = np.full_like(x, 9)
    for blob in SOLID:
        raster = union(raster, blob.distance(x, y, z), blob.blend)
    for blob in SOCKETS:
        raster = -union(-raster, blob.distance(x, y, z), blob.blend)
    for blob in FEATURES:
        raster = union(raster, blob.distance(x, y, z), blob.blend)
    for blob in HOLES:
        raster = -union(-raster, blob.distance(x, y, z), blob.blend)
    return raster


def trace(x: Floats, y: Floats) -> Floats:
    """The height of what is first met when looking along -z."""
    z = np.full(x.shape, NEAR, np.float32)
    going = np.ones(x.shape, bool)
    for _ in range(90):
        far = head(x[going], y[going], z[going])
        z[going] -= far * 0.8
        still = going.copy()
        still[going] = (far > 2e-4) & (z[going] > FAR)
        going = still
        if not going.any():
            break
    return np.where(z > FAR, z, NOTHING).astype(np.float32)


def smooth(values: npt.NDArray[np.floating], low: float, high: float) -> Floats:
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def noise(shape: tuple[int, int], cell: float, dice: np.random.Generator) -> Floats:
    """Soft random values of about -1..1 that change over `cell` pixels."""
    rows, columns = (max(2, math.ceil(side / cell) + 1) for side in shape)
    coarse = Image.fromarray(dice.uniform(-1, 1, (rows, columns)).astype(np.float32))
    whole = (math.ceil(columns * cell), math.ceil(rows * cell))
    fine = np.asarray(coarse.resize(whole, Image.Resampling.BICUBIC), np.float32)
    return fine[: shape[0], : shape[1]]


def grid() -> tuple[Floats, Floats]:
    columns, rows = round((RIGHT - LEFT) / STEP), round((HIGH - LOW) / STEP)
    x = LEFT + (np.arange(columns, dtype=np.float32) + 0.5) * STEP
    y = HIGH - (np.arange(rows, dtype=np.float32) + 0.5) * STEP
    across, down = np.meshgrid(x, y)
    return across.astype(np.float32), down.astype(np.float32)


def opening(along: Floats) -> tuple[Floats, Floats]:
    """The edges of the upper and the lower lid above the eye's middle, by the place along it."""
    share = np.clip((along - EYE_IN) / (EYE_OUT - EYE_IN), 0, 1)
    tilt = -0.014 + 0.026 * share
    upper = tilt + 0.066 * (4 * share * (1 - share)) ** 0.60 * (1.06 - 0.12 * share)
    lower = tilt - 0.043 * (4 * share * (1 - share)) ** 0.80 * (0.82 + 0.30 * share)
    return upper.astype(np.float32), lower.astype(np.float32)


def mouth_line(x: Floats) -> Floats:
    """Where the lips meet: a shallow bow with a bulge in the middle."""
    u = x / MOUTH_X
    return np.asarray(MOUTH_Y + 0.010 * np.cos(u * 4.2) - 0.004 + 0.012 * u**4, np.float32)


def lips(x: Floats, y: Floats) -> Floats:
    """How much of a place is lip, 0..1."""
    u = np.abs(x) / MOUTH_X
    shape = np.clip(1 - u**2, 0, 1)
    bow = 0.072 * shape**0.85 - 0.018 * np.exp(-((x / 0.035) ** 2)) + 0.006 * shape
    top = MOUTH_Y + bow
    low = MOUTH_Y - 0.098 * shape**0.62 + 0.004
    inside = smooth(top - y, -0.006, 0.008) * smooth(y - low, -0.008, 0.012)
    return np.asarray(inside * (u < 1), np.float32)
