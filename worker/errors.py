"""The errors that a worker raises.

WorkerError
 ├─ WorkerSettingsError  a setting or a join request that cannot be used
 ├─ InputError           a file, a size or a character that cannot be used
 ├─ RendererError        the renderer cannot be made, or broke its contract
 └─ MeetingError         the meeting cannot be used
     ├─ JoinError        it could not be joined in time
     │   └─ JoinRefused  its server wants no face with this token
     └─ MeetingLost      it was joined and is gone
         └─ Dismissed    its server has sent the face away

The text of each says what failed and what to do next.
"""


class WorkerError(Exception):
    """Anything that a worker gives up on."""


class WorkerSettingsError(WorkerError):
    """A setting or a join request that cannot be used."""


class InputError(WorkerError):
    """A file, a size or a character that a user named cannot be used."""


class RendererError(WorkerError):
    """The renderer cannot be made, or broke its contract."""


class MeetingError(WorkerError):
    """The meeting cannot be used."""


class JoinError(MeetingError):
    """The meeting could not be joined in time."""


class JoinRefused(JoinError):  # noqa: N818 - an answer of the server, not a fault of the caller
    """The meeting's server refused the token; trying again with the same one is of no use."""


class MeetingLost(MeetingError):  # noqa: N818 - a state of the meeting, not a fault of the caller
    """The meeting was joined and is gone; the text says how that was noticed."""


class Dismissed(MeetingLost):
    """The meeting's server sent the worker away: it was removed, or another has its id.

    It is never joined again, as that would evict the other one.
    """
