"""A character for tests, drawn in a moment: a disc for a head, a few states of each part."""

import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

SKIN = (230, 190, 160, 255)
DARK = (40, 10, 15, 255)
MOUTH = (80, 130, 176, 170)
EYES = (80, 80, 176, 104)
BROWS = (80, 56, 176, 72)

OPENINGS = (0.0, 0.2, 0.5, 1.0)
SMILES = (0.0, 1.0)


def manifest() -> dict[str, Any]:
    """What describes the pictures of `draw`."""
    return {
        "version": 2,
        "title": "Dot",
        "licence": "Apache-2.0",
        "made_by": "tests",
        "figure": "figure.png",
        "figure_height": 320,
        "wall": "wall.png",
        "frame": [0, 0, 256, 256],
        "head": {"box": [40, 20, 216, 196], "fade": [12, 12, 12, 16]},
        "face": {"box": [70, 50, 186, 176], "fade": [8, 6, 8, 6]},
        "shoulders": {"from": 190, "to": 230},
        "mouth": {
            "box": list(MOUTH),
            "inside": [100, 136, 156, 166],
            "sheets": [{"file": "mouths.png", "axes": {"opening": [*OPENINGS], "smile": [0, 1]}}],
        },
        "eyes": {
            "box": list(EYES),
            "sheets": [
                {"file": "eyes.png", "axes": {"lid": [0, 0.5, 1], "gaze": [[0, 0], [-0.6, 0]]}}
            ],
        },
        "brows": {
            "box": list(BROWS),
            "sheets": [{"file": "brows.png", "axes": {"raised": [0, 1]}}],
        },
        "overlays": {"hand": {"file": "hand.png", "box": [180, 120, 250, 220], "frames": 3}},
        "gestures": {
            "wave_hello": {
                "seconds": 1.2,
                "keys": [[0.3, {"tilt": 1}], [0.9, {"tilt": -1}]],
                "overlay": "hand",
                "frames": [0, 1, 2, 1, 2, 1, 0],
                "expression": ["happy", 0.8],
            }
        },
        "expressions": {"happy": {"smile": 1, "raised": 1}},
    }


def draw(folder: Path, **changes: Any) -> Path:
    """A character in `folder`, its manifest with `changes` at its top."""
    folder.mkdir(parents=True, exist_ok=True)
    figure = Image.new("RGBA", (256, 320), (0, 0, 0, 0))
    pen = ImageDraw.Draw(figure)
    pen.rectangle((30, 215, 226, 320), fill=(40, 90, 110, 255))
    pen.rectangle((108, 170, 148, 230), fill=SKIN)
    pen.ellipse((60, 30, 196, 192), fill=SKIN)
    figure.alpha_composite(_mouth(0.0, 0.0), MOUTH[:2])
    figure.alpha_composite(_eyes(0.0, 0.0), EYES[:2])
    figure.alpha_composite(_brows(0.0), BROWS[:2])
    figure.save(folder / "figure.png")
    Image.new("RGB", (64, 64), (200, 210, 215)).save(folder / "wall.png")
    _stack(folder / "mouths.png", [_mouth(o, s) for o in OPENINGS for s in SMILES])
    _stack(folder / "eyes.png", [_eyes(lid, x) for lid in (0.0, 0.5, 1.0) for x in (0.0, -0.6)])
    _stack(folder / "brows.png", [_brows(raised) for raised in (0.0, 1.0)])
    _stack(folder / "hand.png", [_hand(place) for place in range(3)])
    (folder / "manifest.json").write_text(json.dumps(manifest() | changes))
    return folder


def _mouth(opening: float, smile: float) -> Image.Image:
    image, pen = _sheet(MOUTH)
    pen.line((28, 20 - 4 * smile, 68, 20 - 4 * smile), fill=(170, 80, 80, 255), width=2)
    if opening:
        pen.ellipse((30, 20 - 12 * opening, 66, 21 + 12 * opening), fill=DARK)
    return image


def _eyes(lid: float, gaze: float) -> Image.Image:
    image, pen = _sheet(EYES)
    for x in (26, 70):
        pen.ellipse((x - 10, 4, x + 10, 20), fill="white")
        pen.ellipse((x - 4 + 6 * gaze, 8, x + 4 + 6 * gaze, 16), fill=DARK)
        pen.rectangle((x - 11, 3, x + 11, 3 + 18 * lid), fill=SKIN)
    return image


def _brows(raised: float) -> Image.Image:
    image, pen = _sheet(BROWS)
    for x in (16, 60):
        pen.line((x, 10 - 6 * raised, x + 20, 10 - 6 * raised), fill=DARK, width=3)
    return image


def _hand(place: int) -> Image.Image:
    image = Image.new("RGBA", (70, 100), (0, 0, 0, 0))
    left = 10 + 12 * place
    ImageDraw.Draw(image).ellipse((left, 20, left + 30, 60), fill=(230, 190, 160, 200))
    return image


def _sheet(box: tuple[int, int, int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGBA", (box[2] - box[0], box[3] - box[1]), SKIN)
    return image, ImageDraw.Draw(image)


def _stack(path: Path, rows: list[Image.Image]) -> None:
    width, height = rows[0].size
    image = Image.new("RGBA", (width, height * len(rows)))
    for place, row in enumerate(rows):
        image.paste(row, (0, place * height))
    image.save(path)
