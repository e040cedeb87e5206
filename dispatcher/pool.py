"""The Pool port: sessions, who serves them, and how many workers wait for the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol, Self

from agent_side.join import JoinInfo

State = Literal["claimed", "joining", "active", "ending", "ended", "failed"]
"""A session is `claimed` while it has no worker, `joining` once one has taken it and while it
joins its meeting anew, `active` when it is in the meeting; `ended` and `failed` stay."""

MAX_LIFE: Final = 32
"""The steps of a session that are remembered."""


@dataclass(frozen=True, slots=True)
class Step:
    """A state that a session has entered, when, and why."""

    state: State
    since: datetime
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; `since` in UTC, to the millisecond."""
        since = self.since.astimezone(UTC).isoformat(timespec="milliseconds")
        return {"state": self.state, "since": since, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Session:
    """What anybody may know of one session: a face for one participant of one room.

    `since` is when `state` began. `reason` says why the session is over, or why it is in the
    meeting no more and is about to come back. `attempts` counts the workers that it has had,
    `epoch` the machines that it was given to, from 1; `slot` is where it is now, or was last.
    `life` are its latest steps, oldest first, and `counters` what all its workers have counted.
    In the answer to a launch, `not_applied` are the fields that it did not take from that.
    """

    session_id: str
    room: str
    participant_id: str
    state: State
    since: datetime
    reason: str | None
    attempts: int
    epoch: int = 1
    slot: str | None = None
    life: tuple[Step, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    not_applied: tuple[str, ...] = ()

    @classmethod
    def claimed(cls, session_id: str, join: JoinInfo, now: datetime) -> Self:
        """A new one, without a worker yet."""
        return cls(
            session_id=session_id,
            room=join.room_name,
            participant_id=join.participant_id or "",
            state="claimed",
            since=now,
            reason=None,
            attempts=0,
            life=(Step("claimed", now),),
        )

    @property
    def over(self) -> bool:
        return self.state in ("ended", "failed")

    def entered(self, state: State, now: datetime, reason: str | None = None) -> Self:
        """The session in another state, with one more step in its life."""
        life = (*self.life, Step(state, now, reason))[-MAX_LIFE:]
        return replace(self, state=state, since=now, reason=reason, life=life)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "session_id": self.session_id,
            "room": self.room,
            "participant_id": self.participant_id,
            **Step(self.state, self.since, self.reason).to_dict(),
            "attempts": self.attempts,
            "epoch": self.epoch,
            "slot": self.slot,
            "life": [step.to_dict() for step in self.life],
            "counters": dict(self.counters),
        }


class Pool(Protocol):
    """Serves sessions with workers, and serves them again when a worker is lost.

    A choice of pool is a file in ``dispatcher/pools/``.
    """

    @property
    def ready(self) -> bool:
        """Whether a session that is launched now may be served."""

    @property
    def why_not_ready(self) -> str:
        """One sentence for an operator; empty while it is ready."""

    async def launch(
        self, join: JoinInfo, timeout_s: float, owner: str = "", traceparent: str | None = None
    ) -> Session:
        """The session for that room and participant, once a worker has taken it.

        While one is live, it is the answer, and its join request is renewed (see
        ``dispatcher/workers/renewal.py``): for its worker, which obeys the agent that is named now,
        and for the workers that may follow; `not_applied` says what the session did not take.
        `owner` is who asks, of whom only so many sessions may be live; `traceparent` is for the
        worker's traces.

        Raises within `timeout_s`: Full where there is no room and StoreDown where nobody can
        know, Refused by a worker, Conflict with another face, TooMany sessions of this owner.
        """

    async def sessions(self) -> list[Session]:
        """All that live, and the latest that are over; the oldest first."""

    async def find(self, session_id: str) -> Session | None:
        """That session, if it is known."""

    async def end(self, session_id: str) -> Session | None:
        """Make its worker leave at once and wait for that; None where it is not known."""

    async def drain(self, timeout_s: float) -> None:
        """Take no more sessions; let those that live speak out, then make them leave."""

    async def slots(self) -> Mapping[str, int]:
        """How many slots are ``idle``, ``claimed`` by a session that no worker has taken yet,
        ``busy``, or ``draining``: with a session on a machine that takes no others."""


def to_start(*, idle: int, starting: int, waiting: int, busy: int, slots: int, warm: int) -> int:
    """How many workers have to be started now.

    Each session that waits for a worker gets one, and `warm` more wait for sessions to come,
    but never more than there could be sessions for: `busy` of the `slots` have one already
    or wait for it.
    """
    spare = min(warm, slots - busy)
    return max(0, waiting + spare - idle - starting)
