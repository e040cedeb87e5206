"""A renderer for tests whose face can do more than speak, and that takes note of what it did."""

import threading
from collections.abc import Sequence

from stage import QuickRenderer

from worker.renderer import Word

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

    def gesture(self, name: str) -> None:
        self._note()
        assert name in self.gestures
        self.made.append(name)

    def express(self, name: str, intensity: float) -> None:
        self._note()
        assert name in self.expressions
        assert 0 <= intensity <= 1
        self.worn = (name, intensity)

    def pose(self, name: str) -> None:
        self._note()
        assert name in POSTURES
        self.held = name

    def words(self, segment: int, words: Sequence[Word]) -> None:
        self._note()
        self.prompts.setdefault(segment, []).extend(words)

    def _note(self) -> None:
        self.threads.add(threading.get_ident())
