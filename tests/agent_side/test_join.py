"""A join request survives its way as JSON, hides its token and says what is wrong with it."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.uri import parse_uri

from agent_side.join import JoinInfo, fault_of

SECRET = "eyJ-very-secret"

ids = st.from_regex(r"[A-Za-z0-9._~!$'()*,;:@/-]{1,64}", fullmatch=True)
printable = st.text(max_size=64).filter(str.isprintable)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)


def body(**fields: Any) -> str:
    return json.dumps({"room_name": "room", "token": SECRET, **fields})


@given(
    st.builds(
        JoinInfo,
        room_name=ids,
        token=ids.filter(lambda token: not token.lower().startswith("bearer ")),
        participant_id=st.none() | ids,
        signaling_base_url=st.none() | printable,
        agent_participant_id=st.none() | printable,
        character=st.none() | names,
        metadata=st.none() | st.dictionaries(st.text(), json_values, max_size=3),
    ).filter(lambda info: info.fault is None)
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


REAL = {
    "room_name": ("abcd-efgh-ijkl", "my-room_2", "support:42", "6f9619ff-8b86-d011-b42d"),
    "participant_id": ("avatar_service", "k3j9x0ab", "8C4GrO4D", "ada@example.com", "a.b~c"),
    "token": ("eyJhbGciOiJIUzI1NiJ9.eyJhcGlrZXkiOiJ4In0.c2ln_bmF0-dXJl", "any-token"),
}  # fmt: skip
"""Ids as VideoSDK and its SDKs make them, and as users choose them."""

NEVER = {
    "room_name": ("my room", "büro", "部屋", "a&b", "a#b", "a%20b", "a+b", "a?b", "r" * 257),
    "participant_id": ("the face", "лицо", "a=b", "a\u0301", "face\n", "a|b", '"face"'),
    "token": ("Bearer eyJ.x.y", "bearer eyJ.x.y", "eyJ.x.y ", "eyJ x", "eyJ.é.y", "eyJ.x.y\n"),
    "character": ("", "../ada", "a/b", "ada.zip", "\u0430da", "-ada", "x" * 65),
    "agent_participant_id": ("mona\n", "a" * 257),
}  # fmt: skip
"""Ids that the SDK cannot put into an address as they are, or that no meeting has."""


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, each in REAL.items() for v in each])
def test_ids_that_videosdk_uses_are_valid(name: str, value: str) -> None:
    assert fault_of(name, value) is None
    assert getattr(JoinInfo.from_json(body(**{name: value})), name) == value


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, each in NEVER.items() for v in each])
def test_what_no_meeting_can_take_is_one_sentence(name: str, value: str) -> None:
    with pytest.raises(ValueError) as caught:
        JoinInfo.from_json(body(**{name: value}))
    text = str(caught.value)
    assert text.startswith(f"`{name}` ")
    assert text.endswith(".")
    assert not value or value.strip() not in text


@given(ids)
def test_whatever_is_valid_is_kept_by_the_sdk_s_address(value: str) -> None:
    """As the SDK composes it, its library parses it and a server reads it."""
    address = parse_uri(f"wss://host/?roomId={value}&mode=M")
    query = parse_qs(urlsplit(f"//host{address.resource_name}").query)
    assert query == {"roomId": [value], "mode": ["M"]}


def test_the_face_cannot_have_the_agent_s_id() -> None:
    with pytest.raises(ValueError, match=r"`participant_id` is the agent's own"):
        JoinInfo.from_json(body(participant_id="mona", agent_participant_id="mona"))


def test_a_character_s_name_is_the_same_in_capital_letters() -> None:
    assert JoinInfo.from_json(body(character="ADA")).character == "ada"
