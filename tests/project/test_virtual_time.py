"""Virtual time passes only when nothing is ready, and never hangs."""

import asyncio
import threading
from pathlib import Path

import pytest
from bounds import within
from virtual_time import START_S, StuckError, VirtualLoop, run


def test_an_hour_takes_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    with within(60):
        assert run(main()) == START_S + 3600


def test_timers_run_in_the_order_of_their_times() -> None:
    async def main() -> list[float]:
        order: list[float] = []

        async def after(delay_s: float) -> None:
            await asyncio.sleep(delay_s)
            order.append(delay_s)

        async with asyncio.TaskGroup() as tasks:
            for delay_s in (3.0, 1.0, 2.0, 0.0):
                tasks.create_task(after(delay_s), name=f"after {delay_s}")
        return order

    assert run(main()) == [0.0, 1.0, 2.0, 3.0]


def test_timeouts_are_timers_too() -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run(main())


def test_a_deadlock_raises_and_says_who_waits() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.Event().wait(), name="listener")

    with pytest.raises(StuckError, match=r"no timer is set: .*listener at 1000\.000 s"):
        run(main())


def test_a_program_that_spins_raises() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(StuckError, match="spins"):
        run(main())


def test_functions_for_threads_run_inline_and_let_others_run_before_their_result() -> None:
    async def main() -> list[object]:
        order: list[object] = []
        asyncio.get_running_loop().call_soon(order.append, "other")
        thread = await asyncio.to_thread(threading.current_thread)
        order.append(thread is threading.main_thread())
        return order

    assert run(main()) == ["other", True]


def test_what_a_function_raises_is_raised_where_it_is_awaited() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, divmod, 1, 0)

    with pytest.raises(ZeroDivisionError):
        run(main())


def test_tasks_that_are_left_over_are_cancelled() -> None:
    ended = []

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main() -> None:
        task = asyncio.create_task(linger(), name="linger")
        await asyncio.sleep(0)
        assert not task.done()

    run(main())
    assert ended == [True]


def test_who_waits_for_less_than_the_clock_can_tell_gets_there() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 5e-10
        while loop.time() < deadline:
            await asyncio.sleep(deadline - loop.time())
        return loop.time()

    assert run(main()) == pytest.approx(START_S, abs=1e-8)


# Tests that are coroutines


@pytest.mark.virtual_time
async def test_a_marked_test_runs_on_the_virtual_clock(tmp_path: Path) -> None:
    assert asyncio.get_running_loop().time() == START_S
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() == START_S + 3600
    assert tmp_path.is_dir()


async def test_any_other_runs_on_the_real_one() -> None:
    assert not isinstance(asyncio.get_running_loop(), VirtualLoop)
