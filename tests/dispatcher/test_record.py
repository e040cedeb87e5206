"""What is known of a session, and what anybody may see of it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent_side.join import JoinInfo
from dispatcher.ledger.record import MAX_LIFE, SessionRecord


def test_a_session_is_shown_as_json_with_its_times_in_utc() -> None:
    began_s = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC).timestamp()
    session = SessionRecord.claimed("id", JoinInfo("room", "secret", "face"), began_s)
    session = replace(session, attempts=2, slot="host/1", counters={"frames": 5})
    session = session.entered("ended", "The meeting is over.", began_s + 1)
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
    session = SessionRecord.claimed("id", JoinInfo("room", "secret", "face"), 0.0)
    for number in range(100):
        session = session.entered("joining", f"{number}", number)
    assert len(session.life) == MAX_LIFE
    assert session.life[-1].reason == "99"


def test_the_same_state_with_the_same_reason_is_no_step() -> None:
    session = SessionRecord.claimed("id", JoinInfo("room", "secret", "face"), 0.0)
    joining = session.entered("joining", None, 1.0)
    assert joining.entered("joining", None, 2.0) == joining
    assert [step.since_s for step in joining.life] == [0.0, 1.0]


def test_a_report_of_a_worker_says_that_one_has_taken_it() -> None:
    session = SessionRecord.claimed("id", JoinInfo("room", "secret", "face"), 0.0)
    assert not session.entered("claimed", "The worker was ended by signal 9.", 1.0).acked
    assert session.entered("joining", None, 1.0).acked


def test_a_record_shows_no_token() -> None:
    session = SessionRecord.claimed("id", JoinInfo("room", "secret", "face"), 0.0)
    assert "secret" not in repr(session)
    assert "secret" not in str(session.to_dict())
    assert session.request.token == "secret"


def test_a_record_that_was_looked_up_serves_nobody() -> None:
    session = SessionRecord.claimed("id", JoinInfo("room", "secret", "face"), 0.0)
    with pytest.raises(ValueError, match="no join request"):
        _ = replace(session, join=None).request
