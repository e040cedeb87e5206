"""The messages of version 1, which stock peers speak."""

from typing import Annotated, Final

from agent_side.protocol import codec
from agent_side.protocol.codec import Key, control, speech
from agent_side.protocol.fields import MAX_PAYLOAD, Flag, Seconds

INTERRUPT_PAYLOAD: Final = b"INTERRUPT"


@speech(most=MAX_PAYLOAD)
class Pcm:
    """Agent to worker: a piece of speech, s16le mono at a rate that both sides know beforehand.

    Sent as the speech synthesizer delivers. Nothing says which turn it belongs to.
    """

    data: bytes


@control("segment_end", version=1)
class SegmentEnd:
    """Agent to worker: the agent has sent all the speech of its turn."""


@codec.text(INTERRUPT_PAYLOAD)
class Interrupt:
    """Agent to worker: stop the speech now and drop what has not been played.

    Stock agents send it twice for one interruption, and sometimes when nothing is playing.
    """


@control("stream_ended", version=1, inside="data")
class StreamEnded:
    """Worker to agent: a turn has been heard to its end, or was interrupted.

    `position` is how much of it was heard, in seconds.
    """

    position: Annotated[Seconds, Key("playback_position", 0.0)]
    interrupted: Annotated[Flag, Key("interrupted", False)]
