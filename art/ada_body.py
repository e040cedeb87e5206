"""What Ada wears: a knitted top and an open blazer."""

import math
from functools import lru_cache
from typing import Final

import numpy as np
import skia  # type: ignore[import-not-found]  # it has no type information

from art.ada_look import BLAZER_DARK, BLAZER_LIGHT, KNIT
from art.brush import Brush, Point, curve, dots, glow, mix, oval, shape
from art.relief import Skin, grid, hill, inflated, lit, picture

BODY_BOX: Final = (-520, 720, 520, 1500)

CLOTH: Final = Skin(
    ramp=(
        (0.0, "#06171E"),
        (0.3, "#0E2F39"),
        (0.6, "#17454F"),
        (0.8, "#225963"),
        (0.95, "#327079"),
        (1.12, "#5C9C9E"),
    ),
    sheen="#CDEBE6",
    sheen_strength=0.06,
    rim="#BFE0EA",
    rim_strength=0.85,
)
WOOL: Final = Skin(
    ramp=(
        (0.0, "#7D6152"),
        (0.3, "#B79A86"),
        (0.55, "#DCC7B4"),
        (0.78, "#F1E4D6"),
        (1.05, "#FFFAF2"),
    ),
    sheen="#FFFFFF",
    sheen_strength=0.0,
    rim="#BFE0EA",
    rim_strength=0.2,
)

JACKET: Final = (
    "104,748 150,776 226,802 320,834 392,884 432,985 456,1180 478,1380 490,1560 10,1560"
    " 14,1330 70,1130 112,980 122,860 110,800"
)
SLEEVE: Final = (
    "326,810 420,870 446,990 458,1180 480,1380 492,1560 352,1560 344,1330 330,1120 322,960"
)
LAPEL: Final = (
    "104,746 130,760 180,812 226,880 242,910 212,926 190,934 236,960 246,974 206,1090"
    " 122,1240 16,1375 10,1345 62,1150 104,980 110,870 100,790"
)


def _at(side: int, text: str) -> list[Point]:
    return [(side * x, y) for x, y in dots(text)]


@lru_cache(maxsize=8)
def _cloth(side: int, outline: str, edge: float, body: float) -> skia.Image:
    x, y = grid(BODY_BOX)
    path = shape(_at(side, outline))
    z = inflated(path, BODY_BOX, (4, 3.0), (14, edge), (46, body))
    # Folds: from the armpit to the buttons, and down the arm.
    for turn, place, reach, tall in (
        (-58, (250, 1080), (150, 9), 5),
        (-66, (292, 1160), (150, 10), -5),
        (-40, (200, 1210), (110, 9), 4),
        (80, (408, 1120), (120, 9), 4),
        (72, (398, 1290), (110, 9), -4),
        (18, (300, 862), (60, 9), 3),
    ):
        z = z + hill(x, y, (side * place[0], place[1]), reach, tall, side * turn)
    return picture(lit(z, CLOTH))


@lru_cache(maxsize=1)
def _wool() -> skia.Image:
    x, y = grid(BODY_BOX)
    z = 120 * np.sqrt(1 - np.clip(np.abs(x) / 260, 0, 0.99) ** 2.2)
    z = z + sum((hill(x, y, (s * 92, 1090), (70, 110), 26) for s in (-1, 1)), np.zeros_like(x))
    ribs = 0.9 * np.sin(x / (1 + 0.0002 * (y - 870)) * 2 * math.pi / 11)
    return picture(lit(z + ribs, WOOL))


def draw_clothes(brush: Brush) -> None:
    neckline = dots("-130,796 -106,832 -60,866 0,878 60,866 106,832 130,796")
    knit = shape(
        [*neckline, (190, 900), (230, 1100), (240, 1540), (-240, 1540), (-230, 1100), (-190, 900)]
    )
    brush.fill(
        shape(
            [
                (x, y - 3)
                for x, y in dots(
                    "-132,790 -106,824 -60,858 0,870 60,858 106,824 132,790 90,900 0,920 -90,900"
                )
            ]
        ),
        "#7A3C34",
        0.45,
        6,
    )
    with brush.inside(knit):
        brush.relief(_wool(), BODY_BOX[0], BODY_BOX[1])
        brush.line(curve(neckline), "#8C6F5E", 42, 0.32, 5)
        brush.line(curve(neckline), mix(KNIT, "#FFFFFF", 0.25), 30)
        brush.line(curve([(x, y + 9) for x, y in neckline]), "#B99F8C", 9, 0.35, 4)
        for index in range(-26, 27):
            share = index / 26
            x, y = 132 * share, 878 - 82 * abs(share) ** 2.1
            lean = 16 * share * abs(share)
            brush.line(
                curve([(x - lean, y - 2), (x + lean * 0.2, y + 15)]), "#C2A792", 1.7, 0.5, 0.5
            )
        brush.fill(oval(140, 1010, 54, 260), "#6B5040", 0.45, 34)
        brush.fill(oval(-156, 1000, 38, 240), "#6B5040", 0.38, 24)
    draw_necklace(brush)
    for side in (-1, 1):
        draw_jacket(brush, side)
    brush.fill(oval(15, 1413, 12, 12), "#041218", 0.6, 3)
    brush.fill(
        oval(13, 1410, 11, 11),
        glow((9, 1405), 18, (0, "#5C9C9E", 1), (0.5, "#1D4F58", 1), (1, "#0A2028", 1)),
    )
    for x, y in ((10, 1407), (16, 1407), (10, 1413), (16, 1413)):
        brush.fill(oval(x, y, 1.5, 1.5), "#041218", 0.8)


def draw_necklace(brush: Brush) -> None:
    """A fine golden chain with a small disc."""
    chain = dots("-96,774 -74,806 -40,832 0,843 40,832 74,806 96,774")
    brush.line(curve([(x + 2, y + 4) for x, y in chain]), "#8E443B", 3, 0.35, 2)
    brush.line(curve(chain), "#A8742E", 2.2, 0.9)
    brush.line(curve([(x - 0.4, y - 0.5) for x, y in chain]), "#F6DC9B", 0.9, 0.9)
    brush.fill(oval(2, 853, 8, 8), "#8E443B", 0.4, 3)
    gold = glow((-2.5, 846), 11, (0, "#FFF6D2", 1), (0.4, "#E8BF6C", 1), (1, "#8F5A20", 1))
    brush.fill(oval(0, 849, 7.5, 7.5), gold)


def draw_jacket(brush: Brush, side: int) -> None:
    lit_side = side < 0
    left, top = BODY_BOX[0], BODY_BOX[1]
    jacket, lapel, sleeve = (shape(_at(side, text)) for text in (JACKET, LAPEL, SLEEVE))
    brush.fill(shape([(x - side * 6, y + 4) for x, y in _at(side, JACKET)]), "#4A3028", 0.30, 8)
    with brush.inside(jacket):
        brush.relief(_cloth(side, JACKET, 8, 40), left, top)
        brush.fill(sleeve, BLAZER_DARK, 0.60, 12)
    with brush.inside(jacket), brush.inside(sleeve):
        brush.relief(_cloth(side, SLEEVE, 8, 30), left, top)
    brush.line(curve(_at(side, "318,836 326,880 322,960 330,1040")), BLAZER_DARK, 2.4, 0.5, 1.0)
    with brush.inside(jacket):
        brush.fill(shape([(x + side * 3, y + 8) for x, y in _at(side, LAPEL)]), "#041218", 0.60, 8)
    with brush.inside(lapel):
        brush.relief(_cloth(side, LAPEL, 9, 10), left, top)
        brush.fill(
            shape(_at(side, "70,740 126,750 138,860 126,980 76,1170 50,1100")), "#06141A", 0.30, 16
        )
    edge = 0.55 if lit_side else 0.30
    brush.line(
        curve(_at(side, "104,748 110,870 104,980 62,1150 10,1350")), BLAZER_LIGHT, 2.2, edge, 0.5
    )
    brush.line(curve(_at(side, "130,760 180,812 226,880 242,910")), BLAZER_LIGHT, 2.0, edge, 0.6)
    brush.line(curve(_at(side, "242,912 212,927 190,934")), "#041218", 2.2, 0.55, 0.6)
    brush.line(curve(_at(side, "190,934 152,915 116,900")), "#041218", 2.6, 0.6, 0.6)
    brush.line(curve(_at(side, "190,936 236,961 246,975")), BLAZER_LIGHT, 1.8, edge, 0.6)
