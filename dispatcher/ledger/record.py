"""SessionRecord: what is known of one session, the same where it is claimed, served and shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, Literal, Self

from agent_side.join import JoinInfo

State = Literal["claimed", "joining", "active", "ending", "ended", "failed"]
"""A session is `claimed` while it has no worker, `joining` once one has taken it and while it
joins its meeting anew, `active` when it is in the meeting; `ended` and `failed` stay."""

MAX_LIFE: Final = 32
"""The steps of a session that are remembered."""

LONGEST_S: Final = 24 * 3600.0
"""How long a session may last whose token has no expiry."""


@dataclass(frozen=True, slots=True)
class Step:
    """A state that a session has entered, when (Unix time), and why."""

    state: State
    since_s: float
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; `since` in UTC, to the millisecond."""
        since = datetime.fromtimestamp(self.since_s, UTC).isoformat(timespec="milliseconds")
        return {"state": self.state, "since": since, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session: a face for one participant of one room.

    - `key`: the digest of room and participant, under which at most one session lives.
    - `owner`: whose API key has launched it; empty without authentication.
    - `since_s`: when `state` began, Unix time.
    - `reason`: why it is over, or why it has left its meeting and is about to come back.
    - `epoch`: rises with every claim of that key, from 1; a higher one fences a lower one.
    - `slot`: ``<node>/<n>``, where it is now or was last; None while it waits for one.
    - `acked`: a worker has taken it; until then POSTs wait.
    - `attempts`: workers that it has had, on all nodes.
    - `expires_s`: when its token expires, Unix time.
    - `renewals`: how often its join request was replaced by a newer one.
    - `counters`: what all its workers have counted.
    - `life`: its steps, the oldest first, the last MAX_LIFE.
    - `join`: its newest join request; None in a record that was only looked up.
    - `not_applied`: in the answer to a launch, the fields that the session did not take from it.
    """

    key: str
    session_id: str
    room: str
    participant_id: str
    owner: str
    state: State
    since_s: float
    reason: str | None
    epoch: int
    slot: str | None
    acked: bool
    attempts: int
    expires_s: float
    renewals: int
    traceparent: str | None
    counters: Mapping[str, int]
    life: tuple[Step, ...]
    join: JoinInfo | None = field(default=None, repr=False)
    not_applied: tuple[str, ...] = ()

    @classmethod
    def claimed(
        cls,
        session_id: str,
        join: JoinInfo,
        now_s: float,
        *,
        owner: str = "",
        traceparent: str | None = None,
        epoch: int = 1,
        slot: str | None = None,
        expires_s: float | None = None,
    ) -> Self:
        """A new one, without a worker yet. `now_s` is Unix time."""
        participant_id = join.participant_id or ""
        return cls(
            key=key_of(join.room_name, participant_id),
            session_id=session_id,
            room=join.room_name,
            participant_id=participant_id,
            owner=owner,
            state="claimed",
            since_s=now_s,
            reason=None,
            epoch=epoch,
            slot=slot,
            acked=False,
            attempts=0,
            expires_s=now_s + LONGEST_S if expires_s is None else expires_s,
            renewals=0,
            traceparent=traceparent,
            counters={},
            life=(Step("claimed", now_s),),
            join=join,
        )

    @property
    def over(self) -> bool:
        return self.state in ("ended", "failed")

    @property
    def request(self) -> JoinInfo:
        """Its join request; only the record that a node serves has one."""
        if self.join is None:
            raise ValueError("A record that was only looked up has no join request.")
        return self.join

    def entered(
        self,
        state: State,
        reason: str | None,
        now_s: float,
        *,
        attempts: int | None = None,
        counters: Mapping[str, int] | None = None,
    ) -> Self:
        """The record after a step. `now_s` is Unix time, by the clock of the machine that makes
        the step; it is only shown. What is None stays; the same state with the same reason is no
        step.
        """
        record = replace(
            self,
            acked=self.acked or state in ("joining", "active"),
            attempts=self.attempts if attempts is None else attempts,
            counters=self.counters if counters is None else counters,
        )
        if (state, reason) == (self.state, self.reason):
            return record
        life = (*self.life, Step(state, now_s, reason))[-MAX_LIFE:]
        return replace(record, state=state, since_s=now_s, reason=reason, life=life)

    def to_dict(self) -> dict[str, Any]:
        """Its public part, as JSON has it."""
        return {
            "session_id": self.session_id,
            "room": self.room,
            "participant_id": self.participant_id,
            **Step(self.state, self.since_s, self.reason).to_dict(),
            "attempts": self.attempts,
            "epoch": self.epoch,
            "slot": self.slot,
            "life": [step.to_dict() for step in self.life],
            "counters": dict(self.counters),
        }


def key_of(room: str, participant: str) -> str:
    """Under which at most one session of that participant in that room lives."""
    return digest(f"{room}\0{participant}")


def digest(name: str) -> str:
    """The name as a part of a key."""
    return sha256(name.encode()).hexdigest()
