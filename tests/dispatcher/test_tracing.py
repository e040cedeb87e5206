"""A trace from the launch to the first word: real processes, and a collector that takes it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
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


@dataclass(frozen=True, slots=True)
class Launches:
    """What one dispatcher and its workers sent of several launches, and what it logged."""

    sent: Collector
    log: str
    plain: str
    """The session of a launch without a trace, and so on for the others."""
    of_a_trace: str
    of_nonsense: str

    def trace(self, session: str) -> Collector:
        """What was sent of that session's trace."""
        (join,) = (
            each
            for each in self.sent.spans
            if each.name == "join" and each.attributes["session_id"] == session
        )
        return Collector(spans=[each for each in self.sent.spans if each.trace_id == join.trace_id])


@pytest.fixture(scope="module")
def launches(tmp_path_factory: pytest.TempPathFactory) -> Launches:
    log = tmp_path_factory.mktemp("traced") / "log"
    with collecting() as collector:
        with dispatcher(log, **traced(collector, AVATAR_LOG_FORMAT="json")) as running:
            sessions = (
                launched(running),
                launched(running, traceparent=f"00-{TRACE_ID}-{PARENT_ID}-01"),
                launched(running, traceparent=f"00-{TOKEN}-{PARENT_ID}-01"),
            )
            body = {"room_name": "room", "token": TOKEN, "character": "nobody"}
            assert running.http.post("/launch", json=body).status_code == 422
            assert running.stop() == 0
            logged = running.log()
        until(lambda: len(collector.spans) >= 3 * len(STEPS) + 3)
    return Launches(collector, logged, *sessions)


def test_six_steps_are_one_trace(launches: Launches) -> None:
    trace = launches.trace(launches.plain)
    assert sorted(trace.names) == sorted(STEPS)
    dispatch = trace.one("dispatch")
    assert dispatch.parent_id == ""
    for name in STEPS[1:]:
        span = trace.one(name)
        assert (span.trace_id, span.parent_id) == (dispatch.trace_id, dispatch.span_id), name
        assert span.begin_s >= dispatch.begin_s - 0.001
    ends = [trace.one(name).end_s for name in ["claim", "ack", "dispatch"]]
    assert ends == sorted(ends)
    ends = [trace.one(name).end_s for name in ["join", "first_frame", "first_word"]]
    assert ends == sorted(ends)
    assert {trace.one(name).service for name in STEPS[:3]} == {"avatar-dispatcher"}
    assert {trace.one(name).service for name in STEPS[3:]} == {"avatar-worker"}


def test_nothing_of_a_request_is_sent(launches: Launches) -> None:
    for secret in (TOKEN, "room-of-somebody"):
        assert not any(secret.encode() in body for body in launches.sent.bodies)


def test_an_agents_own_trace_goes_on(launches: Launches) -> None:
    assert f'"trace_id": "{TRACE_ID}"' in launches.log
    trace = launches.trace(launches.of_a_trace)
    assert sorted(trace.names) == sorted(STEPS)
    assert {span.trace_id for span in trace.spans} == {TRACE_ID}
    assert trace.one("dispatch").parent_id == PARENT_ID


def test_a_traceparent_that_is_nonsense_begins_a_trace_of_our_own(launches: Launches) -> None:
    trace = launches.trace(launches.of_nonsense)
    assert sorted(trace.names) == sorted(STEPS)
    assert trace.one("dispatch").parent_id == ""


def test_a_launch_that_fails_says_how_in_a_word(launches: Launches) -> None:
    (dispatch,) = (each for each in launches.sent.spans if "error.type" in each.attributes)
    assert (dispatch.name, dispatch.attributes["error.type"]) == ("dispatch", "Refused")
    names = [each.name for each in launches.sent.spans if each.trace_id == dispatch.trace_id]
    assert sorted(names) == ["ack", "claim", "dispatch"]


def test_nothing_is_sent_unless_it_is_asked_for(tmp_path: Path) -> None:
    with collecting() as collector:
        settings = traced(collector, AVATAR_TRACING="off")
        with dispatcher(tmp_path / "log", **settings) as running:
            launched(running, traceparent=f"00-{TRACE_ID}-{PARENT_ID}-01")
            assert running.stop() == 0
    assert collector.bodies == []


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
