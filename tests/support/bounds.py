"""The upper bound that a test may put on real time: one that a slow machine meets too."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LEAST_S: Final = 10.0
"""A bound below this measures the machine and its load."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """The block has to end within `seconds`.

    For a block that waits much longer, or for ever, where the behaviour is missing. What takes a
    time of its own belongs into virtual time; how fast something is, into `make bench`. Raises
    ValueError for a bound that is shorter than `LEAST_S`.
    """
    if seconds < LEAST_S:
        raise ValueError(f"{seconds:g} s is too short a bound: a slow machine needs {LEAST_S:g} s.")
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"it took {took:.1f} s, and {seconds:g} s are the most"
