"""AvatarAudioOut: the voice that leads to a face, a drop-in for the stock class of that name."""

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

from agent_side.acts import ActUnknown, GestureDropped
from agent_side.handshake import HELLO_TIMEOUT_S
from agent_side.join import JoinInfo
from agent_side.launch import LATER, AvatarError, Launched, LaunchError, launch
from agent_side.sctp import mend
from agent_side.speaker import (
    Disobeyed,
    Speaker,
    TurnOver,
    TurnStarted,
    WorkerLost,
    WorkerReady,
)
from agent_side.stock import also_stock
from agent_side.wire import STREAM_DIGITS, Face, Packet, Word, decode

logger = logging.getLogger("avatar.agent_side")

SEND_TIMEOUT_S: Final = 5.0
"""The SDK's ``send`` waits for ever when its channel dies with a full buffer."""

MAX_PARKED: Final = 64
"""With more sends than this waiting in the SDK, nothing is sent until some of them go on."""

RETRY_FIRST_S: Final = 0.02
RETRY_SLOWEST_S: Final = 2.0
STUMBLES_S: Final = 1.0
"""The SDK refuses what is sent in the first moments after it has joined: nothing to tell of."""
FAILING_S: Final = 10.0
"""Sends that fail for so long are an event, not a stumble; they are still tried after it."""

MAX_BACKLOG: Final = 43_200_000
"""With more unsent speech than this, `handle_audio_input` waits (bytes; 15 minutes at 24 kHz)."""

FACE_DUE_S: Final = 10.0
"""An agent that has been in the meeting for so long without a face is told."""

ASK_FIRST_S: Final = 3.0
ASK_SLOWEST_S: Final = 60.0
"""Where no face comes, the dispatcher is asked again after this time, doubling up to the second."""

SAME_ID: Final = (
    "The face's participant_id is the one with which this agent has joined, and a meeting removes "
    "the first of two with the same id; give the credentials another participant_id."
)


class Credentials(Protocol):
    """What `AvatarAudioOut` needs to know of the platform's credentials."""

    @property
    def participant_id(self) -> str: ...
    @property
    def token(self) -> str: ...


@dataclass(frozen=True, slots=True)
class AvatarCredentials:
    """The id under which the face joins, and a VideoSDK token that allows it to."""

    participant_id: str
    token: str = field(repr=False)


ReadyCallback = Callable[[int], Awaitable[None] | None]
LostCallback = Callable[[], Awaitable[None] | None]
StartedCallback = Callable[[int], Awaitable[None] | None]
EndedCallback = Callable[[float, bool, int], Awaitable[None] | None]
OverCallback = Callable[[TurnOver], Awaitable[None] | None]
ErrorCallback = Callable[[AvatarError], Awaitable[None] | None]


class AvatarAudioOut:
    """Streams an agent's speech to its face, and tells how far it was heard.

    A drop-in for ``videosdk.agents.avatar.AvatarAudioOut``: the same constructor, methods and
    meaning, with or without that package. Where the package is loaded, an instance is also
    an instance of its class, which is what the pipeline looks for.

    Speaks version 2 with our worker and version 1 with any other. Turns are numbered 1, 2, 3,
    ...; a turn begins with its first speech and ends with `send_segment_end` or `interrupt`.

    Speech is kept until a worker is there, and for the next one where a worker is lost; with a
    quarter of an hour unsent, `handle_audio_input` waits. Turns end unheard, each as a whole,
    once no worker has been there for 60 s.

    The face obeys the agent alone: the dispatcher is told this participant's id, in the launch
    where it is known and again once the agent is in the meeting. Where no face comes within
    seconds, the dispatcher is asked again, ever more slowly.

    - `credentials`: ``participant_id`` and ``token`` of the face.
    - `avatar_dispatcher_url`: where to POST the join request; None when the worker is
      started by somebody else. May carry ``user:password@``.
    - `room_id`: the meeting; or call `set_room_id` before `connect`.
    - `sample_rate`: of the speech, mono s16le (Hz). Version 1 cannot say it: stock workers
      take 24000.
    - `character`, `metadata`: handed to the worker (see `JoinInfo`).
    - `agent_participant_id`: the id under which the agent will be in the meeting, where it is
      known before `connect`. Nobody else can take the face in the moments before the agent comes.
    - `on_playback_started(turn)`: the turn begins to be heard (version 2 only).
    - `on_stream_ended(position, interrupted, turn)`: called once for each turn, in order;
      `position` is how many seconds of it were heard. A turn of which nobody has confirmed how
      far it was heard counts as interrupted, at the position up to which somebody has.
    - `on_turn_over(turn)`: the same as a `TurnOver`, whose `outcome` tells these three apart:
      "heard", "interrupted", "unconfirmed".
    - `on_avatar_ready(version)`: a worker is there and listens; called again for the one that
      replaces it, and when one that was taken for a stock worker turns out to speak version 2.
    - `on_avatar_lost()`: the worker that was ready is gone; speech is kept for the next.
    - `on_error(error)`: no face has come for 10 s, the dispatcher refuses one, or it obeys
      another participant; the agent has joined under the face's own id; speech has not reached
      the face for 10 s (it is tried further); or the face turns out to have no gesture,
      expression or posture that it was asked for.

    `gesture`, `expression`, `posture` and `words` are for our worker's faces. They wait behind
    no speech, and no speech and no ack waits for them. Call them on the event loop.

    Callbacks may be functions or coroutine functions; what they raise is logged.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        return super().__new__(also_stock(cls))

    def __init__(
        self,
        *,
        credentials: Credentials,
        avatar_dispatcher_url: str | None = None,
        room_id: str | None = None,
        sample_rate: int = 24_000,
        character: str | None = None,
        agent_participant_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        on_playback_started: StartedCallback | None = None,
        on_stream_ended: EndedCallback | None = None,
        on_turn_over: OverCallback | None = None,
        on_avatar_ready: ReadyCallback | None = None,
        on_avatar_lost: LostCallback | None = None,
        on_error: ErrorCallback | None = None,
    ) -> None:
        self.video_track = None
        self.audio_track = None
        self.on_playback_started = on_playback_started
        self.on_stream_ended = on_stream_ended
        self.on_turn_over = on_turn_over
        self.on_avatar_ready = on_avatar_ready
        self.on_avatar_lost = on_avatar_lost
        self.on_error = on_error
        self._credentials = credentials
        self._participant_id = credentials.participant_id
        self._avatar_dispatcher_url = avatar_dispatcher_url
        self._room_id = room_id
        self._character = character
        self._agent_participant_id = agent_participant_id
        self._metadata = metadata
        self._speaker = Speaker(os.urandom(STREAM_DIGITS // 2).hex(), sample_rate)
        self._launched: Launched | None = None
        self._named: str | None = None
        """The agent that the dispatcher was last told to obey."""
        self._meeting: Any = None
        self._listener: _Listener | None = None
        self._closed = False
        self._interrupts = 0
        self._interrupting = 0
        self._failing_since: float | None = None
        self._failure_logged = False
        self._failure_told = False
        self._faceless_told = False
        self._disobeyed_told = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begin_loop()

    def _begin_loop(self) -> None:
        """All that belongs to one event loop; another one has its own."""
        self._sender: asyncio.Task[None] | None = None
        self._search: asyncio.Task[None] | None = None
        self._go_on: asyncio.Event | None = None
        self._overtakable = False
        self._parked: set[asyncio.Future[Any]] = set()
        self._parked_in: Any = None
        self._callbacks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._ready = asyncio.Event()
        self._silent = asyncio.Event()
        self._turnstile = asyncio.Lock()
        self._has_room = asyncio.Event()
        self._show_state()

    def _now(self) -> float:
        """The time on the running loop, which may be another one than before.

        What ran on the loop before ends there; its meeting belongs to it and is left.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            before, self._loop = self._loop, loop
            tasks = [task for task in (self._sender, self._search) if task is not None]
            if before is not None:
                self._leave_loop(before, tasks)
                self._begin_loop()
                self._leave_meeting(loop.time())
        return loop.time()

    @staticmethod
    def _leave_loop(loop: asyncio.AbstractEventLoop, tasks: Iterable[asyncio.Task[None]]) -> None:
        for task in tasks:
            try:
                loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:
                logger.debug("the event loop that %s ran on is closed", task.get_name())

    @property
    def participant_id(self) -> str:
        """The id under which the face is in the room."""
        return self._participant_id

    @property
    def protocol_version(self) -> int:
        """2 with our worker, 1 with any other, 0 while none is there."""
        return self._speaker.version

    @property
    def turn(self) -> int:
        """The number of the newest turn; 0 before the first."""
        return self._speaker.current_turn

    @property
    def gestures(self) -> tuple[str, ...]:
        """What `gesture` takes; empty until the face is known."""
        return (self._speaker.acts.face or Face()).gestures

    @property
    def expressions(self) -> tuple[str, ...]:
        """What `expression` takes; empty until the face is known."""
        return (self._speaker.acts.face or Face()).expressions

    @property
    def postures(self) -> tuple[str, ...]:
        """What `posture` takes; empty until the face is known."""
        return (self._speaker.acts.face or Face()).postures

    def set_room_id(self, room_id: str) -> None:
        """Name the meeting, before `connect`."""
        self._room_id = room_id

    async def connect(self) -> None:
        """Ask the dispatcher for a face in the room; does nothing without a dispatcher.

        Raises ValueError without a room, `AvatarError` when the dispatcher refuses, or is
        full or out of reach after a few tries.
        """
        if not self._avatar_dispatcher_url:
            return
        if not self._room_id:
            raise ValueError("Call set_room_id() before connect(): no room is known yet.")
        await self._launch(self._agent_participant_id or self._own_id)

    async def _launch(self, agent_id: str | None) -> None:
        """Ask for a face that obeys `agent_id`. Raises `AvatarError`."""
        assert self._avatar_dispatcher_url is not None
        assert self._room_id is not None
        join = JoinInfo(
            room_name=self._room_id,
            token=self._credentials.token,
            participant_id=self._participant_id,
            agent_participant_id=agent_id,
            character=self._character,
            metadata=self._metadata,
        )
        self._launched = await launch(self._avatar_dispatcher_url, join)
        self._named = agent_id
        self._speaker.launched(self._launched.worker_version)
        if self._launched.not_applied:
            names = ", ".join(self._launched.not_applied)
            logger.warning("the face that is in the room keeps its own %s", names)

    def attach(self, meeting: Any) -> None:
        """Speak and listen in this meeting, once the agent has joined it.

        `meeting` is the SDK's. Call it on the event loop. Called again with another meeting, or
        on another loop, goes on there with what was not heard. Lets the SDK's data channels
        recover sooner from lost datagrams; see `agent_side.sctp`.
        """
        now = self._now()
        self._leave_meeting(now)
        mend()
        self._closed = False
        self._disobeyed_told = False
        self._leave_parked(meeting)
        self._meeting = meeting
        self._listener = _Listener(self._on_event)
        meeting.add_event_listener(self._listener)
        self._speaker.attached(now)
        if self._participant_id in meeting.participants:
            self._speaker.present(now)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all(), name="avatar-audio-out")
        if self._own_id == self._participant_id:
            logger.error("%s", SAME_ID)
            self._call(self.on_error, AvatarError(SAME_ID))
        self._search = asyncio.create_task(self._find_face(), name="avatar-search")
        self._wake()

    def _set_meeting(self, meeting: Any) -> None:
        """`attach`, as the framework calls it."""
        self.attach(meeting)

    async def handle_audio_input(self, audio_data: bytes) -> None:
        """More speech of the current turn: mono s16le, in pieces of any length.

        Waits while a quarter of an hour of speech is unsent.
        """
        self._now()
        interrupts = self._interrupts
        async with self._turnstile:
            await self._has_room.wait()
            if interrupts == self._interrupts and not (self._interrupting or self._closed):
                self._speaker.write(bytes(audio_data), self._now())
        self._wake()

    async def send_segment_end(self) -> None:
        """The current turn is complete."""
        self._now()
        interrupts = self._interrupts
        async with self._turnstile:
            if interrupts == self._interrupts and not (self._interrupting or self._closed):
                self._speaker.end(self._now())
        self._wake()

    async def interrupt(self) -> None:
        """Silence the face now. What was not heard of all turns so far never will be.

        What is handed over while this runs belongs to them too: synthesizers start a task for
        each piece, and those of a dead turn that have not run yet run now.
        """
        now = self._now()
        self._interrupts += 1
        self._interrupting += 1
        self._speaker.interrupt(now)
        if self._go_on is not None and self._overtakable:
            self._go_on.set()
        self._wake()
        try:
            await asyncio.sleep(0)
        finally:
            self._interrupting -= 1

    def gesture(self, name: str) -> bool:
        """Make a gesture now, once, such as nod or wave_hello.

        Returns whether a face is there that was asked for it. If not, it is made all the same
        where one comes within 2 s, and never later. An interrupt does not end it. Raises
        `UnknownActError` (a ValueError) with the names that there are.
        """
        asked = self._speaker.acts.gesture(name, self._now())
        self._act()
        return asked

    def expression(self, name: str, intensity: float = 1.0) -> None:
        """Wear an expression from now on, such as happy; `intensity` is 0 to 1.

        Kept for the worker that comes, and for one that replaces it. Raises `UnknownActError` (a
        ValueError) with the names that there are.
        """
        self._speaker.acts.express(name, intensity, self._now())
        self._act()

    def posture(self, name: str) -> None:
        """Wait like that while nothing is said: resting, listening, thinking.

        Kept for the worker that comes, and for one that replaces it. Raises `UnknownActError` (a
        ValueError) with the names that there are.
        """
        self._speaker.acts.pose(name, self._now())
        self._act()

    def words(self, words: Iterable[tuple[str, float, float]]) -> None:
        """Words of the current turn, or of the next where none is begun: text, start, end.

        In seconds from the turn's first sample. Lips need none, and are surer with them where
        the face can use them. Raises ValueError for times that are none.
        """
        self._now()
        self._speaker.words(Word(*word) for word in words)
        self._wake()

    async def wait_until_ready(self) -> None:
        """Return when a worker is there and listens."""
        self._now()
        await self._ready.wait()

    async def wait_for_playout(self) -> None:
        """Return when no turn is left that is heard or waits to be heard."""
        self._now()
        await self._silent.wait()

    async def aclose(self) -> None:
        """Stop sending and listening; turns that are alive end, what is said later is lost.

        May be called twice, also from a callback. `attach` begins anew.
        """
        now = self._now()
        if self._closed:
            return
        self._closed = True
        search = self._search
        self._leave_meeting(now)
        sender, self._sender = self._sender, None
        for task in (search, sender):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._speaker.give_up()
        self._tell()
        others = self._callbacks - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    def _on_stream_ended(self, playback_position: float, interrupted: bool) -> None:
        """What subclasses of the stock class override."""
        logger.info("heard %.3f s, interrupted=%s", playback_position, interrupted)

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
        self._wake()

    def _leave_meeting(self, now: float) -> None:
        if self._meeting is not None and self._listener is not None:
            try:
                self._meeting.remove_event_listener(self._listener)
            except ValueError:
                logger.debug("the meeting had dropped its listeners")
        self._meeting = self._listener = None
        search, self._search = self._search, None
        if search is not None:
            search.cancel()
        if self._go_on is not None:
            self._go_on.set()
        self._speaker.detached(now)

    # The face -------------------------------------------------------------------------------

    @property
    def _own_id(self) -> str | None:
        """The agent's id in the meeting; None before it is attached to one."""
        own = getattr(getattr(self._meeting, "local_participant", None), "id", None)
        return own if isinstance(own, str) and own else None

    @property
    def _may_ask(self) -> bool:
        """A dispatcher of ours was asked for the face. A stock one would start its worker anew."""
        return self._launched is not None and self._launched.session_id is not None

    @property
    def _is_unnamed(self) -> bool:
        """The dispatcher does not know yet which participant the agent is."""
        return self._may_ask and self._own_id not in (None, self._named)

    async def _find_face(self) -> None:
        """Name the agent to the dispatcher, and see to it that a face comes.

        Ends once there is one and the agent is named, or nobody can be asked.
        """
        due, pause_s = _now() + FACE_DUE_S, ASK_FIRST_S
        told = refused = False
        if not self._is_unnamed:
            await asyncio.sleep(pause_s)
        while not self._speaker.version or (self._is_unnamed and not refused):
            error: AvatarError | None = None
            if not refused and (self._is_unnamed or not self._speaker.is_present):
                error = await self._ask_again()
                refused = error is not None and _is_final(error)
            if error is None and self._is_overdue(due):
                error = self._no_face()
            if error is not None and not told:
                told = True
                logger.warning("%s", error)
                self._call(self.on_error, error)
            if told and (refused or not self._may_ask):
                return
            await asyncio.sleep(pause_s if told else max(0.1, min(pause_s, due - _now())))
            pause_s = min(2 * pause_s, ASK_SLOWEST_S)

    def _is_overdue(self, due: float) -> bool:
        """One that is in the room is given the time in which it may answer."""
        timeout_s = HELLO_TIMEOUT_S if self._speaker.is_present else 0.0
        return not self._speaker.version and _now() >= due + timeout_s

    async def _ask_again(self) -> AvatarError | None:
        """Launch once more, which renews a session that lives; what went wrong."""
        if not self._may_ask:
            return None
        try:
            await self._launch(self._own_id or self._agent_participant_id)
        except AvatarError as error:
            return error
        return None

    def _no_face(self) -> AvatarError:
        advice = f"Check that its worker runs and joins as {self._participant_id!r}."
        if self._launched is not None and self._launched.session_id is not None:
            session = self._launched.session_id
            advice = f"GET /v1/sessions/{session} at the dispatcher says why; it is asked again."
        return AvatarError(
            f"No face has come within {FACE_DUE_S:.0f} s; speech is kept for it. {advice}"
        )

    # The one sender -------------------------------------------------------------------------

    def _wake(self) -> None:
        self._tell()
        self._changed.set()

    def _act(self) -> None:
        """Half of what may wait in the SDK is left for interrupts."""
        there_is_room = self._speaker.version == 2 and len(self._parked) < MAX_PARKED // 2
        if self._go_on is not None and self._overtakable and there_is_room:
            self._go_on.set()
        if self._speaker.version and self._speaker.acts.face is None and not self._faceless_told:
            self._faceless_told = True
            logger.warning("the avatar's worker shows no gestures and expressions: it is not ours")
        self._wake()

    async def _send_all(self) -> None:
        pause_s = RETRY_FIRST_S
        while self._loop is asyncio.get_running_loop():
            self._changed.clear()
            packet = self._speaker.next_packet(_now())
            self._tell()
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
        """Whether the packet is on its way, or overtaken by an interrupt.

        A send that waits in the SDK is left behind, never cancelled: the SDK's transport
        dies when the buffer drains and finds the sender gone.
        """
        if len(self._parked) >= MAX_PARKED:
            self._note(TimeoutError(f"{MAX_PARKED} packets wait in the SDK"))
            return False
        options = {"reliability": "RELIABLE" if packet.reliable else "UNRELIABLE"}
        sending = asyncio.ensure_future(self._meeting.send(packet.payload, options))
        self._parked.add(sending)
        go_on = self._go_on = asyncio.Event()
        self._overtakable = not packet.reliable
        sending.add_done_callback(self._unpark)
        sending.add_done_callback(lambda _: go_on.set())
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await go_on.wait()
        except TimeoutError as timeout:
            self._speaker.sent(_now())
            self._note(timeout)
            return False
        finally:
            self._go_on = None
        if not sending.done():
            return True
        error = sending.exception()
        if error is None:
            self._speaker.sent(_now())
        self._note(error)
        return error is None

    def _unpark(self, sending: asyncio.Future[Any]) -> None:
        self._parked.discard(sending)
        if not sending.cancelled() and sending.exception() is not None:
            logger.debug("a packet was not sent: %r", sending.exception())

    def _leave_parked(self, meeting: Any) -> None:
        """What waits in another meeting will never be sent."""
        if meeting is not self._parked_in:
            for sending in self._parked:
                sending.cancel()
            self._parked.clear()
        self._parked_in = meeting

    def _note(self, error: BaseException | None) -> None:
        """Tell once when sends have failed for long."""
        if error is None:
            self._failing_since = None
            self._failure_logged = self._failure_told = False
            return
        now = _now()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since > STUMBLES_S and not self._failure_logged:
            self._failure_logged = True
            logger.warning("sending to the avatar fails, trying again: %r", error)
        if now - self._failing_since > FAILING_S and not self._failure_told:
            self._failure_told = True
            failure = AvatarError(
                f"Speech has not reached the avatar for {FAILING_S:.0f} s ({error!r}). "
                "It is kept and tried further; check the agent's own connection."
            )
            logger.error("%s", failure)
            self._call(self.on_error, failure)

    # What the application hears -------------------------------------------------------------

    def _tell(self) -> None:
        while self._speaker.events:
            match self._speaker.events.popleft():
                case WorkerReady(version):
                    logger.info("the avatar is there and speaks version %d", version)
                    self._call(self.on_avatar_ready, version)
                case WorkerLost():
                    # Who closes it has left the avatar, and has not lost it.
                    if not self._closed:
                        logger.warning("the avatar is gone; speech is kept for the next")
                        self._call(self.on_avatar_lost)
                case Disobeyed(named):
                    self._tell_disobeyed(named)
                case TurnStarted(turn):
                    self._call(self.on_playback_started, turn)
                case ActUnknown(error):
                    logger.warning("%s", error)
                    self._call(self.on_error, error)
                case GestureDropped(name):
                    logger.info("the gesture %s found no face in time", name)
                case TurnOver(turn, position, interrupted) as over:
                    self._call(self._on_stream_ended, position, interrupted)
                    self._call(self.on_stream_ended, position, interrupted, turn)
                    self._call(self.on_turn_over, over)
        self._show_state()

    def _show_state(self) -> None:
        _set(self._ready, self._speaker.version != 0)
        _set(self._silent, not self._speaker.live)
        _set(self._has_room, self._speaker.backlog <= MAX_BACKLOG)

    def _tell_disobeyed(self, named: bool) -> None:
        if self._disobeyed_told:
            return
        self._disobeyed_told = True
        why = "its join request names another one" if named else "another one had it first"
        error = AvatarError(
            f"The face obeys another participant: {why}. Let one agent use it at a time, or name "
            "this one in a launch of its own."
        )
        logger.warning("%s", error)
        self._call(self.on_error, error)

    def _call(self, callback: Callable[..., Awaitable[None] | None] | None, *args: Any) -> None:
        if callback is None:
            return
        try:
            result = callback(*args)
        except Exception:
            logger.exception("a callback of AvatarAudioOut failed")
            return
        if inspect.isawaitable(result):
            task = asyncio.ensure_future(_logged(result))
            self._callbacks.add(task)
            task.add_done_callback(self._callbacks.discard)


class _Listener:
    """What the SDK's meeting takes for an event handler. Never raises: that would kill the
    transport that called it."""

    def __init__(self, on_event: Callable[[str, Any], None]) -> None:
        self._on_event = on_event

    def handle_event(self, action: str, data: Any) -> None:
        try:
            self._on_event(action, data)
        except Exception:
            logger.exception("an event of the meeting could not be understood")


async def _logged(result: Awaitable[None]) -> None:
    try:
        await result
    except Exception:
        logger.exception("a callback of AvatarAudioOut failed")


def _is_final(error: AvatarError) -> bool:
    """Asking again is of no use."""
    if not isinstance(error, LaunchError):
        return True
    return error.status is not None and error.status < 500 and error.status not in LATER


def _now() -> float:
    return asyncio.get_running_loop().time()


def _set(event: asyncio.Event, value: bool) -> None:
    if value:
        event.set()
    else:
        event.clear()
