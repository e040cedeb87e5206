"""Departure: why a session ends and when, from before it joins until it has left."""

import asyncio
from typing import Final

from worker.meeting import Meeting
from worker.turns.reasons import Reason

OVER: Final = Reason("over", "The meeting is over.")
STOPPED: Final = Reason("told", "The worker was told to stop.")


class Departure:
    """Set by whoever ends the session, waited for by the session.

    `requested` says that it was asked to end, at the latest at a deadline; `reason` says why it
    is over.
    """

    def __init__(self) -> None:
        self.reason = OVER
        self._ending = asyncio.Event()
        self._joining: asyncio.Task[None] | None = None
        self._deadline: float | None = None

    @property
    def requested(self) -> bool:
        return self._deadline is not None

    def by(self, deadline: float) -> None:
        """End by then, or as soon as all is said; a join that is under way is given up."""
        self.reason = STOPPED
        self._deadline = deadline
        if self._joining is not None:
            self._joining.cancel()

    def begin(self, reason: Reason | None = None) -> None:
        """End now. Without a `reason`, for the one that is known already."""
        self.reason = reason or self.reason
        self._ending.set()

    def look(self, now: float, all_said: bool) -> None:
        """Begin where it was requested, and either the deadline is over or all is said."""
        if self._deadline is not None and (now >= self._deadline or all_said):
            self._ending.set()

    async def wait(self) -> None:
        """Until the session has to end."""
        await self._ending.wait()

    async def join(self, meeting: Meeting) -> bool:
        """Join the meeting; False where the end was requested before that was done."""
        if self.requested:
            return False
        self._joining = asyncio.create_task(meeting.join(), name="join")
        try:
            await asyncio.wait([self._joining])
        finally:
            joining, self._joining = self._joining, None
            joining.cancel()
        if not joining.cancelled():
            joining.result()
        return not self.requested
