"""The messages for what a face does beside speaking: gestures, expressions, postures, words."""

from typing import Annotated, Final, NamedTuple

from agent_side.protocol import checks
from agent_side.protocol.codec import control
from agent_side.protocol.fields import MAX_WORD, MAX_WORDS, Name, Names, Number, Stream


class Word(NamedTuple):
    """A word of a turn and when it is said, in seconds from the turn's first sample."""

    text: str
    start_s: float
    end_s: float

    @classmethod
    def check(cls, value: object) -> "Word":
        word = cls(*checks.each(value, checks.text(MAX_WORD), checks.seconds, checks.seconds))
        if word.end_s < word.start_s:
            raise checks.RefusedError
        return word


@control("gesture", ack_field="number")
class Gesture:
    """Agent to worker: make this gesture once, now.

    Answered with `Ack` or `ActRefused`, as `Expression` and `Posture` are. The `number`s of all
    three count up together in a stream, so that one that comes twice has one effect.
    """

    stream: Stream
    number: Number
    name: Name


@control("expression", ack_field="number")
class Expression:
    """Agent to worker: show this expression from now on, with an `intensity` from 0 to 1.

    One with a lower `number` than the present one comes too late.
    """

    stream: Stream
    number: Number
    name: Name
    intensity: Annotated[float, checks.share]


@control("posture", ack_field="number")
class Posture:
    """Agent to worker: take this posture while the face is silent, as `Expression`."""

    stream: Stream
    number: Number
    name: Name


ACTS: Final = ("gesture", "expression", "posture")
"""The kinds that an `ActRefused` may name."""


@control("act_refused")
class ActRefused:
    """Worker to agent, in place of `Ack`: the face has no such act.

    `of` is the kind of the message, `names` are those that the face does have.
    """

    stream: Stream
    of: Annotated[str, checks.one_of(ACTS)]
    number: Number
    names: Names


@control("words")
class Words:
    """Agent to worker, sent once: what the turn says, which makes the lips more exact.

    Nothing waits for it and nothing needs it. In order within a message; a turn may have many.
    """

    stream: Stream
    turn: Number
    words: Annotated[tuple[Word, ...], checks.row(Word.check, MAX_WORDS, least=1)]
