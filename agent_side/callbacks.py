"""Reporter: calls the application's callbacks with what happens to its speech."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from agent_side.acts import ActUnknown, GestureDropped
from agent_side.handshake import Disobeyed, WorkerLost, WorkerReady
from agent_side.launch import AvatarError
from agent_side.speaker import Event
from agent_side.turn_buffer import TurnOver, TurnStarted

logger = logging.getLogger("avatar.agent_side")

FAILED: Final = "a callback of AvatarAudioOut failed"

ReadyCallback = Callable[[int], Awaitable[None] | None]
LostCallback = Callable[[], Awaitable[None] | None]
StartedCallback = Callable[[int], Awaitable[None] | None]
EndedCallback = Callable[[float, bool, int], Awaitable[None] | None]
OverCallback = Callable[[TurnOver], Awaitable[None] | None]
ErrorCallback = Callable[[AvatarError], Awaitable[None] | None]


class Application(Protocol):
    """The callbacks, of which each may be None; see `AvatarAudioOut`."""

    on_playback_started: StartedCallback | None
    on_stream_ended: EndedCallback | None
    on_turn_over: OverCallback | None
    on_avatar_ready: ReadyCallback | None
    on_avatar_lost: LostCallback | None
    on_error: ErrorCallback | None

    def _on_stream_ended(self, playback_position: float, interrupted: bool) -> None:
        """What subclasses of the stock class override."""


class Reporter:
    """Logs events and calls the callbacks of `application`.

    Callbacks may be functions or coroutine functions; what they raise is logged.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._tasks: set[asyncio.Task[None]] = set()
        self._faceless_reported = False
        self._disobeyed_reported = False

    def attached(self) -> None:
        """In another meeting, disobedience is reported again."""
        self._disobeyed_reported = False

    def event(self, event: Event) -> None:
        """Something that the speaker reports."""
        match event:
            case WorkerReady(version):
                logger.info("the avatar is there and speaks version %d", version)
                self._call(self._application.on_avatar_ready, version)
            case WorkerLost():
                logger.warning("the avatar is gone; speech is kept for the next")
                self._call(self._application.on_avatar_lost)
            case Disobeyed(named):
                self._disobeyed(named)
            case TurnStarted(turn):
                self._call(self._application.on_playback_started, turn)
            case ActUnknown(error):
                logger.warning("%s", error)
                self.error(error)
            case GestureDropped(name):
                logger.info("the gesture %s found no face in time", name)
            case TurnOver():
                self._over(event)

    def error(self, error: AvatarError) -> None:
        """Something that the application has to know."""
        self._call(self._application.on_error, error)

    def faceless(self) -> None:
        """An act was asked of a worker that shows none; logged once."""
        if not self._faceless_reported:
            self._faceless_reported = True
            logger.warning("the avatar's worker shows no gestures and expressions: it is not ours")

    async def drain(self) -> None:
        """Return when all callbacks on this event loop are done, but for one that calls this."""
        loop, current = asyncio.get_running_loop(), asyncio.current_task()
        others = [t for t in self._tasks if t is not current and t.get_loop() is loop]
        await asyncio.gather(*others, return_exceptions=True)

    def _over(self, turn: TurnOver) -> None:
        application = self._application
        self._call(application._on_stream_ended, turn.position, turn.interrupted)
        self._call(application.on_stream_ended, turn.position, turn.interrupted, turn.turn)
        self._call(application.on_turn_over, turn)

    def _disobeyed(self, named: bool) -> None:
        if self._disobeyed_reported:
            return
        self._disobeyed_reported = True
        why = "its join request names another one" if named else "another one had it first"
        error = AvatarError(
            f"The face obeys another participant: {why}. Let one agent use it at a time, or name "
            "this one in a launch of its own."
        )
        logger.warning("%s", error)
        self.error(error)

    def _call(self, callback: Callable[..., Awaitable[None] | None] | None, *args: Any) -> None:
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


async def _logged(result: Awaitable[None]) -> None:
    try:
        await result
    except Exception:
        logger.exception(FAILED)
