"""Everything that is wrong with a character, each in one line that says what to do."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from worker.characters.acting import EXPRESSIONS, Mood, Move
from worker.characters.atlas import build
from worker.characters.compositor import Compositor
from worker.characters.folder import Character
from worker.characters.gauge import dark_share
from worker.characters.life import Pose
from worker.characters.manifest import PARAMETERS
from worker.characters.parts import Box, Part, Sheet
from worker.characters.source import open_source, picture, picture_size
from worker.errors import InputError
from worker.lipsync.shape import MouthShape

SEAM: Final = 24
"""A step in colour (of 255) at a sprite's edge that is seen as a line."""
SEAM_SHARE: Final = 0.02
"""Of the edge's pixels that may step so far: single pixels are nobody's line."""
LINE_SHARE: Final = 0.1
"""Of the edge's pixels: a line that everybody sees."""
SHUT_LID: Final = 0.9
"""From here on all gazes look alike, as the eye cannot be seen."""
CHANGED: Final = 8
"""A change in colour (of 255) that is seen."""
SHUT_DARK: Final = 0.005
"""Of the mouth's inside that may look dark when it is shut."""

SIZES: Final = ((512, 512), (720, 720), (1280, 720))
MOST_MB: Final = 40
"""Memory that a character may take, shared by all workers of a machine."""
DRAWN: Final = 60

SEEN_AT: Final = 512
"""The size at which a mouth is judged: what most viewers see."""

Pixels = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Comment:
    """One line about a character. `wrong`: it has to be fixed; else it may stay."""

    wrong: bool
    line: str
    is_fact: bool = False

    def __str__(self) -> str:
        kind = "wrong" if self.wrong else "fact" if self.is_fact else "note"
        return f"{kind:5}  {self.line}"


def findings(path: Path) -> Iterator[Comment]:
    """All that can be found out about the character at `path` by looking at its pictures.

    Raises InputError where there is no folder and no .zip.
    """
    source = open_source(path)
    character, faults, strangers = Character.parse(source)
    yield from (Comment(True, fault) for fault in faults)
    yield from (Comment(False, stranger) for stranger in strangers)
    if character is None:
        return
    yield from _words(character)
    pictures = list(_pictures(character))
    yield from pictures
    if any(each.wrong for each in pictures):
        return
    yield from _look(character)
    yield from _costs(character)


def _words(character: Character) -> Iterator[Comment]:
    if not character.licence:
        yield Comment(True, "licence: is missing; say under which licence the drawings are.")
    if not character.title:
        yield Comment(True, "title: is missing; say what the character is called.")
    if not character.made_by:
        yield Comment(False, "made_by: is missing; say who or what drew it.")


def _pictures(character: Character) -> Iterator[Comment]:
    """Files that are missing, unusable or of another size than the manifest says."""
    wanted: list[tuple[str, tuple[int, int] | None, str]] = [(character.wall, None, "")]
    for part in (character.mouth, character.eyes, character.brows):
        for sheet in part.sheets:
            size = (int(part.box.width), int(part.box.height) * len(sheet.states))
            wanted.append((sheet.file, size, f"{len(sheet.states)} states of the {part.name}"))
    for name, overlay in character.overlays.items():
        size = (int(overlay.box.width), int(overlay.box.height) * overlay.frames)
        wanted.append((overlay.file, size, f"{overlay.frames} frames of {name}"))
    for file, due, what in wanted:
        try:
            has = picture_size(character.source, file)
        except InputError as error:
            yield Comment(True, str(error))
            continue
        if due is not None and has != due:
            yield Comment(
                True, f"{file}: is {has[0]}x{has[1]}, but {what} are {due[0]}x{due[1]}; "
                "draw it anew, or fix the manifest's box or states.",
            )  # fmt: skip
    try:
        width, height = picture_size(character.source, character.figure)
    except InputError as error:
        yield Comment(True, str(error))
        return
    if abs(height - character.figure_height) > 0.5:
        yield Comment(True, f"figure_height: is {character.figure_height:g}, but "
                      f"{character.figure} is {height} high; write that.")  # fmt: skip
    whole = Box(0, 0, width, height)
    boxes = {"frame": character.frame, "head.box": character.head}
    boxes |= {f"overlays.{name}.box": each.box for name, each in character.overlays.items()}
    for name, box in boxes.items():
        if name != "frame" and not whole.contains(box):
            yield Comment(True, f"{name}: reaches beyond {character.figure} ({width}x{height}).")
    if not whole.overlaps(character.frame):
        yield Comment(True, f"frame: shows nothing of {character.figure} ({width}x{height}).")
    if character.shoulders[1] >= height:
        yield Comment(True, f"shoulders: reach beyond {character.figure} ({width}x{height}).")


def _look(character: Character) -> Iterator[Comment]:
    """What is seen in the pictures."""
    figure = picture(character.source, character.figure)
    looks = {}
    for part in (character.mouth, character.eyes, character.brows):
        look = looks[part.name] = PartLook(character, figure, part)
        yield from look.findings()
    yield from _shut(looks["mouth"], character)
    yield from _lids(looks["eyes"], character)
    yield from _expressions(looks, character)
    yield from _overlays(character)


class PartLook:
    """A part's states as they are seen in the figure, opaque."""

    def __init__(self, character: Character, figure: Image.Image, part: Part) -> None:
        self.part = part
        self.rest = figure.crop(part.box.whole)
        self.states: list[Pixels] = []
        self._files: list[tuple[Sheet, int]] = []
        for sheet in part.sheets:
            image = picture(character.source, sheet.file)
            width, height = int(part.box.width), int(part.box.height)
            for row in range(len(sheet.states)):
                state = self.rest.copy()
                state.alpha_composite(image.crop((0, row * height, width, (row + 1) * height)))
                self.states.append(_pixels(state))
                self._files.append((sheet, row))

    def name(self, place: int) -> str:
        """Such as ``mouths.webp, state 3 (opening 0.3)``."""
        sheet, row = self._files[place]
        values = zip(PARAMETERS[self.part.name], sheet.states[row], strict=True)
        values_text = ", ".join(f"{name} {value:g}" for name, value in values if value) or "all 0"
        return f"{sheet.file}, state {row} ({values_text})"

    def findings(self) -> Iterator[Comment]:
        """Seams at the edges, and states that are declared twice, drawn alike or out of place."""
        rest = _pixels(self.rest)
        yield from self._seams(rest)
        first: dict[tuple[float, ...], int] = {}
        for place, values in enumerate(self.part.states):
            if values in first:
                yield Comment(False, f"{self.name(place)}: is never drawn, as "
                              f"{self.name(first[values])} is the same; leave it out.")  # fmt: skip
            first.setdefault(values, place)
        nearest = self.nearest({})
        change = np.abs(self.states[nearest] - rest).max(axis=-1) > SEAM
        if change.mean() > SEAM_SHARE:
            yield Comment(True, f"{self.name(nearest)}: is the {self.part.name} at rest, but "
                          "differs from the figure; draw the figure with it.")  # fmt: skip
        for a, b in itertools.pairwise(range(len(self.states))):
            shut = self.part.name == "eyes" and self.part.states[a][0] >= SHUT_LID
            if not shut and np.array_equal(self.states[a], self.states[b]):
                yield Comment(False, f"{self.name(b)}: looks exactly as {self.name(a)}; draw a "
                              "difference.")  # fmt: skip

    def _seams(self, rest: Pixels) -> Iterator[Comment]:
        """One line for each sheet and edge: the worst of its states."""
        worst: dict[tuple[str, str], list[tuple[float, int]]] = {}
        for place, state in enumerate(self.states):
            for edge, share in _edges(state, rest).items():
                if share > SEAM_SHARE:
                    file = self._files[place][0].file
                    worst.setdefault((file, edge), []).append((share, place))
        for (_, edge), found in worst.items():
            share, place = max(found)
            more = f", and {len(found) - 1} other states" if len(found) > 1 else ""
            yield Comment(share > LINE_SHARE, f"{self.name(place)}{more}: differs from the figure "
                          f"along {share:.0%} of the {edge} edge, a seam; draw it alike there, or "
                          f"make {self.part.name}.box larger.")  # fmt: skip

    def nearest(self, wanted: dict[str, float]) -> int:
        return self.part.nearest(tuple(wanted.get(n, 0.0) for n in PARAMETERS[self.part.name]))


def _shut(mouth: PartLook, character: Character) -> Iterator[Comment]:
    """A mouth at opening 0 has to be shut, and there has to be one."""
    part = mouth.part
    shut = [place for place, state in enumerate(part.states) if state[0] == 0]
    if not shut:
        yield Comment(True, "mouth.sheets: have no state with opening 0; draw the shut mouth.")
        return
    inside = character.inside_mouth
    left, top = round(inside.left - part.box.left), round(inside.top - part.box.top)
    scale = SEEN_AT / character.frame.width
    window = (slice(top, top + round(inside.height)), slice(left, left + round(inside.width)))
    wide = max(range(len(part.states)), key=lambda place: part.states[place][0])
    for place in shut:
        dark = darkness(mouth.states[place][window], scale)
        if dark > SHUT_DARK:
            yield Comment(True, f"{mouth.name(place)}: is not shut, {dark:.1%} of mouth.inside is "
                          "dark; let the lips meet, or make mouth.inside smaller.")  # fmt: skip
    if darkness(mouth.states[wide][window], scale) < 10 * SHUT_DARK:
        yield Comment(True, f"{mouth.name(wide)}: shows no dark inside within mouth.inside; "
                      "open it, or move mouth.inside to where it opens.")  # fmt: skip
    openings = sorted({state[0] for state in part.states})
    if len(openings) < 4:
        yield Comment(False, f"mouth.sheets: have {len(openings)} openings; four or more let "
                      "speech flow.")  # fmt: skip
    for smile in sorted({state[4] for state in part.states} - {0.0}):
        if not any(state[0] == 0 and state[4] == smile for state in part.states):
            yield Comment(True, f"mouth.sheets: have no shut mouth with smile {smile:g}; draw "
                          "one, or p, b and m cannot be seen with it.")  # fmt: skip


def _lids(eyes: PartLook, character: Character) -> Iterator[Comment]:
    if not any(state[0] >= 0.9 for state in eyes.part.states):
        yield Comment(True, "eyes.sheets: have no state with lid 1; draw shut eyes, for blinks.")
    if not any(state[0] <= 0.1 for state in eyes.part.states):
        yield Comment(True, "eyes.sheets: have no state with lid 0; draw open eyes.")


def _expressions(looks: dict[str, PartLook], character: Character) -> Iterator[Comment]:
    def drawn(mood: Mood) -> list[int]:
        parts = parts_of(mood)
        return [look.nearest(parts[name]) for name, look in looks.items()]

    rest = drawn(Mood())
    for name, mood in character.expressions.items():
        if name == "neutral":
            continue
        same = all(
            _change(look.states[a], look.states[b]) <= CHANGED
            for look, a, b in zip(looks.values(), rest, drawn(mood), strict=True)
        )
        if same:
            by_us = name in EXPRESSIONS and mood == EXPRESSIONS[name]
            what = "is not offered, as no state of this character shows it; draw some"
            if not by_us:
                what = "changes no pixel; draw states for it, or leave it out"
            yield Comment(not by_us, f"expressions.{name}: {what}.")


def _overlays(character: Character) -> Iterator[Comment]:
    for name, overlay in character.overlays.items():
        image = picture(character.source, overlay.file)
        if not np.asarray(image.getchannel("A")).any():
            yield Comment(True, f"overlays.{name}: shows nothing; draw it, with alpha.")
        users = [each for each, g in character.gestures.items() if g.overlay == name]
        if not users:
            yield Comment(False, f"overlays.{name}: is used by no gesture; leave it out.")
    for name, gesture in character.gestures.items():
        idle = all(not any(move) for _, move in gesture.keys)
        if idle and gesture.overlay is None and gesture.expression is None:
            yield Comment(True, f"gestures.{name}: moves nothing; give it keys or an overlay.")


def _costs(character: Character) -> Iterator[Comment]:
    """What it takes at each size, and whether that is too much."""
    for width, height in SIZES:
        built = build(character, width, height)
        memory_mb = built.nbytes / 1e6
        cost_ms = _cost_ms(Compositor(built))
        fact = f"{width}x{height}: {memory_mb:.1f} MB, {cost_ms:.2f} ms of CPU for a moved picture"
        yield Comment(False, fact + ".", is_fact=True)
        if memory_mb > MOST_MB:
            yield Comment(True, f"{width}x{height}: takes {memory_mb:.0f} MB of at most {MOST_MB}; "
                          "draw fewer states, or smaller boxes.")  # fmt: skip


def _cost_ms(compositor: Compositor) -> float:
    """The median CPU time of pictures in which all has changed."""
    costs = []
    for number in range(DRAWN):
        move = Move(x=number % 3 / 8, tilt=number % 5 / 4, turn=number % 2 / 2)
        stance = compositor.stance(Pose(move=move), MouthShape(number % 4 / 4, 0.0))
        begin = time.process_time()
        compositor.draw(stance)
        costs.append(1000 * (time.process_time() - begin))
    return float(np.median(costs))


def parts_of(mood: Mood) -> dict[str, dict[str, float]]:
    """What a mood asks of mouth, eyes and brows while nothing is said."""
    return {
        "mouth": {"opening": mood.opening, "width": mood.width, "smile": mood.smile},
        "eyes": {
            "lid": mood.lid, "gaze_x": mood.gaze_x, "gaze_y": mood.gaze_y, "squint": mood.squint,
        },
        "brows": {"raised": mood.raised, "slant": mood.slant, "skew": mood.skew},
    }  # fmt: skip


def darkness(pixels: Pixels, scale: float) -> float:
    """The share of a region that is as dark as a mouth's inside, seen in a picture of 512."""
    luma = Image.fromarray((16 + pixels @ np.array([0.257, 0.504, 0.098])).astype(np.uint8))
    size = (max(8, round(luma.width * scale)), max(8, round(luma.height * scale)))
    seen = luma.resize(size, Image.Resampling.LANCZOS)
    return dark_share(np.asarray(seen, np.float32), SEEN_AT)


def _pixels(image: Image.Image) -> Pixels:
    """Colours before white where it is transparent, shape (rows, columns, 3)."""
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image)
    return np.asarray(ground.convert("RGB"), np.int16)


def _change(a: Pixels, b: Pixels) -> float:
    """The 99.9th percentile of the change in colour: a few pixels of coding noise are none."""
    return float(np.percentile(np.abs(a - b).max(axis=-1), 99.9))


def _edges(state: Pixels, rest: Pixels) -> dict[str, float]:
    """The share of pixels of each edge that step away from the figure."""
    change = np.abs(state - rest).max(axis=-1) > SEAM
    edges = {"left": change[:, 0], "top": change[0], "right": change[:, -1], "bottom": change[-1]}
    return {name: float(edge.mean()) for name, edge in edges.items()}
