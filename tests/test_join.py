"""A join request survives its way as JSON, hides its token and says what is wrong with it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_side.join import JoinInfo

SECRET = "eyJ-very-secret"

texts = st.text(min_size=1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
optional_texts = st.none() | st.text()


def body(**fields: Any) -> str:
    return json.dumps({"room_name": "room", "token": SECRET, **fields})


@given(
    st.builds(
        JoinInfo,
        room_name=texts,
        token=texts,
        participant_id=optional_texts,
        signaling_base_url=optional_texts,
        agent_participant_id=optional_texts,
        character=optional_texts,
        metadata=st.none() | st.dictionaries(st.text(), json_values, max_size=3),
    )
)
def test_a_join_request_survives_its_way(info: JoinInfo) -> None:
    line = info.to_json()
    assert "\n" not in line
    assert JoinInfo.from_json(line) == info
    assert JoinInfo.from_json(line.encode()) == info


def test_what_a_stock_agent_sends_is_understood() -> None:
    info = JoinInfo.from_json(body(participant_id="avatar", signaling_base_url=None))
    assert info == JoinInfo("room", SECRET, "avatar")


def test_fields_that_are_not_ours_are_ignored() -> None:
    assert JoinInfo.from_json(body(webhook="http://...", v=7)) == JoinInfo("room", SECRET)


def test_what_is_not_said_is_not_sent() -> None:
    assert json.loads(JoinInfo("room", SECRET).to_json()) == {"room_name": "room", "token": SECRET}


def test_the_token_is_never_shown() -> None:
    info = JoinInfo("room", SECRET, metadata={"plan": "free"})
    assert "room" in repr(info)
    for text in (repr(info), str(info), f"{info}", repr([info])):
        assert SECRET not in text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (SECRET, "The join request is not JSON."),
        ("", "The join request is not JSON."),
        (b"\xff\xfe\x00" + SECRET.encode(), "The join request is not JSON."),
        ("[" * 100_000, "The join request is not JSON."),
        (f'{{"token": "{SECRET}"', "The join request is not JSON."),
        (f'["{SECRET}"]', "The join request is not a JSON object."),
        ("null", "The join request is not a JSON object."),
        ("5", "The join request is not a JSON object."),
        (
            json.dumps({"token": SECRET}),
            "The join request needs `room_name`, a string that is not empty.",
        ),
        (body(room_name=""), "The join request needs `room_name`, a string that is not empty."),
        (body(room_name=None), "The join request needs `room_name`, a string that is not empty."),
        (body(token=[SECRET]), "The join request needs `token`, a string that is not empty."),
        (body(token=""), "The join request needs `token`, a string that is not empty."),
        (body(participant_id=5), "`participant_id` in the join request has to be a string."),
        (
            body(signaling_base_url={"host": SECRET}),
            "`signaling_base_url` in the join request has to be a string.",
        ),
        (
            body(agent_participant_id=True),
            "`agent_participant_id` in the join request has to be a string.",
        ),
        (body(character=["ada"]), "`character` in the join request has to be a string."),
        (body(metadata=SECRET), "`metadata` in the join request has to be an object."),
        (body(metadata=[1]), "`metadata` in the join request has to be an object."),
    ],
)
def test_a_bad_request_gets_one_sentence_without_its_content(
    text: str | bytes, sentence: str
) -> None:
    with pytest.raises(ValueError) as caught:
        JoinInfo.from_json(text)
    assert str(caught.value) == sentence
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.binary() | st.text() | json_values.map(json.dumps))
def test_anything_else_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"^The join request .*\.$"):
        JoinInfo.from_json(text)
