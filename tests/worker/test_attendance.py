"""Attendance: when a worker has nobody to be there for."""

from worker.settings import Settings
from worker.turns.attendance import RETURN_S, Attendance

SETTINGS = Settings(agent_absent_s=30, empty_room_s=10, longest_s=1000)


def attendance(agent_id: str | None = None) -> Attendance:
    return Attendance(SETTINGS, agent_id)


def test_a_worker_waits_for_its_agent_for_a_while() -> None:
    room = attendance()
    assert room.over(None, 29.9) is None
    reason = room.over(None, 30.0)
    assert reason == "The agent never came: there was none within 30 s."


def test_somebody_who_is_no_agent_is_no_reason_to_stay() -> None:
    room = attendance()
    room.joined("viewer", is_agent=False)
    for now in range(30):
        assert room.over(None, now) is None
    assert "never came" in (room.over(None, 30.0) or "")


def test_while_the_agent_is_there_the_worker_stays() -> None:
    room = attendance()
    room.joined("agent", is_agent=True)
    assert all(room.over(None, now) is None for now in range(0, 999, 7))


def test_whoever_is_obeyed_is_the_agent_whatever_its_type() -> None:
    room = attendance()
    room.joined("somebody", is_agent=False)
    assert all(room.over("somebody", now) is None for now in range(0, 999, 7))
    assert room.over(None, 1000.0) is not None


def test_only_the_agent_that_was_named_counts() -> None:
    room = attendance("agent")
    room.joined("other", is_agent=True)
    assert room.over(None, 1.0) is None
    assert room.over(None, 31.0) == "The agent never came: there was none within 30 s."
    room.joined("agent", is_agent=False)
    assert room.over(None, 32.0) is None


def test_an_agent_that_has_left_may_come_back_for_a_while() -> None:
    room = attendance()
    room.joined("agent", is_agent=True)
    room.joined("viewer", is_agent=False)
    assert room.over(None, 100.0) is None
    room.left("agent")
    assert room.over(None, 129.9) is None
    assert room.over(None, 130.0) == "The agent has left and did not come back within 30 s."
    room.joined("agent", is_agent=True)
    assert room.over(None, 131.0) is None


def test_an_empty_room_is_left_sooner() -> None:
    room = attendance()
    room.joined("agent", is_agent=True)
    assert room.over(None, 100.0) is None
    room.left("agent")
    assert room.over(None, 109.9) is None
    assert room.over(None, 110.0) == "Everybody has left: the room was empty for 10 s."


def test_a_session_has_a_longest_time() -> None:
    room = attendance()
    room.joined("agent", is_agent=True)
    assert room.over(None, 999.9) is None
    reason = room.over(None, 1000.0)
    assert reason == "The session has lasted 1000 s, the longest that is allowed."


def test_no_time_passes_while_the_worker_is_away() -> None:
    room = attendance()
    room.joined("agent", is_agent=True)
    assert room.over(None, 10.0) is None
    room.away()
    room.left("agent")
    assert room.over(None, 200.0) is None
    room.back(200.0)
    assert room.over(None, 209.9) is None
    assert room.over(None, 210.0) is not None


def test_who_left_while_the_worker_was_away_is_missed_once_others_have_shown_up() -> None:
    room = attendance()
    room.joined("agent", is_agent=True)
    room.joined("viewer", is_agent=False)
    room.away()
    room.back(50.0)
    room.joined("agent", is_agent=True)
    assert room.missing(50.0 + RETURN_S / 2) == []
    assert room.missing(50.0 + RETURN_S) == ["viewer"]
    room.left("viewer")
    assert room.missing(60.0) == []


def test_a_worker_that_is_lost_again_misses_nobody_meanwhile() -> None:
    room = attendance()
    room.joined("agent", is_agent=True)
    room.away()
    room.back(50.0)
    room.away()
    assert room.missing(60.0) == []
    room.back(60.0)
    assert room.missing(60.0 + RETURN_S) == ["agent"]
