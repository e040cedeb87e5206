"""Draws Ada, the character that ships with the worker, and writes her folder.

Everything that is seen of her comes from the files named ada*.py here: run this, and the
committed pictures come out again. Needs the extra ``art``; a worker needs only what this writes.

    python -m art.ada worker/characters/ada

Lengths are units of the square frame of 1024 in which she is composed. x is 0 at the middle
of her face and grows to the right of the picture; y is 0 at the top of the frame. The light
comes from the upper left.
"""

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

import skia  # type: ignore[import-not-found]  # it has no type information
from PIL import Image

from art.ada_body import draw_clothes
from art.ada_eyes import draw_brow, draw_eye
from art.ada_hair import draw_hair_behind, draw_hair_left, draw_hair_right
from art.ada_hand import RISE, SWING, draw_wave, wave_frames
from art.ada_look import REST, AdaFace
from art.ada_mouth import draw_mouth
from art.ada_skin import draw_ear, draw_face, draw_neck, draw_nose
from art.brush import Brush, glow, render, slope
from art.sheets import FRAME, HEIGHT, LEFT, WIDTH, Box, on_figure, save, sheet

# Where the face changes. Nothing outside differs between sprites.
BROWS_BOX: Final = (-166, 322, 166, 394)
EYES_BOX: Final = (-152, 394, 152, 496)
MOUTH_BOX: Final = (-152, 496, 152, 740)
LIPS_BOX: Final = (-90, 572, 90, 684)
"""Where the inside of the mouth may show, and nothing else is as dark."""
WAVE_BOX: Final = (-560, 480, -170, 1140)

# What sways as one; over `fade` (left, top, right, bottom) it comes to rest.
HEAD_BOX: Final = (-352, 24, 352, 758)
HEAD_FADE: Final = (76, 70, 76, 62)
FACE_BOX: Final = (-150, 330, 150, 706)
FACE_FADE: Final = (40, 36, 40, 44)
# Breathing lifts what is between these heights little by little, and the shoulders fully.
NECK_Y: Final = 724
SHOULDER_Y: Final = 850

WIDTHS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)
FEW_WIDTHS: Final = (-1.0, 0.0, 1.0)
OPENINGS: Final = (0.0, 0.07, 0.14, 0.22, 0.32, 0.44, 0.58, 0.72, 0.86, 1.0)
FEW_OPENINGS: Final = (0.0, 0.1, 0.22, 0.4, 0.65, 1.0)
LIDS: Final = (-0.3, 0.0, 0.2, 0.45, 0.72, 1.0)
GAZES: Final = (
    (0.0, 0.0), (-0.28, 0.0), (0.28, 0.0), (-0.65, 0.0), (0.65, 0.0), (-0.45, -0.45), (0.5, -0.5),
    (0.0, 0.35), (-0.45, 0.45), (0.45, 0.45),
)  # fmt: skip
SMILING_GAZES: Final = ((0.0, 0.0), (-0.4, 0.0), (0.4, 0.0), (0.45, -0.45), (0.0, 0.35))
RAISED: Final = (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0)
SLANTS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)

MOUTH_TRICKS: Final = (
    *({"opening": 0.1, "width": width, "teeth": 1} for width in (-0.6, 0.0, 0.6)),
    *({"opening": 0.18, "width": width, "tongue": 1} for width in (-0.3, 0.4)),
    *({"opening": opening, "width": 0.0, "tongue": 1} for opening in (0.26, 0.36, 0.48)),
    *({"opening": 0.3, "width": width, "tongue": 1} for width in (-0.6, 0.6)),
    {"opening": 0.1, "width": 0.0, "teeth": 1, "smile": 1},
    {"opening": 0.18, "width": 0.0, "tongue": 1, "smile": 1},
    {"opening": 0.34, "width": 0.0, "tongue": 1, "smile": 1},
)
ONE_BROW: Final = tuple({"raised": r, "skew": s} for r in (0.0, 0.5) for s in (0.35, 0.7, 1.0))

Axes = Mapping[str, Sequence[object]]


def draw_figure(brush: Brush, face: AdaFace) -> None:
    for layer in (draw_hair_behind, draw_neck, draw_clothes, draw_ear):
        brush.still(layer)
    draw_face(brush, face)
    brush.still(draw_nose)
    draw_mouth(brush, face)
    for side in (-1, 1):
        draw_eye(brush, side, face)
        draw_brow(brush, side, face)
    for layer in (draw_hair_right, draw_hair_left):
        brush.still(layer)


def draw_wall(brush: Brush) -> None:
    """A quiet wall with a wide soft light behind her."""
    whole = skia.Path.Rect(skia.Rect.MakeWH(FRAME, FRAME))
    brush.fill(
        whole,
        slope((0, 0), (1024, 1024), (0, "#E3E7E0", 1), (0.45, "#BACDCB", 1), (1, "#7F9FA6", 1)),
    )
    # A Gaussian that ends without an edge.
    places = [step / 12 for step in range(13)]
    fall = [(p, "#FFF1DE", 0.9 * math.exp(-5 * p**2) * (1 - p**4)) for p in places]
    brush.fill(whole, glow((400, 360), 860, *fall))


def product_of(axes: Axes, always: Mapping[str, float]) -> list[AdaFace]:
    """Every combination of the axes' values, the last axis fastest."""
    return [
        AdaFace(**dict(zip(axes, values, strict=True)), **always)  # type: ignore[arg-type]
        for values in product(*axes.values())
    ]


class SheetFolder:
    """Collects sheets and what the manifest says of them."""

    def __init__(self) -> None:
        self.images: dict[str, Image.Image] = {}

    def _draw(self, file: str, box: Box, faces: Iterable[AdaFace]) -> None:
        draws = [partial(draw_figure, face=face) for face in faces]
        self.images[file] = sheet(draws, box, partial(draw_figure, face=REST))

    def axes(self, file: str, box: Box, axes: Axes, **always: float) -> dict[str, object]:
        self._draw(file, box, product_of(axes, always))
        plain = {name: [_plain(value) for value in values] for name, values in axes.items()}
        return {"file": file, "axes": plain, **({"always": always} if always else {})}

    def states(
        self, file: str, box: Box, states: Sequence[Mapping[str, float]]
    ) -> dict[str, object]:
        self._draw(file, box, (AdaFace(**state) for state in states))  # type: ignore[arg-type]
        return {"file": file, "states": [dict(state) for state in states]}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def write(folder: Path) -> None:
    """Every file of the character, and the manifest that says what they are."""
    made = SheetFolder()
    few = {"opening": FEW_OPENINGS, "width": FEW_WIDTHS}
    mouth = [
        made.axes("mouths.webp", MOUTH_BOX, {"opening": OPENINGS, "width": WIDTHS}),
        made.axes("mouths_happy.webp", MOUTH_BOX, few, smile=1.0),
        made.axes("mouths_pleased.webp", MOUTH_BOX, few, smile=0.5),
        made.axes("mouths_sad.webp", MOUTH_BOX, few, smile=-1.0),
        made.states("mouths_tongue.webp", MOUTH_BOX, MOUTH_TRICKS),
    ]
    smiling = {"lid": (0.0, 0.35, 0.7), "gaze": SMILING_GAZES}
    eyes = [
        made.axes("eyes.webp", EYES_BOX, {"lid": LIDS, "gaze": GAZES}),
        made.axes("eyes_happy.webp", EYES_BOX, smiling, squint=1.0),
        made.axes("eyes_pleased.webp", EYES_BOX, smiling, squint=0.5),
    ]
    brows = [
        made.axes("brows.webp", BROWS_BOX, {"raised": RAISED, "slant": SLANTS}),
        made.states("brows_skew.webp", BROWS_BOX, ONE_BROW),
    ]
    waves = [partial(draw_wave, frame=frame) for frame in range(RISE + SWING)]
    rest = partial(draw_figure, face=REST)
    images = {
        "figure.webp": render(rest, (-LEFT, 0, WIDTH - LEFT, HEIGHT)),
        "wall.webp": render(draw_wall, (0, 0, FRAME, FRAME)).convert("RGB").resize((256, 256)),
        **made.images,
        "wave.webp": sheet(waves, WAVE_BOX),
    }
    manifest: dict[str, object] = {
        "version": 2,
        "title": "Ada",
        "licence": "Apache-2.0",
        "made_by": "art/ada.py",
        "figure": "figure.webp",
        "figure_height": HEIGHT,
        "wall": "wall.webp",
        "frame": on_figure((-FRAME // 2, 0, FRAME // 2, FRAME)),
        "head": {"box": on_figure(HEAD_BOX), "fade": list(HEAD_FADE)},
        "face": {"box": on_figure(FACE_BOX), "fade": list(FACE_FADE)},
        "shoulders": {"from": NECK_Y, "to": SHOULDER_Y},
        "mouth": {"box": on_figure(MOUTH_BOX), "inside": on_figure(LIPS_BOX), "sheets": mouth},
        "eyes": {"box": on_figure(EYES_BOX), "sheets": eyes},
        "brows": {"box": on_figure(BROWS_BOX), "sheets": brows},
        "overlays": {
            "wave": {"file": "wave.webp", "box": on_figure(WAVE_BOX), "frames": len(waves)}
        },
        "gestures": {
            "wave_hello": {
                "seconds": 2.0,
                "keys": [
                    [0.4, {"tilt": -1.4, "turn": -0.2, "raised": 0.6, "y": -0.1}],
                    [1.5, {"tilt": -1.1, "turn": -0.1, "raised": 0.3}],
                ],
                "overlay": "wave",
                "frames": wave_frames(),
                "expression": ["happy", 0.8],
            }
        },
        "expressions": {
            "happy": {"smile": 1, "squint": 0.5, "raised": 0.25},
            "sad": {"smile": -1, "slant": 1, "gaze": [0, 0.35]},
            "surprised": {"raised": 1, "lid": -0.3, "opening": 0.32, "width": -0.5},
        },
    }
    save(folder, images, manifest, nearly={*made.images, "wave.webp"})


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw Ada into a character folder.")
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
