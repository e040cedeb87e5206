"""A face needs no file to be written: what fails beside it is counted, told once, and ends nobody.

Whatever the machine lacks (space, a temporary folder, the right to write, any file at all), the
dispatcher starts, workers get ready, sessions are served, and what dies is replaced.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from dispatching import WAIT_TIMEOUT_S, Dispatcher, environ
from processes import alive, until
from scarce import SPARE_KB, full, read_only, running, without_files

from dispatcher import metrics
from dispatcher.degraded import CONSEQUENCES, Degraded
from dispatcher.workers import shared_numbers
from dispatcher.workers.shared_numbers import SharedNumbers
from localroom.authority import published

SERVE = [sys.executable, "-P", "-m", "dispatcher"]


def missing(folder: Path, command: Sequence[str]) -> list[str]:
    folder.rmdir()
    return [*command]


def nearly_full(folder: Path, command: Sequence[str]) -> list[str]:
    return full(folder, command, SPARE_KB)


def no_file(_: Path, command: Sequence[str]) -> list[str]:
    return without_files(command)


@contextmanager
def serving(log: Path, command: Sequence[str], **settings: str) -> Iterator[Dispatcher]:
    chosen = environ(AVATAR_SLOTS="2", AVATAR_WARM="1", **settings)
    with running(command, chosen, log) as process:
        service = Dispatcher(process, log)
        with service.http:
            yield service
        family = service.family()
    until(lambda: not any(map(alive, family)))


def ready(service: Dispatcher) -> Any:
    answer = httpx.get(f"{service.admin()}/readyz")
    assert answer.status_code == 200
    assert service.http.get("/readyz").json() == answer.json()
    return answer.json()


def counted(service: Dispatcher, name: str) -> float:
    lines = httpx.get(f"{service.admin()}/metrics").text.splitlines()
    return sum(float(each.split()[-1]) for each in lines if each.startswith(f"avatar_{name}"))


# The whole service ---------------------------------------------------------------------------


@pytest.mark.parametrize("scarcity", [missing, read_only, full, nearly_full, no_file])
def test_sessions_are_served_and_replaced_whatever_the_temporary_folder(
    scarcity: Callable[[Path, Sequence[str]], list[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    with serving(tmp_path / "log", scarcity(folder, SERVE), TMPDIR=str(folder)) as service:
        session = service.launched("room")
        service.reach(session, "active")
        killed = service.worker(session)
        os.kill(killed, signal.SIGKILL)
        until(lambda: service.worker(session) != killed, WAIT_TIMEOUT_S)
        service.reach(session, "active")
        os.kill(service.zygote(), signal.SIGKILL)
        until(lambda: "starting another" in service.log())
        until(lambda: service.launch("another").status_code == 200, WAIT_TIMEOUT_S)
        reports = ready(service)
        if scarcity is no_file or "degraded" in reports:  # a limit on files holds for memory, too
            assert reports["degraded"] == [f"{CONSEQUENCES['metrics']} (File too large)"]
            assert counted(service, 'degraded{part="metrics"}') == 1
            assert counted(service, 'auxiliary_failures_total{part="metrics"}') >= 4
            assert service.log().count("degraded: some workers") == 1
        else:
            assert reports == {"status": "ready"}
            until(lambda: counted(service, "frames_total") > 0)
        assert service.stop() == 0
        assert "Traceback" not in service.log()
        assert "signal 7" not in service.log()


@pytest.mark.parametrize(
    ("scarcity", "why"),
    [
        (full, ("No space left on device", "File too large")),
        (read_only, ("Read-only file system", "Permission denied")),
    ],
)
def test_sessions_go_on_where_none_can_be_recorded(
    scarcity: Callable[[Path, Sequence[str]], list[str]], why: Sequence[str], tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    command = scarcity(folder, SERVE)
    with serving(tmp_path / "log", command, AVATAR_RECORD=str(folder)) as service:
        until(lambda: "sessions are not recorded" in service.log())
        for room in ("one", "two"):
            service.reach(service.launched(room), "active")
        begin = f"{CONSEQUENCES['recording']} (AVATAR_RECORD is '{folder}': "
        until(lambda: counted(service, 'auxiliary_failures_total{part="recording"}') >= 3)
        (reports,) = [each for each in ready(service)["degraded"] if "recorded" in each]
        assert reports in [f"{begin}{each})" for each in why]
        assert counted(service, 'degraded{part="recording"}') == 1
        said = [line for line in service.log().splitlines() if "degraded: sessions" in line]
        assert len(said) == 1
        assert service.stop() == 0


def test_recordings_that_work_again_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.write_bytes(b"")
    with serving(tmp_path / "log", SERVE, AVATAR_RECORD=str(folder)) as service:
        until(lambda: "degraded" in ready(service))
        folder.unlink()
        service.reach(service.launched("goes"), "ended")
        until(lambda: ready(service) == {"status": "ready"})
        assert counted(service, 'degraded{part="recording"}') == 0
        assert "no longer degraded: recording works again" in service.log()
        assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("program", ["dispatcher", "dispatcher.node.program", "worker"])
@pytest.mark.parametrize("end", ["2>/dev/full", "2>&-"])
def test_the_last_words_of_a_program_need_no_reader(program: str, end: str) -> None:
    """The status is as documented where nobody can be told why."""
    command = f'exec "$0" -P -m {program} {end}'
    given = environ(AVATAR_PORT="no", AVATAR_REDIS_URL="no", AVATAR_SIZE="no")
    ended = subprocess.run(["sh", "-c", command, sys.executable], env=given, check=False)
    assert ended.returncode == 2


# The parts -----------------------------------------------------------------------------------


def test_a_part_that_fails_is_told_once_and_counted_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "avatar")
    degraded = Degraded()
    before = metrics.AUXILIARY_FAILURES["recording"]._value.get()
    for _ in range(3):
        degraded.failed("recording", "No space left on device")
    degraded.failed("of another version", "It is not known here.")
    assert degraded.sentences == ["sessions are not recorded (No space left on device)"]
    assert metrics.AUXILIARY_FAILURES["recording"]._value.get() - before == 3
    assert [each.levelname for each in caplog.records] == ["ERROR"]
    degraded.restored("recording")
    degraded.restored("recording")
    degraded.restored("of another version")
    assert degraded.sentences == []
    assert [each.levelname for each in caplog.records] == ["ERROR", "INFO"]


def test_every_part_has_its_metrics() -> None:
    assert set(CONSEQUENCES) == set(metrics.PARTS)


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), AttributeError("memfd")]
)
def test_a_block_that_cannot_be_made_is_tried_again(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise failure

    degraded = Degraded()
    numbers = SharedNumbers(degraded)
    with monkeypatch.context() as patched:
        patched.setattr(shared_numbers, "_make", fail)
        assert numbers.block(1) is None
    assert len(degraded.sentences) == 1
    numbers.reset_gauges(1)
    assert list(numbers.collect()) == []
    assert numbers.block(1) is not None
    assert degraded.sentences == []
    numbers.close()


FAR = b'{"avatar_frames": ["counter", "Pictures", [["avatar_frames_total", {}, 99999]]]}'


@pytest.mark.parametrize("noise", [b"\xff" * 64, b"[1, 2]", b'{"avatar_frames": 5}', b"{", FAR])
def test_a_block_that_cannot_be_read_hides_no_other(noise: bytes) -> None:
    numbers = SharedNumbers(Degraded())
    layout = b'{"avatar_frames": ["counter", "Pictures", [["avatar_frames_total", {}, 0]]]}'
    for number, text in ((1, noise), (2, layout)):
        block = numbers.block(number)
        assert block is not None
        os.pwrite(block, text, shared_numbers.LAYOUT_AT)
        os.pwrite(block, len(text).to_bytes(8, "little"), 0)
    (family,) = numbers.collect()
    assert [each.name for each in family.samples] == ["avatar_frames_total"]
    numbers.reset_gauges(1)
    numbers.close()


@pytest.mark.parametrize("place", [None, "/nonexistent", "/dev/null"])
def test_the_certificate_of_a_room_is_in_memory_where_no_file_can_be(place: str | None) -> None:
    with published("certificate", None, Path(place) if place else None, {}) as path:
        read = subprocess.run(["cat", str(path)], stdout=subprocess.PIPE, check=True)
        assert read.stdout == b"certificate"
    assert not path.exists()


ROOMS_WITHOUT_A_FOLDER = """
import runpy, sys, tempfile
tempfile.tempdir = "/nonexistent"
sys.argv[1:] = ["--until-eof", "--port", "0", "--control-port", "0"]
runpy.run_module("localroom", run_name="__main__")
"""


def test_a_local_room_opens_without_a_temporary_folder() -> None:
    room = subprocess.run(
        [sys.executable, "-P", "-c", ROOMS_WITHOUT_A_FOLDER],
        env=environ(XDG_CACHE_HOME="/proc/nowhere"),
        input=b"",
        capture_output=True,
        check=False,
    )
    assert room.returncode == 0, room.stderr
    assert b"REQUESTS_CA_BUNDLE=/proc/" in room.stdout


def test_the_doctor_says_what_is_degraded_and_that_nothing_is_missing(tmp_path: Path) -> None:
    program = [sys.executable, "-P", "-m", "worker.tools.doctor"]
    kept = tmp_path / "recordings"
    kept.mkdir()
    reports = subprocess.run(
        without_files(program),
        env=environ(AVATAR_RECORD=str(kept)),
        capture_output=True,
        text=True,
        check=False,
    )
    degraded = [line for line in reports.stdout.splitlines() if line.startswith("degraded ")]
    assert len(degraded) == 2, reports.stdout
    assert degraded[0].startswith("degraded no temporary folder takes a file (")
    assert degraded[1].startswith(f"degraded AVATAR_RECORD is '{kept}', which takes no file (")
    assert not any("recordings go to" in line for line in reports.stdout.splitlines())
