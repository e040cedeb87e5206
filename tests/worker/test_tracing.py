"""A worker's part of a trace: real processes, and a collector that takes what they send."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bounds import within
from collector import Collector, collecting

from worker.errors import WorkerSettingsError
from worker.process import tracing

ROOT = Path(__file__).parents[2]
TOKEN = "eyJ.canary-token.sig"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
WAIT_TIMEOUT_S = 30
LEAVES_S = 10
"""By then it is gone: it gives a collector 2 s each time, and the SDK by itself 10 s and more."""


def work(endpoint: str, traceparent: str | None, **settings: str) -> str:
    """A worker that is spoken to for 2 s and then told to stop; its stderr."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AVATAR_")}
    environ = {
        **bare,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")]),
        "AVATAR_RENDERER": "plain_renderer:create",
        "AVATAR_SIZE": "64x64",
        "AVATAR_MEETING": "worker_in_memory:create",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        **settings,
    }
    assignment = {"session_id": "s1", "epoch": 2, "slot": "here/1", "traceparent": traceparent}
    request = {"room_name": "room", "token": TOKEN, "assignment": assignment}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "worker"],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            if "stream_ended" in line:
                break
        process.terminate()
        with within(LEAVES_S):
            _, errors = process.communicate(timeout=WAIT_TIMEOUT_S)
        assert process.returncode == 0, errors
    return errors


def clean(collector: Collector) -> None:
    assert not any(TOKEN.encode() in body for body in collector.bodies)


def test_the_steps_of_a_session_are_spans_of_the_trace_that_the_dispatcher_began() -> None:
    with collecting() as collector:
        work(collector.endpoint, f"00-{TRACE_ID}-{PARENT_ID}-01", AVATAR_TRACING="on")
    assert sorted(collector.names) == ["first_frame", "first_word", "join"]
    for span in collector.spans:
        assert (span.trace_id, span.parent_id) == (TRACE_ID, PARENT_ID)
        assert span.service == "avatar-worker"
        assert set(span.attributes) == {"session_id", "epoch", "slot", "room_hash"}
    join, frame, word = map(collector.one, ["join", "first_frame", "first_word"])
    assert join.begin_s <= join.end_s <= frame.end_s + 0.001 <= word.end_s + 0.002
    assert word.begin_s < word.end_s
    clean(collector)


def test_without_a_dispatchers_span_the_session_is_a_trace_of_its_own() -> None:
    with collecting() as collector:
        work(collector.endpoint, None, AVATAR_TRACING="on")
    session = collector.one("session")
    assert session.parent_id == ""
    assert len(collector.spans) == 4
    for span in collector.spans:
        assert span.trace_id == session.trace_id
        assert span.parent_id == (session.span_id if span is not session else "")
    clean(collector)


def test_a_trace_that_its_agent_does_not_want_is_not_sent() -> None:
    with collecting() as collector:
        work(collector.endpoint, f"00-{TRACE_ID}-{PARENT_ID}-00", AVATAR_TRACING="on")
    assert collector.bodies == []


def test_nothing_is_sent_unless_it_is_asked_for() -> None:
    with collecting() as collector:
        work(collector.endpoint, f"00-{TRACE_ID}-{PARENT_ID}-01")
    assert collector.bodies == []


def test_a_collector_that_is_gone_keeps_no_worker_for_long() -> None:
    errors = work("http://127.0.0.1:9", None, AVATAR_TRACING="on")
    assert TOKEN not in errors


def test_where_the_sdk_is_not_installed_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    name = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(
        WorkerSettingsError, match=r"AVATAR_TRACING is on, but .* avatar-face\[tracing\]"
    ):
        tracing.load()
