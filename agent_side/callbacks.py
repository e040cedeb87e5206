"""CallbackRunner: calls the application's callbacks, functions or coroutine functions."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

logger = logging.getLogger("avatar.agent_side")

FAILED: Final = "a callback of AvatarAudioOut failed"


class CallbackRunner:
    """Runs callbacks on the event loop. What they raise is logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, callback: Callable[..., Awaitable[None] | None] | None, *args: Any) -> None:
        """Call `callback` now; a coroutine that it returns runs as a task."""
        if callback is None:
            return
        try:
            result = callback(*args)
        except Exception:
            logger.exception(FAILED)
            return
        if inspect.isawaitable(result):
            task = asyncio.ensure_future(_logged(result))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Return when all tasks are done, but for the one that calls this."""
        others = self._tasks - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)


async def _logged(result: Awaitable[None]) -> None:
    try:
        await result
    except Exception:
        logger.exception(FAILED)
