"""What the fields of the protocol's messages hold: limits, and types that carry their checks."""

from typing import Annotated, Final

from agent_side.protocol import checks

MAX_PAYLOAD: Final = 15 * 1024  # bytes; the SDK raises ValueError for anything longer
MAX_PCM: Final = 15_000  # bytes: the longest slice of PCM that stock peers send
MAX_RANGES: Final = 64  # gaps in one `Progress`; the rest are named by the next one
MAX_NAME: Final = 32  # ASCII characters of the name of a gesture, an expression or a posture
MAX_NAMES: Final = 64  # names of each of the three
MAX_WORDS: Final = 16  # words in one `Words`
MAX_WORD: Final = 64  # characters of each: 16 of them fit a packet, however they are written
MAX_TURN_WORDS: Final = 4096  # half an hour of speech has as many; words beyond are ignored
MAX_ID: Final = 64
MAX_UINT32: Final = 2**32 - 1
STREAM_DIGITS: Final = 16  # lower-case hexadecimal digits in the name of a stream
SAMPLE_RATES: Final = range(4_000, 192_001)  # Hz, of an `AudioChunk`

stream_check, name_check = checks.digits(STREAM_DIGITS), checks.text(MAX_NAME, checks.is_visible)
Stream = Annotated[str, stream_check]
Number = Annotated[int, checks.whole(MAX_UINT32)]
Samples = Annotated[int, checks.whole(2**53 - 1)]
Rate = Annotated[int, checks.within(SAMPLE_RATES)]
Seconds = Annotated[float, checks.seconds]
Flag = Annotated[bool, checks.flag]
Name = Annotated[str, name_check]
Names = Annotated[tuple[str, ...], checks.row(name_check, MAX_NAMES)]


def is_name(name: object) -> bool:
    """Whether the protocol can say `name`: visible ASCII without spaces, not too long."""
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME and checks.is_visible(name)
