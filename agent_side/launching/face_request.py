"""FaceRequest: asks the dispatcher for the face, and again where none comes."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from agent_side.handshake import HELLO_TIMEOUT_S
from agent_side.join import JoinInfo
from agent_side.launch import LATER, AvatarError, LaunchAnswer, LaunchError, launch
from agent_side.speaker import Speaker

logger = logging.getLogger("avatar.agent_side")

FACE_DUE_S: Final = 10.0
"""An agent that has been in the meeting for so long without a face gets an error."""

ASK_FIRST_S: Final = 3.0
ASK_SLOWEST_S: Final = 60.0
"""Where no face comes, the dispatcher is asked again after this time, doubling up to the second."""


class FaceRequest:
    """The launch of a face that obeys the agent.

    - `participant_id`: the id under which the face joins.
    - `url`: the dispatcher; None when the worker is started by somebody else.
    - `join_for`: the join request that names an agent by its id, or none.
    - `own_id`: the agent's id in the meeting; None before it is in one.
    - `on_error`: called once where no face comes, or the dispatcher refuses one.
    """

    def __init__(
        self,
        speaker: Speaker,
        participant_id: str,
        url: str | None,
        join_for: Callable[[str | None], JoinInfo],
        own_id: Callable[[], str | None],
        on_error: Callable[[AvatarError], None],
    ) -> None:
        self._speaker = speaker
        self._participant_id = participant_id
        self._url = url
        self._join_for = join_for
        self._own_id = own_id
        self._on_error = on_error
        self._launched: LaunchAnswer | None = None
        self._named: str | None = None
        """The agent that the dispatcher was last told to obey."""
        self._expected: str | None = None

    async def launch(self, agent_id: str | None) -> None:
        """Ask for a face that obeys the agent, who will be in the meeting as `agent_id`.

        Raises `AvatarError`.
        """
        self._expected = agent_id
        await self._launch(agent_id or self._own_id())

    async def _launch(self, agent_id: str | None) -> None:
        assert self._url is not None
        self._launched = await launch(self._url, self._join_for(agent_id))
        self._named = agent_id
        self._speaker.launched(self._launched.worker_version)
        if self._launched.not_applied:
            names = ", ".join(self._launched.not_applied)
            logger.warning("the face that is in the room keeps its own %s", names)

    @property
    def _may_ask(self) -> bool:
        """A dispatcher of ours was asked for the face. A stock one would start another worker."""
        return self._launched is not None and self._launched.session_id is not None

    @property
    def _is_unnamed(self) -> bool:
        """The dispatcher does not know yet which participant the agent is."""
        return self._may_ask and self._own_id() not in (None, self._named)

    async def follow_up(self) -> None:
        """Name the agent to the dispatcher, and ask again until a face comes.

        Ends once there is one and the agent is named, or there is no dispatcher to ask.
        """
        due, pause_s = _now() + FACE_DUE_S, ASK_FIRST_S
        reported = refused = False
        if not self._is_unnamed:
            await asyncio.sleep(pause_s)
        while not self._speaker.version or (self._is_unnamed and not refused):
            error: AvatarError | None = None
            if not refused and (self._is_unnamed or not self._speaker.is_present):
                error = await self._ask_again()
                refused = error is not None and _is_final(error)
            if error is None and self._is_overdue(due):
                error = self._no_face()
            if error is not None and not reported:
                reported = True
                logger.warning("%s", error)
                self._on_error(error)
            if reported and (refused or not self._may_ask):
                return
            await asyncio.sleep(pause_s if reported else max(0.1, min(pause_s, due - _now())))
            pause_s = min(2 * pause_s, ASK_SLOWEST_S)

    def _is_overdue(self, due: float) -> bool:
        """A worker that is in the room is given the time in which it may answer."""
        timeout_s = HELLO_TIMEOUT_S if self._speaker.is_present else 0.0
        return not self._speaker.version and _now() >= due + timeout_s

    async def _ask_again(self) -> AvatarError | None:
        """Launch once more, which renews a session that lives. Returns the failure."""
        if not self._may_ask:
            return None
        try:
            await self._launch(self._own_id() or self._expected)
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


def _is_final(error: AvatarError) -> bool:
    """Asking again is of no use."""
    if not isinstance(error, LaunchError):
        return True
    return error.status is not None and error.status < 500 and error.status not in LATER


def _now() -> float:
    return asyncio.get_running_loop().time()
