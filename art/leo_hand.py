"""The hand that Leo waves: palm, five fingers, a sleeve, and how it swings."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import skia  # type: ignore[import-not-found]  # it has no type information

from art.brush import Brush, Point, curve, dots, shape, slope
from art.leo_look import PALM, WOOL
from art.relief import picture
from art.sculpt import Field, PixelGrid, blurred, lit, smooth

RISING: Final = 7
SWINGING: Final = 9
WAVE_FRAMES: Final = RISING + SWINGING
SWINGS: Final = 2.5
WAVE_SECONDS: Final = 2.4
WAVE_SHOWN: Final = round(WAVE_SECONDS * 25)
WAVE_BOX: Final = (110, 440, 530, 1290)
"""What of the picture the waving arm may cover."""

ELBOW: Final = (404.0, 1240.0)
WRIST: Final = (340.0, 838.0)
FINGERS: Final = (
    # Root, middle, tip, radii: index, middle, ring and little finger, then the thumb.
    ((280, 642), (268, 576), (260, 522), (19.5, 17.5, 14.5)),
    ((316, 630), (312, 552), (308, 494), (20.5, 18.0, 15.0)),
    ((352, 636), (358, 564), (362, 510), (19.5, 17.0, 14.0)),
    ((384, 658), (400, 604), (410, 564), (17.0, 14.5, 12.0)),
    ((290, 760), (236, 702), (204, 650), (27.0, 21.0, 15.0)),
)
HAND_SCALE: Final = 2.0
"""Pixels of the hand's relief per unit: it is turned, so finer than it is shown."""


@lru_cache(maxsize=1)
def hand_image() -> tuple[skia.Image, Point]:
    """The hand, upright, its palm to the viewer."""
    box = (150.0, 450.0, 450.0, 920.0)
    raster = PixelGrid.over(box, HAND_SCALE)
    heights, cover = _hand(raster)
    skin = _pixels(
        lit(raster, heights, PALM, shade=_hand_shade(raster, cover), blush=_palm(raster))
    )
    # The cuff's shadow on the wrist.
    dark = 1 - 0.5 * np.exp(-(((raster.y - 852) / 22) ** 2))[..., None]
    return picture(skin * dark, cover), (box[0], box[1])


@lru_cache(maxsize=1)
def sleeve_image() -> tuple[skia.Image, Point]:
    """The forearm in its sleeve, from the cuff to the elbow."""
    box = (250.0, 810.0, 540.0, 1400.0)
    raster = PixelGrid.over(box, HAND_SCALE)
    heights, cover = _sleeve(raster)
    shade = 0.15 + 0.22 * raster.bump(470, 1080, 70, 280) + 0.30 * smooth((raster.y - 900) / 420)
    return picture(_pixels(lit(raster, heights, WOOL, shade=shade)), cover), (box[0], box[1])


def _pixels(image: skia.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray(image.toarray(colorType=skia.kRGBA_8888_ColorType)[..., :3], np.float64)


def _capsule(
    raster: PixelGrid, points: Sequence[Point], radii: Sequence[float]
) -> tuple[Field, Field]:
    """Height and cover of a limb along `points` with a radius at each."""
    height = np.zeros(raster.x.shape, np.float64)
    outside = np.full(raster.x.shape, np.inf, np.float64)
    for (ax, ay), (bx, by), ra, rb in zip(points, points[1:], radii, radii[1:], strict=False):
        run = (bx - ax) ** 2 + (by - ay) ** 2
        share = np.clip(((raster.x - ax) * (bx - ax) + (raster.y - ay) * (by - ay)) / run, 0, 1)
        far = np.hypot(raster.x - ax - share * (bx - ax), raster.y - ay - share * (by - ay))
        radius = ra + (rb - ra) * share
        height = np.maximum(height, np.sqrt(np.clip(radius**2 - far**2, 0, None)))
        outside = np.minimum(outside, far - radius)
    cover = np.clip(0.5 - outside * raster.scale, 0, 1)
    return height, cover


def _palm_outline() -> skia.Path:
    return shape(
        dots(
            "262,646 282,626 316,614 352,620 382,636 404,664 410,708 402,756 388,800 380,850"
            " 384,910 298,910 300,850 286,812 262,782 248,744 250,706 256,676"
        )
    )


def _hand(raster: PixelGrid) -> tuple[Field, Field]:
    palm = _palm_outline()
    heights, cover = 26 * raster.pillow(palm, 13), raster.mask(palm)
    for index, (root, middle, tip, radii) in enumerate(FINGERS):
        limb, seen = _capsule(raster, (root, middle, tip), radii)
        heights = np.maximum(heights, limb * (0.92 if index < 4 else 0.85))
        cover = np.maximum(cover, seen)
    heights = blurred(heights, 3.0 * raster.scale)
    heights = heights + 10 * raster.bump(286, 752, 36, 46, -0.5)
    heights = heights + 7 * raster.bump(380, 744, 20, 52)
    for x, y in ((286, 652), (318, 642), (352, 646), (382, 666)):
        heights = heights + 4.0 * raster.bump(x, y, 16, 14)
    heights = heights - 7 * raster.bump(338, 718, 26, 34)
    for text, wide, deep in CREASES:
        heights = heights - deep * raster.ridge(bent(dots(text)), wide)
    return heights, cover


CREASES: Final = (
    ("258,690 280,692 300,708 314,736 320,772 316,796", 3.4, 1.3),
    ("256,680 288,688 322,702 350,724 366,744", 3.0, 1.1),
    ("404,694 380,686 350,676 328,662 318,648", 3.0, 1.1),
)
"""The lines of the palm, how wide and how deep."""


def bent(points: Sequence[Point]) -> list[Point]:
    """A smooth line through `points`, in short steps."""
    measure = skia.PathMeasure(curve(points), False)
    count = 24
    places = [measure.getPosTan(measure.getLength() * step / count)[0] for step in range(count + 1)]
    return [(place.x(), place.y()) for place in places]


def _palm(raster: PixelGrid) -> tuple[tuple[str, Field], ...]:
    creases = np.zeros(raster.x.shape, np.float64)
    for text, wide, _ in CREASES:
        creases = np.maximum(creases, raster.ridge(bent(dots(text)), wide * 0.6))
    for root, middle, tip, radii in FINGERS:
        for a, b, share, strength in ((root, middle, 0.55, 0.6), (middle, tip, 0.1, 0.75)):
            x, y = a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share
            dx, dy = tip[0] - root[0], tip[1] - root[1]
            size = math.hypot(dx, dy)
            half = radii[1] * 0.55
            line = [
                (x - dy / size * half, y + dx / size * half),
                (x + dx / size * 1.5, y + dy / size * 1.5),
                (x + dy / size * half, y - dx / size * half),
            ]
            creases = np.maximum(creases, strength * raster.ridge(bent(line), 1.6))
    warm = np.zeros(raster.x.shape, np.float64)
    for _, _, tip, radii in FINGERS:
        warm = np.maximum(warm, raster.bump(tip[0], tip[1], radii[2], radii[2] * 1.3))
    warm = np.maximum(warm, 0.8 * raster.bump(288, 752, 32, 38))
    warm = np.maximum(warm, 0.7 * raster.bump(336, 654, 60, 14))
    return (("#D9705A", 0.24 * warm), ("#7A3A28", 0.42 * creases))


def _hand_shade(raster: PixelGrid, cover: Field) -> Field:
    """The back's darker skin shows at the edges; the wrist lies in a little shade."""
    inward = blurred(cover, 4.0 * raster.scale)
    edge = np.clip(1 - (inward - 0.5) / 0.36, 0, 1)
    shade = 0.06 + 0.50 * edge + 0.26 * smooth((raster.y - 790) / 70)
    return np.clip(shade, 0, 0.8)


def _cuff() -> skia.Path:
    return shape(dots("294,846 340,838 386,846 392,866 390,914 341,922 292,914 290,866"))


def _sleeve(raster: PixelGrid) -> tuple[Field, Field]:
    outline = shape(
        dots(
            "294,896 341,902 390,896 406,960 432,1060 458,1180 474,1290 474,1420 320,1420 318,1290"
            " 306,1180 296,1060 290,960"
        )
    )
    heights = 66 * raster.pillow(outline, 26) + 16 * raster.pillow(outline, 8)
    cuff = _cuff()
    heights = np.maximum(heights, 30 * raster.pillow(cuff, 10) + 34 * raster.pillow(cuff, 22))
    for text, high in (
        ("424,1060 384,1092 340,1096", 6),
        ("304,1120 352,1154 400,1158", 6),
        ("452,1196 400,1226 360,1230", 6),
    ):
        heights = heights - high * raster.ridge(dots(text), 16)
    heights = heights - 6 * raster.ridge(bent(dots("290,917 341,925 392,917")), 4)
    heights = blurred(heights, 2.2 * raster.scale)
    run = (raster.y - 840) / 400
    ribs = np.cos(2 * math.pi * (raster.x - 341 - 44 * run) / (8 + 3 * run))
    cover = np.maximum(raster.mask(outline), raster.mask(cuff))
    return (heights + 0.5 * ribs), cover


def wave_pose(index: int) -> tuple[float, float, float]:
    """A frame's way down, and how far forearm and hand are turned (degrees, clockwise).

    The first frames raise the arm, the others swing it from one side to the other.
    """
    if index < RISING:
        share = (index + 1) / (RISING + 1)
        rise = share * share * (3 - 2 * share)
        return 620 * (1 - rise), 10 - 5.5 * rise, 4.0 * rise
    swing = 1 - 2 * (index - RISING) / (SWINGING - 1)
    return 0.0, 4.5 * swing, 9.0 * swing


def wave_order() -> list[int]:
    """The frames as they are shown, 25 a second: up, to and fro, down."""
    swings = WAVE_SHOWN - 2 * RISING
    middle = (SWINGING - 1) / 2
    to_and_fro = [
        RISING + round(middle - middle * math.cos(2 * math.pi * SWINGS * step / (swings - 1)))
        for step in range(swings)
    ]
    return [*range(RISING), *to_and_fro, *reversed(range(RISING))]


def draw_wave(brush: Brush, index: int) -> None:
    down, forearm, hand = wave_pose(index)
    left, top, right, bottom = WAVE_BOX
    with brush.layer():
        brush.canvas.translate(0, down)
        with brush.turned(forearm, *ELBOW):
            with brush.turned(hand, *WRIST):
                image, corner = hand_image()
                brush.relief(image, *corner, 1 / HAND_SCALE)
            image, corner = sleeve_image()
            brush.relief(image, *corner, 1 / HAND_SCALE)
        brush.canvas.translate(0, -down)
        # It ends softly on the sleeve of the arm that hangs down behind it.
        paint = skia.Paint(BlendMode=skia.BlendMode.kDstIn)
        paint.setShader(
            slope((0, bottom - 90), (0, bottom - 6), (0, "#FFFFFF", 1), (1, "#FFFFFF", 0))
        )
        brush.canvas.drawRect(
            skia.Rect.MakeLTRB(left - 99, top - 99, right + 99, bottom + 99), paint
        )
