"""Words as a hint: what a mouth does not do while a known word is spoken.

Letters are the hint, not a language's rules of how they are read: each may stand for any sound
that it stands for in the languages that use it, so a word rules out little, but rules it out for
sure: nothing in "seven" presses the lips together.
"""

import unicodedata
from collections.abc import Iterable
from typing import Final

import numpy as np

from agent_side.wire import Word
from worker.lipsync.shape import HOP_S, VISEMES, Floats

DAMPED: Final = np.float32(0.1)
"""How much is left of the belief in a viseme that no letter of the word stands for."""
MARGIN_HOPS: Final = 4
"""Before and after a word its neighbours are heard; times of words are not exact either."""
MOST_WORDS: Final = 256
"""That wait; the oldest are forgotten first."""

_VOWELS: Final = "aa E I O U RR"
"""A vowel's letter may stand for any vowel, or for none."""
SOUNDS: Final = {
    **dict.fromkeys("aeiouy", _VOWELS),
    "b": "PP FF", "c": "kk SS CH TH", "d": "DD CH TH", "f": "FF", "g": "kk CH", "h": "TH CH FF kk",
    "j": "CH I kk", "k": "kk", "l": "nn", "m": "PP", "n": "nn kk", "p": "PP FF", "q": "kk U",
    "r": "RR E kk", "s": "SS CH", "t": "DD CH TH SS", "v": "FF PP", "w": "U FF", "x": "kk SS CH",
    "z": "SS CH TH DD",
}  # fmt: skip
"""The visemes that a letter may stand for, alone or as a part of a group, such as sh or ph."""


def possible(text: str) -> Floats:
    """What is left of the belief in each viseme while `text` is said, shape (15,)."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    known = [SOUNDS[letter] for letter in letters if letter in SOUNDS]
    if not known or any(letter.isalnum() and letter not in SOUNDS for letter in letters):
        return np.ones(len(VISEMES), np.float32)
    sounds = {"sil", *" ".join(known).split()}
    return np.where([viseme in sounds for viseme in VISEMES], np.float32(1), DAMPED)


class Prompt:
    """The words of one sound, and what they leave of the belief in visemes at a hop."""

    def __init__(self) -> None:
        self._words: list[tuple[int, int, Floats]] = []

    def add(self, words: Iterable[Word]) -> None:
        """Words and when they are said, in seconds from the sound's beginning; in any order."""
        for word in words:
            first, last = round(word.start_s / HOP_S), round(word.end_s / HOP_S)
            self._words.append((first - MARGIN_HOPS, last + MARGIN_HOPS, possible(word.text)))
        self._words.sort(key=lambda each: each[0])
        del self._words[:-MOST_WORDS]

    def left(self, hop: int) -> Floats | None:
        """Factors for the beliefs of hop `hop`, none smaller than that of any word about it.

        None where nothing is known. Hops are asked for in order, and words of the past forgotten.
        """
        while self._words and self._words[0][1] <= hop:
            del self._words[0]
        about = [left for first, last, left in self._words if first <= hop < last]
        return np.maximum.reduce(about) if about else None
