"""How well the shipped weights read lips in any folder of sound with phonemes.

    python -m benchmarks.lipsync.evaluate FOLDER

FOLDER, or folders in it, have NAME.wav (any rate; FLAC and Ogg, too) and NAME.json with at least
`{"phonemes": [[start_s, end_s, phoneme], ...]}` in IPA, ARPABET, festival's or espeak's symbols
or viseme names; "engine" says which where that is unclear, "voice" and "language" give rows of
their own. What no interval covers is silence.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.lipsync import metric
from benchmarks.lipsync.metric import LipReading, Scores, Sums
from training.labels import UnknownPhonemeError
from training.material import Material, MaterialError, read_folder
from worker.media import Pcm

Lips = Callable[[Pcm], LipReading]

COLUMNS: Final = (
    ("gf1", "gF1", ".3f"),
    ("f1", "F1", ".3f"),
    ("opening_r", "r", ".3f"),
    ("rounding_r", "r_round", ".3f"),
    ("closure_recall", "CR", ".3f"),
    ("false_closure", "FC", ".3f"),
    ("lag_ms", "lag ms", "+.0f"),
    ("changes_per_s", "flips/s", ".1f"),
    ("false_open", "false-open", ".3f"),
)
"""Of the table: measure, heading, format."""
NAME_WIDTH: Final = 24


@dataclass(frozen=True, slots=True, eq=False)
class Tallied:
    """An utterance's sums, and what it counts under."""

    voice: str
    language: str
    sums: Sums


def shipped(pcm: Pcm) -> LipReading:
    """What the package's own run-time and weights read."""
    from worker.lipsync import lips  # Not before it is needed: it loads the weights.

    return LipReading.of(lips.read(pcm))


def tallied(lips: Lips, material: Iterable[Material]) -> list[Tallied]:
    """Let `lips` read all of `material`, each utterance as a session of its own."""
    return [tally(one, lips(one.pcm)) for one in material]


def tally(one: Material, answer: LipReading) -> Tallied:
    """What `answer` got right and wrong of an utterance."""
    return Tallied(one.voice, one.language, metric.tally(one.said, one.reference, answer))


def total(rows: Sequence[Tallied]) -> Scores:
    """The scores of all `rows` together."""
    return metric.scores(np.sum([row.sums for row in rows], axis=0))


def heading(first: str) -> str:
    """The table's first line."""
    return first.ljust(NAME_WIDTH) + "".join(head.rjust(_width(head)) for _, head, _ in COLUMNS)


def _width(head: str) -> int:
    return max(7, len(head) + 2)


def line(name: str, scores: Scores) -> str:
    """One row of the table; "-" where there was nothing to measure."""
    cells = []
    for measure, head, form in COLUMNS:
        value = getattr(scores, measure)
        cells.append(("-" if value != value else format(value, form)).rjust(_width(head)))
    return name.ljust(NAME_WIDTH) + "".join(cells)


def groups(rows: Sequence[Tallied], kind: str) -> dict[str, list[Tallied]]:
    """`rows` by "voice" or "language", in order."""
    names = sorted({str(getattr(row, kind)) for row in rows})
    return {name: [row for row in rows if getattr(row, kind) == name] for name in names}


def report(rows: Sequence[Tallied]) -> str:
    """Everything together and its standard deviation, then by voice and language."""
    lines = [
        heading(f"{len(rows)} utterances"),
        line("all", total(rows)),
        line("  s.d. (bootstrap)", metric.spread([row.sums for row in rows])),
    ]
    voices = groups(rows, "voice")
    lines += [line(name, total(part)) for name, part in voices.items()]
    worst = min(voices, key=lambda name: total(voices[name]).gf1)
    lines.append(f"worst voice by gF1: {worst}")
    languages = groups(rows, "language")
    if len(languages) > 1:
        lines += [line(f"language {name}", total(part)) for name, part in languages.items()]
    return "\n".join(lines)


def main() -> int:
    """Print the table of the folder that the command names; 1 and one line where it cannot."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lipsync.evaluate",
        description="How well the shipped weights read lips in FOLDER.",
    )
    parser.add_argument("folder", type=Path, help="NAME.wav and NAME.json with phoneme intervals")
    folder = parser.parse_args().folder
    try:
        print(report(tallied(shipped, read_folder(folder))))
    except (MaterialError, UnknownPhonemeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
