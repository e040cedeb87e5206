"""Phonemes to what is seen: a viseme, an opening, a rounding and pressed lips for each hop.

Phonemes come in the alphabet of the engine that spoke them: IPA or mnemonics (espeak-ng),
ARPABET (flite, festival's English), the sets of festival's Italian, Finnish and Catalan voices;
the 15 visemes' own names are understood, too. A diphthong spends 55 % of its time on its first
vowel, h looks like what follows it, w like u, y like i, ng like k, schwa like e.

Opening and rounding are a model, not measured lips: each viseme has a target and a dominance,
and what is seen is their mean under a Hann window of +-70 ms (after Cohen and Massaro, "Modeling
coarticulation in synthetic visual speech", 1993). Lips that meet dominate everything.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.lipsync.shape import HOP_S, VISEMES, Floats

Interval = tuple[float, float, str]
"""From, to (seconds), and the phoneme or viseme that is said."""

FIRST_SHARE: Final = 0.55
"""Of a diphthong's time, for its first vowel."""

REACH_HOPS: Final = 7
"""+-70 ms: how far a sound is seen in its neighbours."""

NEXT: Final = "next"
"""Of a sound that has no mouth of its own: it looks like what follows."""

SIL: Final = VISEMES.index("sil")
PP: Final = VISEMES.index("PP")

TARGETS: Final[dict[str, tuple[float, float, float]]] = {
    #      opening, rounding, dominance
    "sil": (0.00, 0.00, 1.0),
    "PP": (0.00, 0.10, 6.0),
    "FF": (0.14, 0.05, 2.5),
    "TH": (0.28, 0.00, 1.0),
    "DD": (0.28, 0.05, 0.8),
    "kk": (0.40, 0.10, 0.6),
    "CH": (0.28, 0.65, 1.5),
    "SS": (0.20, 0.05, 1.5),
    "nn": (0.32, 0.05, 0.8),
    "RR": (0.36, 0.45, 1.0),
    "aa": (0.95, 0.00, 1.5),
    "E": (0.60, 0.00, 1.2),
    "I": (0.42, 0.00, 1.2),
    "O": (0.65, 0.75, 1.5),
    "U": (0.32, 1.00, 1.8),
}
"""Chosen so that the reference, scored as an answer, has the spec's closure recall and false
closure: lips that meet are seen to meet, and a vowel's core stays open."""

VOWELS: Final = frozenset(VISEMES.index(name) for name in ("aa", "E", "I", "O", "U"))


class UnknownPhonemeError(ValueError):
    """A symbol that no alphabet knows; the text names it, its file and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The reference of one sound, a value for each hop (n,)."""

    visemes: npt.NDArray[np.int64]
    opening: Floats
    rounding: Floats
    closed: Floats


def labels(
    intervals: Sequence[Interval], hops: int, *, engine: str | None = None, file: str | Path = ""
) -> Labels:
    """What is seen of `intervals` at each of `hops`; where nothing is said the lips rest.

    `file` is named by the UnknownPhonemeError that a symbol of no alphabet raises.
    """
    visemes = per_hop(seen(intervals, engine=engine, file=file), hops)
    opening, rounding = blended(visemes)
    return Labels(visemes, opening, rounding, (visemes == PP).astype(np.float32))


def seen(
    intervals: Sequence[Interval], *, engine: str | None = None, file: str | Path = ""
) -> list[Interval]:
    """`intervals` of phonemes as intervals of visemes, diphthongs in two parts."""
    alphabet = alphabet_of((said for _, _, said in intervals), engine=engine, file=file)
    parts: list[tuple[float, float, str]] = []
    for start, end, said in intervals:
        names = alphabet(said) or ()
        if not names and parts:  # A sign that only colours what was said before it.
            parts[-1] = (parts[-1][0], end, parts[-1][2])
            continue
        for at, name in enumerate(names):
            edges = [_edge(at, len(names)), _edge(at + 1, len(names))]
            low, high = (start + edge * (end - start) for edge in edges)
            parts.append((low, high, name))
    after = "sil"
    out: list[Interval] = []
    for start, end, name in reversed(parts):
        after = after if name == NEXT else name
        out.append((start, end, after))
    return out[::-1]


def _edge(part: int, parts: int) -> float:
    if part == 0 or part == parts:
        return part / parts
    first = FIRST_SHARE if parts == 2 else 1.2 / (parts + 0.2)
    return first + (1 - first) * (part - 1) / (parts - 1)


def per_hop(visemes: Sequence[Interval], hops: int) -> npt.NDArray[np.int64]:
    """The viseme at the middle of each hop, (hops,); "sil" where there is none."""
    row = np.full(hops, SIL, np.int64)
    for start, end, name in visemes:
        low, high = (round_up(second / HOP_S - 0.5) for second in (start, end))
        row[max(0, low) : max(0, high)] = VISEMES.index(name)
    return row


def round_up(value: float) -> int:
    """The first hop at or behind `value`, forgiving what a float loses."""
    return int(np.ceil(value - 1e-6))


def blended(visemes: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Opening and rounding of a row of visemes, each (n,)."""
    table = np.array([TARGETS[name] for name in VISEMES])
    opening, rounding, dominance = table[np.pad(visemes, REACH_HOPS, constant_values=SIL)].T
    window = np.hanning(2 * REACH_HOPS + 3)[1:-1]
    weight = np.convolve(dominance, window, mode="valid")
    return (
        (np.convolve(opening * dominance, window, mode="valid") / weight).astype(np.float32),
        (np.convolve(rounding * dominance, window, mode="valid") / weight).astype(np.float32),
    )


_PAUSES: Final = (
    "pau", "sil", "sp", "spn", "h#", "#", "##", "_", "_:", "", "brth", "<sil>", "<p:>", "pause",
)  # fmt: skip

_ARPABET: Final = {
    "aa": "aa", "ae": "aa", "ah": "aa", "ao": "O", "aw": "aa U", "ax": "E", "axr": "RR",
    "ax-h": "E", "ay": "aa I", "b": "PP", "bcl": "PP", "ch": "CH", "d": "DD", "dcl": "DD",
    "dh": "TH", "dx": "DD", "eh": "E", "el": "nn", "em": "PP", "en": "nn", "eng": "kk",
    "er": "RR", "ey": "E I", "f": "FF", "g": "kk", "gcl": "kk", "hh": NEXT, "hv": NEXT,
    "ih": "I", "ix": "I", "iy": "I", "jh": "CH", "k": "kk", "kcl": "kk", "l": "nn", "m": "PP",
    "n": "nn", "ng": "kk", "nx": "nn", "ow": "O U", "oy": "O I", "p": "PP", "pcl": "PP",
    "q": NEXT, "r": "RR", "s": "SS", "sh": "CH", "t": "DD", "tcl": "DD", "th": "TH",
    "uh": "U", "uw": "U", "ux": "U", "v": "FF", "w": "U", "wh": "U", "y": "I", "z": "SS",
    "zh": "CH",
}  # fmt: skip

_CONSONANTS: Final = {
    "p": "PP", "b": "PP", "m": "PP", "f": "FF", "v": "FF", "t": "DD", "d": "DD", "k": "kk",
    "g": "kk", "s": "SS", "z": "SS", "n": "nn", "l": "nn", "r": "RR", "j": "I", "w": "U",
    "h": NEXT,
}  # fmt: skip
"""What all of festival's other sets, and SAMPA, call alike."""

_VOWELS: Final = {"a": "aa", "e": "E", "E": "E", "i": "I", "o": "O", "O": "O", "u": "U"}

_ITALIAN: Final = {
    **_CONSONANTS, **_VOWELS,
    "S": "CH", "Z": "CH", "ts": "SS", "dz": "SS", "tS": "CH", "dZ": "CH", "J": "nn", "ng": "kk",
    "nf": "FF", "L": "nn",
}  # fmt: skip
_FINNISH: Final = {
    **_CONSONANTS, **_VOWELS,
    "y": "U", "@": "E", "7": "O", "&": "aa", "T": "TH", "D": "TH", "S": "CH", "Z": "CH",
    "N": "kk", "L": "nn",
}  # fmt: skip
_CATALAN: Final = {
    **_CONSONANTS, **_VOWELS,
    "ax": "E", "J": "nn", "L": "nn", "rr": "RR", "S": "CH", "Z": "CH", "x": "kk",
}  # fmt: skip

_IPA: Final = {
    "sil": ".", "PP": "pbmɓʙ", "FF": "fvɱʋⱱɸβ", "TH": "θð", "DD": "tdʈɖɾɽɗᶑ",
    "kk": "kgɡŋxɣqɢχʁʀɴħʕcɟçʝɠʛɰ", "CH": "ʃʒʂʐɕʑɧ", "SS": "sz", "nn": "nlɳɲɬɮɭʎʟɫ",
    "RR": "rɹɻɺɚɝ", "aa": "aɑæɐʌäɶɒ", "E": "eɛəɜɘɞᵊœø", "I": "iɪjɨᵻʲɩ", "O": "oɔɤ",
    "U": "uʊyʏʉɯwʍɥɵ",
}  # fmt: skip
_IPA_OF: Final = {
    **{sign: name for name, signs in _IPA.items() for sign in signs if name != "sil"},
    "ɒ": "O", "œ": "O", "ø": "O", "ɵ": "O",
    "h": NEXT, "ɦ": NEXT, "ʔ": NEXT,
}  # fmt: skip
_IPA_AFFRICATES: Final = {
    "tʃ": "CH", "dʒ": "CH", "tɕ": "CH", "dʑ": "CH", "tʂ": "CH", "dʐ": "CH", "ʈʂ": "CH",
    "ts": "SS", "dz": "SS", "pf": "FF", "tθ": "TH", "ʧ": "CH", "ʤ": "CH", "ʦ": "SS", "ʣ": "SS",
}  # fmt: skip
_IPA_COLOURS: Final = frozenset("""':"^ːˑˈˌʰʱʷˠˤ˞ʼ‿͡.̯̃̈-ˀᵝ̩̥̪ⁿˡ’|""")
"""Length, stress, ties and what else no lip shows."""

_ESPEAK: Final = {
    "p": "PP", "b": "PP", "m": "PP", "m-": "PP", "f": "FF", "v": "FF", "B": "FF", "T": "TH",
    "D": "TH", "t": "DD", "d": "DD", "*": "DD", "k": "kk", "g": "kk", "N": "kk", "x": "kk",
    "Q": "kk", "C": "kk", "c": "kk", "J": "kk", "q": "kk", "X": "kk", "S": "CH", "Z": "CH",
    "tS": "CH", "dZ": "CH", "S;": "CH", "tS;": "CH", "s.": "CH", "z.": "CH", "s;": "CH",
    "s": "SS", "z": "SS", "ts": "SS", "dz": "SS", "n": "nn", "n^": "nn", "l": "nn", "l^": "nn",
    "L": "nn", "l/": "nn", "r": "RR", "r-": "RR", "R": "RR", "r/": "RR", "@L": "E nn",
    "j": "I", ";": "I", "w": "U", "w#": "U", "h": NEXT, "?": NEXT, "a": "aa", "aa": "aa",
    "a#": "aa", "A": "aa", "A@": "aa", "V": "aa", "0": "O", "0#": "O", "@": "E", "3": "RR",
    "E": "E", "e": "E", "e#": "E", "E#": "E", "i": "I", "I": "I", "I#": "I", "I2": "I",
    "i@": "I E", "e@": "E", "U@": "U E", "O@": "O", "o@": "O", "u": "U", "U": "U", "y": "U",
    "Y": "O", "W": "O", "o": "O", "O": "O", "aI": "aa I", "eI": "E I", "OI": "O I",
    "aU": "aa U", "oU": "O U", "aI@": "aa I E", "aI3": "aa I RR", "aU@": "aa U E",
    "i@3": "I RR", "IR": "RR", "VR": "RR", "A@3": "aa RR", "O@3": "O RR", "ju": "I U",
}  # fmt: skip


class _Alphabet:
    """A set of symbols. Calling it gives a symbol's visemes, or None for one it does not have."""

    def __init__(self, name: str, table: dict[str, str]) -> None:
        self.name = name
        self._table = {sign: tuple(visemes.split()) for sign, visemes in table.items()}

    def __call__(self, sign: str) -> tuple[str, ...] | None:
        if sign.lower() in _PAUSES:
            return ("sil",)
        for form in self._forms(sign):
            if form in self._table:
                return self._table[form]
        return None

    def _forms(self, sign: str) -> Iterable[str]:
        """Ways to look it up: as it stands, then without stress, length or variant number."""
        yield sign
        bare = sign.rstrip(":012345%'!")
        yield bare
        if self.name == "ARPABET":
            yield bare.lower()
        if self.name == "espeak mnemonics":
            yield bare.rstrip("#;:012345~-")
            yield sign.strip("',%=_|:")


class _Ipa(_Alphabet):
    def __init__(self) -> None:
        super().__init__("IPA", {})

    def __call__(self, sign: str) -> tuple[str, ...] | None:
        if sign.lower() in _PAUSES:
            return ("sil",)
        return _ipa(sign)


@cache
def _ipa(sign: str) -> tuple[str, ...] | None:
    bare = "".join(
        letter
        for letter in unicodedata.normalize("NFD", sign)
        if letter not in _IPA_COLOURS and not unicodedata.combining(letter)
    )
    if len(bare) > 1:  # Palatal colour; alone, it is what espeak says behind its consonant.
        bare = bare.replace("ʲ", "")
    names: list[str] = []
    at = 0
    while at < len(bare):
        pair = _IPA_AFFRICATES.get(bare[at : at + 2])
        name = pair or _IPA_AFFRICATES.get(bare[at]) or _IPA_OF.get(bare[at])
        if name is None:
            return None
        if not names or names[-1] != name:
            names.append(name)
        at += 2 if pair else 1
    return tuple(names)


_VISEME_NAMES: Final = _Alphabet(
    "visemes", {name: name for name in VISEMES} | {"ih": "I", "oh": "O", "ou": "U", "E": "E"}
)
ALPHABETS: Final = (
    _VISEME_NAMES,
    _Alphabet("ARPABET", _ARPABET),
    _Ipa(),
    _Alphabet("festival Italian", _ITALIAN),
    _Alphabet("festival Finnish", _FINNISH),
    _Alphabet("festival Catalan", _CATALAN),
    _Alphabet("espeak mnemonics", _ESPEAK),
)


def alphabet_of(
    signs: Iterable[str], *, engine: str | None = None, file: str | Path = ""
) -> _Alphabet:
    """The first alphabet that has all of `signs`; those of `engine` are asked first.

    Raises:
        UnknownPhonemeError: none has all of them; names the symbol that is missing from the
            alphabet that has most.
    """
    used = set(signs)
    order = sorted(ALPHABETS, key=lambda alphabet: not _speaks(engine, alphabet.name))
    missing = [sorted(sign for sign in used if alphabet(sign) is None) for alphabet in order]
    best = min(range(len(order)), key=lambda index: len(missing[index]))
    if missing[best]:
        raise UnknownPhonemeError(
            f"{file or 'The intervals'}: the phoneme {missing[best][0]!r} is in no alphabet "
            f"({order[best].name} comes nearest); add it to training/labels.py"
        )
    return order[best]


def _speaks(engine: str | None, alphabet: str) -> bool:
    if engine is None:
        return False
    if engine.startswith("espeak"):
        return alphabet in ("IPA", "espeak mnemonics")
    return engine in ("flite", "festival") and alphabet != "visemes" and alphabet != "IPA"
