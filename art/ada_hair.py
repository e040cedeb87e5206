"""Ada's hair: a long bob of broad locks, swept from a parting, tucked behind one ear."""

import math
import random
from itertools import pairwise
from typing import Final

import skia  # type: ignore[import-not-found]  # it has no type information

from art.ada_look import HAIR, REST, SKIN_DEEP, SKIN_SHADE
from art.ada_skin import outline
from art.brush import (
    Brush,
    Point,
    between,
    curve,
    dots,
    lock,
    mix,
    oval,
    shape,
    slope,
    taper,
)


def _shorter(text: str) -> list[Point]:
    """Points whose lower ends stay clear of the collar: the head moves freely above it."""
    return [(x, y if y < 560 else 560 + (y - 560) * 0.88) for x, y in dots(text)]


def _guides(*texts: str) -> tuple[list[Point], ...]:
    return tuple(_shorter(text) for text in texts)


# Guides from the face's edge to the silhouette, each from the parting to the tips.
LEFT: Final = _guides(
    "50,204 12,258 -58,318 -122,372 -156,436 -165,504 -160,570 -143,624 -118,662",
    "52,184 0,224 -92,284 -158,364 -190,450 -197,530 -188,606 -164,662 -124,688",
    "52,164 -18,188 -118,250 -188,344 -216,450 -222,548 -212,630 -184,688 -134,706",
    "52,144 -34,152 -144,210 -214,318 -238,444 -242,560 -233,648 -204,702 -150,716",
    "50,124 -40,116 -158,168 -232,286 -257,436 -260,562 -250,654 -222,708 -166,722",
)
RIGHT: Final = _guides(
    "50,204 88,230 128,276 154,336 168,396 188,428 204,474 205,544 194,606 148,668",
    "52,180 108,198 158,256 184,332 199,404 216,472 221,548 214,614 196,664 148,690",
    "54,154 126,166 182,232 212,322 229,410 240,496 242,578 232,642 208,688 152,708",
    "56,124 132,132 208,206 243,314 257,422 263,524 260,604 248,664 222,704 160,720",
)


def draw_hair_behind(brush: Brush) -> None:
    back = shape(
        _shorter(
            "40,118 140,134 208,206 243,314 257,422 260,540 248,650 216,704 168,706 100,690"
            " 0,650 -104,690 -160,716 -216,708 -248,650 -258,540 -256,430 -232,284 -156,168"
            " -50,118"
        )
    )
    brush.fill(
        back,
        slope((-230, 150), (230, 700), (0, HAIR.mid, 1), (0.5, mix(HAIR.mid, HAIR.dark, 0.6), 1),
              (1, HAIR.dark, 1)),
    )  # fmt: skip
    with brush.inside(back):
        brush.fill(oval(0, 600, 160, 150), "#160A10", 0.9, 36)
        for first, second, seed in (
            (
                _shorter("96,480 112,620 120,660 112,694"),
                _shorter("150,480 166,620 168,670 140,704"),
                41,
            ),
            (
                _shorter("140,480 156,620 160,670 136,702"),
                _shorter("206,480 214,620 206,672 168,706"),
                42,
            ),
            (
                _shorter("-150,560 -140,610 -124,650 -98,682"),
                _shorter("-96,560 -92,610 -84,644 -76,668"),
                43,
            ),
        ):
            lock(brush, first, second, HAIR, seed=seed, shine=0.5, light=0.25)


def _woven(points: list[Point], phase: float, reach: float) -> list[Point]:
    """A guide that wanders sideways, more towards its tip: locks that cross look grown."""
    last = len(points) - 1
    return [
        (x + reach * (i / last) * math.sin(2 * math.pi * (1.1 * i / last + phase)), y)
        for i, (x, y) in enumerate(points)
    ]


def _locks(
    brush: Brush, guides: tuple[list[Point], ...], seed: int, shine: float, light: float
) -> None:
    """Between two guides lie locks of unequal width that overlap, the outer ones below."""
    dice = random.Random(seed)
    with brush.inside(shape([*guides[0], *reversed(guides[-1])])):
        for band, (inner, outer) in reversed(list(enumerate(pairwise(guides)))):
            split = dice.uniform(0.34, 0.66)
            thin = dice.uniform(0.1, 0.7)
            spans = (
                (split - 0.06, 1.08, 1.0, 0.24),
                (-0.08, split + 0.08, 1.0, 0.42),
                (thin, thin + dice.uniform(0.14, 0.24), 1.15, 0.36),
            )
            for number, (low, high, strength, round_) in enumerate(spans):
                phase, reach = dice.random(), dice.uniform(2.0, 5.5)
                lock(
                    brush,
                    _woven(between(inner, outer, low), phase, reach),
                    _woven(between(inner, outer, high), phase + 0.1, reach),
                    HAIR,
                    seed=seed + 3 * band + number,
                    shine=shine + 0.02 * band + dice.uniform(-0.03, 0.03),
                    light=light * strength,
                    round_=round_,
                )


def _halo(
    brush: Brush,
    guides: tuple[list[Point], ...],
    places: tuple[float, ...],
    strength: float,
    wide: float = 62,
) -> None:
    """The band of light that lies across the whole mass, and the depth below it."""
    band = [
        between([g[int(p)]], [g[int(p) + 1]], p % 1)[0] for g, p in zip(guides, places, strict=True)
    ]
    with (
        brush.inside(shape([*guides[0], *reversed(guides[-1])])),
        brush.layer(blend=skia.BlendMode.kSoftLight),
    ):
        brush.line(curve(band), "#FFE2BE", wide, strength, 0.42 * wide)
        brush.line(curve(band), "#FFF0D8", 0.35 * wide, strength, 0.16 * wide)


def draw_hair_right(brush: Brush) -> None:
    """The short side of the parting, tucked behind the ear."""
    mass = shape([*RIGHT[0], *reversed(RIGHT[-1])])
    with brush.inside(shape(outline(REST))):
        brush.fill(mass, SKIN_DEEP, 0.55, 10)
        brush.line(curve(RIGHT[0][:5]), HAIR.mid, 7, 0.5, 3)
    brush.fill(mass, HAIR.mid)
    _locks(brush, RIGHT, 20, 0.30, 0.62)
    _halo(brush, RIGHT, (2.2, 2.4, 2.5, 2.5), 0.45)
    _halo(brush, RIGHT, (6.2, 6.3, 6.3, 6.2), 0.30, 44)
    with brush.inside(mass):
        brush.line(curve(RIGHT[0]), HAIR.dark, 8, 0.6, 5)
    # The cool light of the room on the far side.
    rim = [(x - 3, y) for x, y in RIGHT[-1][1:8]]
    brush.fill(taper(rim, [0.5, 2.5, 5, 6, 6, 4.5, 0.5]), "#B4D5E2", 0.55, 2.2)


def draw_hair_left(brush: Brush) -> None:
    """The long sweep across the forehead."""
    mass = shape([*LEFT[0], *reversed(LEFT[-1])])
    with brush.inside(shape(outline(REST))):
        brush.fill(
            shape([(x + 5, y + 9) for x, y in [*LEFT[0], *reversed(LEFT[-1])]]), SKIN_DEEP, 0.55, 9
        )
    brush.fill(mass, HAIR.mid)
    _locks(brush, LEFT, 60, 0.36, 1.0)
    _halo(brush, LEFT, (2.2, 2.5, 2.7, 2.8, 2.8), 0.8)
    _halo(brush, LEFT, (5.9, 6.1, 6.3, 6.3, 6.2), 0.55, 56)
    with brush.inside(mass):
        brush.line(curve(LEFT[0]), HAIR.dark, 7, 0.55, 4)
        brush.line(curve(LEFT[-1][1:6]), "#F6CFA2", 6, 0.42, 4.5)
    # The parting.
    brush.line(curve(dots("51,200 54,164 50,122")), HAIR.dark, 4, 0.5, 2)
    brush.line(curve(dots("51,200 54,168 52,136")), SKIN_SHADE, 1.6, 0.5, 0.8)
