"""The errors that the dispatcher raises.

DispatcherError
 ├─ SettingsError   a setting that cannot be used
 ├─ NodeError       no worker can be had on this machine
 ├─ Unreadable      an item of Redis or of a worker's pipe that cannot be read
 ├─ LocalRoomError  the local room did not open, or has ended
 ├─ BadRequest      a join request that cannot be used; has the HTTP status
 ├─ Unauthorized    the caller is not authenticated
 ├─ Forbidden       the caller is authenticated, and not allowed to do that
 ├─ Refused         a worker has looked at a join request and refused it
 ├─ Conflict        the room has another face, and the room policy keeps it
 ├─ TooMany         one owner has asked too often, or has too many sessions
 └─ Full            there is no room for a session now
     └─ StoreDown   the ledger cannot be reached, so free slots are unknown
         └─ NotDone Redis answers, and cannot do this one thing; others it may

The text of each says what failed and what to do next, and repeats nothing of a request.
"""


class DispatcherError(Exception):
    """Anything that the dispatcher gives up on."""


class SettingsError(DispatcherError):
    """A setting that cannot be used."""


class Unreadable(DispatcherError):  # noqa: N818 - what it is, not who failed
    """An item from outside that this version cannot read; repeats nothing of it."""


class NodeError(DispatcherError):
    """No worker can be had on this machine."""


class LocalRoomError(DispatcherError):
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


class StoreDown(Full):
    """The ledger cannot be reached: sessions that live go on, and new ones have to wait."""


class NotDone(StoreDown):
    """Redis answers and has not done what it was asked, which may be about one session alone."""


class Unauthorized(DispatcherError):  # noqa: N818 - it is HTTP's name
    """The caller is not authenticated."""


class Forbidden(DispatcherError):  # noqa: N818 - it is HTTP's name
    """The caller is authenticated, and not allowed to do that."""


class Conflict(DispatcherError):  # noqa: N818 - it is HTTP's name
    """The room has a face for another participant, and the room policy keeps it."""


class TooMany(DispatcherError):  # noqa: N818 - a state of the owner, not a fault of the code
    """One owner has asked too often, or has too many sessions; and when it may ask again (s)."""

    def __init__(self, text: str, retry_after_s: int = 2) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s
