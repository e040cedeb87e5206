"""A watchdog ends what shows no progress, and never for time in which nobody could look."""

import math

from dispatcher.workers.watchdog import Watchdog


def test_it_expires_after_that_time_without_a_sign() -> None:
    dog = Watchdog(0.0)
    looks = [dog.expired(moment, 10.0) for moment in (4.0, 8.0, 9.9, 10.0)]
    assert looks == [False, False, False, True]


def test_a_sign_of_progress_begins_the_count_again() -> None:
    dog = Watchdog(0.0)
    for moment in range(1, 100):
        assert not dog.expired(float(moment), 10.0)
        if moment % 9 == 0:
            dog.sign(float(moment))


def test_a_gap_in_which_this_process_stood_still_is_not_held_against_anybody() -> None:
    dog = Watchdog(0.0)
    assert not dog.expired(3600.0, 10.0)
    assert not dog.expired(3604.0, 10.0)
    assert dog.expired(3605.0, 10.0)


def test_who_has_no_limit_begins_with_the_first_limit() -> None:
    dog = Watchdog(0.0)
    for moment in range(1, 100):
        assert not dog.expired(float(moment), math.inf)
    assert not dog.expired(104.0, 10.0)
    assert not dog.expired(108.0, 10.0)
    assert dog.expired(109.0, 10.0)
