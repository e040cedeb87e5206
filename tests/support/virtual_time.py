"""Virtual time: an event loop whose clock jumps to the next timer instead of waiting for it."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

START_S: Final = 1000.0
"""What the loop's clock shows when a run begins; anything but zero."""

MAX_STANDSTILL: Final = 100_000
"""Rounds of the loop without time moving, after which a program counts as spinning."""


NANOSECOND_S: Final = 1e-9
STANDSTILL: Final = 1000
"""Rounds of the loop without time moving, after which a nanosecond may pass."""


class StuckError(Exception):
    """The program can never go on: everything waits and no timer is set, or it spins."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """What `main` returns, like ``asyncio.run``, without a second of waiting.

    Functions given to executors and threads run inline. Raises StuckError where
    ``asyncio.run`` would hang.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at `START_S`; time passes only while nothing is ready. Knows no real sockets."""

    def __init__(self) -> None:
        self.virtual_s = START_S
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.virtual_s

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run `func` now; its result is there in the loop's next round, as from a thread."""
        future: asyncio.Future[T] = self.create_future()
        try:
            self.call_soon(_unless_done, future, future.set_result, func(*args))
        except Exception as error:
            self.call_soon(_unless_done, future, future.set_exception, error)
        return future


def _unless_done(
    future: asyncio.Future[T], set_value: Callable[[Any], None], value: object
) -> None:
    if not future.done():
        set_value(value)


class _Jumping(selectors.SelectSelector):
    """Where a selector would sleep, time jumps."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._standstill = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise StuckError(f"Nothing is ready and no timer is set: {self._waiting()}.")
        self._standstill = self._standstill + 1 if timeout <= 0 else 0
        if self._standstill > MAX_STANDSTILL:
            self._standstill = 0
            raise StuckError(f"The loop spins without time moving: {self._waiting()}.")
        self._loop.virtual_s += max(0.0, timeout)
        if self._standstill % STANDSTILL == STANDSTILL - 1:
            self._loop.virtual_s = max(self._loop.virtual_s, self._due())
        return []

    def _due(self) -> float:
        """When the next timer runs, if within a nanosecond. asyncio runs those too early, and
        who then looks at the clock and waits again would never get there."""
        scheduled: list[asyncio.TimerHandle] = self._loop._scheduled  # type: ignore[attr-defined]
        soon = self._loop.virtual_s + NANOSECOND_S
        return min(scheduled[0].when(), soon) if scheduled else 0.0

    def _waiting(self) -> str:
        names = sorted(task.get_name() for task in asyncio.all_tasks(self._loop))
        return f"{', '.join(names) or 'no task'} at {self._loop.virtual_s:.3f} s"
