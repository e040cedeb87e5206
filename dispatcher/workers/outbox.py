"""Outbox: what a worker has to know by now, the newest of each kind, sent until acknowledged.

A line that is written once is lost with a worker that does not read just then. So what a worker is
told after its join request is state: a newer state replaces an older one that is not acknowledged,
and the worker acknowledges by serial what it has read. Of each kind at most one line in `AGAIN_S`
is on its way, so that a worker that reads nothing does not fill its pipe.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final

AGAIN_S: Final = 1.0
"""How long an acknowledgement is waited for before the newest command is sent again."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The newest join request of the worker's session, for when it joins its meeting anew."""

    serial: int
    """Counts the renewals of one worker, from 1."""
    request: str

    def encode(self) -> bytes:
        fields: dict[str, Any] = json.loads(self.request)
        return json.dumps({**fields, "renewal": self.serial}).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Permission:
    """The worker may join its meeting anew."""

    serial: int
    """That of the report ``asking`` which it answers; the worker obeys no other."""

    def encode(self) -> bytes:
        return json.dumps({"permission": self.serial}).encode() + b"\n"


Command = Renewal | Permission


@dataclass(slots=True)
class _Kind:
    newest: Command | None = None
    sent: int = -1
    sent_at: float = 0.0
    acknowledged: int = -1

    @property
    def pending(self) -> bool:
        return self.newest is not None and self.newest.serial > self.acknowledged

    def is_due(self, now: float) -> bool:
        waits = self.sent > self.acknowledged and now - self.sent_at < AGAIN_S
        return self.pending and not waits

    def sends(self, now: float) -> Command:
        assert self.newest is not None
        self.sent, self.sent_at = self.newest.serial, now
        return self.newest


@dataclass(slots=True)
class Outbox:
    """The commands for one worker; time goes in, lines to write come out."""

    _renewal: _Kind = field(default_factory=_Kind)
    _permission: _Kind = field(default_factory=_Kind)

    def renew(self, request: str) -> None:
        """Replace the newest join request."""
        newest = self._renewal.newest
        self._renewal.newest = Renewal(1 if newest is None else newest.serial + 1, request)

    def permit(self, serial: int) -> None:
        """Answer the question of that serial."""
        self._permission.newest = Permission(serial)

    def acknowledge(self, renewal: int, permission: int) -> None:
        """The worker has read the renewal and the permission of these serials, and older ones."""
        for kind, serial in ((self._renewal, renewal), (self._permission, permission)):
            kind.acknowledged = max(kind.acknowledged, serial)

    @property
    def pending(self) -> bool:
        """Whether anything is not acknowledged yet."""
        return self._renewal.pending or self._permission.pending

    def due(self, now: float) -> list[Command]:
        """What has to be written at `now`; it counts as sent."""
        commands: list[Command] = []
        permitted = self._permission.is_due(now)
        # Whoever may join anew does so with the newest token, so that goes first.
        if self._renewal.is_due(now) or (permitted and self._renewal.pending):
            commands.append(self._renewal.sends(now))
        if permitted:
            commands.append(self._permission.sends(now))
        return commands
