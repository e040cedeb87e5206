"""Reasons: why a session is over, in a sentence for people and in one word for what counts."""

from typing import Final, Literal, Self, get_args

from worker.errors import Dismissed, JoinError, JoinRefused, MeetingLost, RendererError

Word = Literal[
    "over",
    "told",
    "agent_left",
    "agent_absent",
    "room_empty",
    "longest",
    "dismissed",
    "refused",
    "join_failed",
    "meeting_lost",
    "renderer_failed",
    "failed",
]
"""All that there are, so that whoever counts them knows how many there can be."""

WORDS: Final[tuple[Word, ...]] = get_args(Word)

WORD_OF: Final[tuple[tuple[type[BaseException], Word], ...]] = (
    (Dismissed, "dismissed"),
    (MeetingLost, "meeting_lost"),
    (JoinRefused, "refused"),
    (JoinError, "join_failed"),
    (RendererError, "renderer_failed"),
)
"""Of several that fit an error the first; any other error is ``failed``."""


class Reason(str):
    """The sentence; `word` is what kind of end it is."""

    word: Word

    def __new__(cls, word: Word, sentence: str) -> Self:
        reason = super().__new__(cls, sentence)
        reason.word = word
        return reason

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """What an error that ends a session is counted as."""
        words = [word for kind, word in WORD_OF if isinstance(error, kind)]
        return cls(words[0] if words else "failed", str(error))
