"""Records: what the ledger holds of a session, as the Session that a pool shows."""

from datetime import UTC, datetime

from dispatcher.ledger import Record
from dispatcher.pool import Session, Step


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
        life=tuple(Step(step.state, _time(step.since_s), step.reason) for step in record.life),
        counters=record.counters,
    )


def _time(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
