"""Handshake: which version of the protocol the worker reads, and whether one is there."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from agent_side.protocol.fields import STREAM_DIGITS
from agent_side.senders.port import Outgoing
from agent_side.wire import AgentHello, AvatarReady

HELLO_FIRST_S: Final = 0.1
HELLO_SLOWEST_S: Final = 2.0
"""A hello that has no answer is repeated after this time, doubling up to the second."""

HELLO_TIMEOUT_S: Final = 10.0
"""A worker that sends nothing of version 2 for so long after a hello is taken for a stock one.

On an overloaded machine a worker of ours may take seconds to answer. One that has received a
hello ignores version 1, so speech that is sent to it in version 1 too early is lost.
"""

STOCK_TIMEOUT_S: Final = 1.5
"""The same where something indicates a stock worker: the dispatcher's answer, or the acks of the
worker before it."""


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker is there and reads `version`."""

    version: int


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker that was ready is gone; speech is kept for the next."""


@dataclass(frozen=True, slots=True)
class Disobeyed:
    """The worker obeys another participant; `named` says that the join request names that one."""

    named: bool


class Handshake:
    """Sends the hello until it is known which version the worker reads.

    `version` is 0 until then, and while no worker is there. `resume_at` returns the turn and the
    sample at which a worker has to continue.
    """

    def __init__(self, stream: str, rate: int, resume_at: Callable[[], tuple[int, int]]) -> None:
        self.stream = stream
        self.version = 0
        self.attached = False
        self._rate = rate
        self._resume_at = resume_at
        self._has_met = False
        self._worker: str | None = None
        self._present_since: float | None = None
        self._absent_since = 0.0
        self._hello_due: float | None = None
        self._hello_interval_s = HELLO_FIRST_S
        self._hello_began = 0.0
        self._hello_sent_at: float | None = None
        self._announced_at: float | None = None
        """When this worker announced version 2, by whatever message."""
        self._launched_version: int | None = None
        self._follows_stock = False
        """The last worker has acked in version 1."""

    # The room -------------------------------------------------------------------------------

    def launched(self, version: int | None) -> None:
        """The dispatcher that was asked has workers of that version, if that is known."""
        self._launched_version = version

    @property
    def is_present(self) -> bool:
        """The worker's participant is in the room."""
        return self._present_since is not None

    @property
    def waiting_since(self) -> float:
        """Since when no worker has been there, or one that only has to answer the hello."""
        return max(self._absent_since, self._announced_at or 0.0)

    def attach(self, now: float) -> None:
        """There is a meeting to send to; after another one, the stream is a new one."""
        if self._has_met:
            self.stream = f"{(int(self.stream, 16) + 1) % 2**64:0{STREAM_DIGITS}x}"
        self._has_met = self.attached = True
        self._absent_since = now
        self._say_hello(now)

    def detach(self) -> None:
        """The meeting is gone."""
        self.attached = False
        self._present_since = None

    def present(self, now: float) -> None:
        """The worker's participant is in the room."""
        if self._present_since is None:
            self._present_since = now
            self._hello_sent_at = None
            if self.version != 2:
                self._say_hello(now)

    def absent(self) -> None:
        """The worker's participant has left the room."""
        self._present_since = None

    # The worker -----------------------------------------------------------------------------

    def announced(self, now: float) -> None:
        """The worker reads version 2, whether it obeys this agent or not."""
        if self._present_since is None:
            self._present_since = now
        if self._announced_at is None:
            self._announced_at = now

    def is_replaced_by(self, ready: AvatarReady) -> bool:
        """Another worker announces itself than the one that was agreed with."""
        return self.version == 2 and ready.worker != self._worker

    def is_answered_by(self, ready: AvatarReady, now: float) -> bool:
        """`ready` answers the hello. Where it names no stream, a hello is sent for it."""
        if self.version == 2:
            return False
        if ready.stream != self.stream:
            self._say_hello(now)
            return False
        self._hello_due = None
        return True

    def agree(self, worker: str, now: float) -> float:
        """Both speak version 2 from now on. Returns how long the answer took, in seconds."""
        self.version = 2
        self._worker = worker
        return now - self._hello_began

    def refuse(self, now: float) -> bool:
        """The worker obeys another; the hello is repeated. False where it was agreed with."""
        if self.version == 2:
            return False
        if self._hello_due is None:
            self._say_hello(now)
        return True

    def expire(self, now: float) -> bool:
        """The hello has had no answer for too long: the worker reads version 1."""
        if now < self._answer_due:
            return False
        self.version = 1
        self._hello_due = None
        return True

    def lost(self, now: float, *, has_acked: bool) -> None:
        """The worker is gone, one of version 1 that `has_acked` or another; wait for the next."""
        if self.version:
            self._follows_stock = has_acked
        self.version = 0
        self._absent_since = now
        self._announced_at = self._hello_sent_at = None
        self._say_hello(now)

    # The hello ------------------------------------------------------------------------------

    def next_hello(self, now: float) -> Outgoing | None:
        """A hello where one is due."""
        if self._hello_due is None or now < self._hello_due:
            return None
        turn, sample = self._resume_at()
        hello = AgentHello(self.stream, turn, sample, self._rate)
        return Outgoing(hello, partial(self._hello_sent, self._hello_due))

    @property
    def next_due(self) -> float:
        """When a hello is due, or its answer."""
        return min(math.inf if self._hello_due is None else self._hello_due, self._answer_due)

    def _say_hello(self, now: float) -> None:
        self._hello_due = self._hello_began = now
        self._hello_interval_s = HELLO_FIRST_S

    def _hello_sent(self, due: float, now: float) -> None:
        """The hello that was due then has left; one that could not be sent stays due."""
        if self._hello_sent_at is None and self._present_since is not None:
            self._hello_sent_at = now
        if self._hello_due == due:
            self._hello_due = now + self._hello_interval_s
            self._hello_interval_s = min(2 * self._hello_interval_s, HELLO_SLOWEST_S)

    @property
    def _answer_due(self) -> float:
        """When a worker that has not answered is taken for a stock one."""
        if self.version or not self.attached or self._hello_sent_at is None:
            return math.inf
        if self._announced_at is not None or self._launched_version == 2:
            return math.inf
        is_stock = self._launched_version == 1 or self._follows_stock
        return self._hello_sent_at + (STOCK_TIMEOUT_S if is_stock else HELLO_TIMEOUT_S)
