"""Leo's mouth: lips, teeth and tongue in every shape of speech."""

import math
from dataclasses import dataclass
from typing import Final

import skia  # type: ignore[import-not-found]  # it has no type information

from art.brush import Brush, Point, curve, mix, oval, shape, slope
from art.leo_look import (
    LIP,
    LIP_DARK,
    LIP_LIGHT,
    LIPS_Y,
    MOUTH,
    SKIN_DEEP,
    SKIN_MID,
    TEETH,
    TONGUE,
    LeoFace,
)


@dataclass(frozen=True, slots=True)
class LeoLips:
    """The lines of a mouth; each goes from the left corner to the right one."""

    corner: float
    inner: float
    ends: float
    top: float
    bottom: float
    upper: float
    lower: float
    above: list[Point]
    below: list[Point]
    outer_top: list[Point]
    outer_bottom: list[Point]

    @property
    def gap(self) -> float:
        return self.bottom - self.top


def lip_line(reach: float, ends: float, height: float, ease: float, bow: float = 0) -> list[Point]:
    """An edge of a lip, `height` below its ends.

    `ease` 0 is the slack line of lips at rest, 1 an ellipse; `bow` is the depth of the dip of an
    upper lip's middle.
    """
    points = []
    for step in range(-12, 13):
        share = step / 12
        slack = 0.5 + 0.5 * math.cos(math.pi * abs(share) ** 1.15)
        round_ = math.sqrt(1 - share * share)
        dip = bow * math.exp(-((share / 0.14) ** 2))
        points.append((reach * share, ends + height * (slack + (round_ - slack) * ease) + dip))
    return points


def lips_of(face: LeoFace) -> LeoLips:
    opening, spread, round_ = face.opening, face.spread, face.rounded
    smile, sad = max(face.smile, 0.0), max(-face.smile, 0.0)
    gap = 74 * opening + 4.5 * min(1.0, opening / 0.08) * (1 - opening)
    gap *= 1 - 0.34 * spread - 0.22 * round_
    wide_open = min(1.0, gap / 40)
    corner = 66 + 10 * spread - 27 * round_ + (13 * smile - 2 * sad) * (1 - 0.7 * round_)
    corner -= 2.5 * wide_open * (1 - spread)
    upper = (19.0 + 3.0 * round_ - 4 * smile) * (1 - 0.12 * wide_open - 0.14 * spread)
    lower = (24.0 + 3.5 * round_ - 4 * smile) * (1 - 0.12 * wide_open - 0.14 * spread)
    lift = (9.5 + 2.5 * spread + 10 * smile - 13 * sad) * (1 - 0.8 * round_)
    top = LIPS_Y - 0.12 * gap - 4 * smile - 2 * sad
    bottom = top + gap
    ends = LIPS_Y - 3 * smile - lift * (1 - 0.35 * wide_open) + 0.34 * gap
    if between_teeth(face):
        bottom = top + max(14.0, gap)
    if face.teeth:
        # The lower lip is drawn in under the upper teeth.
        top, bottom, lower, upper = top - 3, top + 7, lower * 0.62, upper * 0.92
        ends = LIPS_Y - 1
    inner = corner * (0.96 - 0.05 * wide_open - 0.07 * round_)
    ease = 0.35 * round_ + 0.8 * wide_open + 0.22 * spread * min(1.0, gap / 8)
    ease = min(1.0, ease + 0.2 * opening)
    bow = 1.8 * (1 - wide_open)
    return LeoLips(
        corner=corner,
        inner=inner,
        ends=ends,
        top=top,
        bottom=bottom,
        upper=upper,
        lower=lower,
        above=lip_line(inner, ends, top - ends, ease, bow),
        below=lip_line(inner, ends, bottom - ends, ease, bow),
        outer_top=lip_line(
            corner, ends, top - upper - ends, 0.16 + 0.55 * ease, 0.30 * upper * (1 - 0.4 * round_)
        ),
        outer_bottom=lip_line(corner, ends, bottom + lower - ends, 0.6 + 0.4 * ease),
    )


def draw_mouth(brush: Brush, face: LeoFace) -> None:
    lips = lips_of(face)
    upper_lip = shape([*lips.outer_top, *reversed(lips.above)])
    lower_lip = shape([*lips.outer_bottom, *reversed(lips.below)])
    hole = shape([*lips.above, *reversed(lips.below[1:-1])])
    corner, top, bottom = lips.corner, lips.top, lips.bottom

    # Bare skin around the lips, and the soft shadow below them.
    whole = shape([*lips.outer_top, *reversed(lips.outer_bottom[1:-1])])
    brush.line(whole, SKIN_MID, 6, 0.55, 3)
    brush.fill(oval(2, bottom + lips.lower + 5, corner * 0.6, 6), SKIN_DEEP, 0.42, 6)
    for side in (-1, 1):
        brush.fill(oval(side * (corner + 4), lips.ends, 8, 8), SKIN_DEEP, 0.34, 5)

    brush.fill(
        upper_lip,
        slope(
            (-16, top - lips.upper),
            (6, top + 3),
            (0, mix(LIP, LIP_DARK, 0.30), 1),
            (0.55, mix(LIP, LIP_DARK, 0.55), 1),
            (1, LIP_DARK, 1),
        ),
    )
    brush.fill(
        lower_lip,
        slope(
            (-8, bottom - 2),
            (8, bottom + lips.lower),
            (0, mix(LIP, LIP_DARK, 0.40), 1),
            (0.40, mix(LIP, LIP_LIGHT, 0.45), 1),
            (1, mix(LIP, LIP_DARK, 0.55), 1),
        ),
    )
    with brush.inside(lower_lip):
        glint = lips.bottom + lips.lower * 0.42
        brush.fill(oval(-9, glint, corner * 0.42, lips.lower * 0.22), "#F3BBA6", 0.55, 4.5)
        brush.fill(oval(-14, glint - 1, corner * 0.16, lips.lower * 0.08), "#FFF1E6", 0.55, 1.8)
        brush.fill(oval(corner * 0.8, glint, 20, 18), LIP_DARK, 0.4, 8)
        for step in range(-6, 7):
            x = corner * step / 8.5
            fold = curve([(x * 0.95, bottom + 2), (x, bottom + lips.lower * 0.8)])
            brush.line(fold, LIP_DARK, 1.4, 0.10 + 0.22 * face.rounded, 0.9)
    with brush.inside(upper_lip):
        brush.line(curve(lips.outer_top[2:12]), "#F0B79C", 3.2, 0.55, 1.8)
        brush.line(curve(lips.outer_top[13:22]), "#E0A084", 2.4, 0.25, 1.8)
    if lips.gap > 0.5:
        with brush.inside(hole):
            draw_inner_mouth(brush, hole, face, lips)
        if between_teeth(face):
            draw_tip(brush, lips)
        brush.line(curve(lips.below), "#4A1B1C", 1.8, 0.0 if between_teeth(face) else 0.6, 0.8)
        brush.line(curve(lips.above), "#3A1113", 2.0, 0.7, 0.8)
    else:
        brush.line(curve(lips.above), "#3E1A17", 5.0, 0.5, 2.0)
        brush.line(curve(lips.above), "#4C2420", 2.8, 1.0, 0.5)
    for side in (-1, 1):
        brush.fill(oval(side * (corner - 1.5), lips.ends, 3.6, 2.4), "#45201C", 0.65, 1.8)


def draw_inner_mouth(brush: Brush, hole: skia.Path, face: LeoFace, lips: LeoLips) -> None:
    gap, top, bottom, inner = lips.gap, lips.top, lips.bottom, lips.inner
    brush.fill(
        hole,
        slope((0, top), (0, bottom), (0, "#170306", 1), (0.6, MOUTH, 1), (1, "#3A0F14", 1)),
    )
    if gap > 15 and not face.tongue:
        draw_tongue(brush, lips, min(gap * 0.40, 24), inner * 0.70)
    elif face.tongue and not between_teeth(face):
        # The tip is up behind the upper teeth.
        draw_raised_tongue(brush, lips, upper_teeth(face, lips), inner * 0.44)
    length = upper_teeth(face, lips)
    if length > 3:
        reach = inner * (0.90 - 0.06 * face.rounded)
        draw_teeth(brush, lips, reach, length)
    draw_lower_teeth(brush, face, lips)
    with brush.inside(hole):
        brush.line(curve(lips.above), "#0E0204", 6, 0.75, 2.2)


def upper_teeth(face: LeoFace, lips: LeoLips) -> float:
    """How much of the upper teeth shows: they stand still while the lip is drawn up."""
    if face.teeth:
        return lips.gap + 1.5
    edge = (
        LIPS_Y
        + 9
        + 3 * face.spread
        - (3 + 8 * face.rounded) * face.rounded
        + 2 * max(face.smile, 0.0)
    )
    return min(edge - lips.top, 20.0)


TOOTH_WIDTHS: Final = (13.6, 11.0, 10.6, 8.6, 7.2, 6.0)
"""From the middle outward; those at the side are seen from the front."""


def draw_teeth(brush: Brush, lips: LeoLips, reach: float, length: float) -> None:
    scale = reach / sum(TOOTH_WIDTHS)
    scale = min(max(scale, 0.62), 1.12)
    shade = slope(
        (-reach, 0),
        (reach, 0),
        (0, "#3A1A1A", 1),
        (0.14, "#8E7468", 1),
        (0.32, TEETH, 1),
        (0.58, TEETH, 1),
        (0.84, "#93796E", 1),
        (1, "#2E1213", 1),
    )
    gums = skia.Path.Rect(skia.Rect.MakeLTRB(-reach, lips.top - 12, reach, lips.top + length - 3.5))
    brush.fill(gums, shade, 0.6)
    for side in (-1, 1):
        x = 0.0
        for index, wide in enumerate(TOOTH_WIDTHS):
            wide *= scale
            share = min(1.0, x / reach)
            edge = lips.top + length - (1.2 if index == 1 else 0.0) - 5 * share**2
            left, right = sorted((side * (x + 0.12), side * (x + wide - 0.12)))
            tooth = skia.RRect.MakeRectXY(
                skia.Rect.MakeLTRB(left, edge - 34, right, edge), 2.6, 3.2
            )
            brush.fill(skia.Path.RRect(tooth), shade)
            x += wide
    brush.fill(
        skia.Path.Rect(skia.Rect.MakeLTRB(-reach, lips.top - 12, reach, lips.top + length)),
        slope(
            (0, lips.top - 1),
            (0, lips.top + length),
            (0, "#4A2020", 0.6),
            (0.45, "#4A2020", 0.0),
            (1, "#FFFFFF", 0.0),
        ),
    )


def draw_lower_teeth(brush: Brush, face: LeoFace, lips: LeoLips) -> None:
    seen = (2.5 + 6.5 * face.spread + 2.0 * max(face.smile, 0.0)) * (1 - 1.4 * face.rounded)
    seen = min(seen, 0.36 * lips.gap) * min(1.0, max(0.0, 1.9 - lips.gap / 34 + 0.5 * face.spread))
    if seen < 2 or face.teeth or face.tongue:
        return
    edge = lips.bottom - seen
    reach = lips.inner * 0.72
    widths = (8.4, 8.8, 9.0, 8.0, 7.0)
    scale = reach / sum(widths)
    shade = slope(
        (-reach, 0),
        (reach, 0),
        (0, "#3A1A1A", 1),
        (0.2, "#8F766C", 1),
        (0.4, "#E4D8CC", 1),
        (0.58, "#DDD0C4", 1),
        (0.82, "#7E645C", 1),
        (1, "#2E1213", 1),
    )
    for side in (-1, 1):
        x = 0.0
        for wide in widths:
            wide *= scale
            y = edge - 3.5 * (x / reach) ** 2 * (lips.gap / 20)
            left, right = sorted((side * (x + 0.15), side * (x + wide - 0.15)))
            tooth = skia.RRect.MakeRectXY(skia.Rect.MakeLTRB(left, y, right, y + 30), 1.8, 2)
            brush.fill(skia.Path.RRect(tooth), shade, 0.95)
            x += wide


def draw_tongue(brush: Brush, lips: LeoLips, height: float, reach: float) -> None:
    bottom = lips.bottom
    tongue = shape(
        [
            (-reach, bottom + 12),
            (-reach * 0.86, bottom - height * 0.45),
            (-reach * 0.5, bottom - height * 0.9),
            (0, bottom - height),
            (reach * 0.5, bottom - height * 0.9),
            (reach * 0.86, bottom - height * 0.45),
            (reach, bottom + 12),
        ]
    )
    brush.fill(
        tongue,
        slope(
            (-6, bottom - height),
            (8, bottom + 4),
            (0, mix(TONGUE, "#E08A86", 0.35), 1),
            (0.5, TONGUE, 1),
            (1, mix(TONGUE, MOUTH, 0.55), 1),
        ),
    )
    with brush.inside(tongue):
        brush.line(curve([(0, bottom - height), (0, bottom + 6)]), MOUTH, 3.4, 0.32, 2.2)
        brush.fill(
            oval(-reach * 0.3, bottom - height * 0.72, reach * 0.28, 2.6), "#FFC0B8", 0.5, 2.2
        )


def draw_raised_tongue(brush: Brush, lips: LeoLips, teeth: float, reach: float) -> None:
    """Its tip behind the upper teeth, its underside to the viewer."""
    top, low = lips.top + max(teeth, 4) - 6, lips.bottom
    half = (top + low) / 2
    tongue = shape(
        [
            (-reach * 0.92, low + 14),
            (-reach, half + 4),
            (-reach * 0.82, top + 3),
            (-reach * 0.4, top),
            (reach * 0.4, top),
            (reach * 0.82, top + 3),
            (reach, half + 4),
            (reach * 0.92, low + 14),
        ]
    )
    brush.fill(
        tongue,
        slope(
            (0, top),
            (0, low + 2),
            (0, mix(TONGUE, MOUTH, 0.2), 1),
            (0.45, mix(TONGUE, "#E08A86", 0.3), 1),
            (1, mix(TONGUE, MOUTH, 0.5), 1),
        ),
        blur=0.8,
    )
    with brush.inside(tongue):
        for side in (-1, 1):
            edge = curve([(side * reach, top), (side * reach, low + 6)])
            brush.line(edge, MOUTH, reach * 0.5, 0.5, reach * 0.2)
        brush.line(curve([(0, half), (0, low + 6)]), MOUTH, 2.6, 0.4, 1.6)
        brush.fill(oval(-reach * 0.25, half, reach * 0.22, 2.2), "#FFC0B8", 0.5, 1.8)


def between_teeth(face: LeoFace) -> bool:
    """Whether the tongue's tip shows between the teeth (th), not behind the upper ones (l)."""
    return face.tongue > 0 and face.opening < 0.27


def draw_tip(brush: Brush, lips: LeoLips) -> None:
    reach = lips.inner * 0.42
    top, low = lips.top + min(8.5, 0.42 * lips.gap), lips.bottom + 3
    tip = shape(
        [
            (-reach, top + 3),
            (-reach * 0.5, top + 0.5),
            (0, top),
            (reach * 0.5, top + 0.5),
            (reach, top + 3),
            (reach * 0.86, low - 3),
            (reach * 0.4, low),
            (-reach * 0.4, low),
            (-reach * 0.86, low - 3),
        ]
    )
    brush.fill(tip, "#2E0E0D", 0.5, 3)
    brush.fill(
        tip,
        slope(
            (0, top),
            (0, low),
            (0, mix(TONGUE, MOUTH, 0.35), 1),
            (0.5, "#CC7872", 1),
            (1, "#AE565A", 1),
        ),
    )
    with brush.inside(tip):
        brush.line(curve([(0, top), (0, low - 3)]), "#8E3A40", 2.4, 0.4, 1.4)
        brush.fill(oval(-reach * 0.34, (top + low) / 2 + 2, 4, 1.3), "#FFD9D0", 0.55, 1.0)
