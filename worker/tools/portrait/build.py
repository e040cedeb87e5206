"""Puts a portrait's figure, wall and states into a character's folder."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from worker.errors import InputError
from worker.tools.portrait import brows, eyes, figure, mouth
from worker.tools.portrait.figure import Figure
from worker.tools.portrait.landmarks import FILE, Landmarks
from worker.tools.portrait.mouth_geometry import Mouth
from worker.tools.portrait.warp import Floats

Box = tuple[int, int, int, int]

MANIFEST: Final = "manifest.json"
MAX_SIDE: Final = 16_000
"""WebP takes 16383 pixels a side."""
FIGURE_QUALITY: Final = 92
QUALITY: Final = 88
METHOD: Final = 4

OPENINGS: Final = (0.0, 0.08, 0.18, 0.32, 0.5, 0.72, 1.0)
WIDTHS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)
HAPPY_OPENINGS: Final = (0.0, 0.1, 0.25, 0.45, 0.75)
SAD_OPENINGS: Final = (0.0, 0.12, 0.3, 0.6)
MOOD_WIDTHS: Final = (-0.7, 0.0, 0.7)
LIDS: Final = (-0.3, 0.0, 0.3, 0.65, 1.0)
SQUINT_LIDS: Final = (0.0, 0.4, 1.0)
GAZES: Final = ((0.0, 0.0), (-0.6, 0.05), (0.6, 0.05), (0.0, -0.5), (0.0, 0.5), (-0.45, -0.45))
RAISED: Final = (-0.5, 0.0, 0.5, 1.0)
SLANTS: Final = (-1.0, 0.0, 1.0)

Axes = Mapping[str, Sequence[object]]


@dataclass(frozen=True, slots=True)
class DrawnSheet:
    """One sheet: what the manifest says of it, and its pictures, one for each state."""

    file: str
    entry: Mapping[str, object]
    pictures: list[Floats]


def build(photo: Image.Image, face: Landmarks, folder: Path, title: str, *, force: bool) -> None:
    """Make the character of an upright RGB photo with that face in it, whole or not at all.

    Raises InputError when `folder` cannot be written, or is there already and not `force`.
    """
    if folder.exists() and not force:
        raise InputError(f"{folder} is there already; name another folder or add --force.")
    if folder.exists() and not _replaceable(folder):
        raise InputError(f"{folder} holds other things than a character; name another folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as work:
            made = Path(work) / "made"
            made.mkdir()
            _write(photo, face, made, title)
            if folder.exists():
                folder.replace(Path(work) / "old")
            made.replace(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror or error}).") from error


def _replaceable(folder: Path) -> bool:
    """Whether nothing is lost that is no character: a folder with a manifest, or an empty one."""
    return folder.is_dir() and ((folder / MANIFEST).is_file() or not any(folder.iterdir()))


def _write(photo: Image.Image, face: Landmarks, folder: Path, title: str) -> None:
    made = figure.make(photo, face)
    lips, looks, lines = mouth.MouthPainter(made), eyes.EyePainter(made), brows.BrowPainter(made)
    _save(made.pixels, folder / "figure.webp", FIGURE_QUALITY)
    figure.wall(made).save(folder / "wall.webp", quality=90, method=METHOD)
    face.write(folder / FILE, photo.size)
    parts = {
        "mouth": (lips.box, _mouths(lips)),
        "eyes": (looks.box, _eyes(looks)),
        "brows": (lines.box, _brows(lines)),
    }
    for _, sheets in parts.values():
        for sheet in sheets:
            _save(np.concatenate(sheet.pictures), folder / sheet.file, QUALITY)
    entries: dict[str, dict[str, object]] = {
        name: {
            "box": list(box),
            "sheets": [{"file": sheet.file, **sheet.entry} for sheet in sheets],
        }
        for name, (box, sheets) in parts.items()
    }
    entries["mouth"]["inside"] = list(lips.inside)
    boxes = {name: box for name, (box, _) in parts.items()}
    manifest = {"version": 2, "title": title} | _manifest(made, boxes) | entries
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _mouths(painter: mouth.MouthPainter) -> list[DrawnSheet]:
    def draw(state: Mapping[str, float]) -> Floats:
        return painter.draw(Mouth(**state))

    height = painter.box[3] - painter.box[1]
    sheets = _product("mouths", {"opening": OPENINGS, "width": WIDTHS}, {}, draw, height)
    moods: list[tuple[str, tuple[float, ...], dict[str, float]]] = [
        ("mouths_happy", HAPPY_OPENINGS, {"smile": 1.0}),
        ("mouths_sad", SAD_OPENINGS, {"smile": -1.0}),
    ]
    for name, openings, always in moods:
        axes = {"opening": openings, "width": MOOD_WIDTHS}
        sheets += _product(name, axes, always, draw, height)
    others: list[dict[str, float]] = [
        {"opening": 0.0, "width": 0.0, "smile": 0.5},
        {"opening": 0.0, "width": 0.0, "smile": -0.5},
        {"opening": 0.1, "width": 0.0, "teeth": 1.0},
        {"opening": 0.1, "width": 0.6, "teeth": 1.0},
        {"opening": 0.1, "width": 0.0, "teeth": 1.0, "smile": 1.0},
        {"opening": 0.25, "width": 0.0, "tongue": 1.0},
        {"opening": 0.45, "width": 0.0, "tongue": 1.0},
        {"opening": 0.3, "width": 0.0, "tongue": 1.0, "smile": 1.0},
    ]
    sheets.append(
        DrawnSheet("mouths_more.webp", {"states": others}, [draw(each) for each in others])
    )
    return sheets


def _eyes(painter: eyes.EyePainter) -> list[DrawnSheet]:
    def draw(state: Mapping[str, float], gaze: tuple[float, float]) -> Floats:
        return painter.draw(eyes.Eyes(state["lid"], gaze, state.get("squint", 0.0)))

    sheets = []
    for name, lids, always in (
        ("eyes", LIDS, {}),
        ("eyes_squint", SQUINT_LIDS, {"squint": 1.0}),
    ):
        pictures = [draw({"lid": lid, **always}, gaze) for lid, gaze in product(lids, GAZES)]
        axes = {"lid": list(lids), "gaze": [list(gaze) for gaze in GAZES]}
        entry: dict[str, object] = {"axes": axes}
        if always:
            entry["always"] = always
        sheets.append(DrawnSheet(f"{name}.webp", entry, pictures))
    return sheets


def _brows(painter: brows.BrowPainter) -> list[DrawnSheet]:
    def draw(state: Mapping[str, float]) -> Floats:
        return painter.draw(brows.Brows(**state))

    height = painter.box[3] - painter.box[1]
    skewed = [{"raised": 0.0, "skew": 1.0}, {"raised": 0.5, "skew": 1.0}]
    return [
        *_product("brows", {"raised": RAISED, "slant": SLANTS}, {}, draw, height),
        DrawnSheet("brows_skew.webp", {"states": skewed}, [draw(each) for each in skewed]),
    ]


def _product(
    name: str,
    axes: Mapping[str, tuple[float, ...]],
    always: Mapping[str, float],
    draw: Callable[[Mapping[str, float]], Floats],
    height: int,
) -> list[DrawnSheet]:
    """Sheets with every combination, as many as pictures of that height need."""
    (first, values), (second, others) = axes.items()
    rows = max(1, MAX_SIDE // (height * len(others)))
    pieces = [values[place : place + rows] for place in range(0, len(values), rows)]
    sheets = []
    for number, piece in enumerate(pieces):
        file = f"{name}.webp" if len(pieces) == 1 else f"{name}_{number + 1}.webp"
        pictures = [draw({first: a, second: b, **always}) for a, b in product(piece, others)]
        entry: dict[str, object] = {"axes": {first: list(piece), second: list(others)}}
        if always:
            entry["always"] = dict(always)
        sheets.append(DrawnSheet(file, entry, pictures))
    return sheets


def _save(pixels: Floats, path: Path, quality: int) -> None:
    opaque = float(pixels[..., 3].min()) >= 255
    picture = figure.to_picture(pixels[..., :3] if opaque else pixels)
    # Sharp chroma: lips are small and red, and half the chroma would be lost at their edges.
    picture.save(path, quality=quality, method=METHOD, exact=True, use_sharp_yuv=True)


def _manifest(made: Figure, boxes: Mapping[str, Box]) -> dict[str, object]:
    """What stands in a manifest besides the title and the parts."""
    left, top, side = made.frame
    columns, rows = made.size
    face = made.face
    tall = face.height
    low, high = float(face.oval[:, 0].min()), float(face.oval[:, 0].max())
    wide = high - low
    least = side / 32 + 2
    neck, aside = 0.17 * tall, 0.34 * wide
    head = (
        max(0, low - 0.50 * wide),
        max(0, float(face.oval[:, 1].min()) - 0.62 * tall),
        min(columns, high + 0.50 * wide),
        min(rows, boxes["mouth"][3] + neck),
    )
    face_box = (
        low + 0.02 * wide,
        boxes["brows"][1],
        high - 0.02 * wide,
        float(face.chin[1]) + 0.02 * tall,
    )
    chin = float(face.chin[1])
    return {
        "licence": "that of the photo",
        "made_by": "avatar character build",
        "figure": "figure.webp",
        "figure_height": rows,
        "wall": "wall.webp",
        "frame": [left, top, left + side, top + side],
        "head": {
            "box": _whole(head),
            "fade": _whole([max(least, fade) for fade in (aside, 0.26 * tall, aside, neck)]),
        },
        "face": {
            "box": _whole(face_box),
            "fade": _whole((0.20 * wide, 0.12 * tall, 0.20 * wide, 0.14 * tall)),
        },
        "shoulders": {"from": round(chin + 0.30 * tall), "to": round(chin + 0.62 * tall)},
    }


def _whole(values: Sequence[float]) -> list[int]:
    return [round(value) for value in values]
