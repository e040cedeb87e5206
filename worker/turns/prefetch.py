"""How many frames wait before speech is heard, by how often it stalled."""

from typing import Final

MAX_PREFETCH: Final = 6
"""Frames that wait before a segment sounds where speech has stalled, unless the renderer asks
for more: 240 ms. Version 2 sends 400 ms ahead, so as many always come, and a renderer may look
160 ms ahead.
"""


class Prefetch:
    """`frames` is at least `least`; it doubles with a stall, and shrinks with a segment without.

    `most` frames are worth rendering ahead: as many as may be waited for.
    """

    def __init__(self, least: int) -> None:
        self.frames = least
        self.most = max(least, MAX_PREFETCH)
        self.stalls = 0
        self._least = least
        self._has_stalled = False

    def stalled(self) -> None:
        """Speech goes on that had run out in the middle of a segment."""
        self._has_stalled = True
        self.stalls += 1
        self.frames = min(self.most, 2 * self.frames)

    def segment_ended(self) -> None:
        """A segment was heard to its end."""
        if not self._has_stalled:
            self.frames = max(self._least, self.frames - 1)
        self._has_stalled = False
