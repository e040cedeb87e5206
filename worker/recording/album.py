"""Which drawn picture is shown at a tick."""

import threading
from collections import deque
from typing import Final

from worker.media import AvatarFrame, Pcm, Picture
from worker.recording.file import checksum

MOST_HELD: Final = 64
"""Frames that were drawn and may still be shown; a session has some ten of them."""

RESTS_HELD: Final = 4


class Album:
    """Which picture is which: counts what the renderer draws, and finds it when it is shown.

    Filled by the renderer's thread, read by the event loop. Pictures are known by being the very
    same object; those that cannot be shown any more are let go.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._frames: deque[tuple[int, AvatarFrame]] = deque(maxlen=MOST_HELD)
        self._rests: deque[tuple[int, Picture]] = deque(maxlen=RESTS_HELD)
        self._shown: tuple[int, Picture] | None = None
        self._newest: tuple[Picture, int] | None = None

    def add_frame(self, frame: AvatarFrame) -> int:
        """The frame was drawn; returns its picture's checksum."""
        with self._lock:
            self._frames.append((self._count, frame))
            self._count += 1
        return self._checked(frame.picture)

    def add_rest(self, picture: Picture) -> int:
        """The face at rest was drawn; returns its checksum."""
        with self._lock:
            self._rests.append((self._count, picture))
            self._count += 1
        return self._checked(picture)

    def find(self, frame: AvatarFrame) -> tuple[int | None, Pcm | None]:
        """The number of the picture that is shown, and the sound that was drawn with it.

        A segment's frames are shown in order; one that is not of speech shows the face at rest,
        or once more what was shown before.
        """
        with self._lock:
            if frame.segment == 0:
                number, pcm = self._find_rest(frame.picture), None
            else:
                number, pcm = self._find_frame(frame)
            if number is not None:
                self._shown = number, frame.picture
            return number, pcm

    def _find_rest(self, picture: Picture) -> int | None:
        known = [self._shown] if self._shown is not None else []
        for number, each in [*known, *self._rests]:
            if each is picture:
                return number
        return None

    def _find_frame(self, frame: AvatarFrame) -> tuple[int | None, Pcm | None]:
        for place, (number, each) in enumerate(self._frames):
            if each.picture is frame.picture and each.segment == frame.segment:
                for _ in range(place + 1):
                    self._frames.popleft()
                return number, each.pcm
        return None, None

    def _checked(self, picture: Picture) -> int:
        """Faces at rest are often the same object for a while."""
        if self._newest is None or self._newest[0] is not picture:
            self._newest = picture, checksum(picture)
        return self._newest[1]
