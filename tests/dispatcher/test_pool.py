"""How many workers wait, and what may be known of a session."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_side.join import JoinInfo
from dispatcher.pool import MAX_LIFE, Session, to_start

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


def test_a_session_is_shown_as_json_with_its_times_in_utc() -> None:
    began = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)
    session = Session.claimed("id", JoinInfo("room", "secret", "face"), began)
    session = replace(session, attempts=2, slot="host/1", counters={"frames": 5})
    session = session.entered("ended", began + timedelta(seconds=1), "The meeting is over.")
    assert session.over
    over = {
        "state": "ended",
        "since": "2026-01-02T03:04:06.678+00:00",
        "reason": "The meeting is over.",
    }
    assert session.to_dict() == {
        "session_id": "id",
        "room": "room",
        "participant_id": "face",
        **over,
        "attempts": 2,
        "epoch": 1,
        "slot": "host/1",
        "life": [
            {"state": "claimed", "since": "2026-01-02T03:04:05.678+00:00", "reason": None},
            over,
        ],
        "counters": {"frames": 5},
    }


def test_a_long_life_is_remembered_from_its_end() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    session = Session.claimed("id", JoinInfo("room", "secret", "face"), now)
    for number in range(100):
        session = session.entered("joining", now, f"{number}")
    assert len(session.life) == MAX_LIFE
    assert session.life[-1].reason == "99"
