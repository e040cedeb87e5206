"""A renderer for tests whose face can do more than speak, and that takes note of what it did."""

import threading
from collections.abc import Sequence

from stage import QuickRenderer

from worker.media import Picture
from worker.renderer import Word

GESTURES = ("nod", "shake", "wave_hello", "laugh")
EXPRESSIONS = ("neutral", "happy", "sad", "surprised", "thinking")
POSTURES = ("resting", "listening", "thinking")


class ExpressiveRenderer(QuickRenderer):
    """Speaks as `QuickRenderer` does. All that it was told is in `told`, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.gestures = GESTURES
        self.expressions = EXPRESSIONS
        self.postures = POSTURES
        self.made: list[str] = []
        self.worn = ("neutral", 1.0)
        self.held = "resting"
        self.prompts: dict[int, list[Word]] = {}
        self.threads: set[int] = set()
        self.pictures_before: list[int] = []
        """For each gesture, how many pictures at rest had been drawn when it was asked for."""
        self._pictures = 0

    def idle(self) -> Picture:
        self._pictures += 1
        return super().idle()

    def gesture(self, name: str) -> None:
        self._note()
        assert name in GESTURES
        self.made.append(name)
        self.pictures_before.append(self._pictures)

    def express(self, name: str, intensity: float) -> None:
        self._note()
        assert name in EXPRESSIONS
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
