"""Which session a task of the dispatcher or of a node logs about."""

from avatar_runtime.logs import about_task
from avatar_runtime.messages.commands import Assignment
from dispatcher.ledger.record import SessionRecord


def about(session: SessionRecord, traceparent: str | None = None) -> None:
    """This task, and those that it starts, are about that session from now on.

    `traceparent` says its trace, where that was begun by another process.
    """
    slot = session.slot or ""
    about_task(Assignment(session.session_id, session.epoch, slot, traceparent), session.room)
