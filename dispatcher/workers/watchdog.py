"""Watchdog: how long no sign of progress was seen, whatever this process itself has missed."""

import math
from typing import Final

SLACK_S: Final = 0.001
"""A timer of the event loop may end so much early."""


class Watchdog:
    """Counts the time since the last sign of progress, `idle_s` at the last look.

    A gap between two looks counts for half of the allowed time at most: this process itself may
    have been stopped in it, and what was sent to it meanwhile is read first.
    """

    def __init__(self, now: float) -> None:
        self.sign(now)

    def sign(self, now: float) -> None:
        """There was progress."""
        self.idle_s = 0.0
        self._looked_at = now

    def expired(self, now: float, within_s: float) -> bool:
        """Look: whether there was no sign for `within_s`, in which it has to be called twice.

        Infinity is no limit, and the count begins when there is one.
        """
        if within_s == math.inf:
            self.sign(now)
            return False
        self.idle_s += min(now - self._looked_at, within_s / 2)
        self._looked_at = now
        return self.idle_s >= within_s - SLACK_S
