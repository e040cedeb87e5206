"""How many examples a property has to survive: the number that it names, or a sample of them.

`make test` runs the sample, `make properties` all, always the same ones; both take them from here.
"""

import os
from collections.abc import Sequence
from typing import Final, TypeVar

from hypothesis import HealthCheck, settings

T = TypeVar("T")

PROFILE_NAME: Final = "HYPOTHESIS_PROFILE"

PROFILES: Final = {
    "sample": settings(derandomize=True, deadline=None, database=None),
    "full": settings(derandomize=True, deadline=None, database=None),
    "explore": settings(deadline=None, print_blob=True),
}
"""By the name in the environment: a tenth of the examples, all of them, or as many other ones."""

SAMPLE: Final = 10
"""In a sample each property has one example out of so many,"""

FEWEST: Final = 25
"""but no fewer than this, where it names as many."""


def profile() -> str:
    """The name of the profile that is chosen."""
    return os.environ.get(PROFILE_NAME, "sample")


def examples(full: int) -> int:
    """How many of the `full` number to run now."""
    return min(full, max(full // SAMPLE, FEWEST)) if profile() == "sample" else full


def thorough(full: int) -> settings:
    """Settings for a property that holds for `full` examples, each of which may be slow to make."""
    return settings(
        max_examples=examples(full), deadline=None, suppress_health_check=list(HealthCheck)
    )


def every_third(cases: Sequence[T], first: int) -> Sequence[T]:
    """All the cases; of many, in a sample, every third from the one on that `first` names."""
    return cases[first % 3 :: 3] if profile() == "sample" and len(cases) > 3 else cases
