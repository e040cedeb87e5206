"""Every message between dispatcher, zygote and worker: decoded as it was encoded, or refused."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_side.join import JoinInfo
from avatar_runtime.messages.commands import (
    Assignment,
    Command,
    JoinCommand,
    Permission,
    Renewal,
    RenewalError,
    decode_command,
)
from avatar_runtime.messages.encoding import MessageError
from avatar_runtime.messages.reports import (
    MAX_REASON,
    Acknowledgement,
    CounterReport,
    PartDegraded,
    PartRestored,
    PermissionRequest,
    Serials,
    WorkerActive,
    WorkerDismissed,
    WorkerEnded,
    WorkerIdle,
    WorkerJoining,
    WorkerRejoining,
    WorkerReport,
    decode_report,
)
from avatar_runtime.messages.zygote import (
    Fork,
    Kill,
    Order,
    Ping,
    Pong,
    Terminate,
    WorkerExited,
    WorkerForked,
    ZygoteReady,
    ZygoteReport,
    decode_order,
    decode_zygote_report,
)

JOIN = JoinInfo("room", "eyJ.secret-token.sig", metadata={"any": ["thing", None]})
ASSIGNMENT = Assignment(
    "s1", 3, "here/2", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)
JOINED = JoinCommand(JOIN, ASSIGNMENT)
SAID = {
    "session_id": ASSIGNMENT.session_id,
    "epoch": ASSIGNMENT.epoch,
    "slot": ASSIGNMENT.slot,
    "traceparent": ASSIGNMENT.traceparent,
}

ORDERS: tuple[tuple[Order, bytes], ...] = (
    (Fork(7), b"fork 7"),
    (Terminate(7), b"term 7"),
    (Kill(7), b"kill 7"),
    (Ping(3), b"ping 3"),
)
ZYGOTE_REPORTS: tuple[tuple[ZygoteReport, bytes], ...] = (
    (ZygoteReady(), b"ready"),
    (Pong(3), b"pong 3"),
    (WorkerForked(7, 4711), b"born 7 4711"),
    (WorkerExited(7, -9), b"died 7 -9"),
)
COMMANDS: tuple[tuple[Command, dict[str, Any]], ...] = (
    (Renewal(3, JOINED), {**json.loads(JOIN.to_json()), "assignment": SAID, "renewal": 3}),
    (Permission(2), {"permission": 2}),
)
REPORTS: tuple[tuple[WorkerReport, dict[str, Any]], ...] = (
    (WorkerIdle(), {"state": "idle"}),
    (WorkerJoining(20.0), {"state": "joining", "within_s": 20.0}),
    (WorkerJoining(), {"state": "joining"}),
    (WorkerActive(), {"state": "active"}),
    (WorkerRejoining("Lost."), {"state": "rejoining", "reason": "Lost."}),
    (PermissionRequest(1), {"state": "asking", "serial": 1}),
    (CounterReport({"frames": 250}), {"state": "counters", "counters": {"frames": 250}}),
    (
        CounterReport({}, Serials(renewal=2)),
        {"state": "counters", "counters": {}, "heard": {"renewal": 2}},
    ),
    (Acknowledgement(Serials(2, 1)), {"state": "heard", "heard": {"renewal": 2, "permission": 1}}),
    (WorkerEnded("Over."), {"state": "ended", "reason": "Over."}),
    (WorkerDismissed("Out."), {"state": "dismissed", "reason": "Out."}),
    (
        PartDegraded("recording", "No space left on device"),
        {"state": "degraded", "part": "recording", "reason": "No space left on device"},
    ),
    (PartRestored("recording"), {"state": "restored", "part": "recording"}),
)


@pytest.mark.parametrize(("order", "packet"), ORDERS)
def test_the_zygote_reads_what_the_dispatcher_writes(order: Order, packet: bytes) -> None:
    assert order.encode() == packet
    assert decode_order(packet) == order


@pytest.mark.parametrize(("report", "packet"), ZYGOTE_REPORTS)
def test_the_dispatcher_reads_what_the_zygote_writes(report: ZygoteReport, packet: bytes) -> None:
    assert report.encode() == packet
    assert decode_zygote_report(packet) == report


@pytest.mark.parametrize(("command", "message"), COMMANDS)
def test_the_worker_reads_what_the_dispatcher_writes(
    command: Command, message: dict[str, Any]
) -> None:
    assert command.encode() == json.dumps(message).encode() + b"\n"
    assert decode_command(command.encode()) == command
    compact = json.dumps(message, separators=(",", ":"), sort_keys=True).encode()
    assert decode_command(compact) == command, "spacing and order mean nothing"


@pytest.mark.parametrize(("report", "message"), REPORTS)
def test_the_dispatcher_reads_what_the_worker_writes(
    report: WorkerReport, message: dict[str, Any]
) -> None:
    assert report.encode() == json.dumps(message).encode() + b"\n"
    assert decode_report(report.encode()) == report


def test_each_kind_of_message_is_tried_here() -> None:
    tried = (ORDERS, Order), (ZYGOTE_REPORTS, ZygoteReport), (COMMANDS, Command)
    for samples, union in (*tried, (REPORTS, WorkerReport)):
        assert {type(sample) for sample, _ in samples} == set(union.__args__)


def test_the_assignment_is_one_member_of_the_join_request_which_ignores_it() -> None:
    assert JoinCommand.decode(JOINED.encode()) == JOINED
    assert JoinInfo.from_json(JOINED.encode()) == JOIN
    assert JoinCommand.decode(JOIN.to_json().encode()) == JoinCommand(JOIN, Assignment())


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"epoch": "3"}, Assignment("s1", 0, "here/2", ASSIGNMENT.traceparent)),
        ({"epoch": True}, Assignment("s1", 0, "here/2", ASSIGNMENT.traceparent)),
        ({"epoch": -1}, Assignment("s1", 0, "here/2", ASSIGNMENT.traceparent)),
        ({"session_id": None, "slot": 5}, Assignment("", 3, "", ASSIGNMENT.traceparent)),
        ({"traceparent": None, "more": 1}, Assignment("s1", 3, "here/2", None)),
    ],
)
def test_a_wrong_member_of_an_assignment_is_empty(
    changes: dict[str, Any], left: Assignment
) -> None:
    assert Assignment.of({"assignment": {**SAID, **changes}}) == left


NO_PACKETS = (
    *(b"", b"fork", b"fork ", b"fork 7 8", b"fork -7", b"fork 1e9", b"fork  7", b"ping one"),
    *(b"fork 7\n", b"spoon 7", b"fork 9999999999", b"\xff\xfe 7"),
    *(b"born 1", b"born 1 2 3", b"born one 2", b"unborn 1 2", b"died -1 2", b"died 1 --2"),
)


@pytest.mark.parametrize("packet", NO_PACKETS)
def test_what_is_no_packet_is_refused(packet: bytes) -> None:
    for decode in (decode_order, decode_zygote_report):
        with pytest.raises(MessageError):
            decode(packet)


@pytest.mark.parametrize("line", [
    b"", b"nonsense", b"[]", b"5", b'"permission"', b"{}", b'{"permission": null}',
    b'{"permission": [1]}', b'{"renewal": "x"}', b"\xff", b"[" * 100_000, b'{"renewal": 1e999}',
])  # fmt: skip
def test_what_is_no_command_is_refused_with_one_error(line: bytes) -> None:
    with pytest.raises(MessageError, match="a command cannot be read"):
        decode_command(line)


def test_a_renewal_without_a_join_request_says_its_serial_so_that_it_is_sent_no_more() -> None:
    with pytest.raises(RenewalError, match="a renewed join request cannot be used") as refused:
        decode_command(b'{"renewal": 5, "room_name": "room"}')
    assert refused.value.serial == 5


@pytest.mark.parametrize(
    "line",
    [b"", b"a library has printed this", b"null", b"[1]", b"{}", b"\xff\xfe", b"[" * 9000, b"5"],
)
def test_what_a_library_prints_is_no_report(line: bytes) -> None:
    assert decode_report(line) is None


@pytest.mark.parametrize("line", [
    b'{"state": "gone"}', b'{"state": ["idle"]}', b'{"state": "ended", "reason": ["why"]}',
    b'{"state": "ended", "reason": "\\ud800"}', b'{"state": "asking"}',
    b'{"state": "asking", "serial": true}', b'{"state": "joining", "within_s": "20"}',
    b'{"state": "joining", "within_s": 1e9}', b'{"state": "restored", "part": 5}',
    b'{"state": "counters", "counters": {"frames": 1000000000000000000}}',
    b'{"state": "counters", "counters": {"frames": -1}}',
    b'{"state": "counters", "counters": [1]}', b'{"state": "heard", "heard": [1]}',
    b'{"state": "heard", "heard": {"renewal": -1}}',
])  # fmt: skip
def test_a_report_that_cannot_be_read_is_refused(line: bytes) -> None:
    with pytest.raises(MessageError):
        decode_report(line)


def test_a_long_reason_is_cut() -> None:
    report = decode_report(WorkerEnded("x" * 10_000).encode())
    assert report == WorkerEnded("x" * MAX_REASON)


def test_no_reason_has_a_token_in_it() -> None:
    assert decode_report(WorkerEnded(f"wss://host/?token={JOIN.token}").encode()) == WorkerEnded(
        "wss://host/?token=***"
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


@settings(deadline=None)
@given(json_values, json_values)
def test_any_json_is_some_assignment(value: Any, inner: Any) -> None:
    for message in ({"assignment": value}, {"assignment": {"epoch": value, "slot": inner}}):
        assert isinstance(Assignment.of(message), Assignment)


KEYS = ("reason", "serial", "within_s", "part", "counters", "heard", "permission", "renewal")


@settings(deadline=None)
@given(st.sampled_from([message["state"] for _, message in REPORTS]), st.dictionaries(
    st.sampled_from(KEYS), json_values
))  # fmt: skip
def test_any_members_make_a_report_or_a_refusal(state: str, members: dict[str, Any]) -> None:
    line = json.dumps({"state": state, **members}).encode()
    for decode in (decode_report, decode_command):
        try:
            message = decode(line)
        except MessageError:
            continue
        assert message is not None
