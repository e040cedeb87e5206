"""Loopback is asked directly, other hosts as the environment says, and only our errors come out.

What a server says of its refusal is shown in its own words; nothing is guessed from its status.
"""

import asyncio
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
import trustme

from agent_side import launch
from agent_side.join import JoinInfo
from agent_side.launch import AvatarError, LaunchError
from agent_side.launching.reach import is_loopback, proxy_for

TOKEN = "eyJ.canary.sig"
JOIN = JoinInfo("room", TOKEN, "avatar")


class Answering(BaseHTTPRequestHandler):
    """Answers every request alike and keeps its first line."""

    status = 200
    body = b"{}"
    seen: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def do_CONNECT(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        self.seen.append(self.requestline)
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)


@contextmanager
def server(
    status: int = 200, body: bytes = b"{}", authority: trustme.CA | None = None, name: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """The port of one that answers like that, and what it was asked; TLS with an `authority`."""
    seen: list[str] = []
    handler = type("Handler", (Answering,), {"status": status, "body": body, "seen": seen})
    with HTTPServer(("127.0.0.1", 0), handler) as serving:
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name or "127.0.0.1").configure_cert(context)
            serving.socket = context.wrap_socket(serving.socket, server_side=True)
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield serving.server_port, seen
        finally:
            serving.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "CONNECT_PAUSES_S", (0.0,))


def reports(url: str) -> str:
    """What comes of asking there: ``taken``, or the error's text. Other errors come out."""
    try:
        asyncio.run(launch.launch(url, JOIN))
    except AvatarError as error:
        text = str(error)
    else:
        text = "taken"
    assert TOKEN not in text
    return text


@pytest.mark.parametrize(
    ("host", "here"),
    [
        *((host, True) for host in ("localhost", "LOCALHOST.", "a.localhost", "127.0.0.1")),
        *((host, True) for host in ("127.1", "127.8.9.1", "0.0.0.0", "0", "2130706433")),
        *((host, True) for host in ("::1", "[::1]", "::", "::ffff:127.0.0.1")),
        *(
            (host, False)
            for host in ("example.com", "10.0.0.1", "localhost.example.com", "fd00::1")
        ),
        *((host, False) for host in ("", "127.0.0.1.nip.io", "128.0.0.1")),
    ],
)
def test_this_machine_is_known_however_it_is_written(host: str, here: bool) -> None:
    assert is_loopback(host) is here


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({"HTTP_PROXY": "http://p:1"}, "http://d.test/launch", "http://p:1"),
        ({"http_proxy": "p:1"}, "http://d.test/launch", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://d.test/launch", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://d.test/launch", "http://p:1"),
        ({"ALL_PROXY": "socks://p:1"}, "https://d.test/launch", "socks5://p:1"),
        ({"ALL_PROXY": "http://p:1", "HTTP_PROXY": "http://q:1"}, "http://d.test", "http://q:1"),
        *(
            ({"ALL_PROXY": "http://p:1"}, f"http://{host}/launch", None)
            for host in ("127.0.0.1:8089", "localhost", "127.1", "0.0.0.0:1", "[::1]:8089")
        ),
        *(
            ({"ALL_PROXY": "http://p:1", "NO_PROXY": listed}, "http://d.test:80/launch", None)
            for listed in ("*", "d.test", ".test", "*.test", "x, test", "d.test:80", "D.TEST")
        ),
        *(
            ({"ALL_PROXY": "http://p:1", "NO_PROXY": listed}, "http://d.test/launch", "http://p:1")
            for listed in ("[::1]", "", ",", "est", "d.test:81", "a.d.test", "10.0.0.0/8", "://[")
        ),
        *(
            ({"ALL_PROXY": "http://p:1", "NO_PROXY": listed}, "http://10.1.2.3/launch", None)
            for listed in ("10.1.2.3", "10.0.0.0/8", "[::1],10.1.2.3:80")
        ),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "[fd00::1]"}, "http://[fd00::1]/launch", None),
    ],
)
def test_the_environment_says_which_proxy_is_asked(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], url: str, proxy: str | None
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(httpx.URL(url))
    assert (found and found.url) == proxy


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0.0.0.0"])
@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_a_dispatcher_on_this_machine_is_never_asked_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, host: str, name: str
) -> None:
    with server() as (port, seen), server(403) as (elsewhere, by_proxy):
        monkeypatch.setenv(name, f"http://127.0.0.1:{elsewhere}")
        assert reports(f"http://{host}:{port}/launch") == "taken"
        assert (len(seen), by_proxy) == (1, [])


@pytest.mark.parametrize(
    "environ",
    [
        {"ALL_PROXY": "socks5://127.0.0.1:1"},
        {"ALL_PROXY": "socks://127.0.0.1:1"},
        {"ALL_PROXY": "nonsense"},
        {"NO_PROXY": "[::1]", "HTTP_PROXY": "http://127.0.0.1:1"},
        {"NO_PROXY": "http://[", "http_proxy": "http://["},
        {"SSL_CERT_FILE": "/nowhere.pem"},
    ],
)
def test_what_is_for_other_hosts_does_not_concern_this_machine(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with server() as (port, _):
        assert reports(f"http://127.0.0.1:{port}/launch") == "taken"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"ALL_PROXY": "socks5://u:hidden@p:1"}, ["socks5://p:1 of ALL_PROXY", "httpx[socks]"]),
        ({"all_proxy": "socks://p:1"}, ["socks5://p:1 of all_proxy", "NO_PROXY"]),
        ({"HTTPS_PROXY": "foo://p:1"}, ["foo://p:1 of HTTPS_PROXY", "no address of a proxy"]),
        ({"HTTPS_PROXY": "http://["}, ["HTTPS_PROXY", "NO_PROXY"]),
        ({"SSL_CERT_FILE": "/nowhere.pem"}, ["SSL_CERT_FILE is '/nowhere.pem'", "unset it"]),
        ({"SSL_CERT_FILE": __file__}, ["SSL_CERT_FILE", "PEM"]),
    ],
)
def test_what_cannot_be_used_is_said_by_its_name(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], said: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    text = reports("https://d.invalid/launch")
    assert all(each in text for each in said), text
    assert "hidden" not in text


def test_the_refusal_of_a_proxy_is_not_taken_for_the_dispatchers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for url in ("http://d.invalid/launch", "https://d.invalid/launch"):
        with server(403, b"<html>Forbidden</html>") as (port, seen):
            monkeypatch.setenv("ALL_PROXY", f"http://me:hidden@127.0.0.1:{port}")
            text = reports(url)
            assert seen
        assert f"through the proxy http://127.0.0.1:{port} of ALL_PROXY" in text
        assert "add d.invalid to NO_PROXY" in text
        assert "403" in text
        assert "allow_join" not in text
        assert "hidden" not in text


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b'{"error": "The host is none of AVATAR_ALLOWED_HOSTS."}', "AVATAR_ALLOWED_HOSTS"),
        (422, b'{"detail": "No such room."}', "answered 422: No such room"),
        (503, b'{"error": "All 4 slots are taken; try again later."}', "All 4 slots are taken"),
        (401, b'{"error": "The token is none that is known here."}', "none that is known here"),
        (403, b"<html></html>", "answered 403. It gives no reason"),
        (500, b'{"error": ["a"]}', "answered 500. It gives no reason"),
        (400, b"[" * 100_000, "answered 400. It gives no reason"),
        (400, b'{"error": "eyJ.secret.sig\\n\\u001b[2J"}', "answered 400: *** [2J"),
    ],
)
def test_the_servers_own_sentence_is_shown(status: int, body: bytes, said: str) -> None:
    with server(status, body) as (port, _):
        text = reports(f"http://127.0.0.1:{port}/launch")
    assert said in text
    assert "allow_join" not in text
    assert text.isprintable()


def test_an_unknown_authority_is_said_and_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    with server(authority=authority) as (port, seen):
        url = f"https://127.0.0.1:{port}/launch"
        text = reports(url)
        assert "a certificate that is not trusted" in text
        assert "SSL_CERT_FILE" in text
        assert seen == []
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert reports(url) == "taken"


def test_a_certificate_for_another_name_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with server(authority=authority, name="other.test") as (port, _):
        text = reports(f"https://127.0.0.1:{port}/launch")
    assert "Ask under a name that is in its certificate" in text


def test_https_where_there_is_none_is_said() -> None:
    with server() as (port, _):
        assert "TLS" in reports(f"https://127.0.0.1:{port}/launch")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_nobody_there_is_said_with_the_systems_reason(host: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://{host}:{nobody.getsockname()[1]}/launch"
        with pytest.raises(LaunchError, match="this very machine") as caught:
            asyncio.run(launch.launch(url, JOIN))
    assert caught.value.status is None
