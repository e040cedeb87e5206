"""The control_channel: a face never stands still because its dispatcher does."""

import json
import os
import socket

import pytest

from avatar_runtime.messages.reports import WorkerRejoining
from worker.process import control_channel as control_channel
from worker.process.control_channel import ControlChannel


def test_counters_that_nobody_reads_leave_room_for_the_states(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        monkeypatch.setattr(control_channel, "STDOUT", theirs.fileno())
        counters = {f"counter_{number}": 10**6 for number in range(20)}
        for _ in range(5000):
            ControlChannel().count(counters)  # nobody reads: whoever waits for room waits for ever
        for _ in range(10):
            ControlChannel().report(WorkerRejoining("The meeting was lost."))
        theirs.shutdown(socket.SHUT_WR)
        with ours.makefile("rb") as lines:
            said = [json.loads(line) for line in lines]
    assert said[0] == {"state": "counters", "counters": counters}
    assert [each["state"] for each in said[-10:]] == ["rejoining"] * 10


def test_counters_for_a_dispatcher_that_is_gone_are_nobodys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write = os.pipe()
    os.close(read)
    monkeypatch.setattr(control_channel, "STDOUT", write)
    ControlChannel().count({"frames": 1})
    os.close(write)
