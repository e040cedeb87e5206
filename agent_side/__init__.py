"""What an agent imports: the join request, the protocol, and the audio output for the face.

Names are loaded when they are first used, so that a program that only needs the messages or
the join request does not load the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_side.acts import UnknownActError
    from agent_side.audio_out import AvatarAudioOut, AvatarCredentials
    from agent_side.gestures import Gestures
    from agent_side.join import JoinInfo
    from agent_side.launch import AvatarError
    from agent_side.speaker import TurnOver

__all__ = [
    "AvatarAudioOut",
    "AvatarCredentials",
    "AvatarError",
    "Gestures",
    "JoinInfo",
    "TurnOver",
    "UnknownActError",
]

_HOMES = {
    "AvatarAudioOut": "agent_side.audio_out",
    "AvatarCredentials": "agent_side.audio_out",
    "AvatarError": "agent_side.launch",
    "Gestures": "agent_side.gestures",
    "JoinInfo": "agent_side.join",
    "TurnOver": "agent_side.speaker",
    "UnknownActError": "agent_side.acts",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
