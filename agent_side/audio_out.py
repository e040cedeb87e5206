"""AvatarAudioOut: the audio output of an agent with a face, a drop-in for the stock class."""

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

from agent_side.acts import FaceControls
from agent_side.callbacks import (
    EndedCallback,
    ErrorCallback,
    LostCallback,
    OverCallback,
    ReadyCallback,
    Reporter,
    StartedCallback,
)
from agent_side.channel import MeetingChannel, cancel_on
from agent_side.handshake import WorkerLost
from agent_side.join import JoinInfo
from agent_side.launch import AvatarError
from agent_side.launching.face_request import FaceRequest
from agent_side.pending_sends import MAX_PENDING
from agent_side.protocol.fields import STREAM_DIGITS
from agent_side.sctp import patch_sctp
from agent_side.speaker import Speaker
from agent_side.stock import also_stock
from agent_side.wire import Word

logger = logging.getLogger("avatar.agent_side")

MAX_BACKLOG: Final = 43_200_000
"""With more unsent speech than this, `handle_audio_input` waits (bytes; 15 minutes at 24 kHz)."""

SPARE_FOR_INTERRUPTS: Final = MAX_PENDING // 2 + 1
"""Of what may wait in the SDK so much is left for interrupts when an act overtakes speech."""

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


class AvatarAudioOut(FaceControls):
    """Streams an agent's speech to its face, and reports how far it was heard.

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
    seconds, the dispatcher is asked again, at growing intervals.

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
      `position` is how many seconds of it were heard. A turn whose end no worker has
      confirmed counts as interrupted, at the last position that one has confirmed.
    - `on_turn_over(turn)`: the same as a `TurnOver`, whose `outcome` is "heard", "interrupted" or
      "unconfirmed".
    - `on_avatar_ready(version)`: a worker is there and listens; called again for the one that
      replaces it, and when one that was taken for a stock worker turns out to speak version 2.
    - `on_avatar_lost()`: the worker that was ready is gone; speech is kept for the next.
    - `on_error(error)`: no face has come for 10 s, the dispatcher refuses one, or it obeys
      another participant; the agent has joined under the face's own id; speech has not reached
      the face for 10 s (it is tried further); or the face turns out to have no gesture,
      expression or posture that it was asked for.

    `gesture`, `expression`, `posture` and `words` are for our worker's faces. They do
    not wait for speech, and no speech and no ack waits for them. Call them on the event loop.

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
        self._acts = self._speaker.acts
        self._reporter = Reporter(self)
        self._request = FaceRequest(
            self._speaker,
            self._participant_id,
            avatar_dispatcher_url,
            self._join_for,
            lambda: self._channel.own_id,
            self._reporter.error,
        )
        self._is_closed = False
        self._interrupts = 0
        self._interrupting = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begin_loop()

    def _begin_loop(self) -> None:
        """All that belongs to one event loop; another one has its own."""
        self._channel = MeetingChannel(
            self._speaker, self._participant_id, self._report_events, self._reporter.error
        )
        self._follow_up: asyncio.Task[None] | None = None
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
            if before is not None:
                self._channel.abandon(before)
                cancel_on(before, self._follow_up)
                self._channel.leave(loop.time())
                self._begin_loop()
        return loop.time()

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
        await self._request.launch(self._agent_participant_id)

    def _join_for(self, agent_id: str | None) -> JoinInfo:
        assert self._room_id is not None
        return JoinInfo(
            room_name=self._room_id,
            token=self._credentials.token,
            participant_id=self._participant_id,
            agent_participant_id=agent_id,
            character=self._character,
            metadata=self._metadata,
        )

    def attach(self, meeting: Any) -> None:
        """Speak and listen in this meeting, once the agent has joined it.

        `meeting` is the SDK's. Call it on the event loop. Called again with another meeting, or
        on another loop, continues there with what was not heard. Lets the SDK's data channels
        recover sooner from lost datagrams; see `agent_side.sctp`.
        """
        now = self._now()
        self._leave_meeting(now)
        patch_sctp()
        self._is_closed = False
        self._reporter.attached()
        self._channel.attach(meeting, now)
        if self._channel.own_id == self._participant_id:
            logger.error("%s", SAME_ID)
            self._reporter.error(AvatarError(SAME_ID))
        self._follow_up = asyncio.create_task(self._request.follow_up(), name="avatar-search")
        self._channel.wake()

    def _leave_meeting(self, now: float) -> None:
        follow_up, self._follow_up = self._follow_up, None
        if follow_up is not None:
            follow_up.cancel()
        self._channel.leave(now)

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
            if interrupts == self._interrupts and not (self._interrupting or self._is_closed):
                self._speaker.write(bytes(audio_data), self._now())
        self._channel.wake()

    async def send_segment_end(self) -> None:
        """The current turn is complete."""
        self._now()
        interrupts = self._interrupts
        async with self._turnstile:
            if interrupts == self._interrupts and not (self._interrupting or self._is_closed):
                self._speaker.end(self._now())
        self._channel.wake()

    async def interrupt(self) -> None:
        """Silence the face now. Drops all that was not heard of the turns so far.

        What is written while this runs is dropped too: synthesizers start a task for each piece,
        and the tasks of an interrupted turn that have not run yet run now.
        """
        now = self._now()
        self._interrupts += 1
        self._interrupting += 1
        self._speaker.interrupt(now)
        self._channel.overtake()
        self._channel.wake()
        try:
            await asyncio.sleep(0)
        finally:
            self._interrupting -= 1

    def words(self, words: Iterable[tuple[str, float, float]]) -> None:
        """Words of the current turn, or of the next where none has begun: text, start, end.

        In seconds from the turn's first sample. They make the lips more exact
        where the face can use them. Raises ValueError for times that are out of range.
        """
        self._now()
        self._speaker.words(Word(*word) for word in words)
        self._channel.wake()

    async def wait_until_ready(self) -> None:
        """Return when a worker is there and listens."""
        self._now()
        await self._ready.wait()

    async def wait_for_playout(self) -> None:
        """Return when every turn has ended."""
        self._now()
        await self._silent.wait()

    async def aclose(self) -> None:
        """Stop sending and listening; turns that are alive end, later speech is dropped.

        May be called twice, also from a callback. `attach` starts again.
        """
        now = self._now()
        if self._is_closed:
            return
        self._is_closed = True
        follow_up = self._follow_up
        self._leave_meeting(now)
        if follow_up is not None:
            await asyncio.gather(follow_up, return_exceptions=True)
        await self._channel.close()
        self._speaker.give_up()
        self._report_events()
        await self._reporter.drain()

    def _on_stream_ended(self, playback_position: float, interrupted: bool) -> None:
        """What subclasses of the stock class override."""
        logger.info("heard %.3f s, interrupted=%s", playback_position, interrupted)

    def _send_acts(self) -> None:
        if self._speaker.version == 2:
            self._channel.overtake(SPARE_FOR_INTERRUPTS)
        if self._speaker.version and self._acts.face is None:
            self._reporter.faceless()
        self._channel.wake()

    def _report_events(self) -> None:
        while self._speaker.events:
            event = self._speaker.events.popleft()
            # aclose() leaves the avatar and does not lose it.
            if not (self._is_closed and isinstance(event, WorkerLost)):
                self._reporter.event(event)
        self._show_state()

    def _show_state(self) -> None:
        _set(self._ready, self._speaker.version != 0)
        _set(self._silent, not self._speaker.live)
        _set(self._has_room, self._speaker.backlog <= MAX_BACKLOG)


def _set(event: asyncio.Event, value: bool) -> None:
    if value:
        event.set()
    else:
        event.clear()
