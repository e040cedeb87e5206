"""Ada's waving hand: a bundle of rounded limbs, palm to the viewer, and the sleeve below it."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import skia  # type: ignore[import-not-found]  # it has no type information

from art.ada_body import CLOTH
from art.ada_look import BLAZER_DARK, BLAZER_LIGHT, KNIT, SKIN, SKIN_DEEP
from art.brush import Brush, Point, curve, dots, mix, shape, slope
from art.relief import Floats, grid, hill, inflated, lit, picture, smoothed

RISE: Final = 9
"""Frames in which the arm comes up; it goes down by the same."""
SWING: Final = 11
"""Frames from the leftmost place of the wave to the rightmost."""
SHOWN: Final = 50
"""Pictures of the whole gesture: two seconds at 25 per second."""
SWINGS: Final = 2.0

# The hand's own places: its wrist is 0, 0, the fingers point up.
HAND_BOX: Final = (-130, -280, 160, 80)
STEP: Final = 0.5
SIZE: Final = 1.16

END_Y: Final = 1140.0
ELBOW: Final = (-312.0, 1086.0)
FOREARM: Final = 292.0
SLEEVE_BOX: Final = (-120, -330, 120, 120)
"""From the elbow at 0, 0 upwards."""


@dataclass(frozen=True, slots=True)
class Limb:
    """A rounded stick; `flat` is how much lower than round it is."""

    start: Point
    end: Point
    thick_start: float
    thick_end: float
    flat: float = 1.0


PALM: Final = (
    Limb((0, 70), (0, -8), 28, 31, 0.75),
    Limb((15, -16), (35, -112), 20, 17, 0.62),
    Limb((5, -16), (11, -120), 20, 17, 0.62),
    Limb((-6, -16), (-14, -115), 20, 17, 0.62),
    Limb((-15, -16), (-37, -100), 20, 16, 0.62),
    Limb((18, -20), (42, -62), 24, 20, 0.85),
    Limb((-20, -18), (-36, -72), 21, 18, 0.78),
)
FINGERS: Final = (
    (Limb((36, -112), (49, -158), 14.2, 13.0), Limb((49, -158), (60, -203), 13.0, 10.4)),
    (Limb((11, -120), (14, -172), 14.6, 13.2), Limb((14, -172), (17, -222), 13.2, 10.4)),
    (Limb((-14, -115), (-21, -165), 14.0, 12.6), Limb((-21, -165), (-27, -212), 12.6, 10.0)),
    (Limb((-37, -100), (-54, -140), 12.4, 11.0), Limb((-54, -140), (-67, -177), 11.0, 8.8)),
    (Limb((42, -58), (72, -88), 19.0, 14.5), Limb((72, -88), (96, -126), 14.5, 10.8)),
)


def _limb(x: Floats, y: Floats, limb: Limb) -> tuple[Floats, Floats]:
    """The signed distance to a limb's edge, and its height."""
    (ax, ay), (bx, by) = limb.start, limb.end
    dx, dy = bx - ax, by - ay
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
    thick = limb.thick_start + (limb.thick_end - limb.thick_start) * along
    away = np.hypot(x - ax - dx * along, y - ay - dy * along)
    return away - thick, limb.flat * np.sqrt(np.clip(thick**2 - away**2, 0, None))


def _union(parts: list[Floats], softness: float) -> Floats:
    """The smooth minimum."""
    total = sum((np.exp(-np.clip(part, -60, 200) / softness) for part in parts), np.zeros(1))
    return np.asarray(-softness * np.log(total))


@lru_cache(maxsize=1)
def hand_picture() -> skia.Image:
    x, y = grid(HAND_BOX, STEP)
    palm = [_limb(x, y, limb) for limb in PALM]
    edges, heights = [_union([d for d, _ in palm], 3.0)], []
    heights.append(smoothed(-_union([-h for _, h in palm], 5.0), 5 / STEP))
    for finger in FINGERS:
        parts = [_limb(x, y, limb) for limb in finger]
        edges.append(_union([d for d, _ in parts], 1.5))
        heights.append(-_union([-h for _, h in parts], 2.0))
    edge = _union(edges, 2.2)
    z = -_union([-h for h in heights], 3.0)
    z = smoothed(z, 1.4 / STEP)
    z = z + hill(x, y, (2, -66), (24, 30), -7) + hill(x, y, (44, -52), (18, 22), 5)
    tips = np.zeros_like(x)
    for finger in FINGERS:
        tips += hill(x, y, finger[-1].end, (13, 16), 0.42)
    warm = tips + hill(x, y, (-34, -52), (18, 40), 0.26) + hill(x, y, (44, -56), (22, 26), 0.24)
    warm = warm + hill(x, y, (0, -112), (46, 13), 0.26)
    valley = np.clip(1.0 - np.abs(edge + 1.2) / 2.6, 0, 1) * 0.22
    colours = lit(
        1.05 * z, SKIN, step=STEP, shade=valley, blush=((np.clip(warm, 0, 1), "#F6A594"),)
    )
    return picture(colours, np.clip(0.5 - edge / STEP, 0, 1))


def draw_hand(brush: Brush) -> None:
    brush.relief(hand_picture(), HAND_BOX[0], HAND_BOX[1], STEP)
    # The lines of the palm.
    for line, width, strength in (
        ("60,-84 40,-92 20,-84 8,-56 8,-20", 2.2, 0.32),
        ("56,-90 30,-92 2,-82 -26,-62", 2.0, 0.27),
        ("-46,-92 -26,-98 0,-100 20,-112", 2.0, 0.27),
    ):
        brush.line(curve(dots(line)), SKIN_DEEP, width, strength, 0.9)
        brush.line(curve([(x, y + 2.2) for x, y in dots(line)]), "#FFE9DC", 1.6, 0.35, 1.0)
    for finger in FINGERS:
        _draw_joint(brush, finger[0].end, finger[0], finger[0].thick_end)
        if finger is not FINGERS[-1]:
            x, y = finger[1].end
            sx, sy = finger[1].start
            _draw_joint(brush, (sx + (x - sx) * 0.52, sy + (y - sy) * 0.52), finger[1], 11.5)
            _draw_joint(brush, finger[0].start, finger[0], finger[0].thick_start)


def _draw_joint(brush: Brush, place: Point, limb: Limb, thick: float) -> None:
    angle = math.atan2(limb.end[1] - limb.start[1], limb.end[0] - limb.start[0])
    across, along = (-math.sin(angle), math.cos(angle)), (math.cos(angle), math.sin(angle))
    reach = thick * 0.72
    line = [
        (
            place[0] + across[0] * reach * s - along[0] * 1.6 * (1 - s * s),
            place[1] + across[1] * reach * s - along[1] * 1.6 * (1 - s * s),
        )
        for s in (-1.0, -0.4, 0.4, 1.0)
    ]
    brush.line(curve(line), SKIN_DEEP, 1.6, 0.28, 0.8)


@lru_cache(maxsize=1)
def _sleeve() -> tuple[skia.Path, skia.Image]:
    path = shape(
        dots(
            "-45,-292 0,-297 45,-292 52,-230 60,-120 66,-20 58,50 0,82 -58,50 -66,-20 -60,-120"
            " -52,-230"
        )
    )
    x, y = grid(SLEEVE_BOX)
    z = inflated(path, SLEEVE_BOX, (4, 3), (12, 14), (26, 42))
    for turn, place, reach, tall in (
        (24, (-6, -70), (60, 8), 4),
        (-18, (10, -130), (54, 7), -3.5),
        (14, (-8, -200), (46, 7), 3),
        (-26, (4, -10), (60, 9), -4),
    ):
        z = z + hill(x, y, place, reach, tall, turn)
    return path, picture(lit(z, CLOTH))


def draw_sleeve(brush: Brush) -> None:
    path, image = _sleeve()
    cuff = shape(dots("-40,-306 0,-312 40,-306 43,-280 0,-276 -43,-280"))
    brush.fill(cuff, mix(KNIT, "#FFFFFF", 0.2))
    with brush.inside(cuff):
        for index in range(-7, 8):
            brush.line(curve([(index * 6, -316), (index * 6, -270)]), "#C2A792", 1.6, 0.5, 0.5)
        brush.line(curve(dots("46,-310 46,-280")), "#6B5040", 26, 0.4, 8)
        brush.line(curve(dots("-44,-294 0,-299 44,-294")), "#4A3028", 6, 0.4, 3)
    with brush.inside(path):
        brush.relief(image, SLEEVE_BOX[0], SLEEVE_BOX[1])
    brush.line(curve(dots("-45,-291 0,-296 45,-291")), BLAZER_LIGHT, 2.2, 0.6, 0.6)
    brush.line(curve(dots("-46,-284 0,-289 46,-284")), BLAZER_DARK, 1.4, 0.5, 0.6)


def _eased(share: float) -> float:
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)


def wave_frames() -> list[int]:
    """Which frame each of the SHOWN pictures shows: up, to and fro, and down again."""
    up = list(range(RISE))
    waving = SHOWN - 2 * RISE
    places = [math.sin(2 * math.pi * SWINGS * (i + 0.5) / waving) for i in range(waving)]
    across = [RISE + round((place + 1) / 2 * (SWING - 1)) for place in places]
    return [*up, *across, *reversed(up)]


def draw_wave(brush: Brush, frame: int) -> None:
    """The arm coming up in the first RISE frames, then at the places of its wave."""
    risen = _eased((frame + 1) / (RISE + 1)) if frame < RISE else 1.0
    swing = 0.0 if frame < RISE else 2 * (frame - RISE) / (SWING - 1) - 1
    canvas = brush.canvas
    canvas.save()
    canvas.translate(ELBOW[0] - 20 * (1 - risen), ELBOW[1] + 660 * (1 - risen))
    canvas.rotate(-6.0 + 10.0 * (1 - risen) + 5.0 * swing)
    canvas.save()
    canvas.translate(0, -FOREARM - 10)
    canvas.rotate(2.0 - 6.0 * (1 - risen) + 9.0 * swing)
    canvas.scale(SIZE, SIZE)
    draw_hand(brush)
    canvas.restore()
    draw_sleeve(brush)
    canvas.restore()
    _melt(brush)


def _melt(brush: Brush) -> None:
    """The sleeve's end fades into the jacket before the overlay's lower edge."""
    fade = slope((0, END_Y - 90), (0, END_Y - 4), (0, "#000000", 0), (1, "#000000", 1))
    paint = brush.paint(fade, 1.0, 0.0)
    paint.setBlendMode(skia.BlendMode.kDstOut)
    brush.canvas.drawRect(skia.Rect.MakeLTRB(-2000, END_Y - 90, 2000, END_Y + 2000), paint)
