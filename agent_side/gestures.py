"""Gestures: keywords in a transcript make the face wave, laugh or nod."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol
from unicodedata import category, normalize

COOLDOWN_S: Final = 3.0
"""A gesture is not repeated within this time."""

DEFAULT_KEYWORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "wave_hello": ("hello", "hi", "hey", "goodbye", "bye", "wave"),
    "laugh": ("laugh", "laughing", "haha", "funny", "hilarious", "lol"),
    "nod": ("yes", "yeah", "agree", "nod"),
    "heart_gesture": ("love", "heart", "kiss"),
    "thumbs_up": ("thanks", "great", "awesome"),
}
"""Keywords of each gesture; the first match wins. A face skips gestures that it does not have."""

OTHER_NAMES: Final[Mapping[str, str]] = {
    "mini_wave_hello": "wave_hello",
    "laugh_react": "laugh",
    "nod_agree": "nod",
}
"""Names of our gestures in other avatar runtimes, for keyword maps that were made for them."""


class Gesturing(Protocol):
    """The part of `AvatarAudioOut` that `Gestures` needs."""

    @property
    def gestures(self) -> Sequence[str]:
        """What the face can do; empty until it is known."""

    def gesture(self, name: str) -> bool:
        """Make the gesture now; returns whether a face was there."""


class Gestures:
    """Reads transcripts and makes gestures for their keywords.

    - `avatar`: the `AvatarAudioOut`.
    - `keywords`: the words that lead to each gesture, ours or one of `OTHER_NAMES`.
    - `cooldown_s`: a gesture is not repeated within this time.
    - `whole_words`: "hi" is not found in "this"; False finds it there, as some runtimes do.

    Letters are compared without regard to case, in any script; where a script puts no space
    between words, use `whole_words=False`. Holds no clock: `hear` is given the time.
    """

    def __init__(
        self,
        avatar: Gesturing,
        keywords: Mapping[str, Iterable[str]] = DEFAULT_KEYWORDS,
        *,
        cooldown_s: float = COOLDOWN_S,
        whole_words: bool = True,
    ) -> None:
        self._avatar = avatar
        self._cooldown_s = cooldown_s
        self._whole_words = whole_words
        self._keywords: dict[str, list[str]] = {}
        self._made_at: dict[str, float] = {}
        for gesture, words in keywords.items():
            for word in words:
                self.add(gesture, word)

    @property
    def keywords(self) -> dict[str, tuple[str, ...]]:
        """The keywords of each gesture, also of those that the face does not have."""
        return {gesture: tuple(words) for gesture, words in self._keywords.items()}

    def add(self, gesture: str, keyword: str) -> None:
        """`keyword`, one or more words, makes `gesture` too. Raises ValueError without a letter."""
        word = _plain(keyword)
        if not word:
            raise ValueError(f"The keyword {keyword!r} for {gesture} has no letters; give a word.")
        words = self._keywords.setdefault(OTHER_NAMES.get(gesture, gesture), [])
        if word not in words:
            words.append(word)

    def remove(self, keyword: str) -> None:
        """`keyword` makes no gesture any more."""
        word = _plain(keyword)
        left = {
            gesture: [other for other in words if other != word]
            for gesture, words in self._keywords.items()
        }
        self._keywords = {gesture: words for gesture, words in left.items() if words}

    def hear(self, transcript: str, now: float) -> str | None:
        """Something was said, at the time `now` of any clock (s); returns the gesture made.

        The first gesture whose keyword is in it, that the face has and that does not rest.
        """
        said = _plain(transcript)
        for gesture, words in self._keywords.items():
            fits = gesture in self._avatar.gestures and not self._rests(gesture, now)
            if fits and any(self._is_in(said, word) for word in words):
                if not self._avatar.gesture(gesture):
                    return None
                self._made_at[gesture] = now
                return gesture
        return None

    def _rests(self, gesture: str, now: float) -> bool:
        made_at = self._made_at.get(gesture)
        return made_at is not None and now < made_at + self._cooldown_s

    def _is_in(self, said: str, word: str) -> bool:
        return f" {word} " in f" {said} " if self._whole_words else word in said


def _plain(text: str) -> str:
    """The words of the text, one space between them: letters, their marks, and digits."""
    folded = normalize("NFKC", normalize("NFKC", text).casefold())
    return " ".join("".join(sign if category(sign)[0] in "LMN" else " " for sign in folded).split())
