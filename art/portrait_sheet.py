"""A small picture of what was made of a portrait: the photo, and the face in some of its states.

avatar character build tests/data/portrait/face.jpg -o out/portrait
python -m art.portrait_sheet out/portrait docs/portrait.webp
"""

import argparse
import json
import sys
from itertools import product
from pathlib import Path
from typing import Any, Final

from PIL import Image

State = dict[str, Any]

SIDE: Final = 300
ACROSS: Final = 4
GAP: Final = 6
SHOWN: Final[tuple[dict[str, State], ...]] = (
    {},
    {"mouth": {"opening": 0.72}},
    {"mouth": {"opening": 0.32, "width": -1.0}, "eyes": {"gaze": [-0.6, 0.05]}},
    {"mouth": {"opening": 0.1, "teeth": 1.0}},
    {
        "mouth": {"opening": 0.45, "smile": 1.0},
        "eyes": {"lid": 0.0, "squint": 1.0},
        "brows": {"raised": 0.5},
    },
    {"mouth": {"smile": -1.0}, "eyes": {"gaze": [0.0, 0.5]}, "brows": {"slant": 1.0}},
    {
        "mouth": {"opening": 0.18, "width": -0.5},
        "eyes": {"lid": -0.3},
        "brows": {"raised": 1.0},
    },
    {"eyes": {"lid": 1.0}},
)


def states(sheet: State) -> list[State]:
    if "states" in sheet:
        return list(sheet["states"])
    names, axes = list(sheet["axes"]), list(sheet["axes"].values())
    always = sheet.get("always", {})
    return [dict(zip(names, values, strict=True)) | always for values in product(*axes)]


def filled(state: State) -> State:
    return {name: value for name, value in state.items() if value not in (0, 0.0, [0.0, 0.0])}


def face(folder: Path, manifest: State, wanted: dict[str, State]) -> Image.Image:
    """The square frame with each part in the state that is wanted of it."""
    figure = Image.open(folder / manifest["figure"]).convert("RGBA")
    for part, state in wanted.items():
        left, top, right, bottom = manifest[part]["box"]
        tall = bottom - top
        for sheet in manifest[part]["sheets"]:
            for place, known in enumerate(states(sheet)):
                if filled(known) == filled(state):
                    images = Image.open(folder / sheet["file"]).convert("RGBA")
                    sprite = images.crop((0, place * tall, right - left, (place + 1) * tall))
                    figure.alpha_composite(sprite, (left, top))
    seen = figure.crop(tuple(manifest["frame"]))
    wall = Image.open(folder / manifest["wall"]).convert("RGBA").resize(seen.size)
    wall.alpha_composite(seen)
    return wall.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def main() -> int:
    parser = argparse.ArgumentParser(description="A contact sheet of a built portrait.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    manifest = json.loads((given.folder / "manifest.json").read_text())
    down = -(-len(SHOWN) // ACROSS)
    size = (ACROSS * (SIDE + GAP) - GAP, down * (SIDE + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    for place, wanted in enumerate(SHOWN):
        row, column = divmod(place, ACROSS)
        picture = face(given.folder, manifest, wanted)
        sheet.paste(picture, (column * (SIDE + GAP), row * (SIDE + GAP)))
    sheet.save(given.out, quality=80, method=6)
    return 0


if __name__ == "__main__":
    sys.exit(main())
