"""Random conversations: what an agent does, as data that hypothesis can shrink."""

from dataclasses import dataclass

from hypothesis import strategies as st

RUNS = 2000
"""How many random conversations a property about interrupts has to survive; see `thorough`."""


@dataclass(frozen=True)
class Say:
    """A turn of so many samples, handed over in pieces of so many bytes, so often."""

    samples: int
    piece: int
    every_s: float


@dataclass(frozen=True)
class Interrupts:
    """INTERRUPT, so many times in a row."""

    times: int


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Perform:
    """A gesture, an expression or a posture."""

    kind: str
    name: str
    intensity: float = 1.0


@dataclass(frozen=True)
class Tell:
    """So many words of the next turn."""

    count: int


Action = Say | Interrupts | Pause | Perform | Tell


def scripts(
    shortest: int, longest: int, pieces: list[int], every_s: list[float]
) -> st.SearchStrategy[list[Action]]:
    """Up to eight actions, half of them turns."""
    says = st.builds(
        Say,
        samples=st.integers(shortest, longest),
        piece=st.sampled_from(pieces),
        every_s=st.sampled_from(every_s),
    )
    pauses = st.builds(Pause, st.floats(0, 1.5))
    interrupts = st.builds(Interrupts, st.integers(1, 2))
    return st.lists(st.one_of(says, says, pauses, interrupts), min_size=1, max_size=8)
