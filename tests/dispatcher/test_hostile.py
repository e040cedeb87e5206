"""Requests that nobody should send, byte by byte: each gets a status and one sentence, no echo."""

import gzip
import json
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress

import pytest
from dispatching import WAIT_TIMEOUT_S, Dispatcher, dispatcher

JSON = b"Content-Type: application/json\r\n"
GOOD = b'{"room_name": "room", "token": "canary-token", "participant_id": "face"}'
MEGABYTES = 20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dispatcher]:
    log = tmp_path_factory.mktemp("hostile") / "log"
    with dispatcher(
        log,
        AVATAR_SLOTS="4",
        AVATAR_WARM="1",
        AVATAR_LOG_LEVEL="DEBUG",
        AVATAR_REFUSALS="off",
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_is_logged_or_broken(service: Dispatcher) -> Iterator[None]:
    yield
    service.free()
    assert "canary" not in service.log()
    assert "Traceback" not in service.log()
    assert service.http.get("/readyz").status_code == 200


def answers(service: Dispatcher, *pieces: bytes, quiet_s: float = 0.5) -> bytes:
    """All that comes back until the server closes, or is quiet after it has answered."""
    url = service.http.base_url
    with socket.create_connection((url.host, url.port or 0), WAIT_TIMEOUT_S) as line:
        with suppress(ConnectionError):  # it may answer and close before it has read all
            for piece in pieces:
                line.sendall(piece)
        got = b""
        with suppress(ConnectionError, TimeoutError):
            while piece := line.recv(65_536):
                got += piece
                line.settimeout(quiet_s)
        return got


def statuses(got: bytes) -> list[int]:
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3}) ", got)]


def sentence(got: bytes) -> str:
    """What the last answer says."""
    body = got.rpartition(b"\r\n\r\n")[2].decode()
    return str(json.loads(body)["error"]) if body.startswith("{") else body


LAST = b"Connection: close\r\n"
"""Makes the server close the connection after its answer, so that nobody has to wait."""


def post(body: bytes, headers: bytes = JSON + LAST, version: bytes = b"1.1") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    head = b"POST /launch HTTP/%s\r\nHost: localhost\r\n" % version
    return b"%s%s%s\r\n%s" % (head, headers, length, body)


def chunked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    head = b"POST /launch HTTP/1.1\r\nHost: localhost\r\n" + JSON + LAST
    yield head + b"Transfer-Encoding: chunked\r\n\r\n"
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def request(**fields: object) -> bytes:
    return json.dumps({"room_name": "canary", "token": "canary", **fields}).encode()


def nested(depth: int) -> bytes:
    return request()[:-1] + b', "metadata": {"a": ' + b"[" * depth + b"]" * depth + b"}}"


BAD_BODIES = {
    "NaN": (b'{"room_name": "canary", "token": "canary", "metadata": {"a": NaN}}', 400),
    "infinity": (b'{"room_name": "canary", "token": "canary", "metadata": {"a": -1e999}}', 400),
    "half a pair": (b'{"room_name": "\\udc00canary", "token": "canary"}', 400),
    "half a pair as a key": (b'{"\\ud800canary": 1, "room_name": "r", "token": "canary"}', 400),
    "bytes that are no text": (b'{"room_name": "canary\xff", "token": "canary"}', 400),
    "a byte order mark": (b"\xef\xbb\xbf" + request(), 400),
    "UTF-16": (request().decode().encode("utf-16"), 400),
    "zeros": (bytes(100), 400),
    "nothing": (b"", 400),
    "two values": (request() + request(), 400),
    "gzip": (gzip.compress(request()), 400),
    "a form": (b"room_name=canary&token=canary", 400),
    "nested": (nested(40), 422),
    "nested without end": (b"[" * 16_000, 400),
    "a huge number": (b'{"room_name": "canary", "token": ' + b"9" * 9000 + b"}", 400),
    "a list": (b'["canary"]', 422),
    "a key that comes twice": (b'{"token": "canary", "token": 5, "room_name": "canary"}', 422),
    "a line break in a token": (request(token="canary\r\nHost: canary"), 422),
    "a zero-width space": (request(room_name="canary\u200b"), 422),
    "a bidirectional override": (request(participant_id="canary\u202e"), 422),
    "a token of other letters": (request(token="canary\u0430"), 422),
    "a path as a character": (request(character="../canary"), 422),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_body_gets_one_sentence(service: Dispatcher, name: str) -> None:
    body, status = BAD_BODIES[name]
    halves = (body[: len(body) // 2], body[len(body) // 2 :])
    for sent in ([post(body)], list(chunked(filter(None, halves)))):
        got = answers(service, *sent)
        assert statuses(got) == [status]
        assert re.fullmatch(r"[A-Z`][^\n]*\.", sentence(got))
        assert b"canary" not in got


HOSTS = [
    "api.videosdk.live@canary",
    "canary@api.videosdk.live",
    "canary#api.videosdk.live",
    "api.videosdk.live#canary",
    "api.videosdk.live/canary",
    "api.videosdk.live?canary",
    "api.videosdk.live\\canary",
    "api.videosdk.live%2f@canary",
    "api.videosdk.live.",
    "api.videosdk.live..",
    ".api.videosdk.live",
    "api.videosdk.live:0",
    "api.videosdk.live:443",
    "api.videosdk.live:65536",
    "api.videosdk.live:",
    " api.videosdk.live",
    "api.videosdk.live\t",
    "https://api.videosdk.live",
    "//api.videosdk.live",
    "api\u3002videosdk\u3002live",
    "api.v\u0456deosdk.live",
    "xn--api-canary.live",
    "127.0.0.1",
    "2130706433",
    "0x7f.1",
    "[::1]",
    "localhost",
    "169.254.169.254",
    "None",
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_with_a_trick_is_another_host(service: Dispatcher, host: str) -> None:
    got = answers(service, post(request(signaling_base_url=host)))
    assert statuses(got) == [422]
    assert "`signaling_base_url`" in sentence(got)
    assert b"canary" not in got
    assert host.strip().encode() not in got


def test_capital_letters_are_the_same_host(service: Dispatcher) -> None:
    """Nor does a sign that only looks like one of them once it is small lead elsewhere."""
    for number, host in enumerate(("API.VideoSDK.Live", "api.videosd\u212a.live")):
        got = answers(service, post(request(room_name=f"r{number}", signaling_base_url=host)))
        assert statuses(got) == [200]


def test_ids_that_no_meeting_can_take_are_422_and_cost_no_worker(service: Dispatcher) -> None:
    """The SDK puts ids into an address as they are; three workers could not change that."""
    before = service.sessions()
    for room in ("комната", "my room", "büro", "😀"):
        assert service.launch(room).status_code == 422
        answer = service.launch("room", participant_id=room)
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("`participant_id` contains characters")
    answer = service.launch("room", participant_id="mona", agent_participant_id="mona")
    assert answer.status_code == 422
    assert "the agent's own" in answer.json()["error"]
    assert service.launch("room", token="Bearer eyJ.x.y").status_code == 422
    assert service.sessions() == before


def test_an_agent_may_be_called_anything_that_can_be_printed(service: Dispatcher) -> None:
    """Its id is compared and never put into an address: other SDKs quote theirs."""
    answer = service.launch("room-of-a-named-agent", agent_participant_id="агент 7")
    assert answer.status_code == 200


@pytest.mark.parametrize("kind", [
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=canary",
    "application/jsonp", "application/json, text/plain", "canary",
])  # fmt: skip
def test_another_content_type_gets_one_sentence(service: Dispatcher, kind: str) -> None:
    got = answers(service, post(GOOD, f"Content-Type: {kind}\r\n".encode() + LAST))
    assert statuses(got) == [422]
    assert sentence(got) == "The Content-Type of a join request has to be application/json."
    assert b"canary" not in got


def test_too_much_is_not_read(service: Dispatcher) -> None:
    """Whether it is announced or comes in pieces; 20 MB are answered as fast as 20 kB."""
    megabyte = b'"canary", ' * 104_858
    announced = post(b"")[: -len(b"Content-Length: 0\r\n\r\n")]
    announced += b"Content-Length: %d\r\n\r\n" % (MEGABYTES * len(megabyte))
    for sent in ([announced, *[megabyte] * MEGABYTES], chunked([megabyte] * MEGABYTES)):
        got = answers(service, *sent)
        assert statuses(got) in ([413], [])
        assert b"canary" not in got


def test_too_much_is_said(service: Dispatcher) -> None:
    big = request(metadata={"a": "canary" * 4000})
    for sent in ([post(big)], list(chunked([big[:9000], big[9000:]]))):
        got = answers(service, *sent)
        assert statuses(got) == [413]
        assert sentence(got) == "The join request is longer than 16384 bytes."


def test_http_1_0_is_understood(service: Dispatcher) -> None:
    got = answers(service, post(GOOD, version=b"1.0"))
    assert statuses(got) == [200]
    assert statuses(answers(service, post(b"canary", version=b"1.0"))) == [400]


def test_pipelined_requests_are_answered_in_order(service: Dispatcher) -> None:
    alive = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    sent = post(GOOD, JSON) + post(b"canary", JSON) + alive + post(GOOD)
    got = answers(service, sent)
    assert statuses(got) == [200, 400, 200, 200]
    ids = re.findall(rb'"session_id":"(\w+)"', got)
    assert len(ids) == 2
    assert len(set(ids)) == 1


@pytest.mark.parametrize("line", [
    b"POST /launch HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\ncanary",
    b"POST /launch HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\ncanary",
    b"POST /launch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: canary\r\n\r\n",
    b"POST /launch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n",
    b"POST /launch HTTP/1.1\r\nHost: localhost\r\nX-Canary: " + b"canary" * 20_000 + b"\r\n\r\n",
    b"POST /launch canary HTTP/1.1\r\n\r\n",
    b"canary canary canary\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03canary\r\n\r\n",
])  # fmt: skip
def test_what_is_no_http_is_refused(service: Dispatcher, line: bytes) -> None:
    got = answers(service, line)
    assert set(statuses(got)) <= {400, 403, 422, 431}
    assert re.fullmatch(r"[A-Z][^\n]*\.", sentence(got))
    assert b"canary" not in got.lower()


HEADS = {
    "one long header": lambda size: b"X-Canary: " + b"c" * (size - 12) + b"\r\n",
    "many small headers": lambda size: b"X: canary\r\n" * (size // 11),
    "lines that are folded": lambda size: b"X: canary\r\n" + b" canary\r\n" * (size // 9 - 2),
}
"""About that many bytes of headers, of each kind."""


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("piece", [1000, 60_000, 10**6])
def test_a_long_head_is_refused_however_it_arrives(
    service: Dispatcher, kind: str, piece: int
) -> None:
    """Also behind another request on the same connection; what is just below passes."""
    alive = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
    for size, statuses_expected in ((60_000, [200, 200]), (70_000, [200, 431])):
        sent = alive + b"\r\n" + alive + LAST + HEADS[kind](size) + b"\r\n"
        pieces = [sent[at : at + piece] for at in range(0, len(sent), piece)]
        got = answers(service, *pieces, quiet_s=WAIT_TIMEOUT_S)
        assert statuses(got) == statuses_expected
        assert b"canary" not in got
    assert sentence(got) == "The head of this request is longer than 65536 bytes."


@pytest.mark.parametrize("order", [1, -1])
def test_a_request_with_two_lengths_is_refused_and_its_connection_closed(
    service: Dispatcher, order: int
) -> None:
    """A proxy may read the one and we the other, and take its body for another request."""
    lengths = [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"][::order]
    head = b"POST /launch HTTP/1.1\r\nHost: localhost\r\n" + JSON + b"".join(lengths)
    got = answers(service, head + b"\r\n0\r\n\r\nGET /canary HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert statuses(got) == [400]
    assert b"Connection: close" in got
    assert sentence(got).startswith("A request has either Content-Length or Transfer-Encoding")


@pytest.mark.parametrize("path", [b"/v1%2Fsessions", b"/v1%2fsessions", b"/%761/sessions",
                                  b"/livez%3F", b"/%6Civez", b"/v1/sessions/%2e%2e"])  # fmt: skip
def test_a_path_that_is_a_route_only_once_it_is_decoded_is_none(
    service: Dispatcher, path: bytes
) -> None:
    got = answers(service, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + LAST + b"\r\n")
    assert statuses(got) == [404]


@pytest.mark.parametrize("head", [b"CANARY /launch", b"PUT /launch?canary", b"GET /canary",
                                  b"POST /launch/", b"POST //launch", b"OPTIONS *"])  # fmt: skip
def test_other_lines_are_refused_without_an_echo(service: Dispatcher, head: bytes) -> None:
    got = answers(service, head + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
    assert set(statuses(got)) <= {404, 405}
    assert statuses(got)
    assert b"canary" not in got.lower()


def test_a_body_that_comes_byte_by_byte_is_not_waited_for(service: Dispatcher) -> None:
    url = service.http.base_url
    with socket.create_connection((url.host, url.port or 0), WAIT_TIMEOUT_S) as line:
        line.sendall(post(GOOD)[: -len(GOOD)])
        line.settimeout(0.05)
        got = b""
        for byte in GOOD * 3:
            with suppress(TimeoutError):
                got = line.recv(999)
            if got:
                break
            line.sendall(bytes([byte]))
        assert statuses(got) == [400]
        assert b"canary" not in got
