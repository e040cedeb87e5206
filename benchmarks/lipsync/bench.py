"""The lip-sync table: the shipped run-time on the frozen test, beside what it has to reach.

    python -m benchmarks.lipsync.bench [OUT]          out without one

makes the test in OUT/lipsync/test where it is not there (as root on Debian it installs the
synthesizers first), prints the table and writes OUT/lipsync.json.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.lipsync import causality, metric, testset
from benchmarks.lipsync.baseline import amplitude
from benchmarks.lipsync.evaluate import (
    Tallied,
    groups,
    heading,
    line,
    shipped,
    tallied,
    tally,
    total,
)
from benchmarks.lipsync.metric import LipReading, Scores
from training.labels import UnknownPhonemeError
from training.material import Material, MaterialError, read_folder
from training.voices import EngineError, install
from worker.media import SAMPLE_RATE, Pcm

BLOCK: Final = SAMPLE_RATE // 25
"""40 ms: what the renderer hands in."""
WARM_UP_S: Final = 2.0
TIMED_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Goal:
    """A measure's figures: the specification's best net, what must be, what is aimed at.

    `sign` is +1 where more is better, -1 where less is.
    """

    now: float
    must: float
    aim: float
    sign: int


GOALS: Final = {
    "gf1": Goal(0.75, 0.79, 0.82, 1),
    "f1": Goal(0.65, 0.70, 0.75, 1),
    "opening_r": Goal(0.79, 0.83, 0.86, 1),
    "rounding_r": Goal(0.55, 0.62, 0.70, 1),
    "closure_recall": Goal(0.89, 0.92, 0.96, 1),
    "false_closure": Goal(0.009, 0.02, 0.02, -1),
    "lag_ms": Goal(0.0, 10.0, 10.0, -1),
    "changes_per_s": Goal(14.6, 11.0, 10.0, -1),
    "worst_voice_gf1": Goal(0.72, 0.75, 0.79, 1),
    "noise10_gf1": Goal(0.56, 0.59, 0.64, 1),
    "music10_gf1": Goal(0.64, 0.67, 0.72, 1),
    "cpu_ms_per_s": Goal(1.8, 5.0, 3.0, -1),
}
"""Of specs/lipsync.md, section 4, by the keys of OUT/lipsync.json."""


def run(out: Path) -> dict[str, float]:
    """Make the test where it is missing, print the table; returns what `lipsync.json` says."""
    test = testset.read_list()
    folder = out / "lipsync" / "test"
    _complete(folder, test)
    spoken = {one.name for said in test.utterances.values() for one in said}
    material = [one for one in read_folder(folder) if one.name in spoken]
    main = [one for one in material if not one.voice.startswith("espeak")]
    other = [one for one in material if one.voice.startswith("espeak")]
    print(
        f"{len(main)} utterances of held-out voices, {_seconds(main):.0f} s; "
        f"test list sha256 {testset.LIST_SHA256[:16]}"
    )
    print(heading("held-out voices"))
    by_condition: dict[str, list[Tallied]] = {}
    for condition in test.conditions:
        by_condition[condition.name] = _under(condition, main, shipped)
        print(line(condition.name, total(by_condition[condition.name])), flush=True)
        if condition.kind == "clean":
            rows = by_condition[condition.name]
            print(line("  s.d. (bootstrap)", metric.spread([row.sums for row in rows])))
    print(line("clean, words told", total(_in_session(main, reports=True, known=False))))
    print(line("clean, voice known", total(_in_session(main, reports=False, known=True))))
    print(line("amplitude, clean", total(tallied(amplitude, main))))
    for condition in test.conditions:
        if condition.name in ("noise 10 dB", "music 10 dB"):
            rows = _under(condition, main, amplitude)
            print(line(f"amplitude, {condition.name}", total(rows)))
    print(line("the reference itself", total(_itself(main))))
    print(heading("by voice, clean"))
    clean = by_condition["clean"]
    voices = {name: total(rows) for name, rows in groups(clean, "voice").items()}
    for name, scores in voices.items():
        print(line(name, scores))
    worst = min(voices, key=lambda name: voices[name].gf1)
    print(f"worst voice: {worst}")
    _print_others(tallied(shipped, other))
    cpu = cpu_ms_per_s(main)
    print(f"looks ahead {_furthest(main):.1f} ms (at most {causality.MOST_MS:.0f})")
    figures = _figures(total(clean), voices[worst], by_condition, cpu)
    print()
    print_goals(figures)
    return figures


def _complete(folder: Path, test: testset.Test) -> None:
    names = [one.name for said in test.utterances.values() for one in said]
    if all((folder / f"{name}.json").exists() for name in names):
        return
    install()
    print(f"making the test in {folder} ...", flush=True)
    testset.make(folder, test)
    lost = [name for name in names if not (folder / f"{name}.json").exists()]
    if lost:
        raise EngineError(f"{len(lost)} utterances of the test were not spoken, {lost[0]} first")


def _under(
    condition: testset.Condition, material: list[Material], lips: Callable[[Pcm], LipReading]
) -> list[Tallied]:
    rows = []
    for one in material:
        others = [other for other in material if other.voice != one.voice]
        rows.append(tally(one, lips(testset.heard(condition, one, others))))
    return rows


def _in_session(material: list[Material], *, reports: bool, known: bool) -> list[Tallied]:
    """As it is in a session: with the words `told`, with the voice `known` from before."""
    from worker.lipsync.lips import VisemeReader, joined

    rows, reader, voice = [], VisemeReader(), ""
    for one in sorted(material, key=lambda each: each.name):
        if not known or one.voice != voice:
            reader.reset()
        voice = one.voice
        if reports:
            reader.words(one.words)
        rows.append(tally(one, LipReading.of(joined([reader.push(one.pcm), reader.finish()]))))
    return rows


def _itself(material: list[Material]) -> list[Tallied]:
    return [
        tally(one, LipReading(one.reference.visemes, one.reference.opening, one.reference.rounding))
        for one in material
    ]


def _print_others(rows: list[Tallied]) -> None:
    print(heading("espeak-ng, held-out voices"))
    english = [row for row in rows if row.language.startswith("en")]
    foreign = [row for row in rows if not row.language.startswith("en")]
    print(line("English", total(english)))
    print(line("German, French, ...", total(foreign)))
    for name, part in groups(foreign, "language").items():
        print(line(f"  {name}", total(part)))
    for name, part in groups(rows, "voice").items():
        print(line(f"  {name}", total(part)))


def cpu_ms_per_s(material: list[Material]) -> float:
    """Process time per second of sound that comes in blocks of 40 ms; the least of three."""
    from worker.lipsync.lips import VisemeReader

    sound = np.concatenate([one.pcm for one in material])[: round(TIMED_S * SAMPLE_RATE)]
    blocks = [sound[at : at + BLOCK] for at in range(0, len(sound) - BLOCK + 1, BLOCK)]
    warm = VisemeReader()
    for block in blocks[: round(WARM_UP_S * 25)]:
        warm.push(block)
    costs = []
    for _ in range(3):
        reader = VisemeReader()
        began = time.process_time()
        for block in blocks:
            reader.push(block)
        costs.append((time.process_time() - began) / (len(blocks) * BLOCK / SAMPLE_RATE))
    return min(costs) * 1000


def _furthest(material: list[Material]) -> float:
    from worker.lipsync import lips

    return max(causality.furthest_ms(lips.read, one.pcm) for one in material[:: len(material) // 3])


def _figures(
    clean: Scores, worst: Scores, by_condition: dict[str, list[Tallied]], cpu: float
) -> dict[str, float]:
    measures = (
        "gf1", "f1", "opening_r", "rounding_r", "closure_recall", "false_closure", "lag_ms",
        "changes_per_s",
    )  # fmt: skip
    return {
        **{name: round(float(getattr(clean, name)), 4) for name in measures},
        "worst_voice_gf1": round(worst.gf1, 4),
        "noise10_gf1": round(total(by_condition["noise 10 dB"]).gf1, 4),
        "music10_gf1": round(total(by_condition["music 10 dB"]).gf1, 4),
        "cpu_ms_per_s": round(cpu, 3),
    }


def print_goals(figures: dict[str, float]) -> None:
    """Each figure beside the specification's."""
    print(f"{'':18}{'here':>9}{'spec now':>10}{'must':>8}{'aim':>8}")
    for name, goal in GOALS.items():
        value = figures[name]
        compared = abs(value) if name == "lag_ms" else value
        if math.isnan(compared):
            verdict = "not measured"
        elif goal.sign * compared >= goal.sign * goal.aim:
            verdict = "aim reached"
        elif goal.sign * compared >= goal.sign * goal.must:
            verdict = "must reached"
        else:
            verdict = "MISSED"
        print(f"{name:18}{value:9.3f}{goal.now:10.3g}{goal.must:8.3g}{goal.aim:8.3g}  {verdict}")


def _seconds(material: list[Material]) -> float:
    return sum(len(one.pcm) for one in material) / SAMPLE_RATE


def main() -> int:
    """Print the table and write the figures; 1 and one line where that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lipsync.bench")
    parser.add_argument("out", nargs="?", type=Path, default=Path("out"))
    out = parser.parse_args().out
    try:
        figures = run(out)
    except (EngineError, MaterialError, UnknownPhonemeError, testset.ListError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    path = out / "lipsync.json"
    path.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
