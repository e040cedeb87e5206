"""What an agent imports: the join request, the protocol, and the voice that leads to the face."""

from agent_side.audio_out import AvatarAudioOut, AvatarCredentials
from agent_side.join import JoinInfo
from agent_side.launch import AvatarError

__all__ = ["AvatarAudioOut", "AvatarCredentials", "AvatarError", "JoinInfo"]
