"""A trace from the launch to the first word: real processes, and a collector that takes it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from collector import Collector, collecting
from dispatching import TOKEN, Dispatcher, dispatcher, environ
from processes import until

from dispatcher import tracing

STEPS = ["dispatch", "claim", "ack", "join", "first_frame", "first_word"]
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def traced(collector: Collector, **settings: str) -> dict[str, str]:
    """Settings of a dispatcher whose agents speak, and whose spans go to the collector."""
    return {
        "AVATAR_MEETING": "worker_in_memory:create",
        "AVATAR_TRACING": "on",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        **settings,
    }


def launched(running: Dispatcher, **headers: str) -> str:
    """The id of a session that has ended after its first words."""
    body: dict[str, Any] = {"room_name": "room-of-somebody", "token": TOKEN}
    answer = running.http.post("/launch", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    session = str(answer.json()["session_id"])
    until(lambda: running.session(session)["counters"].get("segments", 0) > 0)
    running.http.delete(f"/v1/sessions/{session}")
    return session


def test_six_steps_are_one_trace(tmp_path: Path) -> None:
    with collecting() as collector:
        with dispatcher(tmp_path / "log", **traced(collector)) as running:
            session = launched(running)
            assert running.stop() == 0
        until(lambda: len(collector.spans) >= 6)
    assert sorted(collector.names) == sorted(STEPS)
    dispatch = collector.one("dispatch")
    assert dispatch.parent_id == ""
    for name in STEPS[1:]:
        span = collector.one(name)
        assert (span.trace_id, span.parent_id) == (dispatch.trace_id, dispatch.span_id), name
        assert span.begin_s >= dispatch.begin_s - 0.001
    ends = [collector.one(name).end_s for name in ["claim", "ack", "dispatch"]]
    assert ends == sorted(ends)
    ends = [collector.one(name).end_s for name in ["join", "first_frame", "first_word"]]
    assert ends == sorted(ends)
    assert collector.one("join").attributes["session_id"] == session
    assert {collector.one(name).service for name in STEPS[:3]} == {"avatar-dispatcher"}
    assert {collector.one(name).service for name in STEPS[3:]} == {"avatar-worker"}
    for secret in (TOKEN, "room-of-somebody"):
        assert not any(secret.encode() in body for body in collector.bodies)


def test_an_agents_own_trace_goes_on(tmp_path: Path) -> None:
    with collecting() as collector:
        with dispatcher(tmp_path / "log", **traced(collector, AVATAR_LOG_FORMAT="json")) as running:
            launched(running, traceparent=f"00-{TRACE_ID}-{PARENT_ID}-01")
            assert running.stop() == 0
            assert f'"trace_id": "{TRACE_ID}"' in running.log()
        until(lambda: len(collector.spans) >= 6)
    assert {span.trace_id for span in collector.spans} == {TRACE_ID}
    assert collector.one("dispatch").parent_id == PARENT_ID


def test_a_traceparent_that_is_nonsense_begins_a_trace_of_our_own(tmp_path: Path) -> None:
    nonsense = f"00-{TOKEN}-{PARENT_ID}-01"
    with collecting() as collector:
        with dispatcher(tmp_path / "log", **traced(collector)) as running:
            launched(running, traceparent=nonsense)
            assert running.stop() == 0
        until(lambda: len(collector.spans) >= 6)
    assert len({span.trace_id for span in collector.spans}) == 1
    assert collector.one("dispatch").parent_id == ""
    assert not any(TOKEN.encode() in body for body in collector.bodies)


def test_nothing_is_sent_unless_it_is_asked_for(tmp_path: Path) -> None:
    with collecting() as collector:
        settings = traced(collector, AVATAR_TRACING="off")
        with dispatcher(tmp_path / "log", **settings) as running:
            launched(running, traceparent=f"00-{TRACE_ID}-{PARENT_ID}-01")
            assert running.stop() == 0
    assert collector.bodies == []


def test_a_launch_that_fails_says_how_in_a_word(tmp_path: Path) -> None:
    with collecting() as collector:
        with dispatcher(tmp_path / "log", **traced(collector)) as running:
            body = {"room_name": "room", "token": TOKEN, "character": "nobody"}
            assert running.http.post("/launch", json=body).status_code == 422
            assert running.stop() == 0
        until(lambda: len(collector.spans) >= 3)
    assert collector.one("dispatch").attributes["error.type"] == "Refused"
    assert sorted(collector.names) == ["ack", "claim", "dispatch"]


def test_a_collector_that_is_gone_keeps_nobody_waiting(tmp_path: Path) -> None:
    with collecting() as collector:
        settings = traced(collector, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    with dispatcher(tmp_path / "log", **settings) as running:
        launched(running)
        assert running.stop() == 0
        assert TOKEN not in running.log()


def test_without_tracing_an_agents_trace_is_still_handed_on() -> None:
    given = f"00-{TRACE_ID}-{PARENT_ID}-01"
    with tracing.dispatching(given) as handed, tracing.step("claim"):
        assert handed == given
    for nonsense in (None, "", "nonsense", f"00-{TOKEN}-{PARENT_ID}-01", given.upper()):
        with tracing.dispatching(nonsense) as handed:
            assert handed is None


WITHOUT = """
import sys
sys.modules["opentelemetry.sdk.resources"] = None
from dispatcher.__main__ import main
sys.exit(main([]))
"""


def test_where_the_sdk_is_not_installed_one_line_says_so() -> None:
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env=environ(AVATAR_TRACING="on", AVATAR_ADMIN_PORT="0"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert said.returncode == 2
    assert said.stderr.startswith("avatar serve: AVATAR_TRACING is on, but opentelemetry.sdk")
    assert "avatar-face[tracing]" in said.stderr
    assert said.stderr.count("\n") == 1
