"""Whatever the environment has, our own programs run, and what has no effect there is named.

A table of environments and commands: what is printed, and the exit status.
"""

import asyncio
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from dispatching import ROOT, TOKEN, dispatcher, environ
from nodes import SEAL_KEY

from avatar_cli import COMMANDS
from avatar_runtime.proxies import direct_loopback
from avatar_runtime.settings.kinds import NODE
from avatar_runtime.settings.pages import help_of
from avatar_runtime.settings.table import KNOWN, SECRETS
from avatar_runtime.variables import doubts, own
from dispatcher.settings import DispatcherSettings
from worker.settings import Settings as WorkerSettings

SUPPORT = ROOT / "tests" / "support"
THEIRS = (
    *("agent_side", "avatar_runtime", "dispatcher", "localroom", "worker"),
    *("fastapi", "limits", "redis", "requests", "structlog", "videosdk", "websockets"),
)
"""Names of ours and of our dependencies that somebody else's file may have."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder such as an agent's /app, whose modules end whoever imports them."""
    folder = tmp_path_factory.mktemp("app")
    for name in THEIRS:
        (folder / f"{name}.py").write_text(f"raise SystemExit('somebody else is {name}')\n")
    return folder


def avatar(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """The command as it is installed, in an environment of ours with `settings`."""
    return subprocess.run(
        [sys.executable, "-P", str(ROOT / "avatar_cli.py"), *arguments],
        env={**environ(), **settings},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )


# Modules of somebody else's in PYTHONPATH -------------------------------------------------------


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_runs_ours(name: str, app: Path) -> None:
    """The command itself is found as an installation has it: outside PYTHONPATH."""
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import avatar_cli; avatar_cli.main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", start, name, "--help"],
        env={**environ(), "PYTHONPATH": str(app)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"usage: avatar {name}" in done.stdout


def test_a_dispatcher_its_zygote_and_its_workers_are_ours(tmp_path: Path, app: Path) -> None:
    """A renderer of the operator's own is found where PYTHONPATH says all the same."""
    places = os.pathsep.join([str(app), str(ROOT), str(SUPPORT)])
    with dispatcher(tmp_path / "log", PYTHONPATH=places) as running:
        running.reach(running.launched("room"), "active")
        assert running.stop() == 0
        assert "somebody else" not in running.log()


def test_the_room_beside_it_is_ours(tmp_path: Path, app: Path) -> None:
    places = os.pathsep.join([str(app), str(ROOT), str(SUPPORT)])
    with dispatcher(tmp_path / "log", "--local", PYTHONPATH=places) as running:
        assert running.exported()["SIGNALING_BASE_URL"].startswith("127.0.0.1:")
        assert running.stop() == 0


@pytest.mark.parametrize("folder", ["dispatcher", "worker", "benchmarks"])
def test_no_program_of_ours_is_spawned_by_a_name_that_others_may_have(folder: str) -> None:
    spawning = re.compile(r'"-m",\s*(PROGRAM|"(worker|dispatcher|localroom))')
    files = (ROOT / folder).rglob("*.py")
    assert [path.name for path in files if spawning.search(path.read_text("utf-8"))] == []


# Variables that have no effect ------------------------------------------------------------------

PORT_LINK = "AVATAR_PORT is the address of a service called 'avatar', which Kubernetes has set"


@pytest.mark.parametrize(
    ("arguments", "settings", "status", "said"),
    [
        (["worker"], {"AVATAR_SIZ": "64x64"}, 2, "did you mean AVATAR_SIZE?"),
        (["node"], {"AVATAR_REDIS_ULR": "redis://h"}, 2, "did you mean AVATAR_REDIS_URL?"),
        (["serve", "--port", "x"], {"AVATAR_PORTT": "44"}, 2, "did you mean AVATAR_PORT?"),
        (["serve", "--port", "x"], {"AVATAR_PORT": "tcp://10.0.0.7:8089"}, 2, PORT_LINK),
        (["room", "--port", "x"], {"AVATAR_PORTT": "44"}, 2, "did you mean AVATAR_PORT?"),
        (["speak", "no.wav", "-o", "x.mp4"], {"AVATAR_CHARCTER": "leo"}, 2, "AVATAR_CHARACTER?"),
        (["replay", "no.avatar", "--events"], {"AVATAR_RECRD": "x"}, 2, "AVATAR_RECORD?"),
        (["doctor"], {"AVATAR_STILNESS": "1"}, 1, "did you mean AVATAR_STILLNESS?"),
    ],
)
def test_a_variable_without_effect_is_named(
    arguments: list[str], settings: dict[str, str], status: int, said: str
) -> None:
    """By each program; test_doctor.py has all that the doctor names."""
    done = avatar(*arguments, **settings)
    assert said in done.stdout + done.stderr
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert (done.stdout + done.stderr).count(said) == 1


def test_a_service_called_avatar_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    """What Kubernetes sets for it; the port is the default then, which may be taken here."""
    links = {
        "AVATAR_SERVICE_HOST": "10.0.0.7",
        "AVATAR_SERVICE_PORT": "8089",
        "AVATAR_SERVICE_PORT_LAUNCH": "8089",
        "AVATAR_PORT": "tcp://10.0.0.7:8089",
        "AVATAR_PORT_8089_TCP": "tcp://10.0.0.7:8089",
        "AVATAR_PORT_8089_TCP_PROTO": "tcp",
        "AVATAR_PORT_8089_TCP_PORT": "8089",
        "AVATAR_PORT_8089_TCP_ADDR": "10.0.0.7",
        "AVATAR_ADMIN_PORT": "tcp://10.0.0.8:8090",
        "AVATAR_DISPATCHER_PORT": "tcp://10.0.0.9:8089",
    }
    assert DispatcherSettings.from_env(links) == DispatcherSettings.from_env({})
    named = [doubt.partition(" ")[0] for doubt in doubts(links)]
    assert named == ["AVATAR_ADMIN_PORT", "AVATAR_PORT"]
    log = tmp_path / "log"
    with dispatcher(log, "--port", "0", "--local", **links) as running:
        assert running.stop() == 0
        assert running.log().count(PORT_LINK) == 1


def test_what_is_ours_is_taken_for_no_service() -> None:
    ours = dict.fromkeys(KNOWN, "1")
    assert doubts(ours) == []
    assert own(ours) == ours


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("AVATAR_PORTT", "AVATAR_PORT"),
        ("AVATAR_PROT", "AVATAR_PORT"),
        ("AVATAR_SLOT", "AVATAR_SLOTS"),
        ("AVATAR_AUHT", "AVATAR_AUTH"),
        ("AVATAR_REDISURL", "AVATAR_REDIS_URL"),
        ("AVATAR_JWT_KEY_FILE", "AVATAR_JWT_KEYS_FILE"),
        ("AVATAR_ALLOWED_HOST", "AVATAR_ALLOWED_HOSTS"),
        ("AVATAR_CHARCTER", "AVATAR_CHARACTER"),
    ],
)
def test_the_nearest_name_is_meant(name: str, near: str) -> None:
    assert doubts({name: "1"}) == [f"{name} is no setting and has no effect; did you mean {near}?"]


def test_every_setting_is_a_known_name() -> None:
    """What the programs read, what their help says, and what deploy/ sets."""
    fields = {*DispatcherSettings.__dataclass_fields__, *WorkerSettings.__dataclass_fields__}
    read = {f"AVATAR_{name.upper()}" for name in fields - {"width", "height"}}
    files = [
        path
        for folder in (
            "agent_side",
            "avatar_runtime",
            "dispatcher",
            "localroom",
            "worker",
            "deploy",
        )
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".yaml", ".service", "") and path.is_file()
    ]
    named = {
        name
        for path in files
        if "secrets" not in path.parts
        for name in re.findall(r"\bAVATAR_[A-Z_]*[A-Z](?![A-Z_<{%])\b", path.read_text("utf-8"))
    }
    unknown = {name for name in read | named if name not in KNOWN and doubts({name: "1"})}
    assert unknown == set()
    assert {f"{name}_FILE" for name in SECRETS} <= KNOWN


# Help ---------------------------------------------------------------------------------------------


def test_the_help_of_a_node_has_what_a_node_reads_and_no_more() -> None:
    files = (ROOT / "dispatcher" / "node").glob("*.py")
    names = re.findall(r"(?<![.\w])settings\.([a-z_]+)", "".join(map(Path.read_text, files)))
    read = {f"AVATAR_{name.upper()}" for name in names}
    listed = set(re.findall(r"^  (AVATAR_\w+)  ?", help_of(NODE), re.MULTILINE))
    assert listed == read


# Proxies ------------------------------------------------------------------------------------------


class Proxy(BaseHTTPRequestHandler):
    """Refuses everything, and keeps what it was asked for."""

    asked: list[str]

    def do_POST(self) -> None:
        self.asked.append(self.requestline)
        self.send_error(403)

    def do_GET(self) -> None:
        self.do_POST()

    def do_CONNECT(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (Proxy,), {"asked": asked})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("given", "listed"),
    [
        ({}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "a.test"}, "a.test,localhost,127.0.0.1,::1"),
        ({"no_proxy": "a.test, localhost", "NO_PROXY": "b"}, "b,a.test,localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "*"}, "*,localhost,127.0.0.1,::1"),
    ],
)
def test_loopback_is_added_to_what_is_asked_directly(given: dict[str, str], listed: str) -> None:
    assert direct_loopback(given) == {"NO_PROXY": listed, "no_proxy": listed}


def test_the_example_agent_speaks_behind_a_proxy_as_it_is_printed(
    tmp_path: Path, proxy: tuple[str, list[str]]
) -> None:
    """Room, dispatcher, worker and agent on this machine; the lines of the example's own text. The
    agent has a worker.py and a dispatcher.py of its own."""
    for name in ("worker", "dispatcher"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not for you')")
    places = os.pathsep.join([str(tmp_path), str(ROOT), str(SUPPORT)])
    address, asked = proxy
    through = dict.fromkeys(("HTTPS_PROXY", "http_proxy", "ALL_PROXY"), address)
    variables = tmp_path / "local.env"
    printed = shell_of_the_example()
    speech = tmp_path / "speech.wav"
    speech.write_bytes(short_speech())
    with dispatcher(
        tmp_path / "log",
        *("--local", "--env-file", str(variables)),
        AVATAR_MEETING="videosdk",
        PYTHONPATH=places,
        **through,
    ) as running:
        agent = subprocess.run(
            ["/bin/sh", "-ec", f"cd {shlex.quote(str(tmp_path))}\n{printed} {speech}"],
            env={**environ(), **through, "PYTHONPATH": places},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert agent.returncode == 0, agent.stderr + running.log()
        watch = running.exported()["LOCALROOM_CONTROL"] + "/watch/example/avatar"
        assert agent.stdout.splitlines() == [
            f"watch the face: {watch}",
            "turn 1: 1.00 s were heard, interrupted=False",
        ]
        assert running.stop() == 0
    assert asked == []
    assert TOKEN not in variables.read_text("utf-8")


def shell_of_the_example() -> str:
    """What its docstring has people type in the agent's shell."""
    text = (ROOT / "examples" / "agent.py").read_text("utf-8")
    start, run = re.findall(r"^    (set -a; .+|python examples/agent\.py)$", text, re.MULTILINE)
    assert "avatar serve --local --env-file local.env" in text
    return f"{start}\n{sys.executable} {shlex.quote(str(ROOT / run.split()[1]))}"


def short_speech() -> bytes:
    """One second of the speech that ships, as a WAV file."""
    import io
    import wave

    with wave.open(str(ROOT / "benchmarks" / "speech.wav"), "rb") as file:
        rate = file.getframerate()
        frames = file.readframes(rate)
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(frames)
    return target.getvalue()


# What `eval` and files get ------------------------------------------------------------------------


def test_a_shell_that_evaluates_the_printed_lines_goes_on(tmp_path: Path) -> None:
    """`avatar serve --local --background` ends once it has said all; what it started does not."""
    command = f'"{sys.executable}" -P "{ROOT / "avatar_cli.py"}" serve --local --background'
    script = (
        f'lines="$({command})"; eval "$lines"\n'
        'echo "$AVATAR_DISPATCHER_URL"; echo "$lines" | sed -n "s/^# To end it all: //p"'
    )
    with (tmp_path / "log").open("wb") as log:
        done = subprocess.run(
            ["/bin/sh", "-ec", script],
            env=environ(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            timeout=300,
            check=False,
        )
    url, end = done.stdout.splitlines()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/launch", url)
    number = int(end.removeprefix("kill "))
    assert asyncio.run(_ends(number))
    assert "starting a room" in (tmp_path / "log").read_text("utf-8").splitlines()[0]


async def _ends(number: int) -> bool:
    """Tell the process to end, which it does in its own time."""
    os.kill(number, 15)
    async with asyncio.timeout(60):
        while Path(f"/proc/{number}/stat").exists():
            state = Path(f"/proc/{number}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
            if state == "Z":
                return True
            await asyncio.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--env-file", "x"], "are for --local"),
        (["--background"], "are for --local"),
    ],
)
def test_options_for_the_local_room_alone_are_refused_without_it(
    arguments: list[str], said: str
) -> None:
    done = avatar("serve", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_file_of_variables_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    done = avatar("serve", "--local", "--env-file", str(tmp_path / "none" / "local.env"))
    assert done.returncode == 2
    assert "--env-file" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_ports_that_are_taken_are_said_and_others_are_used(tmp_path: Path) -> None:
    """Two rooms at their usual ports, one of which cannot have them."""
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-P", str(ROOT / "avatar_cli.py"), "room", "--until-eof"]
    rooms = [
        subprocess.Popen(
            command,
            env={**environ(), **cache},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    lines = [room.stdout.readline() for room in rooms if room.stdout]
    said = "".join(room.communicate(timeout=60)[1] for room in rooms)
    values = [dict(word.split("=", 1) for word in shlex.split(line)[1:]) for line in lines]
    first, second = (each["SIGNALING_BASE_URL"] for each in values)
    assert first != second
    assert "port 8092 is taken" in said


def test_a_setting_of_the_sealed_pool_is_known_to_the_doubts() -> None:
    assert doubts({"AVATAR_SEAL_KEYS": SEAL_KEY, "AVATAR_REDIS_URL_FILE": "x"}) == []
