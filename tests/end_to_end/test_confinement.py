"""`avatar serve` needs no rights and nothing to write to but /tmp: as it runs in a container."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confined import ROOT, USER, confined, why_not
from dispatching import WAIT_TIMEOUT_S, Dispatcher, environ
from processes import until

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"Not shown here: {why_not()}.")

SETTINGS = {
    "AVATAR_RENDERER": "character",
    "AVATAR_SIZE": "512x512",
    "AVATAR_SLOTS": "2",
    "AVATAR_WARM": "1",
    "AVATAR_RECORD": "/tmp/recordings",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dispatcher]:
    folder = tmp_path_factory.mktemp("confined")
    (folder / "root").mkdir()
    log = folder / "log"
    command = [sys.executable, "-P", str(ROOT / "avatar_cli.py"), "serve"]
    with log.open("wb") as file, confined(folder / "root", command, environ(**SETTINGS), file) as p:
        yield Dispatcher(p, log)


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def mounts(pid: int) -> dict[str, set[str]]:
    """The options of each mount point that the process sees."""
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return {fields[4]: set(fields[5].split(",")) for fields in map(str.split, lines)}


def test_it_serves_a_face_without_rights_on_a_read_only_root(serving: Dispatcher) -> None:
    session = serving.launched("room")
    serving.reach(session, "active")
    shown = lambda: serving.session(session)["counters"].get("frames", 0)  # noqa: E731
    until(lambda: shown() > 25, WAIT_TIMEOUT_S)
    assert len(serving.family()) >= 2
    for pid in serving.family() | {serving.process.pid}:
        said = status(pid)
        assert said["Uid"].split() == said["Gid"].split() == [str(USER)] * 4
        assert said["Groups"] == ""
        assert said["NoNewPrivs"] == "1"
        assert {said[each] for each in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
            "0" * 16
        }
        places = mounts(pid)
        writable = {place for place, options in places.items() if "rw" in options}
        kernels = {place for place in writable if place.startswith(("/proc", "/dev", "/sys"))}
        assert "ro" in places["/"]
        assert writable - kernels == {"/tmp"}


def test_it_records_where_it_may_write(serving: Dispatcher) -> None:
    recordings = Path(f"/proc/{serving.process.pid}/root/tmp/recordings")
    (session,) = serving.sessions()
    until(
        lambda: [
            path.stat().st_size for path in recordings.glob(f"*-{session['session_id']}.avatar")
        ]
    )


def test_it_leaves_as_asked_and_cleans_up(serving: Dispatcher) -> None:
    assert serving.stop() == 0
    assert "Traceback" not in serving.log()
    assert "Read-only file system" not in serving.log()
    assert "Permission denied" not in serving.log()
