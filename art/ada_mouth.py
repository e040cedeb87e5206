"""Ada's mouth: lips, teeth and tongue in every state of speech."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import skia  # type: ignore[import-not-found]  # it has no type information

from art.ada_look import (
    LIP,
    LIP_DARK,
    LIP_LIGHT,
    MOUTH,
    SKIN_DEEP,
    SKIN_MID,
    TEETH,
    TONGUE,
    AdaFace,
)
from art.brush import Brush, Point, curve, glow, mix, oval, shape, slope

SEAM: Final = "#883741"
"""Where shut lips meet: lighter than any inside, so that shut is seen as shut."""
LIPS_Y: Final = 602.0
FRIENDLY: Final = 0.52
SIZE: Final = 1.1
"""A little larger than life, so that speech reads in a small picture."""
TOOTH_WIDTHS: Final = (15.0, 12.5, 12.0, 10.0, 8.0)
"""From the middle outwards, of the upper row."""


def lip_line(
    reach: float, ends: float, height: float, ease: float, bow: float = 0.0, bend: float = 0.0
) -> list[Point]:
    """An edge of a lip from the left corner to the right one, `height` below the corners.

    `ease` 0 is the slack line of lips at rest, 1 an ellipse; `bend` makes the slack line the
    even curve of a smile; `bow` is the depth of the dip of
    an upper lip's middle.
    """
    points = []
    for step in range(-12, 13):
        share = step / 12
        slack = 0.5 + 0.5 * math.cos(math.pi * abs(share) ** 1.15)
        slack += (1 - share * share - slack) * bend
        round_ = math.sqrt(1 - share * share)
        dip = bow * math.exp(-((share / 0.15) ** 2))
        points.append((reach * share, ends + height * (slack + (round_ - slack) * ease) + dip))
    return points


@dataclass(frozen=True, slots=True)
class AdaLips:
    """The lines of a mouth, left to right, and the numbers that the rest is drawn from."""

    above: list[Point]
    below: list[Point]
    outer_top: list[Point]
    outer_bottom: list[Point]
    corner: float
    inner: float
    top: float
    bottom: float
    ends: float
    upper: float
    lower: float
    gap: float


def lips(face: AdaFace) -> AdaLips:
    opening, width = face.opening, face.width
    spread, round_ = max(width, 0.0), max(-width, 0.0)
    # At rest she is friendly: half of a smile.
    mood = FRIENDLY + (1 - FRIENDLY) * face.smile if face.smile > 0 else FRIENDLY + face.smile
    smile, sad = max(mood, 0.0), max(-mood, 0.0)
    gap = 66 * opening * (1 - 0.22 * spread - 0.20 * round_)
    if face.teeth:
        gap = 11.0 + 8.0 * opening
    wide_open = min(1.0, gap / 34)
    parted = min(1.0, gap / 8)

    corner = 59 + 12 * spread - 22 * round_ - 7 * wide_open * (1 - spread)
    corner += smile * (11 - 6 * round_) - 2 * sad
    upper = (17.5 + 6.0 * round_) * (1 - 0.10 * wide_open - 0.14 * spread - 0.22 * smile)
    lower = (24.0 + 7.0 * round_) * (1 - 0.12 * wide_open - 0.12 * spread - 0.12 * smile)
    lower -= 7.0 * face.teeth
    upper -= 2.0 * face.teeth
    lift = 3.0 * face.teeth + 3.0 * spread * parted + 2.0 * smile * parted
    top = LIPS_Y - 0.15 * gap - lift - 1.5 * round_ * (1 - parted)
    bottom = top + gap + (0.0 if face.teeth else 0.6 * lift + 10.0 * smile * parted)
    ends = LIPS_Y - 3.0 * (1 - round_) - 18.0 * smile * (1 - 0.5 * round_) + 8.0 * sad + 0.40 * gap
    inner = corner * (0.955 - 0.05 * wide_open - 0.10 * round_)
    ease = min(1.0, 0.35 * round_ + 0.75 * wide_open)

    bend = min(1.0, 2.5 * smile + 2.5 * sad) * (1 - 0.6 * round_)
    above = lip_line(inner, ends, top - ends, ease, 2.4 * (1 - wide_open) * (1 - smile), bend)
    below = lip_line(inner, ends, bottom - ends, ease, 2.4 * (1 - parted) * (1 - smile), bend)
    outer_top = lip_line(
        corner, ends, top - upper - ends, 0.10 + 0.6 * ease, 0.34 * upper * (1 - 0.45 * round_)
    )
    outer_bottom = lip_line(corner, ends, bottom + lower - ends, 0.55 + 0.35 * ease)
    return AdaLips(
        above, below, outer_top, outer_bottom, corner, inner, top, bottom, ends, upper, lower, gap
    )


def draw_mouth(brush: Brush, face: AdaFace) -> None:
    with brush.sized(SIZE, 0, LIPS_Y):
        draw_lips(brush, face, lips(face))


def draw_lips(brush: Brush, face: AdaFace, m: AdaLips) -> None:
    round_ = max(-face.width, 0.0)
    hole = shape([*m.above, *reversed(m.below[1:-1])])
    upper_lip = shape([*m.outer_top, *reversed(m.above)])
    lower_lip = shape([*m.outer_bottom, *reversed(m.below)])
    open_ = m.gap > 0

    # The lips' soft shadow on the skin, the philtrum's edges, the corners' hollows.
    brush.fill(oval(3, m.bottom + m.lower + 5, m.corner * 0.58, 5.5), SKIN_DEEP, 0.32, 6.5)
    for side in (-1, 1):
        brush.fill(oval(side * (m.corner + 4), m.ends, 7, 6), SKIN_DEEP, 0.24, 5)
        if round_:
            for lean in (0.5, 1.0):
                fold = [
                    (side * (m.corner + 5 * lean), m.ends - 13),
                    (side * (m.corner + 9 * lean), m.ends + 1),
                    (side * (m.corner + 5 * lean), m.ends + 15),
                ]
                brush.line(curve(fold), SKIN_DEEP, 3, 0.10 * round_, 3)

    if open_:
        with brush.inside(hole):
            draw_inside(brush, hole, face, m)

    # Upper lip: it looks down, away from the light.
    brush.line(curve(m.outer_top), mix(LIP, SKIN_MID, 0.45), 3, 0.55, 1.5)
    brush.line(curve(m.outer_bottom), mix(LIP, SKIN_MID, 0.45), 3, 0.45, 1.8)
    brush.fill(
        upper_lip,
        slope(
            (-1, m.top - m.upper),
            (1, m.top + 5),
            (0, mix(LIP, LIP_LIGHT, 0.30), 1),
            (0.45, LIP, 1),
            (1, mix(LIP, LIP_DARK, 0.85), 1),
        ),
        1.0,
        0.5,
    )
    with brush.inside(upper_lip):
        ridge = m.outer_top[4:12]
        brush.line(curve(ridge), "#FFD9CC", 3.0, 0.5, 1.8)
        brush.fill(oval(0, m.top - m.upper * 0.35, 9, m.upper * 0.4), LIP_LIGHT, 0.45, 4)
        brush.fill(oval(m.corner * 0.8, m.ends - 4, 20, 12), LIP_DARK, 0.35, 7)
    # Lower lip: full, it catches the light.
    brush.fill(
        lower_lip,
        slope(
            (-1, m.bottom - 2),
            (1, m.bottom + m.lower),
            (0, mix(LIP, LIP_DARK, 0.45), 1),
            (0.28, mix(LIP, LIP_LIGHT, 0.25), 1),
            (0.6, mix(LIP, LIP_LIGHT, 0.40), 1),
            (1, mix(LIP, LIP_DARK, 0.38), 1),
        ),
        1.0,
        0.5,
    )
    with brush.inside(lower_lip):
        glossy = 1.0 - 0.5 * face.teeth
        for side, strength in ((-1, 0.60), (1, 0.38)):
            x, y = side * m.corner * 0.24 - 4, m.bottom + m.lower * 0.45
            light = oval(x, y, m.corner * 0.2, m.lower * 0.2)
            brush.fill(light, "#FFC9BC", strength * glossy, 4)
        brush.fill(
            oval(-m.corner * 0.22, m.bottom + m.lower * 0.38, m.corner * 0.13, m.lower * 0.085),
            "#FFFFFF",
            0.55 * glossy,
            1.6,
        )
        brush.fill(oval(m.corner * 0.8, m.bottom + m.lower * 0.4, 20, 16), LIP_DARK, 0.38, 8)
        brush.fill(oval(-m.corner * 0.95, m.ends + 4, 12, 10), LIP_DARK, 0.3, 6)
    if open_:
        brush.line(curve(m.below), "#7A2E35", 1.6, 0.5, 0.8)
        brush.line(curve(m.above), "#3A0E16", 2.0, 0.55, 0.9)
    else:
        brush.line(curve(m.above), "#8E3A42", 5, 0.40, 2)
        brush.line(curve(m.above), SEAM, 2.4, 0.95, 0.5)
    for side in (-1, 1):
        brush.fill(oval(side * (m.corner - 2), m.ends, 3.6, 2.2), "#84403E", 0.55, 1.6)


def draw_inside(brush: Brush, hole: skia.Path, face: AdaFace, m: AdaLips) -> None:
    round_ = max(-face.width, 0.0)
    spread, smile = max(face.width, 0.0), max(face.smile, 0.0)
    brush.fill(
        hole,
        glow(
            (0, m.bottom - m.gap * 0.1),
            max(m.inner, 8.0),
            (0, mix(MOUTH, "#6B1E26", 0.45), 1),
            (0.6, MOUTH, 1),
            (1, "#1F0509", 1),
        ),
    )
    showing = 1.0 - 0.75 * round_ if m.gap > 9 else 1.0 - round_
    length = min(15.5, max(m.gap * (0.46 + 0.14 * spread + 0.16 * smile), min(m.gap, 7.5)))
    length *= showing
    edge = m.top + length
    low = _low_teeth(face, m, edge)
    if face.tongue:
        if m.gap > 15:
            draw_low_teeth(brush, m, m.bottom - low, low)
            draw_tongue_up(brush, m, edge)
            draw_upper_teeth(brush, m, edge)
        else:
            draw_upper_teeth(brush, m, m.top + m.gap * 0.48)
            draw_tongue_between(brush, m)
    else:
        if m.gap > 12:
            draw_tongue(brush, m, face)
        if low > 1.2:
            draw_low_teeth(brush, m, m.bottom - low, low)
        if face.teeth:
            edge, length = m.bottom + 1.5, 9.0
        if length > 2.5:
            draw_upper_teeth(brush, m, edge)
    # The upper lip shades what is behind it.
    thin = min(1.0, m.gap / 16)
    brush.line(curve(m.above), "#1E040A", 3 + 3 * thin, 0.35 + 0.25 * thin, 1.2 + 1.2 * thin)


def _low_teeth(face: AdaFace, m: AdaLips, edge: float) -> float:
    """How much of the lower row shows. Nearly shut, the rows meet; wide open, lips cover them."""
    round_ = max(-face.width, 0.0)
    if face.teeth:
        return 0.0
    if m.gap < 15:
        return max(0.0, m.bottom - edge - 1.4) * (1.0 if round_ < 0.75 else 0.0)
    return min(9.0, 3.0 + m.gap * 0.09) * (1 - round_) * (0.75 + 0.25 * max(face.width, 0.0))


def _row(m: AdaLips, edge: float, share: float, curl: float) -> list[Point]:
    """The edge of a row of teeth: level in the middle, curving up (or down) at the sides."""
    reach = m.inner * share
    return [
        (reach * s / 10, edge + curl * (abs(s) / 10) ** 2.4 * m.gap * 0.12) for s in range(-10, 11)
    ]


def draw_upper_teeth(brush: Brush, m: AdaLips, edge: float) -> None:
    line = _row(m, edge, 0.90, -1.0)
    teeth = shape([(-m.inner, m.top - 30), *line, (m.inner, m.top - 30)])
    _draw_teeth(brush, teeth, m, m.top, edge, TOOTH_WIDTHS, 1)


def draw_low_teeth(brush: Brush, m: AdaLips, edge: float, low: float) -> None:
    line = _row(m, edge, 0.78, 1.0)
    teeth = shape([(-m.inner * 0.9, m.bottom + 30), *line, (m.inner * 0.9, m.bottom + 30)])
    brush.line(curve(line), "#1E040A", 2.5, 0.6, 1.2)
    _draw_teeth(brush, teeth, m, m.bottom + 2, edge, [w * 0.78 for w in TOOTH_WIDTHS], -1)


def _draw_teeth(
    brush: Brush,
    teeth: skia.Path,
    m: AdaLips,
    root: float,
    edge: float,
    widths: Sequence[float],
    way: int,
) -> None:
    reach = max(m.inner, 1.0)
    light = TEETH if way > 0 else mix(TEETH, "#B79A92", 0.25)
    brush.fill(
        teeth,
        slope(
            (-reach, 0),
            (reach, 0),
            (0, "#3A161B", 1),
            (0.10, mix(light, "#7A5450", 0.62), 1),
            (0.27, light, 1),
            (0.58, light, 1),
            (0.86, mix(light, "#6B4848", 0.62), 1),
            (1, "#34131A", 1),
        ),
        1.0,
        0.4,
    )
    with brush.inside(teeth):
        place = 0.0
        for index, wide in enumerate((0.0, *widths)):
            place += wide
            for side in (-1, 1) if index else (1,):
                x = side * place
                brush.line(curve([(x, root - 6 * way), (x, edge)]), "#A98C84", 1.2, 0.38, 0.35)
        shade = slope((0, root), (0, edge), (0, "#6B3A3E", 0.40), (0.45, "#6B3A3E", 0.0))
        high, low = min(root, edge) - 4, max(root, edge) + 4
        brush.fill(skia.Path.Rect(skia.Rect.MakeLTRB(-reach, high, reach, low)), shade)


def draw_tongue(brush: Brush, m: AdaLips, face: AdaFace) -> None:
    """At rest behind the lower teeth: a low mound with a groove."""
    round_ = max(-face.width, 0.0)
    tall = min(m.gap * 0.40, 21) * (1 - 0.2 * round_)
    wide = m.inner * 0.80
    top = m.bottom - tall
    tongue = shape(
        [
            (-wide, m.bottom + 14),
            (-wide * 0.82, m.bottom - tall * 0.42),
            (-wide * 0.42, top - tall * 0.02),
            (0, top + tall * 0.12),
            (wide * 0.42, top - tall * 0.02),
            (wide * 0.82, m.bottom - tall * 0.42),
            (wide, m.bottom + 14),
        ]
    )
    _draw_flesh(brush, tongue, top, m.bottom + 4, wide)
    with brush.inside(tongue):
        brush.line(curve([(0, top), (0, m.bottom + 8)]), MOUTH, 4, 0.34, 2.4)


def draw_tongue_up(brush: Brush, m: AdaLips, edge: float) -> None:
    """For l, n, d: the tip stands behind the upper teeth, its underside is seen."""
    wide = m.inner * 0.60
    tip = edge - 4
    tongue = shape(
        [
            (-wide, m.bottom + 14),
            (-wide * 0.86, m.bottom - m.gap * 0.25),
            (-wide * 0.55, tip + m.gap * 0.10),
            (-wide * 0.22, tip),
            (wide * 0.22, tip),
            (wide * 0.55, tip + m.gap * 0.10),
            (wide * 0.86, m.bottom - m.gap * 0.25),
            (wide, m.bottom + 14),
        ]
    )
    _draw_flesh(brush, tongue, tip, m.bottom + 6, wide)
    with brush.inside(tongue):
        brush.line(curve([(0, tip + 9), (0, m.bottom + 8)]), MOUTH, 4, 0.30, 2.2)


def draw_tongue_between(brush: Brush, m: AdaLips) -> None:
    """For th: the tip lies between the teeth, on the lower lip's edge."""
    wide, top = m.inner * 0.50, m.top + m.gap * 0.44
    tongue = shape(
        [
            (-wide, m.bottom + 10),
            (-wide * 0.9, m.bottom - m.gap * 0.20),
            (-wide * 0.5, top),
            (0, top - 0.6),
            (wide * 0.5, top),
            (wide * 0.9, m.bottom - m.gap * 0.20),
            (wide, m.bottom + 10),
        ]
    )
    brush.line(curve(_row(m, top, 0.6, 0.0)), "#2A070D", 3, 0.6, 1.2)
    _draw_flesh(brush, tongue, top, m.bottom + 9, wide)
    with brush.inside(tongue):
        brush.fill(oval(0, top + m.gap * 0.3, wide * 0.7, m.gap * 0.2), "#FFC4BA", 0.55, 2.5)


def _draw_flesh(brush: Brush, tongue: skia.Path, top: float, bottom: float, wide: float) -> None:
    brush.fill(tongue, "#1E040A", 0.5, 2.5)
    brush.fill(
        tongue,
        slope(
            (-wide * 0.3, top),
            (wide * 0.2, bottom),
            (0, mix(TONGUE, "#FFB9AE", 0.22), 1),
            (0.5, TONGUE, 1),
            (1, mix(TONGUE, MOUTH, 0.45), 1),
        ),
    )
    with brush.inside(tongue):
        height = bottom - top
        brush.fill(
            oval(-wide * 0.34, top + height * 0.22, wide * 0.22, max(1.2, height * 0.07)),
            "#FFD4CC", 0.55, 2,
        )  # fmt: skip
        brush.fill(oval(wide * 0.95, bottom, wide * 0.3, height), MOUTH, 0.35, 5)
