"""The errors that the dispatcher raises.

DispatcherError
 ├─ SettingsError   a setting that cannot be used
 ├─ NodeError       no worker can be had on this machine
 ├─ RoomError       the local room did not open, or has ended
 ├─ BadRequest      a join request that cannot be used; has the HTTP status
 ├─ Refused         a worker has looked at a join request and refused it
 └─ Full            there is no room for a session now

The text of each says what failed and what to do next, and repeats nothing of a request.
"""


class DispatcherError(Exception):
    """Anything that the dispatcher gives up on."""


class SettingsError(DispatcherError):
    """A setting that cannot be used."""


class NodeError(DispatcherError):
    """No worker can be had on this machine."""


class RoomError(DispatcherError):
    """The local room did not open, or has ended."""


class BadRequest(DispatcherError):  # noqa: N818 - it is HTTP's name
    """A join request that cannot be used; `status` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Refused(DispatcherError):  # noqa: N818 - a state of the session, not a fault of the code
    """A worker has looked at a join request and refused it."""


class Full(DispatcherError):  # noqa: N818 - a state of the pool, not a fault of the caller
    """There is no room for a session now."""
