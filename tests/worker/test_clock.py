"""The beat of a face never drifts, and after a stall it begins anew instead of rushing."""

import asyncio
from itertools import pairwise

import pytest
import virtual_time
from virtual_time import START_S

from worker import clock
from worker.clock import Clock
from worker.media import FPS, TICK_S


async def ticks_with(body_s: list[float], beat: Clock | None = None) -> list[float]:
    """When the ticks came whose bodies took that long, counted from the first."""
    times = []
    ticks = (beat or Clock()).ticks()
    for duration_s in body_s:
        times.append(await anext(ticks) - START_S)
        await asyncio.sleep(duration_s)
    await ticks.aclose()  # type: ignore[attr-defined]
    return times


def test_the_first_tick_comes_at_once_and_the_others_25_times_a_second() -> None:
    times = virtual_time.run(ticks_with([0.0] * 26))
    assert times == pytest.approx([count / FPS for count in range(26)])


def test_ten_minutes_of_ticks_do_not_drift_although_each_takes_its_time() -> None:
    durations = [0.001 + 0.035 * (count % 7) / 7 for count in range(10 * 60 * FPS + 1)]
    times = virtual_time.run(ticks_with(durations))
    late_s = [time_s - count * TICK_S for count, time_s in enumerate(times)]
    assert times[-1] == pytest.approx(600.0, abs=1e-6)
    assert max(map(abs, late_s)) < 1e-6


def test_a_late_tick_makes_none_of_the_following_late() -> None:
    beat = Clock()
    times = virtual_time.run(ticks_with([0.0, 0.15, 0.0, 0.0, 0.0, 0.0, 0.0], beat))
    assert times == pytest.approx([0.0, 0.04, 0.19, 0.19, 0.19, 0.2, 0.24])
    assert beat.slips == 0


def test_after_a_stall_the_beat_begins_anew() -> None:
    beat = Clock()
    times = virtual_time.run(ticks_with([0.0, 1.0, 0.0, 0.0, 0.0], beat))
    assert times == pytest.approx([0.0, 0.04, 1.04, 1.08, 1.12])
    assert beat.slips == 1


def test_each_stall_is_one_slip() -> None:
    beat = Clock()
    times = virtual_time.run(ticks_with([0.5, 0.0, 0.5, 0.0, 0.0], beat))
    assert beat.slips == 2
    assert min(right - left for left, right in pairwise(times)) == pytest.approx(TICK_S)


@pytest.mark.parametrize(("stall_s", "slips"), [(0.239, 0), (0.241, 1)])
def test_up_to_200_ms_late_is_caught_up(stall_s: float, slips: int) -> None:
    beat = Clock()
    times = virtual_time.run(ticks_with([stall_s, *[0.0] * 10], beat))
    assert beat.slips == slips
    if not slips:
        assert times[-1] == pytest.approx(0.4)


def test_how_late_a_tick_began_is_known_even_where_the_beat_began_anew() -> None:
    async def main() -> list[float]:
        beat = Clock()
        late_s = []
        ticks = beat.ticks()
        for body_s in [0.0, 0.13, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0]:
            await anext(ticks)
            late_s.append(beat.late_s)
            await asyncio.sleep(body_s)
        return late_s

    late_s = virtual_time.run(main())
    assert late_s == pytest.approx([0.0, 0.0, 0.09, 0.05, 0.01, 0.0, 0.0, 0.46])


def test_a_deadline_that_has_passed_returns_at_once_but_lets_others_run() -> None:
    async def main() -> list[str]:
        order: list[str] = []
        other = asyncio.create_task(asyncio.sleep(0), name="other")
        other.add_done_callback(lambda _: order.append("other"))
        for _ in range(3):
            await clock.sleep_until(clock.now() - 5)
        order.append("late")
        assert clock.now() == START_S
        return order

    assert virtual_time.run(main()) == ["other", "late"]


def test_a_deadline_is_met() -> None:
    async def main() -> float:
        await clock.sleep_until(START_S + 12.34)
        return clock.now()

    assert virtual_time.run(main()) == pytest.approx(START_S + 12.34)
