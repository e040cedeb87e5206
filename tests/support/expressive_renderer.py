"""A renderer for tests whose face can do more than speak, and that takes note of what it did."""

import threading

from stage import QuickRenderer

from agent_side.wire import Word
from worker.renderer import Cue, ExpressionCue, GestureCue, PostureCue, WordsCue

GESTURES = ("nod", "shake", "wave_hello", "laugh")
EXPRESSIONS = ("neutral", "happy", "sad", "surprised", "thinking")
POSTURES = ("resting", "listening", "thinking")


class ExpressiveRenderer(QuickRenderer):
    """Speaks as `QuickRenderer` does. All that it was told is in `told`, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.gestures: tuple[str, ...] = GESTURES
        self.expressions: tuple[str, ...] = EXPRESSIONS
        self.postures = POSTURES
        self.made: list[str] = []
        self.worn = ("neutral", 1.0)
        self.held = "resting"
        self.prompts: dict[int, list[Word]] = {}
        self.threads: set[int] = set()

    def cue(self, cue: Cue) -> None:
        self._note()
        match cue:
            case GestureCue(name):
                assert name in self.gestures
                self.made.append(name)
            case ExpressionCue(name, intensity):
                assert name in self.expressions
                assert 0 <= intensity <= 1
                self.worn = (name, intensity)
            case PostureCue(name):
                assert name in POSTURES
                self.held = name
            case WordsCue(segment, words):
                self.prompts.setdefault(segment, []).extend(words)

    def _note(self) -> None:
        self.threads.add(threading.get_ident())
