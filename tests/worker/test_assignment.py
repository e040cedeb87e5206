"""The assignment: which session a worker serves, from a line that may say anything."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_side.join import JoinInfo
from worker.process.assignment import Assignment

FULL = Assignment("s1", 3, "here/2", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
SAID = {
    "session_id": FULL.session_id,
    "epoch": FULL.epoch,
    "slot": FULL.slot,
    "traceparent": FULL.traceparent,
}
JOIN = JoinInfo("room", "eyJ.secret-token.sig")


def line(assignment: object) -> str:
    return json.dumps({**json.loads(JOIN.to_json()), "assignment": assignment})


def test_it_is_one_member_of_the_join_request_which_does_not_mind() -> None:
    assert Assignment.from_json(line(SAID)) == FULL
    assert JoinInfo.from_json(line(SAID)) == JOIN


def test_a_join_request_without_one_is_nobodys() -> None:
    assert Assignment.from_json(JOIN.to_json()) == Assignment("", 0, "", None)


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"epoch": "3"}, Assignment("s1", 0, "here/2", FULL.traceparent)),
        ({"epoch": True}, Assignment("s1", 0, "here/2", FULL.traceparent)),
        ({"epoch": -1}, Assignment("s1", 0, "here/2", FULL.traceparent)),
        ({"session_id": None, "slot": 5}, Assignment("", 3, "", FULL.traceparent)),
        ({"traceparent": None, "more": 1}, Assignment("s1", 3, "here/2", None)),
    ],
)
def test_what_is_said_wrong_is_empty(changes: dict[str, Any], left: Assignment) -> None:
    assert Assignment.from_json(line({**SAID, **changes})) == left


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_line_is_some_assignment(data: str | bytes) -> None:
    assert isinstance(Assignment.from_json(data), Assignment)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


@given(json_values, json_values)
def test_any_json_is_some_assignment(value: Any, inner: Any) -> None:
    for said in (value, {"assignment": value}, {"assignment": {"epoch": value, "slot": inner}}):
        assert isinstance(Assignment.from_json(json.dumps(said)), Assignment)
