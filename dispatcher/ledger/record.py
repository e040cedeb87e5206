"""Records: what the ledger holds of a session, and how it is read and written.

A record is a hash in Redis. Its field `v` says the version that has written it; one without is of
version 1. The rule between versions:

- Fields that a version does not know, it ignores and keeps.
- Fields that are missing have the value that they have in a new record (``common.lua`` says which
  may be missing).
- A record of a version that is newer than `VERSION` is left alone: nobody here reads, changes or
  moves it. The version rises only for what older ones cannot live with, and `id`, `epoch` and
  `slot` mean the same in every version, so that the fence holds between them.

A record that is none of that is refused and set aside; the node that serves its session writes it
anew from what it holds.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, cast, get_args

from agent_side.join import JoinInfo
from dispatcher.errors import Unreadable
from dispatcher.ledger.refusals import counters, moment, text, whole
from dispatcher.pool import MAX_LIFE, Session, State
from dispatcher.pool import Step as SessionStep

VERSION: Final = 2
"""Of the records that are written here. 1 has no `v`, and join requests that are sealed for no
session."""

STATES: Final = frozenset(get_args(State))

SLOT: Final = re.compile(r"[\w.@-]+/[1-9][0-9]{0,2}", re.ASCII)
"""``<node>/<n>``."""


@dataclass(frozen=True, slots=True)
class Step:
    """One state of a session's life; `since_s` is Unix time."""

    state: State
    since_s: float
    reason: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger holds of one session, without its join request.

    - `key`: the digest of room and participant, under which at most one session lives.
    - `epoch`: rises with every claim of that key, from 1; a higher one fences a lower one.
    - `slot`: ``<node>/<n>``, or None while it waits for one. Slots are named by `NodeLedger`.
    - `acked`: a worker has taken it; until then POSTs wait.
    - `expires_s`: when its token expires, Unix time; a day after the claim where it does not say.
    - `renewals`: how often its join request was replaced by a newer one.
    - `attempts`: workers that it has had, on all nodes.
    - `counters`: the session's own, summed over its workers.
    - `life`: its states, the oldest first, the last MAX_LIFE.
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

    @property
    def over(self) -> bool:
        return self.state in ("ended", "failed")


def key_of(room: str, participant: str) -> str:
    """Under which at most one session of that participant in that room lives."""
    return digest(f"{room}\0{participant}")


def digest(name: str) -> str:
    """The name as a part of a key."""
    return sha256(name.encode()).hexdigest()


def milliseconds(seconds: float) -> int:
    """As Redis has a moment."""
    return round(seconds * 1000)


def life_of(life: Sequence[Step]) -> str:
    """As Redis has a life."""
    return json.dumps([[step.state, milliseconds(step.since_s), step.reason] for step in life])


def fields_of(record: Record) -> dict[str, str | int]:
    """The record as Redis has it; what only Redis knows is missing."""
    return {
        "id": record.session_id,
        "room": record.room,
        "roomhash": digest(record.room),
        "participant": record.participant_id,
        "owner": record.owner,
        "state": record.state,
        "since": milliseconds(record.since_s),
        "reason": record.reason or "",
        "epoch": record.epoch,
        "slot": record.slot or "",
        "acked": int(record.acked),
        "attempts": record.attempts,
        "exp": milliseconds(record.expires_s),
        "renewals": record.renewals,
        "trace": record.traceparent or "",
        "counters": json.dumps(dict(record.counters)),
        "life": life_of(record.life),
    }


def read_record(fields: Mapping[str, object]) -> Record:
    """The record that Redis has as `fields`, as a script shows it. Raises Unreadable."""

    def said(name: str, default: str | None = None) -> str:
        if name not in fields and default is None:
            raise Unreadable(f"It has no {name}.")
        return text(fields.get(name, default), name)

    key, room, participant = said("key"), said("room"), said("participant")
    if key != key_of(room, participant):
        raise Unreadable("Its room and participant are those of another key.")
    slot = said("slot")
    if slot and not SLOT.fullmatch(slot):
        raise Unreadable("Its slot is none.")
    waits = said("waiting", "0") == "1" or not slot
    return Record(
        key=key,
        session_id=said("id"),
        room=room,
        participant_id=participant,
        owner=said("owner", ""),
        state=_state(said("state")),
        since_s=moment(said("since"), "since"),
        reason=said("reason", "") or None,
        epoch=whole(said("epoch"), "epoch"),
        slot=None if waits else slot,
        acked=said("acked", "0") == "1",
        attempts=whole(said("attempts", "0"), "attempts"),
        expires_s=moment(said("exp"), "exp"),
        renewals=whole(said("renewals", "0"), "renewals"),
        traceparent=said("trace", "") or None,
        counters=counters(_json(said("counters", "{}"), "counters")),
        life=_life(said("life")),
    )


def new_record(
    key: str,
    join: JoinInfo,
    session_id: str,
    owner: str,
    traceparent: str | None,
    seen: Mapping[str, object],
) -> Record:
    """The record that a claim has just made, of which Redis has said what is in `seen`. Raises
    Unreadable."""
    since_s = moment(seen.get("since"), "since")
    return Record(
        key=key,
        session_id=session_id,
        room=join.room_name,
        participant_id=join.participant_id or "",
        owner=owner,
        state="claimed",
        since_s=since_s,
        reason=None,
        epoch=whole(seen.get("epoch"), "epoch"),
        slot=text(seen.get("slot"), "slot"),
        acked=False,
        attempts=0,
        expires_s=moment(seen.get("exp"), "exp"),
        renewals=0,
        traceparent=traceparent,
        counters={},
        life=(Step("claimed", since_s, None),),
    )


def as_session(record: Record) -> Session:
    """The session of that record."""
    return Session(
        session_id=record.session_id,
        room=record.room,
        participant_id=record.participant_id,
        state=record.state,
        since=_time(record.since_s),
        reason=record.reason,
        attempts=record.attempts,
        epoch=record.epoch,
        slot=record.slot,
        life=tuple(
            SessionStep(step.state, _time(step.since_s), step.reason) for step in record.life
        ),
        counters=record.counters,
    )


def _state(value: object) -> State:
    if value not in STATES:
        raise Unreadable("Its state is none that this version knows.")
    return cast(State, value)


def _life(value: str) -> tuple[Step, ...]:
    steps = _json(value, "life")
    if not isinstance(steps, list) or not 0 < len(steps) <= MAX_LIFE:
        raise Unreadable("Its life is none.")
    return tuple(map(_step, steps))


def _step(step: object) -> Step:
    match step:
        case [state, since, None]:
            return Step(_state(state), moment(since, "life"), None)
        case [state, since, reason]:
            return Step(_state(state), moment(since, "life"), text(reason, "life"))
        case _:
            raise Unreadable("Its life has a step that is none.")


def _json(value: str, name: str) -> object:
    try:
        found: object = json.loads(value)
    except (ValueError, RecursionError):
        raise Unreadable(f"Its {name} are no JSON.") from None
    return found


def _time(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
