"""The part of the frozen test that `make test` hears: a few utterances of each held-out voice.

python -m training.subset              what the shipped weights do on it
python -m training.subset --expect     ... and write that as what tests expect
python -m training.subset --copy TEST  take the utterances from a test that was made
"""

import argparse
import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.audio.stream import AudioStream

from benchmarks.lipsync import metric, testset
from benchmarks.lipsync.evaluate import report, shipped, tallied, total
from training.material import read_folder
from training.voices import RATE
from worker.tools.film import read_sound

FOLDER: Final = Path(__file__).parents[1] / "tests" / "data" / "lipsync"
EXPECTED: Final = FOLDER.with_name("lipsync_expected.json")
OF_A_VOICE: Final = 6
CHECKED: Final = ("gf1", "f1", "opening_r", "rounding_r", "closure_recall")
"""Where less is worse."""


def names() -> list[str]:
    """Of the subset's utterances: the first of each held-out natural voice."""
    test = testset.read_list()
    return [
        one.name
        for voice, said in test.utterances.items()
        if not voice.startswith("espeak")
        for one in said[:OF_A_VOICE]
    ]


def copy(test: Path) -> None:
    """Take the subset's utterances from the folder `test`, the sound as FLAC."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names():
        pcm, _, rate = read_sound(test / f"{name}.wav")
        assert rate == RATE
        with av.open(str(FOLDER / f"{name}.flac"), "w") as file:
            stream = file.add_stream("flac", rate=rate, layout="mono")
            assert isinstance(stream, AudioStream)
            frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
            file.mux([*stream.encode(frame), *stream.encode(None)])
        told = (test / f"{name}.json").read_text("utf-8")
        (FOLDER / f"{name}.json").write_text(told, "utf-8")


def expect() -> None:
    """Write down what the shipped weights reach, and the spread of it."""
    rows = tallied(shipped, read_folder(FOLDER))
    reached, spread = total(rows), metric.spread([row.sums for row in rows])
    figures = {
        name: {"reached": round(getattr(reached, name), 4), "sd": round(getattr(spread, name), 4)}
        for name in CHECKED
    }

    EXPECTED.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


def main() -> int:
    """Do what the command asks for, and print the subset's table."""
    parser = argparse.ArgumentParser(prog="python -m training.subset")
    parser.add_argument("--expect", action="store_true", help="write what tests expect")
    parser.add_argument("--copy", type=Path, metavar="TEST", help="folder of a test that was made")
    arguments = parser.parse_args()
    if arguments.copy:
        copy(arguments.copy)
        return 0
    if arguments.expect:
        expect()
    print(report(tallied(shipped, read_folder(FOLDER))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
