"""`avatar serve --local`: a room of our own beside the dispatcher, which ends with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from dispatching import ROOT, WAIT_TIMEOUT_S, Dispatcher, dispatcher, environ
from processes import alive, shown, until

BROKEN = """
import os, sys

if "localroom" in sys.orig_argv:
    os.write(2, b"no room here\\n")
    os._exit(3)
"""
"""What Python runs first, before any program."""

REAL = {"AVATAR_MEETING": "videosdk"}


def the_room(running: Dispatcher) -> int:
    (room,) = running.children() - {running.zygote()}
    return room


def test_it_says_what_to_do_in_lines_for_a_shell(tmp_path: Path) -> None:
    with dispatcher(tmp_path / "log", "--local", **REAL) as running:
        variables = running.exported()
        assert variables["AVATAR_DISPATCHER_URL"] == str(running.http.base_url.join("/launch"))
        assert Path(variables["REQUESTS_CA_BUNDLE"]).is_file()
        zygote = shown(running.zygote(), "environ")
        assert f"REQUESTS_CA_BUNDLE={variables['REQUESTS_CA_BUNDLE']}".encode() in zygote
        assert running.stop() == 0
        assert not Path(variables["REQUESTS_CA_BUNDLE"]).exists()


def test_it_says_where_to_see_the_face(tmp_path: Path) -> None:
    with dispatcher(tmp_path / "log", "--local", **REAL) as running:
        (line,) = (each for each in running.printed().splitlines() if "browser" in each)
        page = httpx.get(line.split()[-1])
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")


def test_a_request_that_names_no_host_leads_to_the_local_room(tmp_path: Path) -> None:
    with dispatcher(tmp_path / "log", "--local", "--port", "0", **REAL) as running:
        named = {"signaling_base_url": running.exported()["SIGNALING_BASE_URL"]}
        for room, fields in {"room": {}, "room-2": named}.items():
            running.reach(running.launched(room, **fields), "active")
        assert running.launch("room-3", signaling_base_url="other.net").status_code == 422


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_room_is_gone_it_says_so_and_ends(tmp_path: Path, number: signal.Signals) -> None:
    """A room that is killed cannot tidy up, so its certificate is left where the test looks."""
    with dispatcher(tmp_path / "log", "--local", **REAL, TMPDIR=str(tmp_path)) as running:
        running.reach(running.launched("room"), "active")
        family = running.family()
        os.kill(the_room(running), number)
        assert running.process.wait(WAIT_TIMEOUT_S) == 1
        assert not any(map(alive, family))
        assert "avatar serve: The local room has ended (exit status " in running.log()
        assert "Traceback" not in running.log()


def test_a_room_that_does_not_open_is_said(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    settings = environ(**REAL)
    settings["PYTHONPATH"] = os.pathsep.join([str(tmp_path), settings["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-P", ROOT / "avatar_cli.py", "serve", "--local"],
        env=settings,
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    *_, last = done.stderr.splitlines()
    assert last == "avatar serve: The local room did not open; see above what it said."
    assert "no room here" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_it_all_whenever_it_comes(tmp_path: Path) -> None:
    """Before it listens, too."""
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dispatcher", "--local"],
            env=environ(**REAL),
            stderr=log,
            stdout=log,
        )
    path = f"/proc/{process.pid}/task/{process.pid}/children"
    until(lambda: Path(path).read_text())
    children = [int(each) for each in Path(path).read_text().split()]
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_TIMEOUT_S) == 0
    until(lambda: not any(map(alive, children)))
    assert "Traceback" not in (tmp_path / "log").read_text()
