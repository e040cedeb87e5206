"""Replies: what became of claims, and the POSTs that wait for it."""

import asyncio
from typing import Final, NamedTuple, cast

from dispatcher.errors import Unreadable
from dispatcher.ledger.port import RESOLUTIONS, Resolution
from dispatcher.ledger.record import SessionRecord
from dispatcher.ledger.refusals import text, whole

MAX_KEPT: Final = 1024
"""Replies that are kept for waits that have not begun yet; the oldest is dropped."""


class ClaimReply(NamedTuple):
    """What became of a claim."""

    epoch: int
    resolution: Resolution

    def resolves(self, epoch: int) -> bool:
        """Whether it is meant for a claim of that epoch: an ack may be an older one's."""
        return self.resolution != "acked" or self.epoch >= epoch


class _Wait(NamedTuple):
    """A POST that waits for the reply to its claim."""

    epoch: int
    resolution: asyncio.Future[Resolution]


class Replies:
    """The replies of one process, each for its session."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[_Wait]] = {}
        self._kept: dict[str, ClaimReply] = {}

    def receive(self, session_id: str, reply: ClaimReply) -> None:
        """Resolve the waits for that session, those to come included."""
        self._kept.pop(session_id, None)
        self._kept[session_id] = reply
        if len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        for wait in self._waiting.get(session_id, ()):
            if reply.resolves(wait.epoch) and not wait.resolution.done():
                wait.resolution.set_result(reply.resolution)

    def awaited(self, session_id: str) -> bool:
        """Whether anybody here waits for that session."""
        return session_id in self._waiting

    async def resolved(self, record: SessionRecord, timeout_s: float) -> Resolution | None:
        """As `Ledger.resolved`."""
        if record.acked:
            return "acked"
        kept = self._kept.get(record.session_id)
        if kept is not None and kept.resolves(record.epoch):
            return kept.resolution
        wait = _Wait(record.epoch, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(record.session_id, []).append(wait)
        try:
            async with asyncio.timeout(timeout_s):
                return await wait.resolution
        except TimeoutError:
            return None
        finally:
            self._waiting[record.session_id].remove(wait)
            if not self._waiting[record.session_id]:
                del self._waiting[record.session_id]


def read_reply(reply: str) -> tuple[str, ClaimReply]:
    """The session that a reply is about, and the reply. Raises Unreadable."""
    match text(reply, "text").split():
        case [session_id, epoch, resolution] if resolution in RESOLUTIONS:
            return session_id, ClaimReply(whole(epoch, "epoch"), cast(Resolution, resolution))
        case _:
            raise Unreadable("It is no answer to a claim.")
