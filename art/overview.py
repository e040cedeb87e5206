"""Draws what a character looks like in one small picture, as the worker shows it.

python -m art.overview ada docs/art/ada.webp
"""

import sys
from pathlib import Path
from typing import Final

from PIL import Image

from worker.characters import atlas
from worker.characters.compositor import Compositor
from worker.characters.folder import Character
from worker.characters.life import Pose
from worker.characters.preview import rgb
from worker.lipsync.shape import MouthShape

SIZE: Final = 384
WAVED: Final = 0.55
"""How far the wave has got, in parts of its frames."""


def main(name: str, target: Path) -> None:
    """Write six pictures of `name` side by side: speaking twice, three moods, and a wave."""
    character = Character.find(name)
    built = atlas.build(character, SIZE, SIZE)
    compositor = Compositor(built)
    moods = character.expressions
    shown: list[tuple[Pose, MouthShape | None]] = [
        (Pose(), None),
        (Pose(), MouthShape(0.75, 0.2)),
        (Pose(moods["happy"]), MouthShape(0.3, 0.6)),
        (Pose(moods["surprised"]), None),
        (Pose(moods["thinking"]), None),
    ]
    for overlay, films in built.overlays.items():
        frame = round(WAVED * (len(films) - 1))
        shown.append((Pose(moods["happy"], overlay=(overlay, frame, 1.0)), None))
    strip = Image.new("RGB", (SIZE * len(shown), SIZE))
    for place, (pose, mouth) in enumerate(shown):
        strip.paste(rgb(compositor.picture(pose, mouth)), (place * SIZE, 0))
    strip.save(target, quality=88, method=6)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
