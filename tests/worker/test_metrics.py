"""What a worker measures: the numbers of a session are right, and the names are the contract's."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import virtual_time
from metric_names import WORKER as NAMES
from prometheus_client import CollectorRegistry
from stage import QuickRenderer, stage, voice
from stock_agent import StockAgent

import worker.process.metrics as metrics_module
from dispatcher.degraded import Degraded
from dispatcher.workers import shared_numbers
from dispatcher.workers.shared_numbers import SharedNumbers
from worker.errors import JoinError, MeetingLost
from worker.media import SAMPLE_RATE, TICK_S
from worker.meeting_support.memory_network import NetworkFaults
from worker.meetings.memory import MemoryRoom
from worker.process import shared_numbers as of_the_worker
from worker.process.metrics import INTERVAL_S, REJECTED, Measures, Metrics
from worker.session import Session
from worker.settings import Settings
from worker.turns.reasons import WORDS

ROOT = Path(__file__).parents[2]


class Watched:
    """The metrics of one worker, and what its session told of its steps."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.spans: list[tuple[str, float]] = []
        self.measures = Measures(self.metrics, lambda *span: self.spans.append(span))

    def __call__(self, name: str, **labels: str) -> float:
        """The value of ``avatar_<name>``; 0 where there is no such series."""
        return self.metrics.registry.get_sample_value(f"avatar_{name}", labels) or 0.0

    def mean(self, name: str) -> float:
        return self(f"{name}_seconds_sum") / self(f"{name}_seconds_count")


async def say(agent: Any, pcm: Any) -> None:
    data = pcm.tobytes()
    for at in range(0, len(data), 960):
        await agent.handle_audio_input(data[at : at + 960])
    await agent.send_segment_end()


# Names ---------------------------------------------------------------------------------------


def test_the_names_are_those_of_the_contract() -> None:
    families = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in Metrics().registry.collect()
    }
    assert families == NAMES


def test_every_label_has_a_few_values_which_are_there_from_the_begin() -> None:
    values: dict[str, set[str]] = {}
    for family in Metrics().registry.collect():
        for sample in family.samples:
            for label, value in sample.labels.items():
                values.setdefault(label, set()).add(value)
    del values["le"]
    assert values["reason"] == {*WORDS, *REJECTED.values()}
    assert values["interrupted"] == {"true", "false"}
    assert set(values) == {"reason", "interrupted"}


def test_the_interval_has_the_buckets_that_show_a_picture_that_came_late() -> None:
    assert INTERVAL_S == (0.02, 0.035, 0.04, 0.045, 0.06, 0.08, 0.12, 0.2)


# A session -----------------------------------------------------------------------------------


def test_a_session_in_which_all_is_well() -> None:
    watched = Watched()

    async def main() -> None:
        async with stage(measures=watched.measures) as scene:
            await scene.agent.wait_until_ready()
            for turn in range(2):
                await say(scene.agent, voice(2 * SAMPLE_RATE, seed=turn))
                await scene.agent.wait_for_playout()
            await asyncio.sleep(1)
            assert scene.session.tally["frames"] == watched("frames_total")
        assert scene.session.tally == watched.measures.counts, "nothing was refused"

    virtual_time.run(main())
    assert watched("time_to_join_seconds_count") == 1
    assert watched("time_to_first_frame_seconds_count") == 1
    assert watched("session_duration_seconds_sum") > 5
    assert watched("sessions_ended_total", reason="told") == 1
    frames = watched("frames_total")
    assert frames == pytest.approx(watched("session_duration_seconds_sum") / TICK_S, abs=2)
    assert watched("late_frames_total") == 0
    assert watched("frame_interval_seconds_count") == frames - 1
    assert watched.mean("frame_interval") == pytest.approx(TICK_S)
    assert watched("render_seconds_count") >= 2 * 50
    assert watched("audio_to_video_seconds_count") == 2
    assert 0.039 <= watched.mean("audio_to_video") <= 0.3
    assert watched("audio_chunks_total") >= 100
    assert watched("audio_gaps_total") == 0
    assert watched("acks_total", interrupted="false") == 2
    assert watched("acks_total", interrupted="true") == 0
    assert watched("segments_unacked") == 0
    assert abs(watched.mean("av_offset")) < 0.001
    assert watched("queue_seconds_count") >= 3
    assert [name for name, _ in watched.spans] == ["join", "first_frame", "first_word"]


def test_an_interrupt_is_measured_and_its_turn_is_told_once() -> None:
    watched = Watched()

    async def main() -> None:
        async with stage(measures=watched.measures) as scene:
            await scene.agent.wait_until_ready()
            await say(scene.agent, voice(3 * SAMPLE_RATE))
            await asyncio.sleep(1.1)
            assert watched("segments_unacked") == 1
            await scene.agent.interrupt()
            await asyncio.sleep(2)

    virtual_time.run(main())
    assert watched("interrupt_seconds_count") >= 1
    assert watched.mean("interrupt") < 0.001
    assert watched("acks_total", interrupted="true") == 1
    assert watched("acks_total", interrupted="false") == 0
    assert watched.measures.counts["segments"] == 1


def test_a_turn_that_waits_for_another_is_no_slow_one() -> None:
    watched = Watched()

    async def main() -> None:
        async with stage(measures=watched.measures) as scene:
            agent = await stock(scene)
            await agent.say(voice(2 * SAMPLE_RATE))
            await agent.end()
            await asyncio.sleep(0.3)
            await agent.say(voice(SAMPLE_RATE))
            await agent.end()
            await asyncio.sleep(5)

    virtual_time.run(main())
    assert watched("audio_to_video_seconds_count") == 1
    assert watched("acks_total", interrupted="false") == 2


def test_speech_that_the_network_loses_is_a_gap() -> None:
    watched = Watched()

    async def main() -> None:
        faults = NetworkFaults(drops=[False] * 20 + [True])
        async with stage(faults, measures=watched.measures) as scene:
            await scene.agent.wait_until_ready()
            await say(scene.agent, voice(2 * SAMPLE_RATE))
            await scene.agent.wait_for_playout()

    virtual_time.run(main())
    assert watched("audio_gaps_total") == 1


def test_what_is_refused_has_a_reason_of_few() -> None:
    watched = Watched()

    async def main() -> None:
        async with stage(measures=watched.measures) as scene:
            await scene.agent.wait_until_ready()
            await say(scene.agent, voice(SAMPLE_RATE // 2))
            stranger = scene.room.peer("stranger", "normal")
            for _ in range(7):
                await stranger.send(b"\x00\x10" * 480, {"reliability": "UNRELIABLE"})
            await scene.agent.wait_for_playout()
            await asyncio.sleep(1.1)
            assert watched("messages_rejected_total", reason="stranger") == 7

    virtual_time.run(main())
    assert watched("messages_rejected_total", reason="stranger") == 7
    assert watched("messages_rejected_total", reason="full") == 0


def test_a_stall_makes_late_frames() -> None:
    watched = Watched()

    async def main() -> None:
        async with stage(measures=watched.measures):
            await asyncio.sleep(1)
            before, frames = watched("late_frames_total"), watched("frames_total")
            while watched("frames_total") == frames:
                await asyncio.sleep(0.001)
            loop: Any = asyncio.get_running_loop()
            loop.virtual_s += 0.17  # the next tick is 0.04 s away: late by 0.13, 0.09, 0.05, 0.01
            await asyncio.sleep(1)
            assert watched("late_frames_total") - before == 3

    virtual_time.run(main())
    assert watched("frame_interval_seconds_bucket", le="0.12") < watched("frames_total") - 1


@pytest.mark.virtual_time
async def test_every_end_has_its_word() -> None:
    async def end(session: Session) -> None:
        with contextlib.suppress(JoinError, MeetingLost):
            await session.run()

    async def ended(settings: Settings, *, full: bool = False, lost: bool = False) -> Watched:
        watched = Watched()
        room = MemoryRoom()
        if full:
            room.peer("avatar", "normal")
        meeting = room.join_worker("avatar")
        session = Session(meeting, QuickRenderer(), settings, None, measures=watched.measures)
        if lost:
            asyncio.get_running_loop().call_later(1, meeting.lost, "It is gone.")
        await end(session)
        return watched

    cases = {
        "agent_absent": ended(Settings(agent_absent_s=5)),
        "longest": ended(Settings(longest_s=2)),
        "join_failed": ended(Settings(), full=True),
        "meeting_lost": ended(Settings(), lost=True),
    }
    for word, case in cases.items():
        watched = await case
        assert watched("sessions_ended_total", reason=word) == 1, word
        total = sum(watched("sessions_ended_total", reason=each) for each in WORDS)
        assert total == 1
        joined = word != "join_failed"
        assert watched("session_duration_seconds_count") == joined


async def stock(scene: Any) -> StockAgent:
    """The agent is a stock one, and no other."""
    await scene.agent.aclose()
    await asyncio.sleep(0.1)
    return StockAgent(scene.peer)


# Shared memory -------------------------------------------------------------------------------

WORKER = """
import os, signal, sys
from worker.process.metrics import Metrics
metrics = Metrics.shared(int(sys.argv[1])) if int(sys.argv[1]) else Metrics()
metrics.frames.inc(int(sys.argv[2]))
metrics.interrupt.observe(0.001)
metrics.segments_unacked.set(3)
if len(sys.argv) > 3:
    os.kill(os.getpid(), signal.SIGKILL)
metrics.segments_unacked.set(0)
"""


@pytest.fixture
def shared() -> Iterator[SharedNumbers]:
    numbers = SharedNumbers(Degraded())
    yield numbers
    numbers.close()


def work(shared: SharedNumbers, number: int, *arguments: str) -> int:
    block = shared.block(number)
    assert block is not None
    command = [sys.executable, "-c", WORKER, str(block), *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, pass_fds=[block]).returncode


def total(shared: SharedNumbers, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(shared)
    return registry.get_sample_value(f"avatar_{name}", labels)


def test_workers_of_one_number_add_up_in_the_same_block(shared: SharedNumbers) -> None:
    for number, frames in [(1, "100"), (1, "20"), (2, "3"), (1, "4000")]:
        assert work(shared, number, frames) == 0
    assert total(shared, "frames_total") == 4123
    assert total(shared, "interrupt_seconds_count") == 4
    assert total(shared, "interrupt_seconds_bucket", le="0.0005") == 0
    assert total(shared, "interrupt_seconds_bucket", le="0.005") == 4
    assert total(shared, "interrupt_seconds_bucket", le="+Inf") == 4
    assert total(shared, "interrupt_seconds_sum") == pytest.approx(0.004)
    assert total(shared, "segments_unacked") == 0


def test_a_worker_that_is_killed_leaves_what_it_counted_and_nothing_live(
    shared: SharedNumbers,
) -> None:
    assert work(shared, 1, "100") == 0
    assert work(shared, 1, "7", "killed") == -9
    assert total(shared, "frames_total") == 107
    assert total(shared, "segments_unacked") == 3
    shared.reset_gauges(1)
    assert total(shared, "frames_total") == 107
    assert total(shared, "segments_unacked") == 0
    assert work(shared, 1, "1") == 0
    assert total(shared, "frames_total") == 108
    assert total(shared, "segments_unacked") == 0


def test_what_the_dispatcher_reads_is_what_the_worker_has(shared: SharedNumbers) -> None:
    """The same families and samples, with the same numbers, as if it were one process."""
    block = shared.block(1)
    assert block is not None
    metrics, alone = Metrics.shared(block), Metrics()
    for each in (metrics, alone):
        for tick in range(100):
            each.frame_interval.observe(tick / 500)
            each.rejected["full"].inc(tick)
        each.queue.observe(1e9)
        each.segments_unacked.set(5)

    def shown(registry: Any) -> dict[str, Any]:
        return {
            family.name: (
                family.type,
                family.documentation,
                {
                    (each.name, *each.labels.items()): each.value
                    for each in family.samples
                    if not each.name.endswith("_created")
                    and each.name != "avatar_av_offset_seconds_sum"  # left out by the library
                },
            )
            for family in registry.collect()
        }

    assert shown(shared) == shown(metrics.registry) == shown(alone.registry)


def test_a_block_of_another_version_begins_at_0(
    shared: SharedNumbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = shared.block(1)
    assert block is not None
    monkeypatch.setattr(metrics_module, "CUT_S", (0.25, 1.0))
    Metrics.shared(block).frames.inc(5)
    assert total(shared, "frames_total") == 5
    monkeypatch.undo()
    Metrics.shared(block).frames.inc(2)
    assert total(shared, "frames_total") == 2
    assert total(shared, "interrupt_seconds_bucket", le="0.25") is None


def test_a_worker_that_dies_while_it_lays_out_its_block_leaves_none_of_it(
    shared: SharedNumbers,
) -> None:
    block = shared.block(1)
    assert block is not None
    assert list(shared.collect()) == []
    Metrics.shared(block).frames.inc()
    os.pwrite(block, bytes(8), 0)
    assert list(shared.collect()) == []
    Metrics.shared(block).frames.inc()
    assert total(shared, "frames_total") == 1


def test_all_numbers_have_room_and_nobody_makes_a_block_shorter(shared: SharedNumbers) -> None:
    block = shared.block(1)
    assert block is not None
    Metrics.shared(block)
    samples = [each for family in shared.collect() for each in family.samples]
    assert 8 * len(samples) < (shared_numbers.LAYOUT_AT - shared_numbers.NUMBERS_AT) / 2
    assert int.from_bytes(os.pread(block, 8, 0), "little") < shared_numbers.SIZE / 2
    with pytest.raises(PermissionError):
        os.truncate(block, 0)


def test_both_sides_have_the_same_format() -> None:
    for name in ("SIZE", "NUMBERS_AT", "LAYOUT_AT"):
        assert getattr(shared_numbers, name) == getattr(of_the_worker, name)


def test_without_a_block_a_worker_counts_in_its_memory() -> None:
    """Also where the environment tells the library of a folder, which may not be there."""
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": "/nonexistent"}
    program = f"{WORKER}\nassert metrics.registry.get_sample_value('avatar_frames_total') == 5"
    subprocess.run([sys.executable, "-c", program, "0", "5"], env=environ, cwd=ROOT, check=True)
