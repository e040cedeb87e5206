"""The dispatcher as a program: real processes, real sockets, workers that meet in memory."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from dispatching import ROOT, TOKEN, WAIT_TIMEOUT_S, Dispatcher, dispatcher, environ
from processes import alive, shown, until
from signalling import Certificate, Signalling

from avatar_runtime.settings.table import SERVE, SETTINGS

SLOTS = 3
FRESH = "eyJ.fresh-canary.sig"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dispatcher]:
    """One dispatcher for all tests that leave it as it was."""
    log = tmp_path_factory.mktemp("dispatcher") / "log"
    with dispatcher(log, AVATAR_SLOTS=str(SLOTS), AVATAR_WARM="1") as running:
        yield running


@pytest.fixture
def service(shared: Dispatcher) -> Iterator[Dispatcher]:
    yield shared
    shared.free()


# Launching -----------------------------------------------------------------------------------


def test_a_launch_is_answered_when_a_worker_has_taken_it(service: Dispatcher) -> None:
    answer = service.launch("room")
    assert answer.status_code == 200
    session_id = answer.json()["session_id"]
    assert answer.json() == {"status": "success", "room": "room", "session_id": session_id}
    session = service.reach(session_id, "active")
    assert (session["room"], session["participant_id"]) == ("room", "face")
    assert (session["reason"], session["attempts"]) == (None, 1)
    assert session in service.http.get("/v1/sessions").json()["sessions"]


def test_the_same_face_in_the_same_room_is_the_same_session(
    service: Dispatcher, tmp_path: Path
) -> None:
    """It goes on undisturbed, and the fresh token is for the worker that may follow."""
    diary = tmp_path / "diary"
    notes = {"metadata": {"diary": str(diary)}}
    first = service.launched("room", **notes)
    before = service.reach(first, "active")
    worker = service.worker(first)
    assert service.launched("room", token=FRESH, **notes) == first
    assert service.session(first) == before
    assert diary.read_text() == f"{TOKEN}\n"
    os.kill(worker, signal.SIGKILL)
    until(lambda: diary.read_text() == f"{TOKEN}\n{FRESH}\n")


def test_another_face_or_another_room_is_another_session(service: Dispatcher) -> None:
    ids = {
        service.launched("room"),
        service.launched("room", participant_id="other"),
        service.launched("room-2"),
    }
    assert len(ids) == 3


def test_full_is_503_and_says_when_to_come_again(service: Dispatcher) -> None:
    ids = [service.launched(f"room-{number}") for number in range(SLOTS)]
    answer = service.launch("room-more")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "All 3 slots are taken" in answer.json()["error"]
    assert service.launched("room-0") == ids[0], "whoever is there already is not turned away"
    service.http.delete(f"/v1/sessions/{ids[0]}")
    until(lambda: service.launch("room-more").status_code == 200)


def test_24_launches_at_once_are_all_answered(service: Dispatcher) -> None:
    def launch(number: int) -> int:
        return service.launch(f"room-{number}").status_code

    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(launch, range(24)))
    assert Counter(answers) == {200: SLOTS, 503: 24 - SLOTS}


def test_24_launches_of_one_face_are_one_session(service: Dispatcher) -> None:
    with ThreadPoolExecutor(24) as threads:
        ids = list(threads.map(lambda _: service.launched("room"), range(24)))
    assert len(set(ids)) == 1
    assert service.session(ids[0])["attempts"] == 1


def test_a_zygote_that_is_stopped_is_killed_and_replaced(tmp_path: Path) -> None:
    """Meanwhile it is not ready, and says so; the sessions go on."""
    with dispatcher(tmp_path / "log", AVATAR_SLOTS="4", AVATAR_WARM="0") as running:
        session_id = running.launched("room")
        running.reach(session_id, "active")
        before = running.zygote()
        os.kill(before, signal.SIGSTOP)
        until(lambda: running.http.get("/readyz").status_code == 503)
        until(lambda: not alive(before))
        until(lambda: running.http.get("/readyz").status_code == 200, WAIT_TIMEOUT_S)
        assert running.zygote() != before
        running.reach(running.launched("room-2"), "active")
        session = running.session(session_id)
        assert (session["state"], session["attempts"]) == ("active", 1)
        assert "the process that forks workers does not answer" in running.log()


# Ends ----------------------------------------------------------------------------------------


def test_a_session_can_be_ended(service: Dispatcher) -> None:
    session_id = service.launched("room")
    service.reach(session_id, "active")
    worker = service.worker(session_id)
    for _ in range(2):
        answer = service.http.delete(f"/v1/sessions/{session_id}")
        assert answer.status_code == 200
        assert answer.json()["state"] == "ended"
        assert answer.json()["reason"] == "It was ended by a request."
        assert not alive(worker)
    assert service.launched("room") != session_id


def test_a_worker_that_is_stopped_is_killed_when_its_session_ends(service: Dispatcher) -> None:
    session_id = service.launched("room")
    service.reach(session_id, "active")
    worker = service.worker(session_id)
    os.kill(worker, signal.SIGSTOP)
    assert service.http.delete(f"/v1/sessions/{session_id}").status_code == 200
    until(lambda: not alive(worker))
    assert service.reach(session_id, "ended")["reason"] == "It was ended by a request."


@pytest.mark.parametrize(
    ("room", "state", "reason", "attempts"),
    [
        ("leaves", "ended", "The meeting is over.", 1),
        ("lost", "failed", "The room is gone.", 3),
        ("closed", "failed", "The room lets nobody in; try another.", 3),
        ("crash", "failed", "The worker exited with status 70.", 3),
        ("refused", "failed", "The room refused the token; send a fresh one.", 1),
        ("dismissed", "ended", "The room told the worker to leave.", 1),
    ],
)
def test_each_end_has_its_reason(
    service: Dispatcher, room: str, state: str, reason: str, attempts: int
) -> None:
    session = service.reach(service.launched(room), state)
    assert (session["reason"], session["attempts"]) == (reason, attempts)


def test_what_a_worker_refuses_is_422_and_not_tried_again(service: Dispatcher) -> None:
    answer = service.launch("room", character="nobody")
    assert answer.status_code == 422
    path = answer.json()["error"].split()[-3]
    session = service.http.get(path).json()
    assert (session["state"], session["attempts"]) == ("failed", 1)
    assert "no character 'nobody'" in session["reason"]


def test_a_killed_worker_is_replaced_and_its_session_restarted(service: Dispatcher) -> None:
    """Three workers in a row at most."""
    session_id = service.launched("room")

    def active_in(attempt: int) -> bool:
        session = service.session(session_id)
        return (session["state"], session["attempts"]) == ("active", attempt)

    for attempt in (1, 2, 3):
        until(partial(active_in, attempt))
        os.kill(service.worker(session_id), signal.SIGKILL)
        if attempt == 1:
            until(partial(active_in, 2))
            assert service.session(session_id)["reason"] is None
    session = service.reach(session_id, "failed")
    assert (session["reason"], session["attempts"]) == ("The worker was ended by signal 9.", 3)
    service.warm(1)


def test_a_worker_that_joins_its_meeting_anew_says_why(service: Dispatcher) -> None:
    session_id = service.launched("slow")

    def waits_for(reason: str | None) -> bool:
        return service.session(session_id)["reason"] == reason

    until(partial(waits_for, "The room was gone for a while."))
    assert service.session(session_id)["state"] == "joining"
    session = service.reach(session_id, "active")
    assert (session["reason"], session["attempts"]) == (None, 1)


def test_a_worker_that_read_nothing_for_a_moment_still_gets_its_permission_and_the_newest_token(
    service: Dispatcher, tmp_path: Path
) -> None:
    """Its pipe was full of join requests when it asked whether it may join its meeting anew."""
    diary = tmp_path / "diary"
    notes = {"diary": str(diary), "fill": "5" * 15_000}
    session_id = service.launched("signalled", metadata=notes)
    service.reach(session_id, "active")
    worker = service.worker(session_id)
    os.kill(worker, signal.SIGSTOP)
    os.kill(worker, signal.SIGUSR1)
    for number in range(30):
        assert service.launched("signalled", token=f"{FRESH}{number}", metadata=notes) == session_id
    os.kill(worker, signal.SIGCONT)
    until(lambda: len(diary.read_text().split()) == 2)
    assert diary.read_text().split() == [TOKEN, f"{FRESH}29"]
    session = service.reach(session_id, "active")
    assert session["attempts"] == 1


def test_a_face_that_goes_just_when_it_is_asked_for_comes_back(service: Dispatcher) -> None:
    """The launch was answered, so the agent waits for it."""
    session_id = service.launched("goes")
    service.reach(session_id, "active")
    assert service.launched("goes") == session_id
    until(lambda: service.session(session_id)["attempts"] == 2)
    session = service.reach(session_id, "ended")
    assert (session["reason"], session["attempts"]) == ("The meeting is over.", 2)


def held(worker: int) -> int:
    """The descriptors of a worker, without those of the files in which it counts."""
    places = []
    for each in Path(f"/proc/{worker}/fd").iterdir():
        with suppress(FileNotFoundError):
            places.append(str(each.readlink()))
    return sum("avatar-numbers" not in place for place in places)


def test_workers_that_hang_are_not_waited_for(service: Dispatcher) -> None:
    """One is killed and the next one takes the session; an answer comes in time anyway."""
    service.warm(1)
    (idle,) = service.family() - {service.zygote()}
    until(lambda: held(idle) == 3, WAIT_TIMEOUT_S)  # it has let go of the zygote
    os.kill(idle, signal.SIGSTOP)
    first = service.launch("room")
    assert first.status_code in (200, 503), "on a busy machine, the next one may be late"
    until(lambda: service.launch("room").status_code == 200, WAIT_TIMEOUT_S)
    session = service.reach(service.launched("room"), "active")
    assert session["attempts"] == 2 or first.status_code == 503
    until(lambda: not alive(idle), WAIT_TIMEOUT_S)


def test_a_killed_zygote_is_replaced_and_sessions_go_on(service: Dispatcher) -> None:
    session_id = service.launched("room")
    before = service.reach(session_id, "active")
    worker = service.worker(session_id)
    zygote = service.zygote()
    os.kill(zygote, signal.SIGKILL)
    until(lambda: service.launch("room-2").status_code == 200, WAIT_TIMEOUT_S)
    after = service.session(session_id)
    assert {**after, "counters": before["counters"]} == before
    assert alive(worker)
    service.http.delete(f"/v1/sessions/{session_id}")
    until(lambda: not alive(worker))


def test_a_worker_that_hangs_after_its_zygote_is_killed_all_the_same(tmp_path: Path) -> None:
    """Its session ends, and its slot is free."""
    with dispatcher(tmp_path / "log", AVATAR_SLOTS="1", AVATAR_WARM="0") as running:
        session_id = running.launched("room")
        running.reach(session_id, "active")
        worker = running.worker(session_id)
        try:
            os.kill(running.zygote(), signal.SIGKILL)
            until(lambda: "starting another" in running.log())
            os.kill(worker, signal.SIGSTOP)
            assert running.http.delete(f"/v1/sessions/{session_id}").status_code == 200
            until(lambda: not alive(worker))
        finally:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        assert running.reach(session_id, "ended")["reason"] == "It was ended by a request."
        until(lambda: running.launch("room-2").status_code == 200, WAIT_TIMEOUT_S)


# What is not let in --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"canary", 400),
        (b'{"room_name": "canary", "token": NaN}', 400),
        (b'{"room_name": "\\ud800canary", "token": "t"}', 400),
        (b'{"token": "canary"}', 422),
        (b'{"room_name": "r", "token": "canary", "signaling_base_url": "canary.net"}', 422),
        (b'{"token": "' + b"canary" * 5000 + b'"}', 413),
    ],
)
def test_a_bad_body_gets_one_sentence_and_no_echo(
    service: Dispatcher, content: bytes, status: int
) -> None:
    headers = {"Content-Type": "application/json"}
    for sent in (content, iter([content[:9], content[9:]])):
        answer = service.http.post("/launch", content=sent, headers=headers)
        assert answer.status_code == status
        assert list(answer.json()) == ["error", "request_id"]
        assert "canary" not in answer.text + str(answer.headers)
    assert "canary" not in service.log().replace(TOKEN, "")


def test_a_body_that_does_not_come_is_not_waited_for(service: Dispatcher) -> None:
    url = service.http.base_url
    head = (
        b"POST /launch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 99\r\n\r\n{"
    )
    with socket.create_connection((url.host, url.port or 0), WAIT_TIMEOUT_S) as slow:
        slow.sendall(head)
        assert slow.recv(99).startswith(b"HTTP/1.1 400 ")


def test_what_a_page_may_send_unasked_is_not_let_in(service: Dispatcher) -> None:
    body = f'{{"room_name": "room", "token": "{TOKEN}"}}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = service.http.post("/launch", content=body, headers={"Content-Type": kind})
        assert answer.status_code == 422
        assert TOKEN not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/launch", 405),
        ("GET", "/nothing", 404),
        ("GET", "/docs", 404),
        ("GET", "/redoc", 404),
        ("GET", "/v1/sessions/canary", 404),
        ("DELETE", "/v1/sessions/canary", 404),
        ("POST", "/v1/sessions", 405),
    ],
)
def test_other_addresses_are_refused_in_one_sentence(
    service: Dispatcher, method: str, path: str, status: int
) -> None:
    answer = service.http.request(method, path)
    assert answer.status_code == status
    assert list(answer.json()) == ["error", "request_id"]
    assert "canary" not in answer.text


def test_it_says_that_it_lives_and_is_ready(service: Dispatcher) -> None:
    assert service.http.get("/livez").status_code == 200
    assert service.http.get("/readyz").status_code == 200


# Secrets, and the end ------------------------------------------------------------------------


def test_the_token_is_shown_nowhere(service: Dispatcher) -> None:
    ids = [service.launched("room"), service.launched("lost"), service.launched("closed")]
    service.reach(ids[0], "active")
    service.reach(ids[1], "failed")
    for pid in [service.process.pid, *service.family()]:
        for place in ("cmdline", "environ"):
            assert TOKEN.encode() not in shown(pid, place)
    assert TOKEN not in service.http.get("/v1/sessions").text
    assert TOKEN not in service.log()


async def test_a_forked_worker_joins_through_the_sdk(tmp_path: Path) -> None:
    """What the zygote imported before the fork works after it."""
    certificate = Certificate(tmp_path)

    def launch_into(room: Signalling) -> None:
        with dispatcher(
            tmp_path / "log",
            AVATAR_MEETING="videosdk",
            AVATAR_LOG_LEVEL="DEBUG",
            AVATAR_SIGNALING_HOSTS=room.host,
            REQUESTS_CA_BUNDLE=str(certificate.path),
        ) as running:
            session_id = running.launched("room")
            until(lambda: "produceData" in room.methods)
            running.http.delete(f"/v1/sessions/{session_id}")
            running.reach(session_id, "ended")
            assert running.stop() == 0
            assert TOKEN not in running.log()

    async with Signalling().running(certificate) as room:
        await asyncio.to_thread(launch_into, room)
        assert room.queries[0]["secret"] == TOKEN


@pytest.mark.parametrize("room", ["room", "deaf"])
def test_a_killed_dispatcher_leaves_no_process_behind(tmp_path: Path, room: str) -> None:
    """Whatever the workers are doing: in a meeting, blocked, waiting."""
    with dispatcher(tmp_path / "log", AVATAR_SLOTS="3") as running:
        running.reach(running.launched(room), "active")
        running.warm(3)
        family = running.family()
        time.sleep(0.2)
        running.process.kill()
        until(lambda: not any(map(alive, family)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_all_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    with dispatcher(tmp_path / "log", AVATAR_LOG_LEVEL="DEBUG") as running:
        session_id = running.launched("room")
        running.reach(session_id, "active")
        family = running.family()
        assert running.stop(number) == 0
        assert not any(map(alive, family))
        assert "ended: The dispatcher was told to stop." in running.log()
        assert "Traceback" not in running.log()
        assert TOKEN not in running.log()


def test_a_second_signal_waits_for_nobody(tmp_path: Path) -> None:
    """A worker that does not leave then is killed."""
    with dispatcher(tmp_path / "log", AVATAR_DRAIN_S="60") as running:
        session_id = running.launched("room")
        running.reach(session_id, "active")
        os.kill(running.worker(session_id), signal.SIGSTOP)
        family = running.family()
        running.process.send_signal(signal.SIGTERM)
        until(lambda: "stopping" in running.log())
        assert running.stop() == 0
        assert not any(map(alive, family))


def test_help_names_every_setting() -> None:
    done = subprocess.run(
        [sys.executable, "-P", ROOT / "avatar_cli.py", "serve", "--help"],
        env=environ(),
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=True,
    )
    mine = [each.variable for each in SETTINGS if SERVE in each.readers]
    assert [name for name in mine if name not in done.stdout] == []
    assert "--local" in done.stdout


@pytest.mark.parametrize(
    ("settings", "status", "reason"),
    [
        ({"AVATAR_SLOTS": "none"}, 2, "avatar serve: AVATAR_SLOTS is 'none'"),
        ({"AVATAR_HOST": "256.0.0.1"}, 2, "avatar serve: Nothing can listen on 256.0.0.1"),
        ({"AVATAR_SIZE": "huge"}, 2, "worker: AVATAR_SIZE is 'huge'"),
    ],
)
def test_what_cannot_be_used_is_said(settings: dict[str, str], status: int, reason: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dispatcher"],
        env=environ(**settings),
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == status
    assert done.stderr.startswith(reason)
    assert "Traceback" not in done.stderr


def test_an_address_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-P", "-m", "dispatcher", "--port", port],
            env=environ(),
            capture_output=True,
            text=True,
            timeout=WAIT_TIMEOUT_S,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Address already in use" in done.stderr


def test_a_signalling_host_is_for_those_that_name_none(tmp_path: Path) -> None:
    hosts = "127.0.0.1:4443,other.net"
    with dispatcher(tmp_path / "log", AVATAR_SIGNALING_HOSTS=hosts) as running:
        assert running.launch("room").status_code == 200
        assert running.launch("room-2", signaling_base_url="other.net").status_code == 200
        refused = running.launch("room-3", signaling_base_url="api.videosdk.live")
        assert refused.status_code == 422
