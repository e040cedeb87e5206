"""A character at a glance: a contact sheet of all that it can show, and a script for its film."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from worker.characters import atlas
from worker.characters.acting import Mood
from worker.characters.atlas import Atlas
from worker.characters.backdrop import badge
from worker.characters.compositor import Compositor
from worker.characters.folder import Character
from worker.characters.life import Animator, Pose
from worker.characters.parts import Box, Part
from worker.lipsync.shape import VISEMES, MouthShape
from worker.media import FPS, Picture
from worker.tools.script import ScriptedAct
from worker.video import to_video_frame

WIDTH: Final = 2640
MARGIN: Final = 24
GAP: Final = 12
GROUND: Final = "#f4f2ee"
INK: Final = "#2b2a28"
FAINT: Final = "#85807a"
SIZES: Final = ((512, 512), (720, 720), (1280, 720))
LABEL: Final = 20
STRIP: Final = 8
"""Pictures of each gesture."""

MOUTHS: Final = {
    "sil": MouthShape(0.0, 0.0),
    "PP": MouthShape(0.0, 0.1),
    "FF": MouthShape(0.12, 0.1, teeth=1.0),
    "TH": MouthShape(0.2, 0.1, tongue=1.0),
    "DD": MouthShape(0.22, 0.2, tongue=1.0),
    "kk": MouthShape(0.22, 0.1),
    "CH": MouthShape(0.2, -0.6),
    "SS": MouthShape(0.1, 0.5),
    "nn": MouthShape(0.15, 0.2, tongue=1.0),
    "RR": MouthShape(0.22, -0.4),
    "aa": MouthShape(0.85, 0.1),
    "E": MouthShape(0.5, 0.5),
    "I": MouthShape(0.28, 0.9),
    "O": MouthShape(0.55, -0.7),
    "U": MouthShape(0.25, -1.0),
}
"""How each of `VISEMES` is held when it is said alone."""

FILM_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class PreviewCell:
    """One picture of the sheet and what it is."""

    image: Image.Image
    label: str


def contact_sheet(character: Character) -> Image.Image:
    """Everything it can show, labelled; 512-pixel pictures are shown pixel for pixel."""
    built = atlas.build(character, 512, 512)
    compositor = Compositor(built)
    rows = [
        ("Sizes", list(_sizes(character))),
        ("Mouth, by viseme", list(_mouths(compositor, built, Mood()))),
        *(
            (f"Mouth, {name}", list(_mouths(compositor, built, character.expressions[name])))
            for name in ("happy", "sad")
            if _smiles(character, name)
        ),
        ("Eyes: lids and gaze", list(_eyes(compositor, built))),
        ("Brows", list(_brows(compositor, built))),
        ("Expressions", list(_expressions(compositor, built, None))),
        ("Expressions, in speech", list(_expressions(compositor, built, MouthShape(0.5, 0.2)))),
        *(
            (f"Gesture: {name}", list(_gesture(character, compositor, built, name)))
            for name in character.gestures
        ),
        ("Badge and background", list(_backgrounds(character))),
    ]
    return _laid_out(character, rows)


def film_script(
    character: Character, offered: tuple[str, ...], seconds: float
) -> list[ScriptedAct]:
    """Every gesture and every expression of `offered`, spread over a film of so many seconds."""
    moods = [name for name in offered if name != "neutral"]
    gestures = [name for name in character.gestures if name != "wave_hello"]
    acts = [ScriptedAct("posture", "listening", at_s=0.0)]
    begin = 0.4
    if "wave_hello" in character.gestures:
        acts.append(ScriptedAct("gesture", "wave_hello", at_s=0.3))
        begin += character.gestures["wave_hello"].seconds
    # A gesture and an expression in turn, with a rest between expressions.
    steps: list[tuple[str, str]] = []
    for place in range(max(len(moods), len(gestures))):
        steps += [("expression", name) for name in moods[place : place + 1]]
        steps += [("gesture", name) for name in gestures[place : place + 1]]
    each = (seconds - 1.5 - begin) / max(1, len(steps))
    for place, (kind, name) in enumerate(steps):
        at_s = begin + place * each
        if kind == "expression":
            acts += [
                ScriptedAct("expression", name, 1.0, at_s),
                ScriptedAct("expression", "neutral", 1.0, at_s + max(0.8, each * 1.4)),
            ]
        else:
            acts.append(ScriptedAct("gesture", name, at_s=at_s + 0.3 * each))
    return acts


# Rows


def _sizes(character: Character) -> Iterator[PreviewCell]:
    for width, height in SIZES:
        compositor = Compositor(atlas.build(character, width, height))
        yield PreviewCell(rgb(compositor.picture(Pose(), None)), f"{width}x{height}")


def _smiles(character: Character, name: str) -> bool:
    smile = character.expressions[name].smile if name in character.expressions else 0.0
    return any(state[4] * smile > 0 for state in character.mouth.states)


def _mouths(compositor: Compositor, built: Atlas, mood: Mood) -> Iterator[PreviewCell]:
    for viseme in VISEMES:
        picture = compositor.picture(Pose(mood), MOUTHS[viseme])
        yield PreviewCell(rgb(picture).crop(_near(built, built.character.mouth, 0.35)), viseme)


def _eyes(compositor: Compositor, built: Atlas) -> Iterator[PreviewCell]:
    """Each lid straight on, and each gaze of the open eye."""
    part = built.character.eyes
    for lid, gaze_x, gaze_y, squint in part.states:
        if lid and (gaze_x or gaze_y):
            continue
        mood = Mood(lid=lid, gaze_x=gaze_x, gaze_y=gaze_y, squint=squint)
        words = [f"lid {lid:g}"] if lid else []
        words += [f"gaze {gaze_x:g} {gaze_y:g}"] if gaze_x or gaze_y else []
        words += [f"squint {squint:g}"] if squint else []
        picture = rgb(compositor.picture(Pose(mood), None))
        yield PreviewCell(
            picture.crop(_near(built, part, 0.25)), ", ".join(words) or "open, at you"
        )


def _brows(compositor: Compositor, built: Atlas) -> Iterator[PreviewCell]:
    part = built.character.brows
    for raised, slant, skew in part.states:
        mood = Mood(raised=raised, slant=slant, skew=skew)
        words = [
            f"{name} {value:g}"
            for name, value in (("raised", raised), ("slant", slant), ("skew", skew))
            if value
        ]
        picture = rgb(compositor.picture(Pose(mood), None))
        box = _near(built, part, 0.12)
        eyes = _near(built, built.character.eyes, 0.0)
        yield PreviewCell(
            picture.crop((box[0], box[1], box[2], max(box[3], eyes[3]))),
            ", ".join(words) or "at rest",
        )


def _expressions(
    compositor: Compositor, built: Atlas, mouth: MouthShape | None
) -> Iterator[PreviewCell]:
    for name, mood in built.character.expressions.items():
        if compositor.shows(name):
            yield PreviewCell(rgb(compositor.picture(Pose(mood), mouth)).crop(_head(built)), name)


def _gesture(
    character: Character, compositor: Compositor, built: Atlas, name: str
) -> Iterator[PreviewCell]:
    life = Animator(1, 1.0, character.gestures, character.expressions)
    life.gesture(name)
    ticks = round(character.gestures[name].seconds * FPS) + 3
    wanted = {round(place * (ticks - 1) / (STRIP - 1)) for place in range(STRIP)}
    for tick in range(ticks):
        pose = life.step()
        # Blinks come when they come; a gesture is looked at without them.
        if pose.mood.lid > 0.5:
            pose = Pose(pose.mood._replace(lid=0.0), pose.move, pose.breath, pose.overlay)
        if tick in wanted:
            picture = rgb(compositor.picture(pose, None))
            if character.gestures[name].overlay is None:
                picture = picture.crop(_head(built))
            else:
                picture = picture.resize((270, 270), Image.Resampling.LANCZOS)
            yield PreviewCell(picture, f"{tick / FPS:.2f} s")


def _backgrounds(character: Character) -> Iterator[PreviewCell]:
    for colour in ("#1f3d4a", "#e9dfd2", "#ffffff"):
        ground = Image.new("RGBA", (512, 512), colour)
        built = atlas.build(character, 512, 512, ground, badge(512, 512))
        yield PreviewCell(rgb(Compositor(built).picture(Pose(), None)), colour)


# Layout


def _near(built: Atlas, part: Part, margin: float) -> tuple[int, int, int, int]:
    """Around a part of the face, `margin` times its height more on every side."""
    placed = built.placement.to_picture(part.box)
    return placed.grown(margin * placed.height).within(Box(0, 0, 512, 512)).whole


def _head(built: Atlas) -> tuple[int, int, int, int]:
    return built.head.region.box


def rgb(picture: Picture) -> Image.Image:
    """A picture in the colours of a screen."""
    pixels = to_video_frame(picture).to_ndarray(format="rgb24")
    return Image.fromarray(np.asarray(pixels, np.uint8))


def _laid_out(character: Character, rows: list[tuple[str, list[PreviewCell]]]) -> Image.Image:
    title, heading, label = (ImageFont.load_default(size) for size in (48, 30, LABEL))
    sheet = Image.new("RGB", (WIDTH, 40_000), GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), character.title or character.name, INK, title)
    about = " · ".join(filter(None, (character.licence, character.made_by)))
    draw.text((MARGIN, MARGIN + 56), about, FAINT, label)
    y = MARGIN + 96
    for name, cells in rows:
        if not cells:
            continue
        draw.text((MARGIN, y), name, INK, heading)
        y += 40
        for line in _lines(cells):
            x = MARGIN
            tall = max(cell.image.height for cell in line)
            for cell in line:
                sheet.paste(cell.image, (x, y))
                draw.text((x, y + cell.image.height + 4), cell.label, FAINT, label)
                x += max(cell.image.width, round(draw.textlength(cell.label, label))) + GAP
            y += tall + 40
        y += 14
    return sheet.crop((0, 0, WIDTH, y))


def _lines(cells: list[PreviewCell]) -> Iterator[list[PreviewCell]]:
    """Cells in lines that fit the sheet, about equally full."""
    label = ImageFont.load_default(LABEL)
    widths = np.array(
        [max(cell.image.width, round(label.getlength(cell.label))) + GAP for cell in cells]
    )
    lines = int(np.ceil(widths.sum() / (WIDTH - 2 * MARGIN + GAP)))
    each = int(np.ceil(len(cells) / lines))
    if widths.sum() <= WIDTH - 2 * MARGIN + GAP:
        each = len(cells)
    for _, group in groupby(enumerate(cells), key=lambda numbered: numbered[0] // each):
        yield [cell for _, cell in group]
