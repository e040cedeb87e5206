"""The errors that a worker raises.

AvatarError
 ├─ SettingsError       a setting or a join request that cannot be used
 ├─ InputError          a file, a size or a character that cannot be used
 ├─ RendererError       the renderer cannot be made, or broke its contract
 └─ MeetingError        the meeting cannot be used
     ├─ JoinError       it could not be joined in time
     └─ MeetingLost     it was joined and is gone

The text of each says what failed and what to do next.
"""


class AvatarError(Exception):
    """Anything that a worker gives up on."""


class SettingsError(AvatarError):
    """A setting or a join request that cannot be used."""


class InputError(AvatarError):
    """A file, a size or a character that a user named cannot be used."""


class RendererError(AvatarError):
    """The renderer cannot be made, or broke its contract."""


class MeetingError(AvatarError):
    """The meeting cannot be used."""


class JoinError(MeetingError):
    """The meeting could not be joined in time."""


class MeetingLost(MeetingError):  # noqa: N818 - a state of the meeting, not a fault of the caller
    """The meeting was joined and is gone; the text says how that was noticed."""
