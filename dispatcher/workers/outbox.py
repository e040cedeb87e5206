"""CommandOutbox: the newest command of each kind for one worker, sent until acknowledged.

A command that is written once is lost where the worker does not read just then. So everything after
the join command is state: a newer command replaces an older one that is not acknowledged, and the
worker acknowledges by serial what it has received. Of each kind at most one command per `AGAIN_S`
is on its way, so that a worker that does not read does not fill its pipe.
"""

from dataclasses import dataclass, field
from typing import Final

from avatar_runtime.messages.commands import Command, JoinCommand, Permission, Renewal
from avatar_runtime.messages.reports import Serials

AGAIN_S: Final = 1.0
"""How long to wait for an acknowledgement before the newest command is sent again."""


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
class CommandOutbox:
    """The commands for one worker; time goes in, commands to write come out."""

    _renewal: _Kind = field(default_factory=_Kind)
    _permission: _Kind = field(default_factory=_Kind)

    def renew(self, command: JoinCommand) -> None:
        """Replace the newest join request."""
        newest = self._renewal.newest
        self._renewal.newest = Renewal(1 if newest is None else newest.serial + 1, command)

    def permit(self, serial: int) -> None:
        """Grant the request of that serial."""
        self._permission.newest = Permission(serial)

    def acknowledge(self, serials: Serials) -> None:
        """The worker has received the commands of these serials, and older ones."""
        for kind, serial in (
            (self._renewal, serials.renewal),
            (self._permission, serials.permission),
        ):
            kind.acknowledged = max(kind.acknowledged, serial)

    @property
    def pending(self) -> bool:
        """Whether anything is not acknowledged yet."""
        return self._renewal.pending or self._permission.pending

    def due(self, now: float) -> list[Command]:
        """The commands to write at `now`; they count as sent."""
        commands: list[Command] = []
        permitted = self._permission.is_due(now)
        # A worker with permission joins with the newest token, so the renewal goes first.
        if self._renewal.is_due(now) or (permitted and self._renewal.pending):
            commands.append(self._renewal.sends(now))
        if permitted:
            commands.append(self._permission.sends(now))
        return commands
