"""A character at one size, ready to be copied: YUV planes of the whole and of every state."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image

from worker.characters.backdrop import backdrop, badge
from worker.characters.folder import Character, Placement
from worker.characters.parts import Box, Overlay, Part, Sheet, even_pixels
from worker.characters.planes import (
    RGB_TO_YUV,
    Head,
    OverlayFrame,
    Planes,
    Rect,
    Region,
    Sprites,
    Words,
    centres,
    halved,
    rounded,
    smooth,
    to_planes,
)
from worker.errors import InputError
from worker.media import Plane
from worker.settings import Settings

MAX_PRELOADED: Final = 16
"""Characters that a parent of workers keeps ready: 80 MB at 512x512."""

FILTER: Final = Image.Resampling.LANCZOS
FILTER_REACH: Final = 3
"""Pixels around a place that the filter looks at."""

# Movements, in parts of the frame's height.
BREATH: Final = 3.0 / 1024
BREATH_HEAD: Final = 2.4 / 1024
"""How much of the breath lifts the head too."""
REACH: Final = 1.0 / 64
"""One unit of a pose's x and y."""
TURN: Final = 5.0 / 1024
"""How much further the face goes than the head when it turns all the way."""

FARTHEST: Final = 2.0
"""Units that a pose's x and y may have, whatever gestures and life add up to."""
MOST_TILT: Final = 3.0
"""Degrees."""

BREATH_STEP_PX: Final = 0.125
STEPS: Final = 8
"""The head stands on an eighth of a pixel: finer is not seen, and between the steps nothing has
to be drawn."""
TILT_STEPS: Final = 10
"""Per degree: a fifth of a pixel at the crown, at 512 pixels."""
SUBPIXELS: Final = 16
"""Shares in which two neighbours are mixed; an eighth of luma is a sixteenth of chroma."""


@dataclass(frozen=True, slots=True)
class Atlas:
    """Everything that is drawn of a character at one size; never written to once built."""

    character: Character
    placement: Placement
    width: int
    height: int
    rest: Planes
    breath_top: int
    breaths: list[Planes]
    """What is below `breath_top`, from breathed out to breathed in."""
    head: Head
    mouth: Sprites
    eyes: Sprites
    brows: Sprites
    overlays: Mapping[str, list[OverlayFrame]]
    badge: OverlayFrame | None

    @property
    def whole(self) -> Rect:
        return (0, 0, self.width, self.height)

    @property
    def frame_px(self) -> float:
        """The frame's height in the picture."""
        return self.character.frame.height * self.placement.scale

    @property
    def nbytes(self) -> int:
        """Memory of all its planes."""
        planes: list[Plane] = [*self.rest, *self.head.canvas]
        for breath in self.breaths:
            planes += breath
        for sprites in (self.mouth, self.eyes, self.brows):
            planes += sprites.states
        for film in (*(f for films in self.overlays.values() for f in films), self.badge):
            if film is not None:
                planes += [*film.colour, *film.alpha]
        words = [
            each
            for region in (self.head.region, self.head.face)
            if region is not None
            for each in (*region.mask, *region.still)
        ]
        return sum(plane.nbytes for plane in planes) + sum(each.nbytes for each in words)


def prepared(settings: Settings) -> Atlas:
    """The atlas of the character that `settings` name, built once. Raises InputError."""
    return _prepared(
        settings.character,
        settings.characters,
        settings.width,
        settings.height,
        settings.background,
        settings.badge,
    )


@lru_cache(maxsize=MAX_PRELOADED + 1)
def _prepared(
    character: str, folder: str, width: int, height: int, background: str, has_badge: bool
) -> Atlas:
    """An atlas is never written to, so all renderers and all forks of a process share it."""
    found = Character.find(character, folder)
    return _before(found, width, height, background, has_badge)


def build_for(character: Character, settings: Settings) -> Atlas:
    """The atlas of a character that was read already."""
    width, height = settings.width, settings.height
    return _before(character, width, height, settings.background, settings.badge)


def _before(
    character: Character, width: int, height: int, background: str, has_badge: bool
) -> Atlas:
    wall = backdrop(background, width, height)
    return build(character, width, height, wall, badge(width, height) if has_badge else None)


def build(
    character: Character,
    width: int,
    height: int,
    wall: Image.Image | None = None,
    corner: Image.Image | None = None,
) -> Atlas:
    """Scale `character` to a picture of width x height, before `wall` or its own.

    `corner` is drawn over the picture's lower right corner. Raises InputError for unusable files.
    """
    placement = character.place(width, height)
    figure = character.image(character.figure)
    behind = (wall or character.image(character.wall)).convert("RGBA")
    behind = behind.resize((width, height), Image.Resampling.BICUBIC)
    view = _FigureView(figure, behind, placement)
    rest = view.planes(figure, (0, 0), (0, 0, width, height))
    head = _head(character, placement, rest)
    breath_top, breaths = _breaths(character, placement, rest)

    def sprites(part: Part) -> Sprites:
        box = even_pixels(placement.to_picture(part.box))
        states = list(view.states(character, part, box))
        luma, chroma = (np.stack(each) for each in zip(*states, strict=True))
        return Sprites(box, (luma, chroma))

    return Atlas(
        character=character,
        placement=placement,
        width=width,
        height=height,
        rest=rest,
        breath_top=breath_top,
        breaths=breaths,
        head=head,
        mouth=sprites(character.mouth),
        eyes=sprites(character.eyes),
        brows=sprites(character.brows),
        overlays={
            name: _films(character, overlay, placement, width, height)
            for name, overlay in character.overlays.items()
        },
        badge=None if corner is None else _badge(corner, width, height),
    )


class _FigureView:
    """Figures before the wall, seen through the picture's frame."""

    def __init__(self, figure: Image.Image, wall: Image.Image, placement: Placement) -> None:
        self._figure = figure
        self._wall = wall
        self._placement = placement

    def planes(
        self, figure: Image.Image, origin: tuple[int, int], box: tuple[int, int, int, int]
    ) -> Planes:
        """What is seen within `box` of `figure`, whose top left corner stands at `origin`."""
        source = self._placement.to_figure(Box(*box))
        near = self._near(source)
        seen = figure.crop(
            (near[0] - origin[0], near[1] - origin[1], near[2] - origin[0], near[3] - origin[1])
        ).resize(
            (box[2] - box[0], box[3] - box[1]),
            FILTER,
            box=(
                source.left - near[0],
                source.top - near[1],
                source.right - near[0],
                source.bottom - near[1],
            ),
        )
        picture = self._wall.crop(box)
        picture.alpha_composite(seen)
        return to_planes(picture)

    def states(
        self, character: Character, part: Part, box: tuple[int, int, int, int]
    ) -> Iterator[Planes]:
        """What is seen within `box` of the figure in each state of a part."""
        near = self._near(self._placement.to_figure(Box(*box)))
        rest = self._figure.crop(near)
        place = (round(part.box.left) - near[0], round(part.box.top) - near[1])
        for sheet in part.sheets:
            for sprite in sprites(character, part, sheet):
                figure = rest.copy()
                figure.alpha_composite(sprite, place)
                yield self.planes(figure, near[:2], box)

    def _near(self, source: Box) -> tuple[int, int, int, int]:
        reach = source.grown(1 + FILTER_REACH * max(1.0, 1 / self._placement.scale))
        return (
            math.floor(reach.left),
            math.floor(reach.top),
            math.ceil(reach.right),
            math.ceil(reach.bottom),
        )


def sprites(character: Character, part: Part, sheet: Sheet) -> Iterator[Image.Image]:
    """The pictures of a sheet. Raises InputError where it has another size than it should."""
    width, height = round(part.box.width), round(part.box.height)
    yield from _rows(character, sheet.file, width, height, len(sheet.states))


def _rows(
    character: Character, file: str, width: int, height: int, rows: int
) -> Iterator[Image.Image]:
    image = character.image(file)
    if image.size != (width, height * rows):
        raise InputError(
            f"The character {character.source} cannot be used: {file} is "
            f"{image.width}x{image.height}, not {width}x{height * rows}; "
            "see `avatar character check`."
        )
    for row in range(rows):
        yield image.crop((0, row * height, width, (row + 1) * height))


def _region(
    whole: Box, fade_px: tuple[float, float, float, float], width: int, height: int
) -> Region:
    """`whole`, a rectangle of the picture that may reach beyond it, faded over `fade_px`."""
    box = even_pixels(whole.within(Box(0, 0, width, height)))
    left, top, right, bottom = box
    fade = [max(length, 1.0) for length in fade_px]

    def mask(step: int) -> Words:
        x, y = centres(left, right, step), centres(top, bottom, step)
        across = smooth((x - whole.left) / fade[0]) * smooth((whole.right - x) / fade[2])
        down = smooth((y - whole.top) / fade[1]) * smooth((whole.bottom - y) / fade[3])
        return np.asarray(np.rint(256 * np.outer(down, across)), np.uint16)

    luma, chroma = mask(1), mask(2)
    rows, columns = (np.flatnonzero(chroma.max(axis=axis) == 256) for axis in (1, 0))
    core = (left, top, left, top)
    if len(rows) and len(columns):
        core = (
            left + 2 * int(columns[0]),
            top + 2 * int(rows[0]),
            left + 2 * int(columns[-1]) + 2,
            top + 2 * int(rows[-1]) + 2,
        )
        # Where chroma is drawn whole, a pixel of luma may lack a 256th: nobody sees that.
        luma[core[1] - top : core[3] - top, core[0] - left : core[2] - left] = 256
    return Region(box, core, (luma, chroma), (256 - luma, 256 - chroma))


def _head(character: Character, placement: Placement, rest: Planes) -> Head:
    _, height, width = rest[0].shape
    scale = placement.scale
    whole = placement.to_picture(character.head)
    region = _region(whole, _scaled(character.head_fade, scale), width, height)
    face = None
    if character.face is not None:
        face = _region(
            placement.to_picture(character.face), _scaled(character.face_fade, scale), width, height
        )
    left, top, right, bottom = region.box
    frame = character.frame.height * scale
    lean = math.tan(math.radians(MOST_TILT)) * max(bottom - top, right - left)
    pad = 2 * math.ceil((frame * (FARTHEST * REACH + BREATH_HEAD + TURN) + lean) / 2) + 4

    def canvas(plane: Plane, step: int) -> Plane:
        more = pad // step
        wide = np.pad(plane, ((0, 0), (more, more), (more, more)), mode="edge")
        rows = slice(top // step, bottom // step + 2 * more)
        return np.ascontiguousarray(wide[:, rows, left // step : right // step + 2 * more])

    return Head(
        region=region,
        face=face,
        pad=pad,
        canvas=(canvas(rest[0], 1), canvas(rest[1], 2)),
        pivot_y=whole.bottom - character.head_fade[3] * scale / 2,
    )


def _scaled(
    lengths: tuple[float, float, float, float], scale: float
) -> tuple[float, float, float, float]:
    left, top, right, bottom = (length * scale for length in lengths)
    return left, top, right, bottom


def _breaths(character: Character, placement: Placement, rest: Planes) -> tuple[int, list[Planes]]:
    """The body from breathed out to breathed in: shoulders rise, neck and elbows stay."""
    height = rest[0].shape[1]
    reach = BREATH * character.frame.height * placement.scale
    low, high = ((y - placement.top) * placement.scale for y in character.shoulders)
    top = min(max(0, 2 * math.floor(low / 2)), height)

    def risen(plane: Plane, step: int, rise: float) -> Plane:
        y = centres(top, height, step)
        lift = smooth((y - low) / (high - low)) * smooth((height - y) / max(height - high, 1.0))
        last = plane.shape[1] - 1
        place = np.clip((y + rise * lift) / step - 0.5, 0, last)
        row = np.floor(place).astype(np.intp)
        share = (place - row).astype(np.float32)[:, None]
        below = np.minimum(row + 1, last)
        return rounded(plane[:, row] * (1 - share) + plane[:, below] * share)

    count = math.ceil(reach / BREATH_STEP_PX) + 1
    rises = np.linspace(0, reach, count)
    return top, [(risen(rest[0], 1, rise), risen(rest[1], 2, rise)) for rise in rises]


def _films(
    character: Character, overlay: Overlay, placement: Placement, width: int, height: int
) -> list[OverlayFrame]:
    """An overlay's pictures, each cut to what is seen of it."""
    columns, rows = round(overlay.box.width), round(overlay.box.height)
    placed = placement.to_picture(overlay.box)
    box = even_pixels(placed.within(Box(0, 0, width, height)))
    left, top, right, bottom = box
    films = []
    for image in _rows(character, overlay.file, columns, rows, overlay.frames):
        if right <= left or bottom <= top:
            films.append(_film(Image.new("RGBA", (2, 2)), 0, 0))
            continue
        source = placement.to_figure(Box(*box))
        near = source.grown(2 + FILTER_REACH * max(1.0, 1 / placement.scale)).whole
        origin = (near[0] - round(overlay.box.left), near[1] - round(overlay.box.top))
        size = (near[2] - near[0], near[3] - near[1])
        wide = image.crop((*origin, origin[0] + size[0], origin[1] + size[1]))
        seen = wide.resize(
            (right - left, bottom - top),
            FILTER,
            box=(
                source.left - near[0],
                source.top - near[1],
                source.right - near[0],
                source.bottom - near[1],
            ),
        )
        films.append(_film(seen, left, top))
    return films


def _film(image: Image.Image, left: int, top: int) -> OverlayFrame:
    """`image` at (left, top), cut to the smallest even rectangle that has something in it."""
    bounds = image.getchannel("A").point(lambda value: 255 if value > 1 else 0).getbbox()
    cut = even_pixels(Box(*(bounds or (0, 0, 2, 2))))
    rgba = np.asarray(image.crop(cut), np.float32)
    alpha = rgba[..., 3]
    # Colours of the half-sized planes are means weighted by how much of each is seen.
    seen = halved(rgba[..., :3] * alpha[..., None])
    weight = halved(alpha)
    chroma = (seen / np.maximum(weight, 1e-6)[..., None]) @ RGB_TO_YUV[1:].T + 128
    chroma[weight <= 0] = 128
    luma = rgba[..., :3] @ RGB_TO_YUV[0] + 16
    colour = (rounded(luma[None]), rounded(np.moveaxis(chroma, -1, 0).astype(np.float32)))
    box = (left + cut[0], top + cut[1], left + cut[2], top + cut[3])
    return OverlayFrame(box, colour, (rounded(alpha), rounded(weight)))


def _badge(image: Image.Image, width: int, height: int) -> OverlayFrame:
    margin = 2 * round(min(width, height) * 0.0156)
    left = max(0, width - margin - image.width) // 2 * 2
    top = max(0, height - margin - image.height) // 2 * 2
    return _film(image, left, top)
