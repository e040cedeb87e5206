"""The worker program: what it reads, what it refuses, how it ends."""

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import plain_renderer
import pytest
from processes import delivered, until
from signalling import Certificate, Signalling

from agent_side.join import JoinInfo
from avatar_runtime.messages.commands import Assignment, JoinCommand
from worker.__main__ import MAX_REQUEST, read_join, with_character
from worker.errors import InputError, RendererError, WorkerSettingsError
from worker.process.loading import load_renderer, renderer_names
from worker.settings import Settings

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"
TOKEN = "eyJ.secret-token.sig"
JOIN = JoinInfo("room", TOKEN, "face")
PLAIN = Settings(renderer="plain_renderer:create", character="plain", width=64, height=64)
WAIT_TIMEOUT_S = 60


@contextmanager
def worker(
    *program: str, stderr: int = subprocess.PIPE, **settings: str
) -> Iterator["subprocess.Popen[str]"]:
    """The program in a process of its own; ``-m worker`` unless another is given."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AVATAR_")}
    environ |= {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(SUPPORT)]),
        "AVATAR_RENDERER": PLAIN.renderer,
        "AVATAR_SIZE": "64x64",
    }
    process = subprocess.Popen(
        [sys.executable, "-P", *(program or ("-m", "worker"))],
        env=environ | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: "subprocess.Popen[str]", text: str = "") -> tuple[int, str]:
    """The exit status and stderr of the program when `text` is all its stdin."""
    _, errors = process.communicate(text, timeout=WAIT_TIMEOUT_S)
    return process.returncode, errors


# What it reads -------------------------------------------------------------------------------


def test_the_join_request_is_one_line() -> None:
    line = JOIN.to_json().encode() + b"\n"
    assert read_join(io.BytesIO(line + b"more")) == JoinCommand(JOIN)


def test_the_dispatcher_may_add_which_session_it_is() -> None:
    request = {**json.loads(JOIN.to_json()), "assignment": {"session_id": "5", "epoch": 2}}
    line = json.dumps(request).encode()
    assert read_join(io.BytesIO(line)) == JoinCommand(JOIN, Assignment("5", 2))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "No join request came"),
        (b"\n", "not JSON"),
        (b'{"room_name": "r"}', "needs `token`"),
        (b"x" * (MAX_REQUEST + 1), "longer than"),
    ],
)
def test_a_join_request_that_cannot_be_used_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(WorkerSettingsError, match=reason):
        read_join(io.BytesIO(text))


def test_the_join_request_chooses_the_character() -> None:
    renderer = load_renderer(PLAIN)
    settings, face = with_character(PLAIN, renderer, replace(JOIN, character="ada"))
    assert settings == replace(PLAIN, character="ada")
    assert face is not renderer
    assert with_character(PLAIN, renderer, JOIN) == (PLAIN, renderer)
    assert with_character(PLAIN, renderer, replace(JOIN, character="plain")) == (PLAIN, renderer)
    with pytest.raises(InputError, match="'nobody'"):
        with_character(PLAIN, renderer, replace(JOIN, character="nobody"))


@pytest.mark.parametrize("name", ["../ada", "/etc", "./ada", "~/ada", "ada.zip", "a/b", ""])
def test_a_join_request_cannot_name_a_path(name: str) -> None:
    renderer = load_renderer(PLAIN)
    with pytest.raises(InputError, match="has to be a name of letters from a to z"):
        with_character(PLAIN, renderer, replace(JOIN, character=name))


# Renderers by name ---------------------------------------------------------------------------


def test_a_renderer_of_somebody_else_is_named_by_its_function() -> None:
    assert isinstance(load_renderer(PLAIN), plain_renderer.PlainRenderer)


def test_the_renderers_that_ship_are_named_by_their_file() -> None:
    assert "character" in renderer_names()
    load_renderer(Settings()).close()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nobody", r"no renderer 'nobody'; choose one of character.* package\.module:create"),
        ("../character", "no renderer '../character'"),
        ("", "no renderer ''"),
        ("no.such.module:create", r"cannot be imported \(ModuleNotFoundError"),
        ("plain_renderer:nothing", "has no function 'nothing'"),
        ("plain_renderer:LOOK_AHEAD", "has no function 'LOOK_AHEAD'"),
        ("builtins:len", r"cannot be made \(TypeError"),
        ("builtins:repr", "made a str; its class has to inherit from worker.renderer.Renderer"),
        (":create", r"cannot be imported \(ValueError"),
    ],
)
def test_a_renderer_that_cannot_be_had_is_named(name: str, reason: str) -> None:
    with pytest.raises(RendererError, match=reason):
        load_renderer(replace(PLAIN, renderer=name))


# What it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "request_line", "reason"),
    [
        ({"AVATAR_SIZE": "huge"}, JOIN.to_json(), "AVATAR_SIZE is 'huge'"),
        ({"AVATAR_CHARACTER": "nobody"}, JOIN.to_json(), "no character 'nobody'"),
        ({}, replace(JOIN, character="nobody").to_json(), "no character 'nobody'"),
        ({}, json.dumps({"room_name": 5, "token": TOKEN}), "needs `room_name`"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_status_2(
    settings: dict[str, str], request_line: str, reason: str
) -> None:
    with worker(AVATAR_LOG_LEVEL="WARNING", **settings) as process:
        status, errors = ended(process, request_line)
    assert status == 2
    assert errors.startswith("worker: ")
    assert reason in errors
    assert errors.count("\n") == 1
    assert TOKEN not in errors


def test_help_names_every_setting() -> None:
    with worker("-m", "worker", "--help") as process:
        text, _ = process.communicate(timeout=WAIT_TIMEOUT_S)
    assert process.returncode == 0
    for name in Settings.__dataclass_fields__:
        variable = "AVATAR_SIZE" if name in ("width", "height") else f"AVATAR_{name.upper()}"
        assert variable in text


def test_a_meeting_that_is_not_there_is_status_1() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{closed.getsockname()[1]}"
        with worker() as process:
            status, errors = ended(process, replace(JOIN, signaling_base_url=host).to_json())
    assert status == 1
    assert errors.splitlines()[-1].startswith(f"worker: {host} cannot be reached")


async def test_the_program_joins_through_the_sdk_and_shows_nobody_the_token(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path)
    async with Signalling().running(certificate) as room:
        with worker(
            REQUESTS_CA_BUNDLE=str(certificate.path),
            AVATAR_JOIN_TIMEOUT_S="3",
            AVATAR_LOG_LEVEL="DEBUG",
        ) as process:
            request_line = replace(JOIN, signaling_base_url=room.host).to_json()
            status, errors = await asyncio.to_thread(ended, process, request_line)
        assert room.queries[0]["secret"] == TOKEN
        assert "produceData" in room.methods
    assert status == 1
    assert "media servers" in errors.splitlines()[-1]
    assert TOKEN not in errors


# How it ends ---------------------------------------------------------------------------------


def test_a_signal_while_it_waits_for_a_request_ends_it_quietly() -> None:
    with worker() as process:
        assert process.stderr is not None
        assert "warm, waiting" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        status, errors = ended(process)
    assert status == 0
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_turn_end_first(number: signal.Signals) -> None:
    with worker(AVATAR_MEETING="worker_in_memory:create") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(JOIN.to_json() + "\n")
        process.stdin.flush()
        lines = iter(process.stdout)
        assert next(lines) == "joined\n"
        assert next(lines) == "speaking\n"
        process.send_signal(number)
        rest, errors = process.communicate(timeout=WAIT_TIMEOUT_S)
    ack, left = rest.splitlines()
    assert json.loads(ack)["data"] == {"playback_position": 2.0, "interrupted": False}
    assert left == "left"
    assert process.returncode == 0, errors


def test_a_second_signal_makes_it_leave_at_once() -> None:
    with worker(AVATAR_MEETING="worker_in_memory:create") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(JOIN.to_json() + "\n")
        process.stdin.flush()
        lines = iter(process.stdout)
        assert [next(lines), next(lines)] == ["joined\n", "speaking\n"]
        process.send_signal(signal.SIGTERM)
        until(partial(delivered, process.pid, signal.SIGTERM))
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=WAIT_TIMEOUT_S)
    assert rest == "left\n", "before the turn has ended"
    assert process.returncode == 0, errors
