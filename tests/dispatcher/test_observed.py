"""A pool of many machines, watched: dispatcher, node and worker are one trace and true numbers."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from collector import collecting
from dispatching import TOKEN, Dispatcher, dispatcher, environ
from processes import alive, descendants, until
from prometheus_client.parser import text_string_to_metric_families
from redis_server import redis_server

SEAL_KEY = "bm90aGluZyBvZiB2YWx1ZSBpcyBzZWFsZWQgaGVyZSE="
WAIT_TIMEOUT_S = 120


@dataclass
class NodeProgram:
    """A running node, and its admin's port."""

    process: "subprocess.Popen[bytes]"
    log: Path
    admin: str = ""

    def ready(self) -> None:
        def has_slots() -> bool:
            return " has " in self.log.read_text() or self.process.poll() is not None

        until(has_slots, WAIT_TIMEOUT_S)
        found = re.search(r"the admin's port is on ([^\s\"]+)", self.log.read_text())
        assert found, self.log.read_text()
        self.admin = found[1]


@contextmanager
def node(log: Path, **settings: str) -> Iterator[NodeProgram]:
    """One that takes sessions; whatever the test leaves of it ends."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dispatcher.node.program"],
            env=environ(AVATAR_ADMIN_PORT="0", **settings),
            stderr=file,
        )
    running = NodeProgram(process, log)
    try:
        running.ready()
        yield running
        family = {each for each in descendants(process.pid) if alive(each)}
    finally:
        process.kill()
        process.wait()
    until(lambda: not any(map(alive, family)))


def values(address: str) -> dict[tuple[str, str], float]:
    """What ``/metrics`` says: (name, the value of its only label) -> value; no buckets."""
    text = httpx.get(f"{address}/metrics").text
    return {
        (sample.name.removeprefix("avatar_"), *sample.labels.values()): sample.value  # type: ignore[misc]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "le" not in sample.labels
    }


def speaks_and_ends(running: Dispatcher, room: str) -> str:
    """The id of a session that was launched there, and ended after its first words."""
    answer = running.http.post("/launch", json={"room_name": room, "token": TOKEN})
    assert answer.status_code == 200, answer.text
    session = str(answer.json()["session_id"])
    until(lambda: running.session(session)["counters"].get("segments", 0) > 0, 20)
    running.http.delete(f"/v1/sessions/{session}")
    running.reach(session, "ended")
    return session


def test_a_launch_is_followed_through_redis_to_the_first_word(tmp_path: Path) -> None:
    with redis_server() as redis, collecting() as collector:
        redis.pretend_uptime()
        settings = {
            "AVATAR_MEETING": "worker_in_memory:create",
            "AVATAR_REDIS_URL": redis.url,
            "AVATAR_SEAL_KEYS": SEAL_KEY,
            "AVATAR_SLOTS": "2",
            "AVATAR_WARM": "1",
            "AVATAR_LOG_FORMAT": "json",
            "AVATAR_TRACING": "on",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        }
        with (
            dispatcher(tmp_path / "dispatcher", **settings) as running,
            node(tmp_path / "node", **settings) as served,
        ):
            until(lambda: values(running.admin())["pool_slots", "idle"] == 2)
            session = speaks_and_ends(running, "room-of-somebody")
            until(lambda: len(collector.spans) >= 6)
            seen, there = values(running.admin()), values(served.admin)
            logged = served.log.read_text()
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(WAIT_TIMEOUT_S) == 0
            assert running.stop() == 0
            logged_here = running.log()

    dispatch = collector.one("dispatch")
    for name in ["claim", "ack", "join", "first_frame", "first_word"]:
        span = collector.one(name)
        assert (span.trace_id, span.parent_id) == (dispatch.trace_id, dispatch.span_id), name
    assert len(collector.spans) == 6

    assert seen["dispatch_requests_total", "launched"] == 1
    assert seen["claim_seconds_count", "redis"] >= 1
    assert seen["store_up",] == there["store_up",] == 1
    assert seen["pool_slots", "busy"] == there["pool_slots", "busy"] == 0
    assert there["pool_slots", "idle"] == 2
    assert there["sessions_ended_total", "told"] == 1
    assert there["frames_total",] > 25
    assert there["acks_total", "false"] >= 1
    assert there["session_fenced_total",] == 0

    lines = [json.loads(line) for line in logged.splitlines()]
    mine = [line for line in lines if line.get("session_id") == session]
    assert {line["trace_id"] for line in mine} == {dispatch.trace_id}
    assert {line["epoch"] for line in mine} == {1}
    assert {line["logger"].split(".")[1] for line in mine} == {"dispatcher", "worker"}
    for text in (
        logged,
        logged_here,
        *(body.decode(errors="replace") for body in collector.bodies),
    ):
        assert TOKEN not in text
        assert SEAL_KEY not in text


def test_a_node_that_is_killed_shows_in_the_numbers(tmp_path: Path) -> None:
    with redis_server() as redis:
        redis.pretend_uptime()
        settings = {
            "AVATAR_REDIS_URL": redis.url,
            "AVATAR_SEAL_KEYS": SEAL_KEY,
            "AVATAR_SLOTS": "1",
            "AVATAR_WARM": "1",
            "AVATAR_LEASE_S": "3",
        }
        with (
            dispatcher(tmp_path / "dispatcher", **settings) as running,
            node(tmp_path / "first", AVATAR_NODE_NAME="first", **settings) as first,
        ):
            until(lambda: values(running.admin())["pool_slots", "idle"] == 1)
            session = running.launched("room")
            running.reach(session, "active")
            with node(tmp_path / "second", AVATAR_NODE_NAME="second", **settings) as second:
                os.kill(first.process.pid, signal.SIGKILL)
                until(lambda: running.session(session)["epoch"] == 2, 20)
                until(lambda: values(running.admin())["redispatch_total", "lease_expired"] == 1)
                until(lambda: values(second.admin)["pool_slots", "busy"] == 1, 20)
                assert values(second.admin)["session_fenced_total",] == 0
