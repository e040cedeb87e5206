"""Draws Leo, a character that ships with the worker, and writes his folder.

Everything that is seen of him comes from this file and its neighbours `leo_*`: run it, and the
committed pictures come out again. Needs the extra ``art``; a worker needs only what this writes.

    python -m art.leo worker/characters/leo
"""

import argparse
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import skia  # type: ignore[import-not-found]  # it has no type information
from PIL import Image

from art.brush import Brush, glow, render, slope
from art.leo_body import draw_clothes
from art.leo_eyes import draw_brow, draw_eye, draw_glasses
from art.leo_hair import draw_beard, draw_hair, draw_sides
from art.leo_hand import WAVE_BOX, WAVE_FRAMES, WAVE_SECONDS, draw_wave, wave_order
from art.leo_look import LeoFace
from art.leo_mouth import draw_mouth
from art.leo_skin import draw_ears, draw_neck, draw_nose, draw_rim, draw_skin
from art.sheets import FRAME, HEIGHT, LEFT, WIDTH, on_figure, save, sheet

OPENINGS: Final = (0.0, 0.08, 0.18, 0.3, 0.45, 0.62, 0.8, 1.0)
WIDTHS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)
MOOD_OPENINGS: Final = (0.0, 0.1, 0.25, 0.45, 0.7, 1.0)
MOOD_WIDTHS: Final = (-1.0, 0.0, 1.0)
LIDS: Final = (-0.3, 0.0, 0.2, 0.45, 0.75, 1.0)
SQUINT_LIDS: Final = (0.0, 0.35, 0.7)
GAZES: Final = (
    (0.0, 0.0),
    (-0.6, 0.05),
    (0.6, 0.05),
    (-0.4, -0.5),
    (0.45, -0.45),
    (0.0, 0.6),
)
SQUINT_GAZES: Final = GAZES[:3]
RAISED: Final = (-0.5, 0.0, 0.5, 1.0)
SLANTS: Final = (-1.0, 0.0, 1.0)
SKEW_RAISED: Final = (-0.3, 0.3, 0.8)
CONTACTS: Final = (
    # Opening, width, teeth on the lower lip (f, v), tongue: between the teeth (th) below an
    # opening of .27, behind the upper teeth (l, d, n) above.
    (0.05, 0.0, 1, 0),
    (0.05, -0.5, 1, 0),
    (0.05, 0.6, 1, 0),
    (0.2, 0.0, 1, 0),
    (0.1, 0.0, 0, 1),
    (0.1, 0.6, 0, 1),
    (0.22, 0.0, 0, 1),
    (0.22, 0.6, 0, 1),
    (0.32, 0.0, 0, 1),
    (0.32, 0.6, 0, 1),
    (0.32, -0.5, 0, 1),
    (0.45, 0.0, 0, 1),
    (0.45, 0.6, 0, 1),
    (0.65, 0.0, 0, 1),
)
WAVE_KEYS: Final = (
    (0.3, {"x": 0.15, "y": -0.15, "turn": 0.3, "tilt": 1.2, "raised": 0.7}),
    (0.9, {"x": 0.3, "y": 0.1, "turn": 0.4, "tilt": 2.0, "raised": 0.5}),
    (1.6, {"x": 0.2, "turn": 0.3, "tilt": 1.5, "raised": 0.3}),
)

# Where the face changes: left, top, right, bottom. Nothing outside differs between sprites.
MOUTH_BOX: Final = (-166, 496, 166, 764)
EYES_BOX: Final = (-150, 398, 150, 496)
BROWS_BOX: Final = (-156, 296, 156, 398)
LIPS_BOX: Final = (-70, 580, 70, 668)
"""Where the inside of the mouth may show, and nothing else is as dark."""
FACE_BOX: Final = (-172, 280, 172, 764)
FACE_FADE: Final = (56, 60, 56, 56)

# The head moves whole within its box; over `fade` (left, top, right, bottom) it comes to rest.
HEAD_BOX: Final = (-312, 24, 312, 820)
HEAD_FADE: Final = (60, 56, 60, 84)
# Breathing lifts what is between these heights little by little, and the shoulders fully.
NECK_Y: Final = 740
SHOULDER_Y: Final = 870


def draw_figure(brush: Brush, face: LeoFace) -> None:
    draw_ears(brush)
    draw_neck(brush)
    draw_clothes(brush)
    draw_skin(brush, face)
    draw_sides(brush)
    draw_beard(brush, face)
    draw_rim(brush, face)
    draw_nose(brush, face)
    draw_mouth(brush, face)
    for side in (-1, 1):
        draw_eye(brush, side, face)
        draw_brow(brush, side, face)
    draw_hair(brush)
    draw_glasses(brush)


def draw_wall(brush: Brush) -> None:
    """A dark plum wall with a warm light on it, low behind his shoulder."""
    whole = skia.Path.Rect(skia.Rect.MakeWH(1024, 1024))
    brush.fill(
        whole,
        slope((0, 0), (1024, 1024), (0, "#4A2F36", 1), (0.5, "#38242D", 1), (1, "#241820", 1)),
    )
    stops = [
        (share / 12, "#B0684C", 0.62 * math.exp(-4 * (share / 12) ** 2) * (1 - (share / 12) ** 4))
        for share in range(13)
    ]
    brush.fill(whole, glow((600, 470), 760, *stops))


def states() -> dict[str, tuple[tuple[int, int, int, int], list[LeoFace]]]:
    """The faces of every sheet, in its order, and the box that it shows."""

    def mouths(openings: Sequence[float], widths: Sequence[float], smile: float) -> list[LeoFace]:
        return [LeoFace(opening=o, width=w, smile=smile) for o in openings for w in widths]

    return {
        "mouths.webp": (MOUTH_BOX, mouths(OPENINGS, WIDTHS, 0)),
        "mouths_happy.webp": (MOUTH_BOX, mouths(MOOD_OPENINGS, MOOD_WIDTHS, 1)),
        "mouths_sad.webp": (MOUTH_BOX, mouths(MOOD_OPENINGS, MOOD_WIDTHS, -1)),
        "mouths_contact.webp": (
            MOUTH_BOX,
            [LeoFace(opening=o, width=w, teeth=t, tongue=g) for o, w, t, g in CONTACTS],
        ),
        "eyes.webp": (EYES_BOX, [LeoFace(lid=lid, gaze=gaze) for lid in LIDS for gaze in GAZES]),
        "eyes_squint.webp": (
            EYES_BOX,
            [LeoFace(lid=lid, gaze=g, squint=1) for lid in SQUINT_LIDS for g in SQUINT_GAZES],
        ),
        "brows.webp": (BROWS_BOX, [LeoFace(raised=r, slant=s) for r in RAISED for s in SLANTS]),
        "brows_skew.webp": (BROWS_BOX, [LeoFace(raised=r, skew=1) for r in SKEW_RAISED]),
    }


SOFT: Final = (
    "mouths.webp",
    "mouths_happy.webp",
    "mouths_sad.webp",
    "mouths_contact.webp",
    "wave.webp",
)
"""Large sheets that are written with a loss that nobody sees: a fifth of the size."""
SOFT_QUALITY: Final = 96


def wave_sheet() -> Image.Image:
    left, top, right, bottom = WAVE_BOX
    column = Image.new("RGBA", (right - left, (bottom - top) * WAVE_FRAMES))
    for index in range(WAVE_FRAMES):
        column.paste(render(partial(draw_wave, index=index), WAVE_BOX), (0, index * (bottom - top)))
    return column


def manifest() -> dict[str, object]:
    return {
        "version": 2,
        "title": "Leo",
        "licence": "Apache-2.0",
        "made_by": "art/leo.py",
        "figure": "figure.webp",
        "figure_height": HEIGHT,
        "wall": "wall.webp",
        "frame": on_figure((-FRAME // 2, 0, FRAME // 2, FRAME)),
        "head": {"box": on_figure(HEAD_BOX), "fade": list(HEAD_FADE)},
        "face": {"box": on_figure(FACE_BOX), "fade": list(FACE_FADE)},
        "shoulders": {"from": NECK_Y, "to": SHOULDER_Y},
        "mouth": {
            "box": on_figure(MOUTH_BOX),
            "inside": on_figure(LIPS_BOX),
            "sheets": [
                {"file": "mouths.webp", "axes": {"opening": OPENINGS, "width": WIDTHS}},
                *(
                    {
                        "file": file,
                        "axes": {"opening": MOOD_OPENINGS, "width": MOOD_WIDTHS},
                        "always": {"smile": smile},
                    }
                    for file, smile in (("mouths_happy.webp", 1), ("mouths_sad.webp", -1))
                ),
                {
                    "file": "mouths_contact.webp",
                    "states": [
                        {"opening": o, "width": w, **({"teeth": t} if t else {"tongue": g})}
                        for o, w, t, g in CONTACTS
                    ],
                },
            ],
        },
        "eyes": {
            "box": on_figure(EYES_BOX),
            "sheets": [
                {"file": "eyes.webp", "axes": {"lid": LIDS, "gaze": GAZES}},
                {
                    "file": "eyes_squint.webp",
                    "axes": {"lid": SQUINT_LIDS, "gaze": SQUINT_GAZES},
                    "always": {"squint": 1},
                },
            ],
        },
        "brows": {
            "box": on_figure(BROWS_BOX),
            "sheets": [
                {"file": "brows.webp", "axes": {"raised": RAISED, "slant": SLANTS}},
                {
                    "file": "brows_skew.webp",
                    "states": [{"raised": raised, "skew": 1} for raised in SKEW_RAISED],
                },
            ],
        },
        "overlays": {
            "wave": {"file": "wave.webp", "box": on_figure(WAVE_BOX), "frames": WAVE_FRAMES}
        },
        "gestures": {
            "wave_hello": {
                "seconds": WAVE_SECONDS,
                "keys": WAVE_KEYS,
                "overlay": "wave",
                "frames": wave_order(),
                "expression": ["happy", 0.7],
            }
        },
    }


def write(folder: Path) -> None:
    """Every file of the character, and the manifest that says what they are."""
    rest = partial(draw_figure, face=LeoFace())
    images = {
        "figure.webp": render(rest, (-LEFT, 0, WIDTH - LEFT, HEIGHT)),
        "wall.webp": render(draw_wall, (0, 0, FRAME, FRAME)).convert("RGB").resize((256, 256)),
        "wave.webp": wave_sheet(),
    }
    for file, (box, faces) in states().items():
        images[file] = sheet([partial(draw_figure, face=face) for face in faces], box, rest)
    save(folder, {name: images[name] for name in images if name not in SOFT}, manifest())
    for name in SOFT:
        images[name].save(folder / name, quality=SOFT_QUALITY, alpha_quality=100, method=6)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw Leo into a character folder.")
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
