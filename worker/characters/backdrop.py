"""What is behind a character instead of its wall, and the badge that says that it is no human."""

import re
from typing import Final

from PIL import Image, ImageDraw, ImageOps

from worker.characters.pictures import BROKEN, DRAWN, opened, regular, upright
from worker.characters.source import MAX_FILE, bounded, expanded
from worker.errors import InputError

COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
SMOOTH: Final = 8
"""The badge is drawn so many times larger and scaled down: smooth edges."""

BADGE_HEIGHT: Final = 0.06
"""In parts of the picture's shorter side: 30 pixels at 512."""


def backdrop(choice: str, width: int, height: int) -> Image.Image | None:
    """The picture behind the figure: a colour ``#rrggbb``, or a file that fills it, cut to fit.

    None for "", which leaves the character its own wall. Raises InputError.
    """
    if not choice:
        return None
    if COLOUR.fullmatch(choice):
        return Image.new("RGBA", (width, height), choice)
    path = expanded(choice)
    regular(path, "a WebP, PNG or JPEG")
    try:
        if path.stat().st_size > MAX_FILE:
            raise InputError(f"The background {choice} is longer than {MAX_FILE // 2**20} MB.")
        with opened(path, DRAWN) as image:
            bounded(image.size, choice)
            pixels = upright(image).convert("RGB")
    except BROKEN as error:
        raise InputError(
            f"The background {choice!r} cannot be used "
            f"({error.strerror if isinstance(error, OSError) and error.strerror else 'no picture'}"
            "); give a colour such as #20404f, or a WebP, PNG or JPEG."
        ) from error
    return ImageOps.fit(pixels, (width, height), Image.Resampling.LANCZOS).convert("RGBA")


def badge(width: int, height: int) -> Image.Image:
    """A small plate that says AI, for the picture's corner; its sides are even.

    Its letters are drawn here, as no font is sure to be there.
    """
    tall = 2 * round(min(width, height) * BADGE_HEIGHT / 2)
    wide = 2 * round(tall * 0.78)
    unit = tall * SMOOTH / 28
    image = Image.new("RGBA", (wide * SMOOTH, tall * SMOOTH), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(
        (0, 0, image.width - 1, image.height - 1), 8 * unit, fill=(18, 22, 30, 190)
    )
    draw.rounded_rectangle(
        (unit, unit, image.width - 1 - unit, image.height - 1 - unit),
        7 * unit,
        outline=(255, 255, 255, 150),
        width=max(1, round(unit)),
    )
    middle = image.width / 2 + 2.6 * unit

    def at(x: float, y: float) -> tuple[float, float]:
        """From the letters' own units: 0 at the middle, 0..14 from top to bottom."""
        return middle + x * unit, (7 + y) * unit

    white = (255, 255, 255, 245)
    a = [(-12, 14), (-7.1, 0), (-4.5, 0), (0.4, 14), (-2.2, 14), (-3.3, 10.7), (-8.4, 10.7)]
    draw.polygon([at(x, y) for x, y in (*a, (-9.5, 14))], fill=white)
    draw.polygon(
        [at(x, y) for x, y in ((-5.8, 3.0), (-7.7, 8.6), (-4.0, 8.6))], fill=(18, 22, 30, 190)
    )
    draw.rectangle((*at(4.2, 0), *at(6.7, 14)), fill=white)
    return image.resize((wide, tall), Image.Resampling.LANCZOS)
