"""A pod's mark becomes what the node wants however long the API refuses or is away."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from kube_api import MERGE_PATCH, KubeApi, kube_api

from dispatcher.errors import SettingsError
from dispatcher.node import kubernetes as pods
from dispatcher.node.kubernetes import Pod, PodAnnotator
from dispatcher.settings import DispatcherSettings

BUSY = ("busy", "1000", "false")
IDLE = ("idle", "0", "true")
ANSWER_TIMEOUT_S = 10.0


@pytest.fixture
def api(tmp_path: Path) -> Iterator[KubeApi]:
    with kube_api(tmp_path / "account") as api:
        yield api


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pods, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(pods, "RETRY_LONGEST_S", 0.05)


@asynccontextmanager
async def guarding(api: KubeApi) -> AsyncIterator[PodAnnotator]:
    """A guard at work on the pod, after its mark for the start."""
    guard = PodAnnotator(Pod.from_env(api.environ, api.account))
    running = asyncio.create_task(guard.run(), name="guard")
    try:
        yield guard
    finally:
        assert not running.done(), "the guard has ended by itself"
        running.cancel()


async def answer(api: KubeApi) -> HTTPStatus:
    return await asyncio.to_thread(api.answered.get, timeout=ANSWER_TIMEOUT_S)


async def test_the_start_the_first_session_and_the_last_ones_end_are_one_patch_each(
    api: KubeApi,
) -> None:
    async with guarding(api) as guard:
        assert await answer(api) == HTTPStatus.OK
        assert api.marks == IDLE
        for _ in range(3):
            guard.mark(True)
        assert await answer(api) == HTTPStatus.OK
        assert api.marks == BUSY
        for _ in range(3):
            guard.mark(False)
        assert await answer(api) == HTTPStatus.OK
        assert api.marks == IDLE
        await asyncio.sleep(0.05)
    asked = [api.asked.get_nowait() for _ in range(api.asked.qsize())]
    assert asked == [("PATCH", MERGE_PATCH)] * 3
    assert api.pod["metadata"]["labels"]["app"] == "avatar", "the pod's own labels stay"


async def test_a_token_that_was_replaced_is_read_anew(api: KubeApi) -> None:
    async with guarding(api) as guard:
        await answer(api)
        api.hand_out("second-token")
        guard.mark(True)
        assert await answer(api) == HTTPStatus.OK
        assert api.marks == BUSY


@pytest.mark.parametrize("fault", [HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS, 503])
async def test_a_fault_that_may_pass_is_tried_again(api: KubeApi, fault: int) -> None:
    async with guarding(api) as guard:
        await answer(api)
        api.faults = [HTTPStatus(fault)] * 2
        guard.mark(True)
        assert [await answer(api) for _ in range(3)] == [fault, fault, HTTPStatus.OK]
        assert api.marks == BUSY


@pytest.mark.parametrize(("before", "after"), [(IDLE, BUSY), (BUSY, IDLE)])
@pytest.mark.parametrize("fault", [HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE])
def test_a_mark_is_tried_until_it_is_true_however_long_that_takes(
    api: KubeApi,
    caplog: pytest.LogCaptureFixture,
    before: tuple[str, ...],
    after: tuple[str, ...],
    fault: HTTPStatus,
) -> None:
    async def scene() -> None:
        async with guarding(api) as guard:
            assert await answer(api) == HTTPStatus.OK
            if before == BUSY:
                guard.mark(True)
                assert await answer(api) == HTTPStatus.OK
            assert api.marks == before
            api.faults = [fault] * 12
            guard.mark(after == BUSY)
            assert [await answer(api) for _ in range(13)] == [fault] * 12 + [HTTPStatus.OK]
            assert api.marks == after
            await asyncio.sleep(0.1)
            assert api.answered.empty(), "a mark that is set is not set again"

    with caplog.at_level(logging.INFO):
        asyncio.run(scene())
    (error,) = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert f"cannot be marked {after[0]}" in error
    assert str(int(fault)) in error
    assert f"the pod is marked {after[0]}" in caplog.records[-1].getMessage()
    assert api.token not in caplog.text


def test_an_error_says_what_follows_for_each_mark(
    api: KubeApi, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with guarding(api) as guard:
            await answer(api)
            for busy in (True, False):
                api.faults = [HTTPStatus.FORBIDDEN]
                guard.mark(busy)
                assert await answer(api) == HTTPStatus.FORBIDDEN
                assert await answer(api) == HTTPStatus.OK

    asyncio.run(scene())
    busy, idle = (each.getMessage() for each in caplog.records if each.levelno == logging.ERROR)
    assert "cannot be marked busy" in busy
    assert "Kubernetes may choose it" in busy
    assert "cannot be marked idle" in idle
    assert "a drain of its machine waits" in idle


async def test_a_patch_whose_answer_was_lost_is_repeated(api: KubeApi) -> None:
    """The API obeyed the first mark, and the node wants the other one by then."""

    async with guarding(api) as guard:
        await answer(api)
        api.lose_answers = 1
        guard.mark(True)
        while api.marks != BUSY:
            await asyncio.sleep(0.01)
        guard.mark(False)
        while api.marks != IDLE:
            await asyncio.sleep(0.01)


async def test_a_mark_returns_at_once_while_the_api_hangs_and_the_newest_wins(
    api: KubeApi,
) -> None:
    async with guarding(api) as guard:
        await answer(api)
        api.hold = threading.Event()
        guard.mark(True)
        while api.asked.qsize() < 2:
            await asyncio.sleep(0.01)
        guard.mark(False)
        guard.mark(True)
        guard.mark(False)
        api.hold.set()
        assert await answer(api) == HTTPStatus.OK
        assert await answer(api) == HTTPStatus.OK
        assert api.marks == IDLE
        assert api.answered.empty()


async def test_an_api_that_is_away_stops_nothing(
    api: KubeApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    there = Pod.from_env(api.environ, api.account)
    (api.account / "token").unlink()
    away = Pod("https://127.0.0.1:1", there.namespace, there.name, there.account)
    guard = PodAnnotator(away)
    running = asyncio.create_task(guard.run(), name="guard")
    guard.mark(True)
    while "cannot be marked busy" not in caplog.text:
        await asyncio.sleep(0.01)
    assert not running.done()
    running.cancel()


async def test_a_server_with_another_certificate_is_told_no_token(
    api: KubeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with kube_api(tmp_path / "other") as other:
        (api.account / "ca.crt").write_bytes((other.account / "ca.crt").read_bytes())
        async with guarding(api):
            while "cannot be marked" not in caplog.text:
                await asyncio.sleep(0.01)
    assert api.asked.empty()


def test_a_pod_is_found_in_its_environment(api: KubeApi) -> None:
    pod = Pod.from_env(api.environ, api.account)
    assert pod.address == f"https://127.0.0.1:{api.port}/api/v1/namespaces/avatar/pods/node-1"
    six = Pod.from_env({**api.environ, "KUBERNETES_SERVICE_HOST": "fd00::1"}, api.account)
    assert six.url == f"https://[fd00::1]:{api.port}"


@pytest.mark.parametrize("missing", ["KUBERNETES_SERVICE_HOST", "POD_NAME"])
def test_a_manifest_that_says_too_little_is_one_line(api: KubeApi, missing: str) -> None:
    environ = {name: value for name, value in api.environ.items() if name != missing}
    with pytest.raises(SettingsError, match=missing) as caught:
        Pod.from_env(environ, api.account)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["token", "ca.crt", "namespace"])
def test_a_token_that_is_not_mounted_is_one_line(api: KubeApi, missing: str) -> None:
    (api.account / missing).unlink()
    with pytest.raises(SettingsError, match=f"{missing}.*automountServiceAccountToken"):
        Pod.from_env(api.environ, api.account)


def test_an_address_that_is_none_is_one_line(api: KubeApi) -> None:
    with pytest.raises(SettingsError, match="KUBERNETES_SERVICE_HOST"):
        Pod.from_env({**api.environ, "KUBERNETES_SERVICE_PORT": "https"}, api.account)


def test_it_is_off_unless_chosen() -> None:
    assert DispatcherSettings.from_env({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}).protect is None
    assert DispatcherSettings.from_env({"AVATAR_PROTECT": "off"}).protect is None
    with pytest.raises(SettingsError, match="off or cost"):
        DispatcherSettings.from_env({"AVATAR_PROTECT": "detach"})
    with pytest.raises(SettingsError, match="KUBERNETES_SERVICE_HOST"):
        DispatcherSettings.from_env({"AVATAR_PROTECT": "cost"})
