"""How many workers wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.pool import to_start

counts = st.integers(0, 20)


@pytest.mark.parametrize(
    ("idle", "starting", "waiting", "busy", "expected"),
    [
        (0, 0, 0, 0, 2),  # at the start, the warm ones
        (2, 0, 0, 0, 0),
        (1, 0, 0, 1, 1),  # one was acquired
        (0, 2, 0, 1, 0),  # its successors are on their way
        (0, 0, 1, 1, 3),  # somebody waits: one for it, and the warm ones
        (0, 0, 0, 3, 1),  # one slot is left, so one worker waits for it
        (2, 0, 0, 4, 0),
        (0, 0, 2, 4, 2),  # full, and two of the four have no worker yet
    ],
)
def test_workers_wait_for_sessions_that_may_come(
    idle: int, starting: int, waiting: int, busy: int, expected: int
) -> None:
    wanted = to_start(idle=idle, starting=starting, waiting=waiting, busy=busy, slots=4, warm=2)
    assert wanted == expected


@given(counts, counts, counts, counts, st.integers(1, 20), counts)
def test_there_are_never_more_workers_than_there_can_be_sessions(
    idle: int, starting: int, waiting: int, others: int, slots: int, warm: int
) -> None:
    waiting = min(waiting, slots)
    busy = min(slots, waiting + others)
    wanted = to_start(
        idle=idle, starting=starting, waiting=waiting, busy=busy, slots=slots, warm=warm
    )
    served = busy - waiting
    if wanted:
        assert served + idle + starting + wanted <= slots
        assert idle + starting + wanted >= waiting
