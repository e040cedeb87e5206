"""What a worker measures: the numbers of a session are right, and the names are the contract's."""

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import virtual_time
from metric_names import WORKER as NAMES
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from stage import QuickRenderer, stage, voice
from stock_agent import StockAgent

from worker.errors import JoinError, MeetingLost
from worker.media import SAMPLE_RATE, TICK_S
from worker.meetings.memory import Faults, MemoryRoom
from worker.metrics import INTERVAL_S, REJECTED, Measures, Metrics
from worker.reasons import WORDS
from worker.session import Session
from worker.settings import Settings

ROOT = Path(__file__).parents[1]


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
        faults = Faults(drops=[False] * 20 + [True])
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
            before = watched("late_frames_total")
            loop: Any = asyncio.get_running_loop()
            loop.virtual_s += 0.13
            await asyncio.sleep(1)
            assert watched("late_frames_total") - before == 3

    virtual_time.run(main())
    assert watched("frame_interval_seconds_bucket", le="0.12") < watched("frames_total") - 1


def test_every_end_has_its_word() -> None:
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

    async def main() -> None:
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

    virtual_time.run(main())


async def stock(scene: Any) -> StockAgent:
    """The agent is a stock one, and no other."""
    await scene.agent.aclose()
    await asyncio.sleep(0.1)
    return StockAgent(scene.peer)


# Files ---------------------------------------------------------------------------------------

WORKER = """
import os, signal, sys
from worker.metrics import Metrics
metrics = Metrics.of_seat(int(sys.argv[1]))
metrics.frames.inc(int(sys.argv[2]))
metrics.interrupt.observe(0.001)
metrics.segments_unacked.set(3)
if len(sys.argv) > 3:
    os.kill(os.getpid(), signal.SIGKILL)
metrics.segments_unacked.set(0)
"""


def work(folder: Path, *arguments: str) -> int:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", WORKER, *arguments], env=environ, cwd=ROOT, check=False
    ).returncode


def total(folder: Path, name: str) -> float | None:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return registry.get_sample_value(f"avatar_{name}")


def test_workers_of_one_seat_add_up_in_the_same_files(tmp_path: Path) -> None:
    for seat, frames in [("1", "100"), ("1", "20"), ("2", "3"), ("1", "4000")]:
        assert work(tmp_path, seat, frames) == 0
    assert total(tmp_path, "frames_total") == 4123
    assert total(tmp_path, "interrupt_seconds_count") == 4
    assert total(tmp_path, "segments_unacked") == 0
    files = {each.name for each in tmp_path.iterdir()}
    kinds = ("counter", "histogram", "gauge_livesum")
    assert files == {f"{kind}_seat{seat}.db" for kind in kinds for seat in (1, 2)}


def test_a_worker_that_is_killed_leaves_what_it_counted_and_nothing_live(tmp_path: Path) -> None:
    assert work(tmp_path, "1", "100") == 0
    assert work(tmp_path, "1", "7", "killed") == -9
    assert total(tmp_path, "frames_total") == 107
    assert total(tmp_path, "segments_unacked") == 3
    mark_process_dead("seat1", str(tmp_path))  # type: ignore[no-untyped-call]
    assert total(tmp_path, "segments_unacked") is None
    assert work(tmp_path, "1", "1") == 0
    assert total(tmp_path, "frames_total") == 108
    assert total(tmp_path, "segments_unacked") == 0


COST = """
import sys, time
from agent_side.wire import AudioChunk, Face
from worker.conversation import Conversation
from worker.meeting import Received
from worker.metrics import Measures, Metrics
from worker.segment import SegmentQueue
speech = SegmentQueue()
speech.open(24_000).append(bytes(960))
conversation = Conversation(
    speech, lambda _: 0, worker="w", face=Face((), (), ()), rate=24_000, agent_id=None
)
event = Received("agent", AudioChunk("stream", 1, 1, 0, 24_000, bytes(960)))
measures = Measures(Metrics.of_seat(1))
measures.joined(0.0)
began = time.process_time()
for tick in range(500 * 25):
    now = tick / 25
    measures.published(now, 0.0)
    measures.rendered(1, 0.01)
    measures.look(speech, conversation, None, now)
    measures.listened(event, "agent", speech, now)
    measures.listened(event, "agent", speech, now)
print((time.process_time() - began) / 500)
"""


def test_measuring_takes_less_than_a_five_hundredth_of_a_core(tmp_path: Path) -> None:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", COST], env=environ, cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    assert float(said.stdout) < 0.002, "seconds of a core for each second of a session"


def test_without_a_folder_a_worker_counts_in_its_memory() -> None:
    environ = {name: at for name, at in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    program = f"{WORKER}\nassert metrics.registry.get_sample_value('avatar_frames_total') == 5"
    subprocess.run([sys.executable, "-c", program, "1", "5"], env=environ, cwd=ROOT, check=True)
