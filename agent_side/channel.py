"""MeetingChannel: sends the speaker's packets in a meeting, and gives it what arrives there.

One task sends, one packet after the other. A packet that waits in the SDK is overtaken by an
interrupt; one that fails is tried again.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from agent_side.launch import AvatarError
from agent_side.pending_sends import MAX_PENDING, SEND_TIMEOUT_S, PendingSends
from agent_side.speaker import Speaker
from agent_side.wire import Packet, decode

logger = logging.getLogger("avatar.agent_side")

RETRY_FIRST_S: Final = 0.02
RETRY_SLOWEST_S: Final = 2.0

SETTLING_S: Final = 1.0
"""The SDK refuses what is sent in the first moments after it has joined: that is not reported."""

FAILING_S: Final = 10.0
"""Sends that fail for so long are reported; they are tried further."""


class MeetingChannel:
    """The meeting that `speaker` speaks in, on one event loop.

    `on_change` is called after everything that arrives or is sent, `on_error` when sends have
    failed for `FAILING_S`. The face is the participant `participant_id`.
    """

    def __init__(
        self,
        speaker: Speaker,
        participant_id: str,
        on_change: Callable[[], None],
        on_error: Callable[[AvatarError], None],
    ) -> None:
        self._speaker = speaker
        self._participant_id = participant_id
        self._on_change = on_change
        self._failures = _Failures(on_error)
        self._meeting: Any = None
        self._listener: _Listener | None = None
        self._sender: asyncio.Task[None] | None = None
        self._is_abandoned = False
        self._changed = asyncio.Event()
        self._pending = PendingSends()
        self._pending_in: Any = None
        self._go_on: asyncio.Event | None = None
        """Set when the packet that is being sent is done with or overtaken."""
        self._may_be_overtaken = False

    @property
    def own_id(self) -> str | None:
        """The agent's id in the meeting; None before it is attached to one."""
        own = getattr(getattr(self._meeting, "local_participant", None), "id", None)
        return own if isinstance(own, str) and own else None

    def attach(self, meeting: Any, now: float) -> None:
        """Send and listen in this meeting."""
        if meeting is not self._pending_in:
            self._pending.close()
        self._pending_in = meeting
        self._meeting = meeting
        self._listener = _Listener(self._on_event)
        meeting.add_event_listener(self._listener)
        self._speaker.attached(now)
        if self._participant_id in meeting.participants:
            self._speaker.present(now)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all(), name="avatar-audio-out")

    def leave(self, now: float) -> None:
        """Leave the meeting, if there is one."""
        if self._meeting is not None and self._listener is not None:
            try:
                self._meeting.remove_event_listener(self._listener)
            except ValueError:
                logger.debug("the meeting had dropped its listeners")
        self._meeting = self._listener = None
        if self._go_on is not None:
            self._go_on.set()
        self._speaker.detached(now)

    def abandon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Another event loop is used from now on; nothing is sent on this one any more."""
        self._is_abandoned = True
        self._go_on = None
        cancel_on(loop, self._sender)

    async def close(self) -> None:
        """Stop sending."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def wake(self) -> None:
        """The speaker may have something to send."""
        self._on_change()
        self._changed.set()

    def overtake(self, spare: int = 0) -> None:
        """Send what is next although speech waits in the SDK, where `spare` more may wait."""
        there_is_room = MAX_PENDING - len(self._pending) >= spare
        if self._go_on is not None and self._may_be_overtaken and there_is_room:
            self._go_on.set()

    # Sending --------------------------------------------------------------------------------

    async def _send_all(self) -> None:
        pause_s = RETRY_FIRST_S
        while not self._is_abandoned:
            self._changed.clear()
            packet = self._speaker.next_packet(_now())
            self._on_change()
            if packet is None:
                await self._wait(self._speaker.next_due(_now()) - _now())
            elif await self._send(packet):
                pause_s = RETRY_FIRST_S
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_SLOWEST_S)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _send(self, packet: Packet) -> bool:
        """Whether the packet is on its way, or overtaken by an interrupt."""
        if len(self._pending) >= MAX_PENDING:
            self._failures.note(TimeoutError(f"{MAX_PENDING} packets wait in the SDK"))
            return False
        options = {"reliability": "RELIABLE" if packet.reliable else "UNRELIABLE"}
        sending = self._pending.begin(self._meeting.send(packet.payload, options))
        go_on = self._go_on = asyncio.Event()
        self._may_be_overtaken = not packet.reliable
        sending.add_done_callback(_log_failure)
        sending.add_done_callback(lambda _: go_on.set())
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await go_on.wait()
        except TimeoutError as timeout:
            self._speaker.sent(_now())
            self._failures.note(timeout)
            return False
        finally:
            self._go_on = None
        if not sending.done():
            return True
        error = sending.exception()
        if error is None:
            self._speaker.sent(_now())
        self._failures.note(error)
        return error is None

    # The SDK's events -----------------------------------------------------------------------

    def _on_event(self, action: str, data: Any) -> None:
        """The SDK lists those who were there first only when the agent has joined.

        The framework attaches us in that very event, and the SDK tells it to us then too.
        """
        if action == "data":
            if data.get("from") == self._participant_id:
                reliable = data.get("reliability") == "RELIABLE"
                message = decode(data.get("payload"), reliable=reliable)
                if message is not None:
                    self._speaker.receive(message, _now())
        elif action in ("participant-joined", "agent-joined"):
            if data.id == self._participant_id:
                self._speaker.present(_now())
        elif action in ("participant-left", "agent-left"):
            if data.id == self._participant_id:
                self._speaker.absent(_now())
        elif action == "meeting-joined":
            if any(peer["id"] == self._participant_id for peer in data["participants"]):
                self._speaker.present(_now())
        else:
            return
        self.wake()


class _Failures:
    """Reports once when sends have failed for long."""

    def __init__(self, on_error: Callable[[AvatarError], None]) -> None:
        self._on_error = on_error
        self._since: float | None = None
        self._is_logged = self._is_reported = False

    def note(self, error: BaseException | None) -> None:
        """A packet has been sent, or why it has not."""
        if error is None:
            self._since = None
            self._is_logged = self._is_reported = False
            return
        now = _now()
        if self._since is None:
            self._since = now
        if now - self._since > SETTLING_S and not self._is_logged:
            self._is_logged = True
            logger.warning("sending to the avatar fails, trying again: %r", error)
        if now - self._since > FAILING_S and not self._is_reported:
            self._is_reported = True
            failure = AvatarError(
                f"Speech has not reached the avatar for {FAILING_S:.0f} s ({error!r}). "
                "It is kept and tried further; check the agent's own connection."
            )
            logger.error("%s", failure)
            self._on_error(failure)


class _Listener:
    """What the SDK's meeting takes for an event handler. Never raises: that would kill the
    transport that called it."""

    def __init__(self, on_event: Callable[[str, Any], None]) -> None:
        self._on_event = on_event

    def handle_event(self, action: str, data: Any) -> None:
        try:
            self._on_event(action, data)
        except Exception:
            logger.exception("an event of the meeting cannot be read")


def cancel_on(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None] | None) -> None:
    """Cancel a task that runs on another event loop, which may be closed."""
    if task is None:
        return
    try:
        loop.call_soon_threadsafe(task.cancel)
    except RuntimeError:
        logger.debug("the event loop that %s ran on is closed", task.get_name())


def _log_failure(sending: asyncio.Future[Any]) -> None:
    if not sending.cancelled() and sending.exception() is not None:
        logger.debug("a packet was not sent: %r", sending.exception())


def _now() -> float:
    return asyncio.get_running_loop().time()
