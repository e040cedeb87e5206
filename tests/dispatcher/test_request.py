"""The body of POST /launch: what is let in, and that nothing of the rest is repeated."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_side.join import JoinInfo
from dispatcher.errors import BadRequest
from dispatcher.http.request import MAX_BODY, claims_of, participant_of, read_launch

TOKEN = "eyJ.canary-token.sig"
HOSTS = ("api.videosdk.live", "127.0.0.1:4443")


def body(**fields: Any) -> bytes:
    return json.dumps({"room_name": "room", "token": TOKEN, **fields}).encode()


def token(claims: object) -> str:
    return f"head.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.tail"


def test_what_a_stock_agent_sends_is_let_in() -> None:
    stock = body(participant_id="face", signaling_base_url=None)
    assert read_launch(stock, HOSTS) == JoinInfo("room", TOKEN, "face", HOSTS[0])


def test_our_own_fields_come_through() -> None:
    fields: dict[str, Any] = {
        "agent_participant_id": "agent",
        "character": "ada",
        "metadata": {"plan": ["free", 1.5, None]},
    }
    join = read_launch(body(participant_id="face", **fields), HOSTS)
    assert join == JoinInfo("room", TOKEN, "face", HOSTS[0], **fields)


def test_who_is_not_named_joins_under_the_token_s_name() -> None:
    bearer = token({"participantId": "mona"})
    assert read_launch(body(token=bearer), HOSTS).participant_id == "mona"
    assert read_launch(body(token=bearer, participant_id="face"), HOSTS).participant_id == "face"
    assert read_launch(body(), HOSTS).participant_id == "avatar"


@pytest.mark.parametrize(
    "claims",
    [{}, [], 5, None, {"participantId": 5}, {"participantId": ""}, {"participantId": "a\n"}],
)
def test_a_token_without_a_name_names_nobody(claims: object) -> None:
    assert participant_of(token(claims)) is None


def test_what_a_token_says_is_read_without_its_key() -> None:
    claims = {"participantId": "mona", "exp": 5, "permissions": ["allow_join"]}
    assert claims_of(token(claims)) == claims


@given(st.text())
def test_any_token_can_be_looked_at(text: str) -> None:
    for strange in (text, f"a.{text}.b", token(text), token([text])):
        assert claims_of(strange) == {}
        assert participant_of(strange) is None


@pytest.mark.parametrize("host", [None, "", "api.videosdk.live", "API.videosdk.live"])
def test_a_host_that_is_not_named_is_the_first(host: str | None) -> None:
    assert read_launch(body(signaling_base_url=host), HOSTS).signaling_base_url == HOSTS[0]


def test_a_host_with_a_port_is_another_host() -> None:
    join = read_launch(body(signaling_base_url=HOSTS[1]), HOSTS)
    assert join.signaling_base_url == HOSTS[1]
    for other in ("127.0.0.1", "127.0.0.1:4444", "api.videosdk.live:443"):
        with pytest.raises(BadRequest, match="signaling_base_url"):
            read_launch(body(signaling_base_url=other), HOSTS)


NAUGHTY = st.sampled_from(list("/@?#\\:.%[] \t\n\u2024\u3002\uff0e") + list(HOSTS) + ["evil.net"])


@given(st.lists(NAUGHTY, max_size=6).map("".join))
def test_no_other_host_is_let_through(host: str) -> None:
    content = body(signaling_base_url=host)
    if host.lower() in ("", *HOSTS):
        assert read_launch(content, HOSTS).signaling_base_url in HOSTS
    else:
        with pytest.raises(BadRequest, match="signaling_base_url"):
            read_launch(content, HOSTS)


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 400, "not JSON"),
        (b"canary", 400, "not JSON"),
        (b"\xff\xfe\x00", 400, "not JSON"),
        (b'{"room_name": "canary", "token": NaN}', 400, "not JSON"),
        (body(metadata={"a": float("inf")}), 400, "not JSON"),
        (b'{"room_name": "r", "token": "t", "metadata": {"a": 1e999}}', 400, "not JSON"),
        (b'{"room_name": "\\ud800canary", "token": "t"}', 400, "not JSON"),
        (b"[" * MAX_BODY, 400, "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", 400, "not JSON"),
        (body()[:-1] + b', "metadata": {"a": ' + b"[" * 600 + b"]" * 600 + b"}}", 422, "nested"),
        (b'["canary"]', 422, "not a JSON object"),
        (b'{"room_name": "canary"}', 422, "needs `token`"),
        (body(room_name=""), 422, "needs `room_name`"),
        (body(room_name={"canary": 1}), 422, "needs `room_name`"),
        (body(participant_id=5), 422, "`participant_id`"),
        (body(metadata="canary"), 422, "`metadata`"),
        (body(room_name="canary\n"), 422, "`room_name` contains"),
        (body(token="canary\r\nX: y"), 422, "`token` contains"),
        (body(token="canary\u00e9"), 422, "`token` contains"),
        (body(room_name="canary" * 99), 422, "`room_name` is longer than 256"),
        (body(token="canary" * 2000), 422, "`token` is longer than 8192"),
        (body(character="../canary"), 422, "`character`"),
        (body(signaling_base_url="canary.net"), 422, "`signaling_base_url`"),
        (body(metadata={"a": "canary" * 4000}), 413, "longer than 16384"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_without_the_body(
    content: bytes, status: int, reason: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        read_launch(content, HOSTS)
    text = str(caught.value)
    assert caught.value.status == status
    assert reason in text
    assert text.endswith(".")
    assert "canary" not in text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


FIELDS = ("room_name", "token", "participant_id", "character", "metadata", "other")
OBJECTS = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, VALUES))


@given(OBJECTS.map(lambda fields: json.dumps(fields).encode()) | st.binary())
def test_anything_is_either_a_join_request_or_a_bad_request(content: bytes) -> None:
    try:
        join = read_launch(content, HOSTS)
    except BadRequest:
        return
    assert JoinInfo.from_json(join.to_json()) == join


def test_metadata_may_be_nested_as_deep_as_anybody_needs() -> None:
    def nested(depth: int) -> bytes:
        return body()[:-1] + b', "metadata": {"a": ' + b"[" * depth + b"]" * depth + b"}}"

    assert read_launch(nested(30), HOSTS).metadata is not None
    with pytest.raises(BadRequest, match="nested more than 32 deep"):
        read_launch(nested(31), HOSTS)
