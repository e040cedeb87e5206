"""What dies is replaced or leaves nothing behind, in the local room with real processes."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from caller import FACE, caller, keep_sections, scale, serving, steps_heard
from dispatching import dispatcher
from processes import alive, until
from room_stage import RoomStage, room_process

from localroom.faults import Faults
from localroom.launch import LocalRoom
from worker.media import SAMPLE_RATE

logger = logging.getLogger("avatar.tests.recovery")
logger.setLevel(logging.INFO)

GONE_S = 20.0
"""How soon after the dispatcher's death nothing of it may be left."""

KEPT_STEPS = 1
"""The SDK's decoder keeps the last 80 ms of a track that breaks off: one step of a `scale`."""


@pytest.fixture(scope="module")
def local() -> Iterator[LocalRoom]:
    with room_process() as room:
        yield room


async def test_a_worker_killed_in_mid_sentence_is_replaced_and_the_sentence_goes_on(
    local: LocalRoom, tmp_path: Path
) -> None:
    """`pytest -o log_cli=true -o log_cli_level=INFO` shows how soon."""

    with serving(local, tmp_path / "log") as running:
        async with RoomStage(local, "killed").open() as stage:
            viewer = await stage.enter("viewer")
            keep_sections(viewer)
            async with caller(stage, running) as agent:
                before = await stage.watch(viewer, FACE)
                await agent.say(scale(5.0))
                await agent.until_heard(1, 2 * SAMPLE_RATE)
                (session,) = await asyncio.to_thread(running.sessions)
                killed_s = time.monotonic()
                os.kill(running.worker(session["session_id"]), signal.SIGKILL)
                await agent.until_reported("lost")
                known = agent.heard[-1][2]
                await agent.out.wait_until_ready()
                after = await stage.watch(viewer, FACE)
                speaks_s = await agent.until_heard(1, known + SAMPLE_RATE // 10)
                await agent.out.wait_for_playout()
                await asyncio.sleep(0.3)
                session = await asyncio.to_thread(running.session, session["session_id"])
    back = ["ready", "started", "lost", "ready", "ended"]
    assert [what for what, *_ in agent.reports] == back
    assert agent.reports[-1] == ("ended", 1, 5.0, False)
    assert (session["state"], session["attempts"]) == ("active", 2)
    logger.info("the face speaks again %.2f s after kill -9", speaks_s - killed_s)
    first, second = steps_heard(before), steps_heard(after)
    assert first == list(range(first[-1] + 1))
    assert second == list(range(second[0], 50)), "nothing is skipped, nothing comes twice"
    assert second[0] <= first[-1] + 1 + KEPT_STEPS


async def test_a_face_whose_signalling_is_cut_comes_back_and_its_session_says_why(
    local: LocalRoom, tmp_path: Path
) -> None:
    """The same worker joins anew; the session shows it meanwhile, and the agent is told."""

    with serving(local, tmp_path / "log") as running:
        async with RoomStage(local, "cut").open() as stage, caller(stage, running) as agent:
            (session,) = await asyncio.to_thread(running.sessions)
            await agent.say(scale(4.0))
            await agent.until_heard(1, SAMPLE_RATE)
            await asyncio.to_thread(local.act, stage.room_id, FACE, "cut")
            await agent.until_reported("lost")
            await agent.out.wait_until_ready()
            await agent.out.wait_for_playout()
            session = await asyncio.to_thread(running.session, session["session_id"])
            log = running.log()
    back = ["ready", "started", "lost", "ready", "ended"]
    assert [what for what, *_ in agent.reports] == back
    assert agent.reports[-1] == ("ended", 1, 4.0, False)
    assert (session["state"], session["reason"], session["attempts"]) == ("active", None, 1)
    assert f"session {session['session_id']} joins its meeting anew: " in log


async def test_three_workers_in_a_row_may_die_and_each_sentence_is_heard(
    local: LocalRoom, tmp_path: Path
) -> None:
    """Two deaths; the third worker ends the turn, and the next turn is whole."""

    with serving(local, tmp_path / "log") as running:
        async with (
            RoomStage(local, "killed-twice").open() as stage,
            caller(stage, running) as agent,
        ):
            (session,) = await asyncio.to_thread(running.sessions)
            await agent.say(scale(3.0))
            for count in (1, 2):
                await agent.until_heard(1, count * SAMPLE_RATE)
                os.kill(running.worker(session["session_id"]), signal.SIGKILL)
                await agent.until_reported_times(count, "lost")
                await agent.out.wait_until_ready()
            await agent.out.wait_for_playout()
            await agent.say(scale(0.5))
            await agent.out.wait_for_playout()
    ends = [what for what in agent.reports if what[0] == "ended"]
    assert ends == [("ended", 1, 3.0, False), ("ended", 2, 0.5, False)]


async def test_a_killed_dispatcher_takes_its_faces_out_of_their_meetings(
    local: LocalRoom, tmp_path: Path
) -> None:
    with serving(local, tmp_path / "log") as running:
        async with (
            RoomStage(local, "dispatcher-killed").open() as stage,
            caller(stage, running) as agent,
        ):
            await agent.say(scale(3.0))
            await agent.until_heard(1, SAMPLE_RATE)
            family = running.family()
            killed_s = time.monotonic()
            running.process.kill()
            await agent.until_reported("lost")
            assert set(await stage.state()) == {"agent"}
            left_s = killed_s + GONE_S - time.monotonic()
            await asyncio.to_thread(until, lambda: not any(map(alive, family)), left_s)


def test_a_killed_dispatcher_leaves_nothing_of_its_local_room(tmp_path: Path) -> None:
    with dispatcher(tmp_path / "log", "--local", AVATAR_MEETING="videosdk") as running:
        ca = Path(running.exported()["REQUESTS_CA_BUNDLE"])
        running.reach(running.launched("room"), "active")
        family = running.family()
        assert len(family) >= 3
        running.process.kill()
        until(lambda: not any(map(alive, family)), GONE_S)
        assert not ca.parent.exists()


async def test_a_dispatcher_that_is_told_to_stop_lets_its_faces_speak_out(
    local: LocalRoom, tmp_path: Path
) -> None:
    with serving(local, tmp_path / "log") as running:
        async with (
            RoomStage(local, "speak-out").open() as stage,
            caller(stage, running) as agent,
        ):
            await agent.say(scale(3.0))
            await agent.until_heard(1, SAMPLE_RATE // 2)
            status = await asyncio.to_thread(running.stop)
            await agent.until_reported("lost")
    assert status == 0
    assert [what for what, *_ in agent.reports] == ["ready", "started", "ended", "lost"]
    assert agent.reports[2] == ("ended", 1, 3.0, False)


async def test_asked_for_again_a_face_that_speaks_goes_on(local: LocalRoom, tmp_path: Path) -> None:
    with serving(local, tmp_path / "log") as running:
        async with RoomStage(local, "again").open() as stage:
            viewer = await stage.enter("viewer")
            async with caller(stage, running) as agent:
                seen = await stage.watch(viewer, FACE)
                (session,) = await asyncio.to_thread(running.sessions)
                await agent.say(scale(2.0))
                await agent.until_heard(1, SAMPLE_RATE // 2)
                fresh = {"token": "eyJ.fresh-token.sig", "participant_id": FACE}
                for _ in range(10):
                    again = await asyncio.to_thread(running.launched, stage.room_id, **fresh)
                    assert again == session["session_id"]
                await agent.out.wait_for_playout()
                await asyncio.sleep(0.3)
                session = await asyncio.to_thread(running.session, session["session_id"])
    assert [what for what, *_ in agent.reports] == ["ready", "started", "ended"]
    assert agent.reports[-1] == ("ended", 1, 2.0, False)
    assert session["attempts"] == 1
    assert steps_heard(seen) == list(range(20))


def test_a_launch_is_answered_though_the_signalling_host_is_silent(
    local: LocalRoom, tmp_path: Path
) -> None:
    """A worker has taken it and waits; it can be sent away, and says what it waited for."""
    local.set_faults(Faults(entry="silent"))
    try:
        with serving(local, tmp_path / "log", AVATAR_JOIN_TIMEOUT_S="1") as running:
            ids = [running.launched("silent"), running.launched("silent-2")]
            running.http.delete(f"/v1/sessions/{ids[0]}")
            assert running.session(ids[0])["state"] == "ended"
            failed = running.reach(ids[1], "failed")
            assert "did not answer" in failed["reason"]
            family = running.family()
            assert running.stop() == 0
            assert not any(map(alive, family))
    finally:
        local.set_faults(Faults())


def test_a_token_that_the_host_refuses_is_said(local: LocalRoom, tmp_path: Path) -> None:
    local.set_faults(Faults(entry="401"))
    try:
        with serving(local, tmp_path / "log") as running:
            session_id = running.launched("refused")
            session = running.reach(session_id, "failed")
            assert "refused the token (HTTP 401)" in session["reason"]
            assert session["attempts"] == 1
    finally:
        local.set_faults(Faults())
