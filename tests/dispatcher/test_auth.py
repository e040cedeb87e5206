"""Who is let in: what each mode takes for an answer, and what it does not."""

import base64
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokens import APIKEY, KEYS, SECRET, token

from agent_side.join import JoinInfo
from dispatcher.errors import Forbidden, SettingsError, Unauthorized
from dispatcher.http import auth
from dispatcher.http.auth import Caller, Gate, may_listen, peer_of
from dispatcher.settings import DispatcherSettings

PASSWORD = "canary-password-of-anna"
KEY = "canary-key-that-nobody-guesses"
PEER = "peer:10.0.0.7"
OLD = "canary-older-secret-of-enough-length"


def gate(modes: str, **settings: str) -> Gate:
    given = {
        "AVATAR_JWT_KEYS": KEYS,
        "AVATAR_BASIC_KEYS": f"anna:{PASSWORD}",
        "AVATAR_BEARER_KEYS": KEY,
        **settings,
    }
    return Gate(DispatcherSettings.from_env({"AVATAR_AUTH": modes, **given}))


def join(signed: str, room: str = "room", participant: str = "face") -> JoinInfo:
    return JoinInfo(room, signed, participant, "api.videosdk.live")


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# The token of a join request -----------------------------------------------------------------


def test_a_token_that_the_operator_has_signed_is_let_in() -> None:
    caller = gate("jwt").by_token(join(token()))
    assert caller.owner.startswith("jwt:")
    assert APIKEY not in caller.owner
    assert caller == gate("jwt").by_token(join(token(participantId="face", roomId="room")))
    assert gate("jwt").reads_tokens
    assert not gate("basic").reads_tokens


def unsigned(**claims: Any) -> str:
    """``alg: none``, in the ways in which libraries were fooled by it."""
    return token(secret="", algorithm="none", **claims)


def signed_as(algorithm: str) -> str:
    """A header that says so, over a body that HS256 has signed."""
    _, body, signature = token().split(".")
    said = base64.urlsafe_b64encode(f'{{"typ":"JWT","alg":"{algorithm}"}}'.encode())
    return f"{said.decode().rstrip('=')}.{body}.{signature}"


def strange() -> Mapping[str, str]:
    head, body, signature = token().split(".")
    now = int(time.time())
    return {
        "alg none": unsigned(),
        "alg None": signed_as("None"),
        "alg none with a signature": signed_as("none"),
        "HS384": token(algorithm="HS384", secret=SECRET + SECRET),
        "HS512": token(algorithm="HS512", secret=SECRET + SECRET),
        "said to be RS256": signed_as("RS256"),
        "no signature": f"{head}.{body}.",
        "a bad signature": f"{head}.{body}.{signature[:-4]}AAAA",
        "another's body": f"{head}.{token(roomId='other').split('.')[1]}.{signature}",
        "another secret": token(secret="somebody-else-has-this-secret-of-his-own"),
        "no secret": token(secret="\0" * 32),
        "expired": token(exp=now - 1),
        "no exp": token(exp=None),
        "an exp that is no time": token(exp="tomorrow"),
        "an exp without end": token(exp=float("inf")),
        "not yet": token(nbf=now + 60),
        "another apikey": token(apikey="somebody-else"),
        "no apikey": token(apikey=None),
        "an apikey that is a list": token(apikey=[APIKEY]),
        "an apikey that is half a letter": token(apikey="\ud800"),
        "claims that are a list": jwt.api_jws.encode(b"[]", SECRET, "HS256"),
        "claims that are nested": jwt.api_jws.encode(b"[" * 4000, SECRET, "HS256"),
        "a head that is nested": base64.urlsafe_b64encode(b"[" * 4002).decode() + ".e30.AAAA",
        "no token": "canary",
        "dots": "..",
        "nothing": "",
    }


@pytest.mark.parametrize("name", strange())
def test_a_strange_token_is_known_to_nobody(name: str) -> None:
    for modes in ("jwt", "jwt,bearer"):
        with pytest.raises(Unauthorized) as caught:
            gate(modes).by_token(join(strange()[name]))
        assert "canary" not in str(caught.value)
    with pytest.raises(Unauthorized):
        gate("jwt").operator(f"Bearer {strange()[name]}", PEER)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"permissions": None}, "allow_join"),
        ({"permissions": []}, "allow_join"),
        ({"permissions": ["ask_join", "allow_mod"]}, "allow_join"),
        ({"permissions": "allow_join"}, "allow_join"),
        ({"permissions": {"allow_join": True}}, "allow_join"),
        ({"participantId": "canary"}, "participantId"),
        ({"participantId": ""}, "participantId"),
        ({"participantId": 7}, "participantId"),
        ({"participantId": ["face"]}, "participantId"),
        ({"roomId": "canary"}, "roomId"),
    ],
)
def test_a_token_for_something_else_is_forbidden(claims: dict[str, Any], reason: str) -> None:
    with pytest.raises(Forbidden, match=reason) as caught:
        gate("jwt").by_token(join(token(**claims)))
    assert "canary" not in str(caught.value)


def test_an_issuer_whose_clock_is_ahead_is_let_in() -> None:
    gate("jwt").by_token(join(token(iat=int(time.time()) + 30)))


def test_two_secrets_are_good_while_they_are_exchanged() -> None:
    """Of one API key or of two; afterwards, the old one is good for nothing."""
    both = gate("jwt", AVATAR_JWT_KEYS=f"{KEYS},{APIKEY}:{OLD},second:{OLD}")
    fresh, old = token(), token(secret=OLD)
    assert both.by_token(join(fresh)) == both.by_token(join(old))
    assert both.by_token(join(token(secret=OLD, apikey="second"))) != both.by_token(join(old))
    with pytest.raises(Unauthorized):
        both.by_token(join(token(apikey="second")))
    with pytest.raises(Unauthorized):
        gate("jwt").by_token(join(old))


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_nobody_gets_in_with_a_guess(head: str, body: str, signature: str) -> None:
    for guess in (head, f"{head}.{body}.{signature}"):
        with pytest.raises(Unauthorized):
            gate("jwt").by_token(join(guess))
        with pytest.raises(Unauthorized):
            gate("basic,bearer").operator(guess, PEER)


# Headers -------------------------------------------------------------------------------------


def test_a_user_and_his_password_are_let_in() -> None:
    for header in (basic("anna", PASSWORD), basic("anna", PASSWORD).replace("Basic", "bAsIc ")):
        assert gate("basic").by_header(header, PEER) == Caller("basic:anna")
        assert gate("basic").operator(header, PEER) == Caller("basic:anna")


def test_a_password_may_have_letters_of_any_language() -> None:
    secret = "\u043f\u0430\u0440\u043e\u043b\u044c:with:colons-and-more"
    assert gate("basic", AVATAR_BASIC_KEYS=f"anna:{secret}").by_header(basic("anna", secret), PEER)


def test_a_key_is_let_in() -> None:
    caller = gate("bearer").by_header(f"Bearer {KEY}", PEER)
    assert caller is not None
    assert caller.owner.startswith("bearer:")
    assert KEY not in caller.owner
    assert gate("bearer").operator(f"bearer  {KEY}", PEER) == caller


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic canary",
        basic("anna", ""),
        basic("", PASSWORD),
        basic("anna", PASSWORD[:-1]),
        basic("anna", PASSWORD + "x"),
        basic("bert", PASSWORD),
        basic("ANNA", PASSWORD),
        f"Basic anna:{PASSWORD}",
        f"Bearer {PASSWORD}",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY} {KEY}",
        f"Bearer{KEY}",
        f"Token {KEY}",
        KEY,
        f"Bearer {token()}",
        "Bearer " + "canary" * 9999,
        "Bearer \u00e9\udcff",
    ],
)
def test_another_header_is_known_to_nobody(header: str) -> None:
    both = gate("basic,bearer,jwt")
    header = header.encode("utf-8", "replace").decode()
    assert both.by_header(header, PEER) is None
    with pytest.raises(Unauthorized) as caught:
        both.operator(header, PEER)
    assert "canary" not in str(caught.value)


def test_two_keys_are_good_while_they_are_exchanged() -> None:
    second = "another-key-that-nobody-guesses"
    both = gate("bearer", AVATAR_BEARER_KEYS=f"{second},{KEY}")
    owners = {both.operator(f"Bearer {each}", PEER).owner for each in (KEY, second)}
    assert len(owners) == 2
    with pytest.raises(Unauthorized):
        gate("bearer", AVATAR_BEARER_KEYS=second).operator(f"Bearer {KEY}", PEER)


@pytest.mark.parametrize("which", [0, 1, 2, None])
def test_each_key_is_compared_whichever_fits(
    monkeypatch: pytest.MonkeyPatch, which: int | None
) -> None:
    """So that how long it takes tells nothing about them."""
    keys = [f"{KEY}-{number}" for number in range(3)]
    compared: list[bool] = []

    def compare(known: bytes, given: bytes) -> bool:
        compared.append(known == given)
        return compared[-1]

    monkeypatch.setattr(auth, "secrets", SimpleNamespace(compare_digest=compare))
    given = "something-else-altogether" if which is None else keys[which]
    caller = gate("bearer", AVATAR_BEARER_KEYS=",".join(keys)).by_header(f"Bearer {given}", PEER)
    assert (caller is not None) == (which is not None)
    assert compared == [number == which for number in range(3)]


def test_a_mode_that_was_not_chosen_lets_nobody_in() -> None:
    assert gate("jwt").by_header(basic("anna", PASSWORD), PEER) is None
    assert gate("jwt").by_header(f"Bearer {KEY}", PEER) is None
    assert gate("basic").by_header(f"Bearer {KEY}", PEER) is None
    assert gate("bearer").by_header(basic("anna", PASSWORD), PEER) is None
    with pytest.raises(Unauthorized):
        gate("bearer").by_token(join(token()))


def test_where_nobody_is_asked_everybody_is_his_address() -> None:
    assert gate("none").by_header("", PEER) == Caller(PEER)
    assert gate("none").operator("Bearer canary", PEER) == Caller(PEER)
    assert Gate(DispatcherSettings()).open


def test_a_challenge_names_what_would_be_taken() -> None:
    assert gate("jwt").challenge == 'Bearer realm="avatar"'
    assert gate("basic").challenge.startswith("Basic ")
    assert gate("basic,bearer").challenge.count("realm") == 2


# Operators -----------------------------------------------------------------------------------


def test_a_moderator_s_token_operates_where_there_is_no_key() -> None:
    mine = token(permissions=["allow_join", "allow_mod"])
    assert gate("jwt").operator(mine, PEER) == gate("jwt").operator(f"Bearer {mine}", PEER)


@pytest.mark.parametrize(
    "claims", [{"permissions": ["allow_join"]}, {"roomId": "room"}, {"participantId": "host"}]
)
def test_a_guest_s_token_does_not_operate(claims: dict[str, Any]) -> None:
    """Meetings hand out tokens to browsers, moderators' too."""
    with pytest.raises(Forbidden):
        gate("jwt").operator(token(**{"permissions": ["allow_mod"], **claims}), PEER)


def test_no_token_operates_where_there_is_a_key() -> None:
    with pytest.raises(Unauthorized):
        gate("jwt,bearer").operator(token(permissions=["allow_mod"]), PEER)


# Addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_on_loopback_nobody_has_to_say_who_is_let_in(address: str) -> None:
    may_listen(DispatcherSettings(), address)


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.7", "::", "fe80::1%eth0", "", "canary"])
def test_elsewhere_somebody_has_to_say_who_is_let_in(address: str) -> None:
    with pytest.raises(SettingsError, match="--auth none"):
        may_listen(DispatcherSettings(), address)
    may_listen(DispatcherSettings(auth=("none",)), address)
    may_listen(DispatcherSettings(auth=("bearer",), bearer_keys=(KEY,)), address)


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("10.0.0.7", "peer:10.0.0.7"),
        ("::ffff:10.0.0.7", "peer:10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "peer:2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "peer:2001:db8:1:2::/64"),
        (None, "peer:unknown"),
        ("canary, canary", "peer:unknown"),
    ],
)
def test_a_peer_is_an_address_or_a_customer_s_network(host: str | None, peer: str) -> None:
    assert peer_of(host) == peer


def test_no_gate_shows_a_secret() -> None:
    assert "canary" not in repr(gate("jwt,basic,bearer")) + repr(vars(gate("basic,bearer")))
