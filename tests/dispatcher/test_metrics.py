"""What an operator watches: all names of the contract at the admin's port, with true numbers."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from dispatching import WAIT_TIMEOUT_S, Dispatcher, dispatcher
from metric_names import WORKER
from processes import until
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from dispatcher import metrics
from dispatcher.degraded import Degraded
from dispatcher.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Full,
    Refused,
    StoreDown,
    TooMany,
    Unauthorized,
)
from dispatcher.workers.shared_numbers import SharedNumbers

DISPATCHER = {
    "avatar_dispatch_requests_total": "counter",
    "avatar_dispatch_seconds": "histogram",
    "avatar_claim_seconds": "histogram",
    "avatar_pool_slots": "gauge",
    "avatar_redispatch_total": "counter",
    "avatar_session_fenced_total": "counter",
    "avatar_unreadable_items_total": "counter",
    "avatar_store_up": "gauge",
    "avatar_draining": "gauge",
    "avatar_auxiliary_failures_total": "counter",
    "avatar_degraded": "gauge",
}
LABELS = {"result", "backend", "state", "reason", "interrupted", "kind", "part", "le"}


class Scrape:
    """One answer of ``/metrics``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: list[Metric] = list(text_string_to_metric_families(text))

    def __call__(self, name: str, **labels: str) -> float | None:
        """The value of ``avatar_<name>``; None where there is no such series."""
        for family in self.families:
            for sample in family.samples:
                if sample.name == f"avatar_{name}" and sample.labels == labels:
                    return sample.value
        return None

    @property
    def types(self) -> Mapping[str, str]:
        return {
            family.name + ("_total" if family.type == "counter" else ""): family.type
            for family in self.families
        }


def scrape(running: Dispatcher) -> Scrape:
    answer = httpx.get(f"{running.admin()}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return Scrape(answer.text)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dispatcher]:
    log = tmp_path_factory.mktemp("dispatcher") / "log"
    with dispatcher(log, AVATAR_SLOTS="3", AVATAR_WARM="2") as running:
        running.warm(2)
        yield running


@pytest.fixture
def free(running: Dispatcher) -> Dispatcher:
    running.free()
    return running


def test_every_name_of_the_contract_is_there(running: Dispatcher) -> None:
    assert scrape(running).types == {**DISPATCHER, **WORKER}


def test_labels_are_few_and_never_say_whose_session_it_is(free: Dispatcher) -> None:
    free.launched("room-of-somebody", participant_id="face-of-somebody")
    free.launch("refused")
    found = scrape(free)
    for family in found.families:
        assert len({tuple(sample.labels.items()) for sample in family.samples}) <= 30, family.name
        for sample in family.samples:
            assert set(sample.labels) <= LABELS
    assert "somebody" not in found.text


def test_the_numbers_are_right_after_sessions(free: Dispatcher) -> None:
    before = scrape(free)

    def more(name: str, **labels: str) -> float:
        return (scrape(free)(name, **labels) or 0) - (before(name, **labels) or 0)

    session = free.launched("goes-1")
    ended = free.reach(session, "ended")
    assert free.launch("room", character="nobody").status_code == 422
    assert free.http.post("/launch", json={"room_name": 5}).status_code == 422
    until(lambda: more("sessions_ended_total", reason="over") == 1)
    assert more("dispatch_requests_total", result="launched") == 1
    assert more("dispatch_requests_total", result="bad_request") == 1
    assert more("dispatch_requests_total", result="refused") == 1
    assert more("dispatch_seconds_count") == 2, "the one for no pool is not counted"
    assert more("claim_seconds_count", backend="local") == 2
    assert more("time_to_join_seconds_count") == 1
    assert more("time_to_first_frame_seconds_count") == 1
    assert more("session_duration_seconds_count") == 1
    assert more("frames_total") == ended["counters"]["frames"] == pytest.approx(13, abs=3)
    assert more("frame_interval_seconds_count") == more("frames_total") - 1
    assert more("redispatch_total", reason="worker_lost") == 0
    assert scrape(free)("store_up") == 1
    assert scrape(free)("draining") == 0


def test_a_session_shows_its_life_and_what_it_has_counted(free: Dispatcher) -> None:
    session = free.launched("room")
    until(lambda: free.session(session)["counters"].get("frames", 0) > 20)
    shown = free.session(session)
    assert [step["state"] for step in shown["life"]] == ["claimed", "joining", "active"]
    assert shown["slot"] == "local/1"


def test_slots_are_counted_by_what_they_do(free: Dispatcher) -> None:
    def slots() -> dict[str, float | None]:
        found = scrape(free)
        return {state: found("pool_slots", state=state) for state in metrics.SLOTS}

    until(lambda: slots() == {"idle": 3, "claimed": 0, "busy": 0, "draining": 0})
    free.launched("one")
    free.launched("two")
    assert slots() == {"idle": 1, "claimed": 0, "busy": 2, "draining": 0}


def test_a_worker_that_is_killed_leaves_its_counts_and_nothing_live(free: Dispatcher) -> None:
    session = free.launched("room")
    until(lambda: free.session(session)["counters"].get("frames", 0) > 20)
    before = scrape(free)
    killed = free.worker(session)
    os.kill(killed, signal.SIGKILL)
    until(lambda: free.worker(session) != killed)
    free.reach(session, "active")
    after = scrape(free)
    assert (after("frames_total") or 0) >= (before("frames_total") or 0)
    assert after("segments_unacked") == 0
    assert after("redispatch_total", reason="worker_lost") == (
        (before("redispatch_total", reason="worker_lost") or 0) + 1
    )
    assert after("sessions_ended_total", reason="failed") == before(
        "sessions_ended_total", reason="failed"
    )


def test_as_many_blocks_as_numbers_however_many_workers_come(free: Dispatcher) -> None:
    def blocks() -> int:
        links = Path(f"/proc/{free.process.pid}/fd").iterdir()
        return sum("memfd:avatar-numbers" in str(each.readlink()) for each in links)

    for number in range(8):
        session = free.launched(f"leaves-{number}")
        free.reach(session, "ended")
    assert 1 <= blocks() <= 5


def test_promtool_finds_nothing_to_say_against_them(running: Dispatcher) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    said = subprocess.run(
        [promtool, "check", "metrics"],
        input=scrape(running).text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout + said.stderr == ""
    assert said.returncode == 0


def test_while_it_drains_it_says_so_and_needs_no_folder(tmp_path: Path) -> None:
    places = tmp_path / "tmp"
    places.mkdir()
    with dispatcher(tmp_path / "log", TMPDIR=str(places)) as running:
        session = running.launched("room")
        running.reach(session, "active")
        assert list(places.iterdir()) == []
        worker = running.worker(session)
        os.kill(worker, signal.SIGSTOP)  # so that it does not leave before it is looked at
        httpx.post(f"{running.admin()}/drain")
        until(lambda: scrape(running)("draining") == 1)
        os.kill(worker, signal.SIGCONT)
        assert running.process.wait(WAIT_TIMEOUT_S) == 0
        assert list(places.iterdir()) == []


# The counting itself -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (None, "launched"),
        (BadRequest(413, "It is long."), "bad_request"),
        (Unauthorized("Who?"), "unauthorized"),
        (Forbidden("No."), "forbidden"),
        (TooMany("Often."), "too_many"),
        (Conflict("Another."), "conflict"),
        (Refused("No."), "refused"),
        (Full("Full."), "full"),
        (StoreDown("Down."), "store_down"),
        (ZeroDivisionError(), "failed"),
    ],
)
def test_each_launch_is_counted_once_by_how_it_ends(error: Exception | None, result: str) -> None:
    def counted() -> dict[str, float]:
        name = "avatar_dispatch_requests_total"
        values = {
            each: metrics.REGISTRY.get_sample_value(name, {"result": each}) or 0.0
            for each in metrics.RESULTS
        }
        seconds = metrics.REGISTRY.get_sample_value("avatar_dispatch_seconds_count")
        return {**values, "seen": seconds or 0.0}

    before = counted()
    with pytest.raises(type(error)) if error else metrics.launching():
        if error:
            with metrics.launching():
                raise error
    more = {name: value - before[name] for name, value in counted().items()}
    seen = result not in metrics.AT_THE_GATE
    assert {name for name, value in more.items() if value} == {result, *(["seen"] if seen else [])}


def test_while_the_store_is_down_slots_stay_as_they_were_last_known() -> None:
    async def known() -> Mapping[str, int]:
        return {"idle": 7, "claimed": 0, "busy": 2, "draining": 0}

    async def down() -> Mapping[str, int]:
        raise StoreDown("Redis cannot be reached.")

    for slots in (known, down):
        numbers = SharedNumbers(Degraded())
        found = Scrape(asyncio.run(metrics.exposition(numbers, slots)).decode())
        assert found("pool_slots", state="idle") == 7
        assert found("pool_slots", state="busy") == 2


def test_resetting_a_worker_that_never_counted_is_nothing() -> None:
    SharedNumbers(Degraded()).reset_gauges(5)
