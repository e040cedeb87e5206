"""The engines' timings as lips would have them, and the check that they are.

What is wrong in them (found by the lag between a label and the strongest change of a band's
energy next to it, the same check as `lags` makes):

- espeak marks p, t, k after their closure: the start goes back over what is quiet before it.
- All count the burst and breath of p and b as p and b, and espeak marks the vowel behind an m
  late: lips part where the sound above 0.7 kHz rises most within 10 ms.
- Some voices are off by a constant: SHIFT_S.
"""

from collections.abc import Iterable
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from training.labels import Interval, seen
from training.voices import RATE, Engine, Sound, Spoken

STEP: Final = RATE // 400
"""2.5 ms between two looks at a band's energy."""
HALF: Final = RATE // 200
"""5 ms to both sides: energies are those of 10 ms."""
ABOVE_HZ: Final = 700.0
"""Where lips that part are heard: voicing and nasal murmur lie below."""
FLOOR_DB: Final = -60.0
"""Below the loud parts; what is quieter is equally quiet."""
QUIET_DB: Final = -30.0
"""Below the loud parts: a closure, at least."""

LONGEST_CLOSURE_S: Final = 0.09
BEFORE_END_S: Final = {"m": 0.05, "b": 0.045, "p": 0.08}
AFTER_END_S: Final = {"m": 0.035, "b": 0.03, "p": 0.02}
"""Where, around a bilabial's end, lips may part."""
SHORTEST_S: Final = 0.015
LEAST_RISE_DB: Final = 3.0

SHIFT_S: Final[dict[str, float]] = {
    "festival-kal": 0.012,
    "festival-ked": 0.008,
    "festival-slt-hts": 0.006,
    "flite-kal16": 0.006,
    "festival-lj": 0.005,
    "festival-ona": 0.004,
    "flite-rms": -0.003,
}
"""By voice: added to all times. The median lag of its V-m, V-b, sil-V and V-s."""

Energy = npt.NDArray[np.float64]
"""In dB, at k * STEP samples, of the 10 ms around."""


def corrected(voice: str, engine: Engine, spoken: Spoken) -> Spoken:
    """`spoken` with the times at which lips move."""
    end_s = len(spoken.sound) / RATE
    shift = SHIFT_S.get(voice, 0.0)
    rows = [(start + shift, end + shift, said) for start, end, said in spoken.phonemes]
    whole, high = energy(spoken.sound, 0.0), energy(spoken.sound, ABOVE_HZ)
    quiet = loud_db(whole) + QUIET_DB
    out: list[Interval] = []
    for start, end, said in rows:
        start = max(start, out[-1][1] if out else 0.0)
        start, end = min(start, end_s), min(max(end, 0.0), end_s)
        if not said and engine == "espeak":
            said = "_" if _is_pause(whole, start, end, quiet) else said
            if not said and out:
                out[-1] = (out[-1][0], end, out[-1][2])
                continue
        if engine == "espeak" and out and said[:1] in ("p", "t", "k"):
            start = _closure_start(whole, quiet, out[-1], start)
            out[-1] = (out[-1][0], start, out[-1][2])
        if out and end > start:
            parted = _parting(high, out[-1], (start, end, said))
            if parted is not None:
                out[-1] = (out[-1][0], parted, out[-1][2])
                start = parted
        if end > start:
            out.append((start, end, said))
    out = [row for row in out if row[1] > row[0]]
    return Spoken(spoken.sound, out, _trimmed(spoken.words, shift, out))


def energy(sound: Sound, above_hz: float) -> Energy:
    """The energy above `above_hz`, in dB of full scale."""
    if above_hz > 0:
        spectrum = np.fft.rfft(sound)
        hz = np.fft.rfftfreq(len(sound), 1 / RATE)
        spectrum[hz < above_hz] = 0.0
        sound = np.fft.irfft(spectrum, len(sound)).astype(np.float32)
    total = np.concatenate([[0.0], np.cumsum(np.square(sound, dtype=np.float64))])
    middles = np.arange(0, len(sound) + 1, STEP)
    low, high = np.maximum(middles - HALF, 0), np.minimum(middles + HALF, len(sound))
    power = np.maximum(total[high] - total[low], 0.0) / np.maximum(high - low, 1)
    db = 10 * np.log10(power + 1e-12)
    return np.asarray(np.maximum(db, loud_db(db) + FLOOR_DB))


def loud_db(db: Energy) -> float:
    """The level that 5 % of the moments exceed."""
    return float(np.percentile(db, 95))


def change(db: Energy) -> Energy:
    """How much the level rises from the 10 ms before a moment to the 10 ms after it."""
    half = HALF // STEP
    padded = np.pad(db, half, mode="edge")
    return padded[2 * half :] - padded[: -2 * half]


def _index(second: float) -> int:
    return round(second * RATE / STEP)


def _is_pause(whole: Energy, start: float, end: float, quiet: float) -> bool:
    part = whole[_index(start) : _index(end) + 1]
    return end - start > 0.02 and len(part) > 0 and float(np.median(part)) < quiet


def _closure_start(whole: Energy, quiet: float, before: Interval, start: float) -> float:
    """Where the quiet run before `start` begins; the sound before keeps half its time."""
    earliest = max(start - LONGEST_CLOSURE_S, (before[0] + before[1]) / 2)
    at = _index(start)
    # The burst may begin a little before the mark: look for the run from just before it.
    for first in range(at, max(at - 4, 0), -1):
        if first < len(whole) and whole[first] < quiet:
            at = first
            break
    else:
        return start
    while at > 0 and at * STEP / RATE > earliest and whole[at - 1] < quiet:
        at -= 1
    return min(start, at * STEP / RATE)


def _parting(high: Energy, lips: Interval, after: Interval) -> float | None:
    """When the lips of a p, b or m part for the sound `after`; None where there is neither."""
    kind = lips[2][:1].lower()
    if kind not in BEFORE_END_S or _class(lips[2]) != "PP" or _class(after[2]) in ("PP", "sil"):
        return None
    begin = max(lips[0] + SHORTEST_S, lips[1] - BEFORE_END_S[kind])
    finish = min(after[1] - SHORTEST_S, lips[1] + AFTER_END_S[kind])
    rise = change(high)
    low, past = _index(begin), min(_index(finish) + 1, len(rise))
    if past - low < 2:
        return None
    best = low + int(rise[low:past].argmax())
    return best * STEP / RATE if rise[best] >= LEAST_RISE_DB else None


@cache
def _class(said: str) -> str:
    return seen([(0.0, 1.0, said)])[0][2]


def _trimmed(words: Iterable[Interval], shift: float, phonemes: list[Interval]) -> list[Interval]:
    """`words` without the pauses at their ends."""
    out = []
    for start, end, word in words:
        middle = [
            (low, high)
            for low, high, said in phonemes
            if start + shift <= (low + high) / 2 <= end + shift and _class(said) != "sil"
        ]
        if middle and word.strip():
            out.append((middle[0][0], middle[-1][1], word))
    return out


# ---- The check -------------------------------------------------------------------------------

REACH_S: Final = 0.06
"""How far from a label its change is looked for."""

VOWELS: Final = frozenset(("aa", "E", "I", "O", "U"))
BOUNDARIES: Final = ("V-m", "m-V", "V-b", "b-V", "V-ptk", "sil-V", "V-s")


def lags(spoken: Spoken) -> dict[str, list[float]]:
    """For each kind of boundary, how many ms its sound comes after its label."""
    whole, high = change(energy(spoken.sound, 0.0)), change(energy(spoken.sound, ABOVE_HZ))
    hiss = change(energy(spoken.sound, 3500.0))
    found: dict[str, list[float]] = {kind: [] for kind in BOUNDARIES}
    for left, right in zip(spoken.phonemes, spoken.phonemes[1:], strict=False):
        kind = _boundary(left[2], right[2])
        if kind is None:
            continue
        at = right[0]
        begin = max(at - REACH_S, (left[0] + left[1]) / 2 if kind != "sil-V" else left[0])
        finish = min(at + REACH_S, (right[0] + right[1]) / 2)
        row, sign = {
            "V-m": (high, -1), "m-V": (high, 1), "V-b": (high, -1), "b-V": (high, 1),
            "V-ptk": (high, -1), "sil-V": (whole, 1), "V-s": (hiss, 1),
        }[kind]  # fmt: skip
        low, past = _index(begin), min(_index(finish) + 1, len(row))
        if past - low > 4:
            best = low + int((sign * row[low:past]).argmax())
            found[kind].append((best * STEP / RATE - at) * 1000)
    return found


def _boundary(left: str, right: str) -> str | None:
    first, second = _class(left), _class(right)
    if first in VOWELS and second in VOWELS:
        return None
    if second in VOWELS and right[:1] not in "hwj" and right not in ("y", "hh", "hv"):
        if left in ("m", "b"):
            return f"{left}-V"
        return "sil-V" if first == "sil" else None
    if first in VOWELS and left[:1] not in "hwj":
        if right in ("m", "b"):
            return f"V-{right}"
        if right in ("p", "t", "k"):
            return "V-ptk"
        return "V-s" if right == "s" else None
    return None
