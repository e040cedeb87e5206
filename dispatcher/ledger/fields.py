"""Fields: a session's record as a hash in Redis, read and written.

The field `v` is the version that has written it; one without is of version 1. The rule between
versions:

- Fields that a version does not know, it ignores and keeps.
- Fields that are missing have the value that they have in a new record (``common.lua`` lists those
  that may be missing).
- A record of a version that is newer than `VERSION` is left alone: this version does not read,
  change or move it. The version rises only for what older ones cannot live with, and `id`, `epoch`
  and `slot` mean the same in every version, so that the fence holds between them.

A record that is none of that is refused and set aside; the node that serves its session writes it
anew from what it holds.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final, cast, get_args

from agent_side.join import JoinInfo
from dispatcher.errors import Unreadable
from dispatcher.ledger.record import MAX_LIFE, SessionRecord, State, Step, digest, key_of
from dispatcher.ledger.refusals import counters, moment, text, whole

VERSION: Final = 2
"""Of the records that are written here. 1 has no `v`, and join requests that are encrypted for no
session."""

STATES: Final = frozenset(get_args(State))

SLOT: Final = re.compile(r"[\w.@-]+/[1-9][0-9]{0,2}", re.ASCII)
"""``<node>/<n>``."""


def milliseconds(seconds: float) -> int:
    """As Redis has a moment."""
    return round(seconds * 1000)


def life_of(life: Sequence[Step]) -> str:
    """As Redis has a life."""
    return json.dumps([[step.state, milliseconds(step.since_s), step.reason] for step in life])


def counters_of(record: SessionRecord) -> str:
    """As Redis has counters."""
    return json.dumps(dict(record.counters))


def place_of(record: SessionRecord) -> tuple[str, str, int, str]:
    """What an epoch fences: key, session, epoch and slot."""
    return record.key, record.session_id, record.epoch, record.slot or ""


def fields_of(record: SessionRecord) -> dict[str, str | int]:
    """The record as Redis has it; what only Redis knows is missing, and so is the join request."""
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
        "counters": counters_of(record),
        "life": life_of(record.life),
    }


def read_record(fields: Mapping[str, object]) -> SessionRecord:
    """The record that Redis has as `fields`, as a script shows it, without its join request.
    Raises Unreadable."""

    def read(name: str, default: str | None = None) -> str:
        if name not in fields and default is None:
            raise Unreadable(f"It has no {name}.")
        return text(fields.get(name, default), name)

    key, room, participant = read("key"), read("room"), read("participant")
    if key != key_of(room, participant):
        raise Unreadable("Its room and participant are those of another key.")
    slot = read("slot")
    if slot and not SLOT.fullmatch(slot):
        raise Unreadable("Its slot is none.")
    waits = read("waiting", "0") == "1" or not slot
    return SessionRecord(
        key=key,
        session_id=read("id"),
        room=room,
        participant_id=participant,
        owner=read("owner", ""),
        state=_state(read("state")),
        since_s=moment(read("since"), "since"),
        reason=read("reason", "") or None,
        epoch=whole(read("epoch"), "epoch"),
        slot=None if waits else slot,
        acked=read("acked", "0") == "1",
        attempts=whole(read("attempts", "0"), "attempts"),
        expires_s=moment(read("exp"), "exp"),
        renewals=whole(read("renewals", "0"), "renewals"),
        traceparent=read("trace", "") or None,
        counters=counters(_json(read("counters", "{}"), "counters")),
        life=_life(read("life")),
    )


def new_record(
    join: JoinInfo,
    session_id: str,
    owner: str,
    traceparent: str | None,
    seen: Mapping[str, object],
) -> SessionRecord:
    """The record that a claim has just made, as far as Redis has set it: `seen`. Raises
    Unreadable."""
    return SessionRecord.claimed(
        session_id,
        join,
        moment(seen.get("since"), "since"),
        owner=owner,
        traceparent=traceparent,
        epoch=whole(seen.get("epoch"), "epoch"),
        slot=text(seen.get("slot"), "slot"),
        expires_s=moment(seen.get("exp"), "exp"),
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
            return Step(_state(state), moment(since, "life"))
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
