"""The routes without processes: who gets which status, in which words, under which name."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import virtual_time
from pool_in_memory import Service
from tokens import KEYS, token

from agent_side.join import JoinInfo
from dispatcher.errors import Conflict, Full, Refused, StoreDown, TooMany
from dispatcher.http.app import ANSWER_S, BODY_S
from dispatcher.ledger.record import SessionRecord

PASSWORD = "canary-password-of-anna"
KEY = "canary-key-that-nobody-guesses"
BASIC = {"AVATAR_AUTH": "basic", "AVATAR_BASIC_KEYS": f"anna:{PASSWORD}"}
BEARER = {"AVATAR_AUTH": "bearer", "AVATAR_BEARER_KEYS": KEY}
JWT = {"AVATAR_AUTH": "jwt", "AVATAR_JWT_KEYS": KEYS}
MODERATOR = token(permissions=["allow_mod"])
AGENT_TIMEOUT_S = 5.0
"""How long a stock agent waits for the answer to its POST."""

SENTENCE = re.compile(r"[A-Z][^\n]*\.")


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


def basic(password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anna:{password}".encode()).decode()}


def bearer(key: str = KEY) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def assert_refused(answer: Any, status: int) -> None:
    """One sentence, the request's name, and nothing of the request."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "request_id"}
    assert SENTENCE.fullmatch(answer.json()["error"])
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
    assert "canary" not in answer.text + str(answer.headers)


# Who is let in -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "good", "bad"),
    [
        (JWT, {"token": token()}, {"token": token(secret="x" * 32)}),
        (BASIC, {"headers": basic()}, {"headers": basic("canary-but-not-his-own")}),
        (BEARER, {"headers": bearer()}, {"headers": bearer("canary-but-another-one")}),
        (JWT | BEARER | {"AVATAR_AUTH": "jwt,bearer"}, {"token": token()}, {}),
        (JWT | BEARER | {"AVATAR_AUTH": "jwt,bearer"}, {"headers": bearer()}, {}),
    ],
)
def test_each_mode_lets_in_whom_it_should(
    mode: dict[str, str], good: dict[str, Any], bad: dict[str, Any]
) -> None:
    with Service(**mode) as service:
        assert service.launch(**good).status_code == 200
        for strange in (bad, {}):
            answer = service.launch(**strange)
            assert_refused(answer, 401)
            assert "realm" in answer.headers["WWW-Authenticate"]
        assert len(service.pool.asked) == 1
        assert service.pool.asked[0][1].startswith(("jwt:", "basic:", "bearer:"))


@pytest.mark.parametrize(
    "claims", [{"permissions": []}, {"participantId": "canary"}, {"roomId": "canary"}]
)
def test_a_token_for_something_else_is_403(claims: dict[str, Any]) -> None:
    with Service(**JWT) as service:
        assert_refused(service.launch(token(**claims)), 403)
        assert service.pool.asked == []


def test_the_body_of_somebody_unknown_is_not_read() -> None:
    """It costs time and memory."""

    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("It was read.")
        yield b""

    with Service(**BASIC) as service:
        assert_refused(service.ask("POST", "/launch", content=body()), 401)
        answer = service.ask("POST", "/launch", content=body(), headers=basic())
        assert answer.status_code == 500, "whoever is known is read"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("mode", "good"),
    [(JWT, bearer(MODERATOR)), (JWT, {"Authorization": MODERATOR}), (BASIC, basic()),
     (BEARER, bearer())],
)  # fmt: skip
def test_sessions_are_the_operator_s(
    mode: dict[str, str], good: dict[str, str], method: str
) -> None:
    with Service(**mode) as service:
        launched = service.launch(token(), headers=good)
        path = f"/v1/sessions/{launched.json()['session_id']}"
        assert_refused(service.ask(method, path), 401)
        assert_refused(service.ask("GET", "/v1/sessions"), 401)
        assert service.ask(method, path, headers=good).status_code == 200
        assert service.ask("GET", "/v1/sessions", headers=good).status_code == 200


def test_an_agent_s_token_is_no_operator_s() -> None:
    with Service(**JWT) as service:
        assert_refused(service.ask("GET", "/v1/sessions", headers=bearer(token())), 403)


def test_probes_and_the_description_ask_nobody() -> None:
    with Service(**BEARER) as service:
        for path in ("/livez", "/readyz", "/openapi.json"):
            assert service.ask("GET", path).status_code == 200


# How often -----------------------------------------------------------------------------------


def test_an_owner_may_launch_so_often() -> None:
    keys = f"{KEY},another-key-that-is-long"
    with Service(**BEARER | {"AVATAR_BEARER_KEYS": keys}, AVATAR_RATE="2/hour") as service:
        statuses = [service.launch(headers=bearer()).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        answer = service.launch(headers=bearer())
        assert_refused(answer, 429)
        assert 1 <= int(answer.headers["Retry-After"]) <= 3600
        assert service.launch(headers=bearer("another-key-that-is-long")).status_code == 200


def test_two_secrets_of_one_key_are_one_owner() -> None:
    old = "x" * 40
    name, _, _ = KEYS.partition(":")
    with Service(**JWT | {"AVATAR_JWT_KEYS": f"{KEYS},{name}:{old}"}, AVATAR_RATE="1/hour") as both:
        assert both.launch(token()).status_code == 200
        assert_refused(both.launch(token(secret=old)), 429)


def test_where_nobody_is_asked_an_address_may_launch_so_often() -> None:
    with Service(AVATAR_RATE="1/hour") as service:
        assert service.launch(peer="10.0.0.1").status_code == 200
        assert_refused(service.launch(peer="10.0.0.1"), 429)
        assert service.launch(peer="10.0.0.2").status_code == 200


@pytest.mark.parametrize("mode", [JWT, BASIC, BEARER])
def test_who_is_refused_too_often_locks_out_nobody(mode: dict[str, str]) -> None:
    """An agent behind the same proxy is let in all the while, and does not pay for the others."""
    good: dict[str, Any] = {
        "jwt": {"token": token()},
        "basic": {"headers": basic()},
        "bearer": {"headers": bearer()},
    }[mode["AVATAR_AUTH"]]
    limits = {"AVATAR_REFUSALS": "3/hour", "AVATAR_RATE": "5/hour"}
    with Service(**mode, **limits) as service:
        statuses = [service.launch("canary").status_code for _ in range(9)]
        assert statuses == [401] * 3 + [429] * 6
        assert_refused(service.ask("GET", "/v1/sessions"), 429)
        assert [service.launch(**good).status_code for _ in range(6)] == [200] * 5 + [429]


def test_bad_bodies_do_not_use_up_what_good_ones_may() -> None:
    with Service(AVATAR_REFUSALS="2/hour", AVATAR_RATE="1/hour") as service:
        statuses = [service.ask("POST", "/launch", json={}).status_code for _ in range(4)]
        assert statuses == [422, 422, 429, 429]
        assert service.launch().status_code == 200


# What the pool says --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Full("There is no room now."), 503),
        (StoreDown("The ledger cannot be reached."), 503),
        (TooMany("This key has enough sessions.", 7), 429),
        (Conflict("Another face is in that room."), 409),
        (Refused("A worker has refused it."), 422),
    ],
)
def test_each_refusal_of_the_pool_has_its_status(
    service: Service, failure: Exception, status: int
) -> None:
    service.pool.failure = failure
    answer = service.launch()
    assert_refused(answer, status)
    assert answer.json()["error"] == str(failure)
    assert ("Retry-After" in answer.headers) == (status in (429, 503))


@pytest.mark.parametrize("body_s", [0.0, 1.9])
def test_a_launch_that_finds_no_worker_is_answered_before_its_agent_gives_up(
    service: Service, body_s: float
) -> None:
    """However long its body took; in virtual time."""

    async def launch(join: JoinInfo, timeout_s: float, *_: object) -> SessionRecord:
        await asyncio.sleep(timeout_s)
        raise Full("All slots are taken.")

    async def body() -> AsyncIterator[bytes]:
        await asyncio.sleep(body_s)
        yield b'{"room_name": "room", "token": "eyJ.canary.sig"}'

    async def scene() -> float:
        began = asyncio.get_running_loop().time()
        json = {"Content-Type": "application/json"}
        assert_refused(await service.asked("POST", "/launch", content=body(), headers=json), 503)
        return asyncio.get_running_loop().time() - began

    service.pool.launch = launch  # type: ignore[method-assign]
    assert virtual_time.run(scene()) == pytest.approx(ANSWER_S)
    assert ANSWER_S < AGENT_TIMEOUT_S


def test_a_body_that_does_not_end_is_answered_before_its_agent_gives_up(service: Service) -> None:
    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"{"
            await asyncio.sleep(0.1)

    async def scene() -> float:
        began = asyncio.get_running_loop().time()
        assert_refused(await service.asked("POST", "/launch", content=body()), 400)
        return asyncio.get_running_loop().time() - began

    assert virtual_time.run(scene()) == pytest.approx(BODY_S)


def test_a_fault_says_nothing_of_itself(service: Service) -> None:
    service.pool.failure = ZeroDivisionError("canary")
    for answer in (service.launch(), service.ask("GET", "/v1/sessions")):
        assert_refused(answer, 500)


def test_it_is_ready_when_its_pool_is(service: Service) -> None:
    assert service.ask("GET", "/readyz").json() == {"status": "ready"}
    service.pool.why_not_ready = "No worker can be had now."
    assert_refused(service.ask("GET", "/readyz"), 503)
    assert service.ask("GET", "/livez").status_code == 200


def test_a_trace_goes_on_in_the_worker(service: Service) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    service.launch(headers={"traceparent": parent})
    assert service.pool.asked[0][2] == parent


# Names ---------------------------------------------------------------------------------------


def test_each_answer_has_a_name_of_its_own(service: Service) -> None:
    names = {service.ask("GET", "/livez").headers["X-Request-Id"] for _ in range(9)}
    assert len(names) == 9


def test_a_short_plain_name_is_taken_over(service: Service) -> None:
    for name in ("req-7", "A" * 64, "0af7651916cd43dd8448eb211c80319c"):
        answer = service.ask("GET", "/nothing", headers={"X-Request-Id": name})
        assert answer.json()["request_id"] == answer.headers["X-Request-Id"] == name


@pytest.mark.parametrize(
    "name", ["", "A" * 65, "eyJ.canary.sig", "canary canary", "<canary>", "\x7f"]
)
def test_another_name_is_not(service: Service, name: str) -> None:
    answer = service.ask("GET", "/nothing", headers={"X-Request-Id": name})
    assert_refused(answer, 404)
    assert answer.headers["X-Request-Id"] != name


HERE = ["localhost", "localhost:8089", "LOCALHOST", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:9"]
ADDRESSES_HERE = ["127.1", "127.1:8089", "127.8.8.8", "0.0.0.0:1", "2130706433", "[::]:8089"]
ELSEWHERE = [
    "evil.net", "localhost.evil.net", "127.0.0.1.evil.net", "evil.net:8089", "",
    "localhost@evil.net", "localhost, evil.net", "[::2]", "16909060", "10.0.0.1", "127.1 evil.net",
    "::1", "canary",
]  # fmt: skip


@pytest.mark.parametrize("path", ["/launch", "/v1/sessions", "/livez", "/openapi.json", "/no"])
def test_on_loopback_it_is_asked_for_by_its_own_names(service: Service, path: str) -> None:
    """A page whose name was bent to this machine (DNS rebinding) is not let in."""
    for host in HERE:
        assert service.ask("GET", path, headers={"Host": host}).status_code != 403
    for host in ELSEWHERE:
        assert_refused(service.ask("GET", path, headers={"Host": host}), 403)


def test_this_machine_is_asked_by_all_its_addresses(service: Service) -> None:
    """No name of somebody else's leads there by itself; one that was chosen counts alone."""
    for host in ADDRESSES_HERE:
        assert service.ask("GET", "/livez", headers={"Host": host}).status_code == 200
    with Service(AVATAR_ALLOWED_HOSTS="faces.net") as chosen:
        for host in ADDRESSES_HERE:
            refusal = chosen.ask("GET", "/livez", headers={"Host": host})
            assert_refused(refusal, 403)
            assert "AVATAR_ALLOWED_HOSTS" in refusal.json()["error"]


def test_elsewhere_it_is_asked_for_by_the_names_that_were_chosen() -> None:
    public = {"AVATAR_HOST": "0.0.0.0", "AVATAR_AUTH": "none"}
    with Service(**public) as service:
        assert service.ask("GET", "/livez", headers={"Host": "any.net"}).status_code == 200
    with Service(**public, AVATAR_ALLOWED_HOSTS="faces.net,*.example.net") as service:
        for host, status in {
            "faces.net": 200, "a.example.net:1": 200, "x.faces.net": 403, "localhost": 403
        }.items():  # fmt: skip
            assert service.ask("GET", "/livez", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("origin", ["https://evil.net", "http://localhost:8089", "null", ""])
def test_pages_in_browsers_are_not_let_in(service: Service, origin: str) -> None:
    for method, path in (("POST", "/launch"), ("GET", "/v1/sessions"), ("OPTIONS", "/launch")):
        answer = service.ask(method, path, headers={"Origin": origin})
        assert_refused(answer, 403)
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_page_s_question_whether_it_may_is_not_answered(service: Service) -> None:
    answer = service.ask("OPTIONS", "/launch", headers={"Access-Control-Request-Method": "POST"})
    assert_refused(answer, 405)
    assert answer.headers["Allow"] == "POST"


def test_nobody_keeps_an_answer_or_shows_it_in_a_frame(service: Service) -> None:
    for answer in (service.launch(), service.ask("GET", "/nothing")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
