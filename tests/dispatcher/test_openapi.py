"""What /openapi.json says is what the routes do: schemathesis tries it, in every mode."""

import base64
from typing import Any

import schemathesis
from hypothesis import assume
from hypothesis import strategies as st
from pool_in_memory import Service
from thorough import thorough
from tokens import KEYS, token

from dispatcher.http.openapi import PRINTABLE, SIGNALING_HOST
from dispatcher.settings import PLATFORM

PASSWORD = "canary-password-of-anna"
KEY = "canary-key-that-nobody-guesses"
UNLIMITED = {"AVATAR_RATE": "off", "AVATAR_REFUSALS": "off", "AVATAR_ALLOWED_HOSTS": "testserver"}
MODES = {
    "none": {},
    "basic": {"AVATAR_AUTH": "basic", "AVATAR_BASIC_KEYS": f"anna:{PASSWORD}"},
    "bearer": {"AVATAR_AUTH": "bearer", "AVATAR_BEARER_KEYS": KEY},
    "jwt": {"AVATAR_AUTH": "jwt", "AVATAR_JWT_KEYS": KEYS},
}
KNOWN = {
    "none": "",
    "basic": "Basic " + base64.b64encode(f"anna:{PASSWORD}".encode()).decode(),
    "bearer": f"Bearer {KEY}",
    "jwt": f"Bearer {token(permissions=['allow_mod'])}",
}

BOUNDED = thorough(200)

schemathesis.openapi.format(PRINTABLE, st.text().filter(str.isprintable))


def description(mode: str) -> Any:
    """What the service says of itself, of which schemathesis makes requests by somebody known."""
    with Service(**MODES[mode], **UNLIMITED) as service:
        api = schemathesis.openapi.from_asgi("/openapi.json", service.app)
    body = api.raw_schema["paths"]["/launch"]["post"]["requestBody"]["content"]
    fields = body["application/json"]["schema"]["properties"]
    (host, _) = fields["signaling_base_url"]["anyOf"]
    assert host.pop("format") == SIGNALING_HOST
    host["enum"] = [PLATFORM, ""]
    if KNOWN[mode]:
        api.config.update(headers={"Authorization": KNOWN[mode]})
    if mode == "jwt":
        fields["token"]["enum"] = [token(), token(roomId=None)]
    return api


def call(case: schemathesis.Case) -> None:
    """A face under its agent's own id is refused, which no schema can say."""
    body = case.body if isinstance(case.body, dict) else {}
    assume(body.get("participant_id") != body.get("agent_participant_id") or not body)
    case.call_and_validate()


OPEN, BASIC, BEARER, JWT = map(description, MODES)


@OPEN.parametrize()
@BOUNDED
def test_where_nobody_is_asked(case: schemathesis.Case) -> None:
    call(case)


@BASIC.parametrize()
@BOUNDED
def test_with_a_password(case: schemathesis.Case) -> None:
    call(case)


@BEARER.parametrize()
@BOUNDED
def test_with_a_key(case: schemathesis.Case) -> None:
    call(case)


@JWT.parametrize()
@BOUNDED
def test_with_a_signed_token(case: schemathesis.Case) -> None:
    call(case)
