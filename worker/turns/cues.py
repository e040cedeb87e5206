"""Acts: what the face does beside speaking, each once however often it is received."""

import logging
from collections import Counter
from dataclasses import replace
from typing import Final

from agent_side.protocol.fields import MAX_NAMES, is_name
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
    ack_of,
)
from worker.renderer import Cue, ExpressionCue, GestureCue, PostureCue, Renderer

logger = logging.getLogger("avatar.worker.acts")

MAX_KNOWN: Final = 256
"""Gestures that are known to have been made; one from before them counts as made."""

MAX_GESTURES: Final = 16
"""Gestures that wait for the renderer; the oldest is forgotten for the next."""

NEUTRAL: Final = "neutral"
RESTING: Final = "resting"
"""How a face looks and waits when no agent has set it."""


def face_of(renderer: Renderer) -> Face:
    """What the renderer's face can do, as far as the protocol can say it; maybe nothing."""
    return Face(
        _sayable(renderer.gestures), _sayable(renderer.expressions), _sayable(renderer.postures)
    )


class ReceivedActs:
    """What the obeyed agent's stream has asked of the face.

    A gesture is made once, in whatever order they come. An expression or a posture counts only
    while no newer one has come: the highest number is the newest.
    """

    def __init__(self, face: Face, counters: Counter[str]) -> None:
        self._names = {
            GESTURE: face.gestures,
            EXPRESSION: face.expressions,
            POSTURE: face.postures,
        }
        self._counters = counters
        self._made: set[int] = set()
        self._made_all_to = -1
        self._newest: dict[str, Act] = {}
        self._waiting: list[Act] = []

    def receive(self, act: Act) -> Ack | ActRefused:
        """An act of the agent; returns the answer."""
        ack = ack_of(act)
        names = self._names[ack.of]
        if act.name not in names:
            self._counters["act_unknown"] += 1
            return ActRefused(act.stream, ack.of, act.number, names)
        if isinstance(act, Gesture):
            self._gesture(act)
        else:
            self._wear(ack.of, act)
        return ack

    def take(self) -> list[Cue]:
        """The cues for the renderer, in order; each is returned once."""
        acts, self._waiting = self._waiting, []
        return [_cue(act) for act in acts]

    def release(self) -> None:
        """The stream is over, and with it what it asked for; the next one counts anew."""
        self._waiting.clear()
        for kind, plain in ((EXPRESSION, NEUTRAL), (POSTURE, RESTING)):
            worn = self._newest.pop(kind, None)
            if worn is not None and worn.name != plain and plain in self._names[kind]:
                self._waiting.append(replace(worn, name=plain))
        self._made.clear()
        self._made_all_to = -1

    def _gesture(self, gesture: Gesture) -> None:
        if gesture.number <= self._made_all_to or gesture.number in self._made:
            self._counters["act_repeated"] += 1
            return
        self._made.add(gesture.number)
        if len(self._made) > MAX_KNOWN:
            self._made_all_to = min(self._made)
            self._made.remove(self._made_all_to)
        waiting = [act for act in self._waiting if isinstance(act, Gesture)]
        if len(waiting) >= MAX_GESTURES:
            self._counters["gesture_dropped"] += 1
            self._waiting.remove(waiting[0])
        self._waiting.append(gesture)

    def _wear(self, kind: str, act: Expression | Posture) -> None:
        worn = self._newest.get(kind)
        if worn is not None and act.number <= worn.number:
            self._counters["act_repeated"] += 1
            return
        self._newest[kind] = act
        self._waiting = [each for each in self._waiting if type(each) is not type(act)]
        self._waiting.append(act)


def _cue(act: Act) -> Cue:
    match act:
        case Gesture(name=name):
            return GestureCue(name)
        case Expression(name=name, intensity=intensity):
            return ExpressionCue(name, intensity)
        case Posture(name=name):
            return PostureCue(name)


def _sayable(names: tuple[str, ...]) -> tuple[str, ...]:
    sayable = tuple(name for name in names if is_name(name))[:MAX_NAMES]
    if len(sayable) < len(names):
        logger.warning(
            "the face has names that the protocol cannot say; give it at most %d of each kind, "
            "short and in ASCII: %s",
            MAX_NAMES,
            sorted(set(names) - set(sayable)),
        )
    return sayable
