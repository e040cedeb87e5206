"""A script: what a face is to act in a film, and when."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from worker.errors import InputError
from worker.media import TICK_S
from worker.renderer import Cue, ExpressionCue, GestureCue, PostureCue, Renderer

Kind = Literal["expression", "gesture", "posture"]

ACT: Final = re.compile(r"([^:@]+)(?::([0-9.]{1,8}))?(?:@([0-9.]{1,8}))?")
LONGEST_S: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class ScriptedAct:
    """Something to be done `at_s` after the film's begin; only expressions have an intensity."""

    kind: Kind
    name: str
    intensity: float = 1.0
    at_s: float = 0.0


def parse_act(kind: Kind, text: str) -> ScriptedAct:
    """An act from ``NAME``, ``NAME@SECONDS`` or ``NAME:INTENSITY@SECONDS``. Raises InputError."""
    match = ACT.fullmatch(text)
    try:
        if match is None or (match[2] is not None and kind != "expression"):
            raise ValueError(text)
        intensity, at_s = float(match[2] or 1.0), float(match[3] or 0.0)
        if not 0 <= intensity <= 1 or not 0 <= at_s <= LONGEST_S:
            raise ValueError(text)
    except ValueError:
        shape = "NAME[:INTENSITY][@SECONDS], such as happy:0.6@2.5"
        if kind != "expression":
            shape = "NAME[@SECONDS], such as nod@2.5" if kind == "gesture" else "NAME[@SECONDS]"
        raise InputError(f"--{kind} is {text!r}; it has to be {shape}.") from None
    return ScriptedAct(kind, match[1], intensity, at_s)


class Script:
    """Acts for one renderer, in the order of their times."""

    def __init__(self, acts: Iterable[ScriptedAct], renderer: Renderer) -> None:
        """Raises InputError for what the face cannot do, with the list of what it can."""
        self._acts = sorted(acts, key=lambda act: act.at_s)
        self._renderer = renderer
        for act in self._acts:
            known = _known(renderer, act.kind)
            if not known:
                raise InputError(
                    f"This renderer shows no {act.kind}s; leave --{act.kind} out, "
                    "or choose AVATAR_RENDERER=character."
                )
            if act.name not in known:
                raise InputError(
                    f"There is no {act.kind} {act.name!r}; choose one of: {', '.join(known)}."
                )

    def perform(self, pictures: int) -> None:
        """What is due before the picture that `pictures` others have gone before."""
        while self._acts and self._acts[0].at_s <= (pictures + 0.5) * TICK_S:
            self._renderer.cue(_cue(self._acts.pop(0)))


def _known(face: Renderer, kind: Kind) -> Sequence[str]:
    if kind == "expression":
        return face.expressions
    return face.gestures if kind == "gesture" else face.postures


def _cue(act: ScriptedAct) -> Cue:
    if act.kind == "expression":
        return ExpressionCue(act.name, act.intensity)
    return GestureCue(act.name) if act.kind == "gesture" else PostureCue(act.name)
