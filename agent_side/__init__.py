"""What an agent imports: the join request, the protocol, and the voice that leads to the face."""

from agent_side.audio_out import AvatarAudioOut, AvatarCredentials
from agent_side.join import JoinInfo

__all__ = ["AvatarAudioOut", "AvatarCredentials", "JoinInfo"]
