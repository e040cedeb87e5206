"""Time: now, absolute deadlines, 25 ticks a second. The only place in the worker that sleeps."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from worker.media import TICK_S


def now() -> float:
    """Seconds on the running event loop's clock, which never goes back."""
    return asyncio.get_running_loop().time()


async def sleep_until(deadline: float) -> None:
    """Return at `deadline`; at once, but after others had their turn, if it has passed."""
    await asyncio.sleep(max(0.0, deadline - now()))


class Clock:
    """The beat of a face.

    Deadlines are absolute, so a late tick makes none of the following late. After a stall of
    more than `MAX_LATE_S` the beat starts anew instead of catching up in a rush, and `slips`
    counts it; no sound is lost by that, it is heard later. `late_s` is how long after its
    deadline the newest tick began.
    """

    MAX_LATE_S: Final = 0.2

    def __init__(self) -> None:
        self.slips = 0
        self.late_s = 0.0

    async def ticks(self) -> AsyncIterator[float]:
        """The time, 25 times a second, beginning now."""
        start, count = now(), 0
        while True:
            yield now()
            count += 1
            due = start + count * TICK_S
            if now() - due > self.MAX_LATE_S:
                start, count = now(), 0
                self.slips += 1
            await sleep_until(start + count * TICK_S)
            self.late_s = now() - due
