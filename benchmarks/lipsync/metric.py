"""How well lips are read: the measures of the table, and how sure they are.

All frames are hops of 10 ms. An utterance is tallied once, as a row of sums; sums add up to those
of a voice or of everything, and drawing utterances again and again gives a measure's spread.

gf1           macro-F1 over six mouth classes; what is within 20 ms counts as right
f1            the same over the 15 visemes
opening_r     Pearson's r with the reference's opening, over all frames; rounding_r the same
closure_recall    bilabials between speech sounds whose opening falls below 0.15 in a picture
              within 20 ms of them, at 25 pictures a second, mean of the 4 phases
false_closure frames in the middle half of a vowel with an opening below 0.15
lag_ms        the shift, + is late, that makes opening_r greatest
changes_per_s how often the mouth class changes
false_open    frames with an opening above 0.2 where nothing is said within 100 ms
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from training.labels import PP, SIL, VOWELS, Interval, Labels, round_up
from worker.lipsync.shape import HOP_S, VISEMES, Floats, VisemeTrack

CLASSES: Final = {
    "closed": ("sil", "PP"),
    "teeth on lip": ("FF",),
    "narrow": ("TH", "DD", "SS", "nn", "I"),
    "mid": ("kk", "E", "RR"),
    "open": ("aa",),
    "rounded": ("O", "U", "CH"),
}
"""Visemes that the same mouth makes."""
CLASS_OF: Final = np.array(
    [next(k for k, names in enumerate(CLASSES.values()) if v in names) for v in VISEMES]
)

TOLERANCE: Final = 2
"""Hops: a boundary may be 20 ms off."""
SHUT_BELOW: Final = 0.15
OPEN_ABOVE: Final = 0.2
PICTURE_HOPS: Final = 4
"""25 pictures a second."""
SILENCE_MARGIN: Final = 10
"""Hops from the nearest sound, where it is truly silent."""
MOST_LAG: Final = 20
"""Hops of shift that are tried, to both sides."""
DRAWS: Final = 200
"""Of utterances, for the standard deviations."""

Ints = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]
"""One utterance's row, or the sum of several."""


@dataclass(frozen=True, slots=True, eq=False)
class LipReading:
    """What was read: a value for each hop (n,)."""

    visemes: Ints
    opening: Floats
    rounding: Floats

    @classmethod
    def of(cls, track: VisemeTrack) -> "LipReading":
        return cls(track.visemes.argmax(axis=1), track.opening, track.rounding)


@dataclass(frozen=True, slots=True)
class Scores:
    """The measures of the module's text."""

    gf1: float
    f1: float
    opening_r: float
    rounding_r: float
    closure_recall: float
    false_closure: float
    lag_ms: float
    changes_per_s: float
    false_open: float


def tally(said: Sequence[Interval], reference: Labels, answer: LipReading) -> Sums:
    """The sums of one utterance: `said` are its visemes, `reference` the same at each hop."""
    hops = min(len(reference.visemes), len(answer.visemes))
    true, guess = reference.visemes[:hops], answer.visemes[:hops]
    closures = [hits(answer.opening, phase, bilabials(said)) for phase in range(PICTURE_HOPS)]
    core = vowel_cores(said, hops)
    silent = truly_silent(true)
    changes = np.count_nonzero(np.diff(CLASS_OF[guess]))
    opening = answer.opening[:hops]
    return np.concatenate(
        [
            _agreement(CLASS_OF[true], CLASS_OF[guess], len(CLASSES)),
            _agreement(true, guess, len(VISEMES)),
            *(
                _products(reference.opening[:hops], opening, shift)
                for shift in range(-MOST_LAG, MOST_LAG + 1)
            ),
            _products(reference.rounding[:hops], answer.rounding[:hops], 0),
            [
                sum(closures) / PICTURE_HOPS,
                len(bilabials(said)),
                np.count_nonzero(opening[core] < SHUT_BELOW),
                np.count_nonzero(core),
                changes,
                hops * HOP_S,
                np.count_nonzero(opening[silent] > OPEN_ABOVE),
                np.count_nonzero(silent),
            ],
        ]
    )


def scores(sums: Sums) -> Scores:
    """What the sums of one or many utterances come to; a measure of nothing is nan."""
    at = 0

    def take(count: int) -> Sums:
        nonlocal at
        at += count
        return sums[at - count : at]

    of_class = take(4 * len(CLASSES)).reshape(4, -1)
    of_viseme = take(4 * len(VISEMES)).reshape(4, -1)
    shifts = take(6 * (2 * MOST_LAG + 1)).reshape(-1, 6)
    rounding = take(6)
    closed, bilabial, shut, core, changes, seconds, opened, silent = take(8).tolist()
    by_shift = [_r(row) for row in shifts]
    return Scores(
        gf1=_macro_f1(of_class),
        f1=_macro_f1(of_viseme),
        opening_r=by_shift[MOST_LAG],
        rounding_r=_r(rounding),
        closure_recall=_share(closed, bilabial),
        false_closure=_share(shut, core),
        lag_ms=(_greatest(by_shift) - MOST_LAG) * HOP_S * 1000,
        changes_per_s=_share(changes, seconds),
        false_open=_share(opened, silent),
    )


def spread(rows: Sequence[Sums], seed: int = 1) -> Scores:
    """The standard deviation of each measure over utterances drawn again, DRAWS times."""
    rng = np.random.default_rng(seed)
    table = np.stack(rows)
    drawn = [
        scores(table[rng.integers(0, len(table), len(table))].sum(axis=0)) for _ in range(DRAWS)
    ]
    names = Scores.__dataclass_fields__
    return Scores(**{n: float(np.nanstd([getattr(one, n) for one in drawn])) for n in names})


def by_voice(rows: Mapping[str, Sequence[Sums]]) -> dict[str, Scores]:
    """Each voice's own scores."""
    return {voice: scores(np.sum(sums, axis=0)) for voice, sums in rows.items()}


def bilabials(said: Sequence[Interval]) -> list[tuple[float, float]]:
    """The closures between speech sounds: neighbouring ones (help people) are one."""
    runs: list[tuple[float, float, str]] = []
    for start, end, name in said:
        if runs and runs[-1][2] == name:
            runs[-1] = (runs[-1][0], end, name)
        else:
            runs.append((start, end, name))
    return [
        (start, end)
        for (_, _, before), (start, end, name), (_, _, after) in zip(
            runs, runs[1:], runs[2:], strict=False
        )
        if name == "PP" and "sil" not in (before, after)
    ]


def hits(opening: Floats, phase: int, closures: Sequence[tuple[float, float]]) -> int:
    """On how many of `closures` a picture shows the lips shut; pictures are the hops `phase`,
    `phase` + 4, ..."""
    shut = np.zeros(len(opening), bool)
    shut[phase::PICTURE_HOPS] = opening[phase::PICTURE_HOPS] < SHUT_BELOW
    count = 0
    for start, end in closures:
        low = max(0, round_up(start / HOP_S - 0.5) - TOLERANCE)
        past = max(low, int(np.floor(end / HOP_S - 0.5 + 1e-6)) + TOLERANCE + 1)
        count += bool(shut[low:past].any())
    return count


def vowel_cores(said: Sequence[Interval], hops: int) -> npt.NDArray[np.bool_]:
    """Which hops lie in the middle half of a vowel (a diphthong has two)."""
    core = np.zeros(hops, bool)
    for start, end, name in said:
        if VISEMES.index(name) in VOWELS:
            quarter = (end - start) / 4
            low, past = (round_up(t / HOP_S - 0.5) for t in (start + quarter, end - quarter))
            core[max(0, low) : max(0, past)] = True
    return core


def truly_silent(visemes: Ints) -> npt.NDArray[np.bool_]:
    """Which hops have no sound within SILENCE_MARGIN hops; beyond the ends it is silent."""
    sound = (visemes != SIL).astype(np.float64)
    near = np.convolve(sound, np.ones(2 * SILENCE_MARGIN + 1), mode="same")
    return np.asarray(near[: len(visemes)] < 0.5) if len(sound) > 2 * SILENCE_MARGIN else sound > 1


def always_closed(hops: int) -> LipReading:
    """The floor: a mouth that never opens."""
    shut = np.zeros(hops, np.float32)
    return LipReading(np.full(hops, PP), shut, shut)


def _agreement(true: Ints, guess: Ints, kinds: int) -> Sums:
    """For each kind: guesses that are right, guesses, frames found, frames; (4 * kinds,)."""
    rows = []
    for kind in range(kinds):
        is_true, is_guess = true == kind, guess == kind
        rows.append(
            [
                np.count_nonzero(is_guess & _near(is_true)),
                np.count_nonzero(is_guess),
                np.count_nonzero(is_true & _near(is_guess)),
                np.count_nonzero(is_true),
            ]
        )
    return np.array(rows, np.float64).T.ravel()


def _near(frames: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    out = frames.copy()
    for shift in range(1, TOLERANCE + 1):
        out[shift:] |= frames[:-shift]
        out[:-shift] |= frames[shift:]
    return out


def _macro_f1(table: Sums) -> float:
    """Over the kinds that are there; `table` has the rows of `_agreement`."""
    right, guessed, found, frames = table
    precision = np.divide(right, guessed, out=np.zeros_like(right), where=guessed > 0)
    recall = np.divide(found, frames, out=np.zeros_like(right), where=frames > 0)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return float(f1[frames > 0].mean()) if (frames > 0).any() else float("nan")


def _products(reference: Floats, answer: Floats, shift: int) -> Sums:
    """Sums for r of `answer`, taken to be `shift` hops late, with `reference`."""
    x = reference[max(0, -shift) : len(reference) - max(0, shift)].astype(np.float64)
    y = answer[max(0, shift) : len(answer) - max(0, -shift)].astype(np.float64)
    return np.array([len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y], np.float64)


def _r(sums: Sums) -> float:
    n, x, y, xx, yy, xy = sums.tolist()
    if n < 2:
        return float("nan")
    spread_x, spread_y = xx - x * x / n, yy - y * y / n
    if spread_x <= 1e-9 or spread_y <= 1e-9:
        return 0.0
    return float((xy - x * y / n) / np.sqrt(spread_x * spread_y))


def _greatest(values: Sequence[float]) -> int:
    """The index of the greatest; of equals the one nearest to the middle."""
    middle = len(values) // 2
    return max(range(len(values)), key=lambda k: (values[k], -abs(k - middle)))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
