"""Whatever node or dispatcher dies, leaves or comes back, its sessions go on.

They are programs on a real Redis; the workers meet in memory.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest
from dispatching import ROOT, TOKEN, WAIT_TIMEOUT_S, Dispatcher, dispatcher, environ
from nodes import SEAL_KEY, Cluster, NodeProgram, cluster
from processes import alive, shown, until
from redis_server import RedisServer, redis_server

LEASE_S = 1.5
"""How soon after its node is lost a session has another."""

FRESH = "eyJ.fresh-canary.sig"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dispatcher, NodeProgram]]:
    """One of each, for tests that leave them as they were."""
    folder = tmp_path_factory.mktemp("one")
    with redis_server() as alone, cluster(alone, folder, LEASE_S) as running:
        yield running.pair()


@pytest.fixture
def many(server: RedisServer, tmp_path: Path) -> Iterator[Cluster]:
    with cluster(server, tmp_path, LEASE_S) as running:
        yield running


def is_at(service: Dispatcher, session_id: str, epoch: int, node: NodeProgram) -> bool:
    """Whether the session is in its meeting, served there."""
    session = service.session(session_id)
    at = (session["state"], session["epoch"], (session["slot"] or "").rpartition("/")[0])
    return at == ("active", epoch, node.name)


def has_had(service: Dispatcher, session_id: str, workers: int) -> bool:
    return bool(service.session(session_id)["attempts"] == workers)


def says(node: NodeProgram, what: str) -> bool:
    return what in node.log()


def is_gone(process: int) -> bool:
    return not alive(process)


def on(node: NodeProgram, service: Dispatcher, session_id: str) -> bool:
    return bool(service.session(session_id)["slot"].startswith(f"{node.name}/"))


# Launching -----------------------------------------------------------------------------------


def test_24_launches_at_once_find_8_slots_and_are_all_answered(many: Cluster) -> None:
    """Through two dispatchers, on two nodes; and whoever asks again finds what there is."""
    services, _ = many.start(2, 2, 4)

    def launch(number: int) -> httpx.Response:
        return services[number % 2].launch(f"room-{number}")

    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(launch, range(24)))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {200: 8, 503: 16}
    for answer in answers:
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
    served = {
        number: answer.json()["session_id"]
        for number, answer in enumerate(answers)
        if answer.status_code == 200
    }
    for number, session_id in served.items():
        assert services[(number + 1) % 2].launched(f"room-{number}") == session_id
        services[0].reach(session_id, "active")
    slots = {services[0].session(session_id)["slot"] for session_id in served.values()}
    assert len(slots) == 8


@pytest.mark.parametrize(
    ("room", "state", "reason", "attempts"),
    [
        ("leaves", "ended", "The meeting is over.", 1),
        ("lost", "failed", "The room is gone.", 5),
        ("refused", "failed", "The room refused the token; send a fresh one.", 1),
        ("dismissed", "ended", "The room told the worker to leave.", 1),
    ],
)
def test_each_end_has_its_reason(
    one: tuple[Dispatcher, NodeProgram], room: str, state: str, reason: str, attempts: int
) -> None:
    service, _ = one
    session = service.reach(service.launched(room), state)
    assert (session["reason"], session["attempts"]) == (reason, attempts)


def test_24_launches_of_one_face_are_one_session(one: tuple[Dispatcher, NodeProgram]) -> None:
    service, node = one
    with ThreadPoolExecutor(24) as threads:
        ids = list(threads.map(lambda _: service.launched("room"), range(24)))
    assert len(set(ids)) == 1
    assert service.session(ids[0])["attempts"] == 1
    assert node.log().count(f"session {ids[0]} was taken") == 1
    service.free()


def test_a_killed_zygote_is_replaced_and_sessions_go_on(
    one: tuple[Dispatcher, NodeProgram],
) -> None:
    service, node = one
    session_id = service.launched("room")
    service.reach(session_id, "active")
    worker = node.worker(session_id)
    os.kill(node.zygote(), signal.SIGKILL)
    until(lambda: service.launch("room-2").status_code == 200, WAIT_TIMEOUT_S)
    assert service.session(session_id)["attempts"] == 1
    assert alive(worker)
    service.free()


def test_what_a_worker_refuses_is_422(one: tuple[Dispatcher, NodeProgram]) -> None:
    service, _ = one
    answer = service.launch("room", character="nobody")
    while answer.status_code == 503:  # on a busy machine, the worker may be late
        answer = service.launch("room", character="nobody")
    assert answer.status_code == 422
    session = service.http.get(answer.json()["error"].split()[-3]).json()
    assert (session["state"], session["attempts"]) == ("failed", 1)
    assert "no character 'nobody'" in session["reason"]


def test_a_session_is_ended_by_a_request(one: tuple[Dispatcher, NodeProgram]) -> None:
    service, node = one
    session_id = service.launched("room")
    service.reach(session_id, "active")
    worker = node.worker(session_id)
    for _ in range(2):
        session = service.http.delete(f"/v1/sessions/{session_id}").json()
        assert (session["state"], session["reason"]) == ("ended", "It was ended by a request.")
        assert not alive(worker)


def test_a_worker_that_is_killed_or_stands_still_is_replaced(
    one: tuple[Dispatcher, NodeProgram], tmp_path: Path
) -> None:
    """On the same node, with the newest token; one that is stopped is found by its silence."""
    service, node = one
    diary = tmp_path / "diary"
    notes = {"metadata": {"diary": str(diary)}}
    session_id = service.launched("room", **notes)
    service.reach(session_id, "active")
    assert service.launched("room", token=FRESH, **notes) == session_id
    until(lambda: service.session(session_id)["counters"])
    epoch = service.session(session_id)["epoch"]
    for attempt, number in ((2, signal.SIGKILL), (3, signal.SIGSTOP)):
        before = node.worker(session_id)
        os.kill(before, number)
        until(partial(has_had, service, session_id, attempt))
        service.reach(session_id, "active")
        assert not alive(before)
    until(lambda: diary.read_text().split() == [TOKEN, FRESH, FRESH])
    assert service.session(session_id)["epoch"] == epoch
    service.free()


def test_the_token_is_in_no_place_where_others_look(one: tuple[Dispatcher, NodeProgram]) -> None:
    service, node = one
    session_id = service.launched("room")
    service.reach(session_id, "active")
    processes = [service.process.pid, node.process.pid, *node.family()]
    for pid in processes:
        for place in ("cmdline", "environ"):
            assert TOKEN.encode() not in shown(pid, place)
    for worker in node.family():
        assert b"AVATAR_SEAL_KEYS" not in shown(worker, "environ")
    assert TOKEN not in service.log() + node.log()
    service.free()


# What dies -----------------------------------------------------------------------------------


def test_the_sessions_of_a_killed_node_go_on_at_another(many: Cluster) -> None:
    """Both dispatchers look for them, and one moves each; nothing is left of the node."""
    services, (first,) = many.start(2)
    ids = [services[0].launched("room"), services[1].launched("room-2")]
    for session_id in ids:
        services[0].reach(session_id, "active")
    second = many.node()
    time.sleep(LEASE_S)  # an empty Redis moves nothing for a lease
    family = first.family()
    first.process.kill()
    for session_id in ids:
        until(partial(is_at, services[0], session_id, 2, second))
    until(lambda: not any(map(alive, family)))
    moved = [log.count("goes on in another slot") for log in (s.log() for s in services)]
    assert sum(moved) == len(ids)
    for service in services:
        assert service.launched("room") == ids[0]


def test_sessions_do_not_notice_that_dispatchers_die(many: Cluster) -> None:
    services, (node,) = many.start(2)
    session_id = services[0].launched("room")
    before = services[1].reach(session_id, "active")
    worker = node.worker(session_id)
    services[0].process.kill()
    services[0].process.wait()
    assert services[1].launched("room") == session_id
    time.sleep(LEASE_S + 0.5)
    services[1].process.kill()
    services[1].process.wait()
    third = many.dispatcher()
    assert third.launched("room") == session_id
    assert without_counters(third.session(session_id)) == without_counters(before)
    assert alive(worker)


def without_counters(session: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in session.items() if name != "counters"}


@pytest.mark.parametrize("emptied", [True, False])
def test_sessions_live_on_while_redis_is_away_and_are_listed_again(
    many: Cluster, emptied: bool
) -> None:
    """Whether it has lost all, or has only been silent."""
    service, node = many.pair()
    session_id = service.launched("room")
    before = service.reach(session_id, "active")
    worker = node.worker(session_id)
    if emptied:
        many.server.kill()
    else:
        many.server.pause()
    try:
        answer = service.launch("room-2")
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "Redis" in answer.json()["error"]
        assert service.http.get("/v1/sessions").status_code == 503
        until(lambda: service.http.get("/readyz").status_code == 503)
        assert httpx.get(f"{node.admin()}/readyz").status_code == 200
        time.sleep(LEASE_S + 0.5)
    finally:
        if emptied:
            many.server.start()
        else:
            many.server.resume()
    until(lambda: service.http.get("/readyz").status_code == 200)
    until(lambda: service.launch("room").status_code == 200)
    assert service.launched("room") == session_id
    assert without_counters(service.session(session_id)) == without_counters(before)
    assert node.worker(session_id) == worker
    assert alive(worker)
    until(lambda: service.launch("room-2").status_code == 200)


def test_a_node_that_comes_to_itself_too_late_has_lost_its_sessions(many: Cluster) -> None:
    """Its worker leaves, and the one that follows it elsewhere stays."""
    service, first = many.pair()
    session_id = service.launched("room")
    service.reach(session_id, "active")
    worker = first.worker(session_id)
    second = many.node()
    time.sleep(LEASE_S)
    first.tell(signal.SIGSTOP)
    until(partial(is_at, service, session_id, 2, second))
    assert alive(worker)
    first.tell(signal.SIGCONT)
    until(lambda: not alive(worker))
    assert is_at(service, session_id, 2, second)
    until(lambda: many.idle() == 3)


# What leaves ---------------------------------------------------------------------------------


def test_a_rolling_update_cuts_no_session_before_its_time(many: Cluster) -> None:
    """The old node takes nothing more, serves on for its drain time, and hands over: it goes when
    another worker is in the meeting, and exits with status 0. The first signal says the same as
    POST /drain, whether that came before it or not."""
    service, old = many.pair(AVATAR_DRAIN_S="2")
    ids = [service.launched("room"), service.launched("room-2")]
    for session_id in ids:
        service.reach(session_id, "active")
    workers = [old.worker(session_id) for session_id in ids]
    new = many.node(slots=3)
    assert httpx.post(f"{old.admin()}/drain").status_code == 202
    reports = time.monotonic()
    until(lambda: "draining" in old.log())
    old.tell(signal.SIGTERM)
    newest = service.launched("room-3")
    assert on(new, service, newest)
    while True:
        serves = all(map(alive, workers)) and all(is_at(service, each, 1, old) for each in ids)
        ready = httpx.get(f"{old.admin()}/readyz").status_code == 200
        if time.monotonic() - reports > 1.8:
            break
        assert serves
        assert ready
        time.sleep(0.2)
    for session_id, worker in zip(ids, workers, strict=True):
        until(partial(says, new, f"session {session_id} was taken"))
        until(partial(is_at, service, session_id, 2, new))
        until(partial(is_gone, worker))
    assert old.process.wait(WAIT_TIMEOUT_S) == 0
    for session_id in ids:
        session = service.session(session_id)
        assert [step["state"] for step in session["life"]].count("active") == 2
        assert session["state"] == "active"


def test_a_worker_stays_until_its_replacement_is_in_the_meeting(many: Cluster) -> None:
    """A second signal ends the waiting. The gap is what the log of the two says it was: none."""
    service, old = many.pair()
    session_id = service.launched("room")
    service.reach(session_id, "active")
    worker = old.worker(session_id)
    new = many.node()
    old.tell(signal.SIGTERM)
    until(lambda: "draining" in old.log())
    old.tell(signal.SIGINT)
    while f"session {session_id} was taken" not in new.log():
        assert alive(worker)
    assert old.process.wait(WAIT_TIMEOUT_S) == 0
    assert is_at(service, session_id, 2, new)


def test_a_node_without_sessions_goes_at_once_and_one_with_some_waits_for_room(
    many: Cluster,
) -> None:
    """A scale-down: nobody has room for the second's session until a third node comes."""
    service, first = many.pair(AVATAR_DRAIN_S=str(2 * WAIT_TIMEOUT_S))
    assert first.stop() == 0, "which waits for less than that"
    second = many.node(AVATAR_DRAIN_S="0")
    session_id = service.launched("room")
    service.reach(session_id, "active")
    answer = httpx.post(f"{second.admin()}/drain")
    assert answer.status_code == 202
    until(lambda: "handing off" in second.log())
    time.sleep(1.0)
    assert is_at(service, session_id, 1, second)
    third = many.node()
    until(partial(is_at, service, session_id, 2, third))
    assert second.process.wait(WAIT_TIMEOUT_S) == 0


def test_a_third_signal_gives_sessions_back(many: Cluster) -> None:
    """They wait for a slot, and go on where one is."""
    service, first = many.pair()
    session_id = service.launched("room")
    service.reach(session_id, "active")
    for said in ("draining", "handing off"):
        first.tell(signal.SIGTERM)
        until(partial(says, first, said))
    assert first.stop() == 0
    session = service.session(session_id)
    assert (session["state"], session["reason"]) == ("claimed", "Its node has stopped.")
    second = many.node()
    until(partial(is_at, service, session_id, 2, second))


# The program ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://127.0.0.1:1", "Redis cannot be reached"),
        ("unix:///nowhere", "A file that AVATAR_REDIS_URL names is not there"),
        ("rediss://127.0.0.1:1?ssl_ca_certs=/nowhere", "A file that AVATAR_REDIS_URL names"),
    ],
)
def test_a_dispatcher_that_never_reached_redis_says_why_once(
    tmp_path: Path, url: str, why: str
) -> None:
    keys = {"AVATAR_REDIS_URL": url, "AVATAR_SEAL_KEYS": SEAL_KEY}
    with dispatcher(tmp_path / "log", **keys) as running:
        until(lambda: why in running.log())
        for _ in range(3):
            answer = running.http.get("/readyz")
            assert (answer.status_code, answer.json()["error"].startswith(why)) == (503, True)
        assert running.log().count(why) == 1


@pytest.mark.parametrize(
    ("settings", "status", "reason"),
    [
        ({}, 2, "avatar node: AVATAR_REDIS_URL is not set"),
        ({"AVATAR_REDIS_URL": "redis://127.0.0.1"}, 2, "avatar node: AVATAR_REDIS_URL needs"),
        (
            {
                "AVATAR_REDIS_URL": "rediss://127.0.0.1:1?ssl_ca_cert=misspelt",
                "AVATAR_SEAL_KEYS": SEAL_KEY,
            },
            2,
            "avatar node: AVATAR_REDIS_URL cannot be used",
        ),
        (
            {
                "AVATAR_REDIS_URL": "redis://127.0.0.1:1",
                "AVATAR_SEAL_KEYS": SEAL_KEY,
                "AVATAR_SIZE": "huge",
            },
            2,
            "worker: AVATAR_SIZE is 'huge'",
        ),
    ],
)
def test_what_cannot_be_used_is_said(settings: dict[str, str], status: int, reason: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", ROOT / "avatar_cli.py", "node"],
        env=environ(**settings),
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == status
    assert done.stderr.startswith(reason)
    assert "Traceback" not in done.stderr


def test_help_names_the_settings_and_the_statuses() -> None:
    done = subprocess.run(
        [sys.executable, "-P", ROOT / "avatar_cli.py", "node", "--help"],
        env=environ(),
        capture_output=True,
        text=True,
        timeout=WAIT_TIMEOUT_S,
        check=True,
    )
    for name in (
        "AVATAR_REDIS_URL",
        "AVATAR_SEAL_KEYS",
        "AVATAR_LEASE_S",
        "exit status:",
        "signals:",
    ):
        assert name in done.stdout
