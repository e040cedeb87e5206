"""Acts: the gestures, expressions and postures of the face, without a socket or a clock."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent_side.launch import AvatarError
from agent_side.protocol.fields import is_name
from agent_side.wire import (
    EXPRESSION,
    GESTURE,
    POSTURE,
    Ack,
    Act,
    ActRefused,
    Expression,
    Face,
    Gesture,
    Posture,
    Repeater,
    ack_of,
)

GESTURE_TIMEOUT_S: Final = 2.0
"""A gesture that has not begun by then is dropped: it belongs to its moment."""

MAX_GESTURES: Final = 16
"""Gestures that wait for their answer; with more, the oldest is dropped."""


class UnknownActError(AvatarError, ValueError):
    """The face has no such gesture, expression or posture; `names` are those that it has."""

    def __init__(self, kind: str, name: str, names: tuple[str, ...]) -> None:
        there_are = f"choose one of: {', '.join(names)}" if names else "it has none"
        super().__init__(f"The face has no {kind} {name!r}; {there_are}.")
        self.names = names


@dataclass(frozen=True, slots=True)
class ActUnknown:
    """The worker refuses an act that was requested before the face was known."""

    error: UnknownActError


@dataclass(frozen=True, slots=True)
class GestureDropped:
    """No worker has confirmed the gesture in time."""

    name: str


class Acts:
    """The gestures, expressions and postures that an agent asks for.

    The newest expression and the newest posture are kept and sent to every worker that comes;
    a gesture is sent to the one that is there, or comes within `GESTURE_TIMEOUT_S`. An
    act is repeated until it is answered. `report` is called with what the agent should know.
    """

    def __init__(self, report: Callable[[ActUnknown | GestureDropped], None]) -> None:
        self.face: Face | None = None
        """What the face can do; None while no worker is there that has announced it."""
        self._report = report
        self._stream = ""
        self._number = 0
        self._expression: tuple[str, float] | None = None
        self._posture: str | None = None
        self._early: tuple[str, float] | None = None
        self._repeater = Repeater()
        self._unanswered: dict[tuple[str, int], Act] = {}
        self._until: dict[int, float] = {}

    # The agent ------------------------------------------------------------------------------

    def gesture(self, name: str, now: float) -> bool:
        """Make it now. Returns False while no face is there: it waits a moment for one.

        Raises `UnknownActError`.
        """
        self._check(GESTURE, name)
        if self.face is None:
            self._give_up_early()
            self._early = (name, now + GESTURE_TIMEOUT_S)
            return False
        self._send_gesture(name, now, now + GESTURE_TIMEOUT_S)
        return True

    def express(self, name: str, intensity: float, now: float) -> None:
        """Show it from now on. Raises `UnknownActError`, and ValueError outside 0..1."""
        self._check(EXPRESSION, name)
        if not 0 <= intensity <= 1:
            raise ValueError(f"An intensity of {intensity} is out of range; choose 0 to 1.")
        self._expression = (name, float(intensity))
        self._send_expression(now)

    def pose(self, name: str, now: float) -> None:
        """Take it from now on while nothing is said. Raises `UnknownActError`."""
        self._check(POSTURE, name)
        self._posture = name
        self._send_posture(now)

    # The worker -----------------------------------------------------------------------------

    def found(self, stream: str, face: Face | None, now: float) -> None:
        """A worker obeys `stream`; one without a `face` knows no acts."""
        self.lost()
        self._stream, self.face = stream, face
        self._send_expression(now)
        self._send_posture(now)
        if face is not None and self._early is not None:
            (name, until), self._early = self._early, None
            self._send_gesture(name, now, until)

    def lost(self) -> None:
        """No worker is there. An act without an answer may have begun, so it is not sent again."""
        self.face = None
        for key in list(self._unanswered):
            self._give_up(key)

    def answered(self, answer: Ack | ActRefused) -> None:
        """The worker has answered; a second answer to the same act is ignored."""
        match answer:
            case Ack(_, of, number):
                self._forget((of, number))
            case ActRefused(_, of, number, names):
                act = self._forget((of, number))
                if act is not None:
                    self._refused(act, UnknownActError(of, act.name, names))

    def expire(self, now: float) -> None:
        """Drop the gestures that are too late."""
        if self._early is not None and now > self._early[1]:
            self._give_up_early()
        for number in [number for number, until in self._until.items() if now > until]:
            self._give_up((GESTURE, number))

    def pop_due(self, now: float) -> Act | None:
        """What has to be sent now; None when there is nothing."""
        act = self._repeater.pop_due(now)
        return act if isinstance(act, Act) else None

    @property
    def next_due(self) -> float | None:
        """When `pop_due` has something again; None if nothing waits."""
        return self._repeater.next_due

    def _names(self, kind: str) -> tuple[str, ...] | None:
        if self.face is None:
            return None
        return {
            GESTURE: self.face.gestures,
            EXPRESSION: self.face.expressions,
            POSTURE: self.face.postures,
        }[kind]

    def _check(self, kind: str, name: str) -> None:
        names = self._names(kind)
        if not is_name(name) or (names is not None and name not in names):
            raise UnknownActError(kind, name, names or ())

    def _send_expression(self, now: float) -> None:
        if self.face is not None and self._expression is not None:
            self._replace(EXPRESSION)
            self._send(Expression(self._stream, self._next(), *self._expression), now)

    def _send_posture(self, now: float) -> None:
        if self.face is not None and self._posture is not None:
            self._replace(POSTURE)
            self._send(Posture(self._stream, self._next(), self._posture), now)

    def _send_gesture(self, name: str, now: float, until: float) -> None:
        if len(self._until) >= MAX_GESTURES:
            self._give_up((GESTURE, min(self._until)))
        number = self._next()
        self._until[number] = until
        self._send(Gesture(self._stream, number, name), now)

    def _send(self, act: Act, now: float) -> None:
        ack = ack_of(act)
        self._unanswered[ack.of, ack.turn] = act
        self._repeater.add((ack.of, ack.turn), act, now)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _replace(self, kind: str) -> None:
        """Older acts of the kind are not repeated any more."""
        for key in [key for key in self._unanswered if key[0] == kind]:
            self._forget(key)

    def _forget(self, key: tuple[str, int]) -> Act | None:
        self._repeater.done(key)
        if key[0] == GESTURE:
            self._until.pop(key[1], None)
        return self._unanswered.pop(key, None)

    def _give_up(self, key: tuple[str, int]) -> None:
        act = self._forget(key)
        if isinstance(act, Gesture):
            self._report(GestureDropped(act.name))

    def _give_up_early(self) -> None:
        if self._early is not None:
            self._report(GestureDropped(self._early[0]))
            self._early = None

    def _refused(self, act: Act, error: UnknownActError) -> None:
        """No other worker is sent it; what was requested after it stays."""
        match act:
            case Expression(name=name) if self._expression and self._expression[0] == name:
                self._expression = None
            case Posture(name=name) if self._posture == name:
                self._posture = None
        self._report(ActUnknown(error))


class FaceControls:
    """The part of `AvatarAudioOut` that asks the face for acts."""

    _acts: Acts

    def _now(self) -> float:
        """The time on the running event loop."""
        raise NotImplementedError

    def _send_acts(self) -> None:
        """Send what `_acts` has."""
        raise NotImplementedError

    @property
    def gestures(self) -> tuple[str, ...]:
        """What `gesture` takes; empty until the face is known."""
        return (self._acts.face or Face()).gestures

    @property
    def expressions(self) -> tuple[str, ...]:
        """What `expression` takes; empty until the face is known."""
        return (self._acts.face or Face()).expressions

    @property
    def postures(self) -> tuple[str, ...]:
        """What `posture` takes; empty until the face is known."""
        return (self._acts.face or Face()).postures

    def gesture(self, name: str) -> bool:
        """Make a gesture now, once, such as nod or wave_hello.

        Returns whether a face is there that was asked for it. If not, it is made all the same
        where one comes within 2 s, and never later. An interrupt does not end it. Raises
        `UnknownActError` (a ValueError) with the names that there are.
        """
        asked = self._acts.gesture(name, self._now())
        self._send_acts()
        return asked

    def expression(self, name: str, intensity: float = 1.0) -> None:
        """Show an expression from now on, such as happy; `intensity` is 0 to 1.

        Kept for the worker that comes, and for one that replaces it. Raises `UnknownActError` (a
        ValueError) with the names that there are.
        """
        self._acts.express(name, intensity, self._now())
        self._send_acts()

    def posture(self, name: str) -> None:
        """Take a posture while nothing is said: resting, listening, thinking.

        Kept for the worker that comes, and for one that replaces it. Raises `UnknownActError` (a
        ValueError) with the names that there are.
        """
        self._acts.pose(name, self._now())
        self._send_acts()
