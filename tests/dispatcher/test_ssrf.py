"""A join request leads to the signalling hosts that are allowed, and makes nobody talk to others.

A canary listens on every address of this machine, and an audit hook in each process of the
dispatcher writes down whom it looks up, connects to or sends to: nobody.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from dispatching import Dispatcher, dispatcher, environ
from hypothesis import assume, given
from hypothesis import strategies as st
from processes import until
from thorough import thorough
from wiretap import Wiretap

MOST_EXAMPLES = 300


@dataclass
class Canary:
    """A server that counts who comes."""

    port: int
    hits: int = 0


@contextmanager
def canary() -> Iterator[Canary]:
    """On all addresses of this machine, IPv4 and IPv6."""
    server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    counted = Canary(server.getsockname()[1])

    def count() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            counted.hits += 1
            line.close()

    counting = threading.Thread(target=count, name="canary")
    counting.start()
    try:
        yield counted
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        counting.join()


class Scene(NamedTuple):
    running: Dispatcher
    allowed: Canary
    forbidden: Canary
    wiretap: Wiretap


@contextmanager
def dispatching(folder: Path) -> Iterator[Scene]:
    """A dispatcher whose workers would join through the real SDK."""
    wiretap = Wiretap(folder)
    with (
        canary() as allowed,
        canary() as forbidden,
        dispatcher(
            folder / "log",
            AVATAR_MEETING="videosdk",
            AVATAR_SIGNALING_HOSTS=f"127.0.0.1:{allowed.port}",
            AVATAR_SLOTS="2",
            AVATAR_WARM="1",
            AVATAR_RATE="off",
            AVATAR_REFUSALS="off",
            PYTHONPATH=wiretap.path(environ()["PYTHONPATH"]),
        ) as running,
    ):
        running.warm(1)
        yield Scene(running, allowed, forbidden, wiretap)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with dispatching(tmp_path_factory.mktemp("ssrf")) as made:
        yield made


def names(port: int) -> list[str]:
    """This machine, under every name by which some library would know it."""
    return [
        f"{name}:{port}"
        for name in (
            "127.0.0.1", "localhost", "LOCALHOST.", "127.1", "127.0.1", "0", "0.0.0.0",
            "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.000.000.001",
            "[::1]", "[::]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "[::1%25lo]",
            "\u2460\u2461\u2466.0.0.1", "127\u3002\u2070\u3002\u2070\u30021", "localtest.me",
            "127.0.0.1.nip.io", socket.gethostname(),
        )
    ]  # fmt: skip


def tricks(allowed: str, forbidden: str) -> list[str]:
    """Ways in which one parser reads the first host in it, and another one the second."""
    return [
        forbidden,
        f"{allowed}@{forbidden}", f"{forbidden}@{allowed}", f"{allowed}:x@{forbidden}",
        f"{allowed}#@{forbidden}", f"{forbidden}#{allowed}", f"{forbidden}#@{allowed}",
        f"{allowed}?@{forbidden}", f"{forbidden}?{allowed}", f"{forbidden}/{allowed}",
        f"{forbidden}/@{allowed}", f"{allowed}\\@{forbidden}", f"{forbidden}\\@{allowed}",
        f"{allowed}/../{forbidden}", f"//{forbidden}", f"///{forbidden}/", f"http://{forbidden}",
        f"https://{forbidden}/{allowed}", f"http:{forbidden}", f"gopher://{forbidden}/_x",
        f"{allowed} {forbidden}", f"{allowed},{forbidden}", f"{allowed}%00{forbidden}",
        f"{allowed}%2f@{forbidden}", f"{allowed}%40{forbidden}", f"{forbidden}%2523{allowed}",
        f"{allowed};@{forbidden}", f"{allowed}&@{forbidden}", f"{allowed}\u200b@{forbidden}",
        f"{allowed}\uff20{forbidden}", f"{forbidden}\uff0f{allowed}", f"{allowed}.{forbidden}",
        f"[{allowed}]@{forbidden}", f"{allowed}@@{forbidden}", f"{allowed}+{forbidden}",
    ]  # fmt: skip


PIECES = st.sampled_from(
    [*"/@?#\\:.%[];&,|~ *", "//", "..", "%2f", "%40", "%00", "\u2024", "\u3002", "\uff0e", "\uff20",
     "http:", "https://", "user", "api.videosdk.live", "169.254.169.254", "127.0.0.1",
     "localhost", "[::1]", "evil.net", "ALLOWED", "FORBIDDEN"]
)  # fmt: skip


def refused(scene: Scene, host: str) -> None:
    """422, in words that repeat nothing of it."""
    answer = scene.running.launch("room", signaling_base_url=host)
    assert answer.status_code == 422, host
    assert "`signaling_base_url`" in answer.json()["error"]
    assert str(scene.forbidden.port) not in answer.text


@contextmanager
def silence(scene: Scene) -> Iterator[None]:
    """Nobody is talked to meanwhile, and nothing begins that might."""
    before = scene.wiretap.heard()
    yield
    assert scene.wiretap.heard() == before
    assert scene.forbidden.hits == 0
    assert scene.allowed.hits == 0
    assert scene.running.sessions() == []


def test_no_name_of_a_host_and_no_trick_makes_anybody_talk(scene: Scene) -> None:
    allowed = f"127.0.0.1:{scene.allowed.port}"
    with silence(scene):
        for forbidden in names(scene.forbidden.port):
            for host in tricks(allowed, forbidden):
                refused(scene, host)


@thorough(MOST_EXAMPLES)
@given(pieces=st.lists(PIECES, min_size=1, max_size=7))
def test_nothing_else_makes_anybody_talk(scene: Scene, pieces: list[str]) -> None:
    allowed = f"127.0.0.1:{scene.allowed.port}"
    text = "".join(pieces)
    text = text.replace("ALLOWED", allowed)
    text = text.replace("FORBIDDEN", f"127.0.0.1:{scene.forbidden.port}")
    assume(text not in ("", allowed))
    with silence(scene):
        refused(scene, text)


def test_an_allowed_host_is_talked_to_and_both_notice(tmp_path: Path) -> None:
    """The canary and the wiretap would have sung."""
    with dispatching(tmp_path) as scene:
        scene.running.launched("room", signaling_base_url=f"127.0.0.1:{scene.allowed.port}")
        until(lambda: scene.allowed.hits > 0, 20)
        assert any(str(scene.allowed.port) in line for line in scene.wiretap.heard())
        assert scene.forbidden.hits == 0
