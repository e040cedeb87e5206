"""What drawing costs: CPU time of pictures at talk and at rest, and memory, for each size.

    python benchmarks/drawing.py [CHARACTER ...]

CPU time of this process alone, so a busy machine makes it noisy but not wrong. `talk` is a picture
of speech, `lips` the lip-sync that it needs besides; `rest` is a lively face that says nothing,
`still` a calm one. At rest most pictures are the one before, handed out again.
"""

import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from worker.characters.folder import names
from worker.media import FRAME_SAMPLES
from worker.renderers.character import CharacterRenderer, create
from worker.settings import Settings
from worker.tools.film import read_sound

HERE: Final = Path(__file__).parent
SIZES: Final = ((512, 512), (720, 720), (1280, 720))
PICTURES: Final = 500
TRACED: Final = 60
"""Pictures while memory is watched, which is slow."""
LIMITS_MS: Final = {"talk": 0.5, "still": 0.1}
"""At 512x512, medians."""
MOST_MB: Final = 40


def costs_ms(step: Callable[[int], object], count: int = PICTURES) -> list[float]:
    """CPU time of each of so many steps."""
    costs = []
    for number in range(count):
        begin = time.process_time_ns()
        step(number)
        costs.append((time.process_time_ns() - begin) / 1e6)
    return costs


def measured(character: str, width: int, height: int) -> dict[str, Any]:
    """The figures of one character at one size."""
    speech, _, _ = read_sound(HERE / "speech.wav")
    blocks = len(speech) // FRAME_SAMPLES
    settings = replace(Settings(), character=character, width=width, height=height)
    face = create(settings)
    assert isinstance(face, CharacterRenderer)
    calm = create(replace(settings, stillness=1.0))

    lips: list[float] = []

    def talk(number: int) -> None:
        face.drain()
        place = number % blocks * FRAME_SAMPLES
        begin = time.process_time_ns()
        face.push(1, speech[place : place + FRAME_SAMPLES])
        lips.append((time.process_time_ns() - begin) / 1e6)

    whole = costs_ms(talk)
    talking = [each - own for each, own in zip(whole, lips, strict=True)]
    lips_ms = lips.copy()
    resting = costs_ms(lambda _: face.idle())
    still = costs_ms(lambda _: calm.idle())
    tracemalloc.start()
    costs_ms(talk, TRACED)
    lips.clear()
    before = tracemalloc.get_traced_memory()[0]
    costs_ms(talk, TRACED)
    lips.clear()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return {
        "character": character,
        "size": f"{width}x{height}",
        **{
            f"{name}_ms_{what}": round(float(value), 3)
            for name, costs in (
                ("talk", talking),
                ("lips", lips_ms),
                ("rest", resting),
                ("still", still),
            )
            for what, value in (
                ("p50", np.percentile(costs, 50)),
                ("p95", np.percentile(costs, 95)),
                ("mean", np.mean(costs)),
            )
        },
        "memory_mb": round(face.atlas.nbytes / 1e6, 1),
        "grown_kb": round(grown / 1e3, 1),
    }


def wrong_in(row: dict[str, Any]) -> list[str]:
    """The figures that are beyond their limits."""
    wrong = ["memory_mb"] if row["memory_mb"] > MOST_MB else []
    if row["size"] == "512x512":
        wrong += [f"{name}_ms" for name, most in LIMITS_MS.items() if row[f"{name}_ms_p50"] > most]
    return wrong


def main(characters: list[str]) -> int:
    """Print a table and write out/drawing.json; 0 when all is within its limits."""
    rows = [measured(name, *size) for name in characters or names() for size in SIZES]
    columns = list(rows[0])
    print("".join(f"{name:>14}" for name in columns))
    for row in rows:
        print("".join(f"{row[name]!s:>14}" for name in columns))
    out = Path("out")
    out.mkdir(exist_ok=True)
    (out / "drawing.json").write_text(json.dumps(rows, indent=2) + "\n")
    wrong = {f"{row['character']} {row['size']}": wrong_in(row) for row in rows if wrong_in(row)}
    if wrong:
        print(f"BEYOND THEIR LIMITS: {wrong}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
