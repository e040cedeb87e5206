"""A node marks its pod at the first session's start and the last one's end, and in no other way."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from kube_api import MERGE_PATCH, KubeApi, kube_api

from dispatcher import pod as pods
from dispatcher.errors import SettingsError
from dispatcher.pod import Guard, Pod
from dispatcher.settings import Settings

BUSY = ("busy", "1000", "false")
IDLE = ("idle", "0", "true")
PATIENCE_S = 10.0


@pytest.fixture
def api(tmp_path: Path) -> Iterator[KubeApi]:
    with kube_api(tmp_path / "account") as api:
        yield api


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pods, "PAUSES_S", (0.0, 0.01, 0.01, 0.01))


@asynccontextmanager
async def guarding(api: KubeApi) -> AsyncIterator[Guard]:
    """A guard at work on the pod, after its mark for the start."""
    guard = Guard(Pod.from_env(api.environ, api.account))
    running = asyncio.create_task(guard.run(), name="guard")
    try:
        yield guard
    finally:
        assert not running.done(), "the guard has ended by itself"
        running.cancel()


async def answer(api: KubeApi) -> HTTPStatus:
    return await asyncio.to_thread(api.answered.get, timeout=PATIENCE_S)


def test_the_start_the_first_session_and_the_last_ones_end_are_one_patch_each(
    api: KubeApi,
) -> None:
    async def scene() -> None:
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

    asyncio.run(scene())


def test_a_token_that_was_replaced_is_read_anew(api: KubeApi) -> None:
    async def scene() -> None:
        async with guarding(api) as guard:
            await answer(api)
            api.hand_out("second-token")
            guard.mark(True)
            assert await answer(api) == HTTPStatus.OK
            assert api.marks == BUSY

    asyncio.run(scene())


@pytest.mark.parametrize("fault", [HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS, 503])
def test_a_fault_that_may_pass_is_tried_again(api: KubeApi, fault: int) -> None:
    async def scene() -> None:
        async with guarding(api) as guard:
            await answer(api)
            api.faults = [HTTPStatus(fault)] * 2
            guard.mark(True)
            assert [await answer(api) for _ in range(3)] == [fault, fault, HTTPStatus.OK]
            assert api.marks == BUSY

    asyncio.run(scene())


def test_a_role_that_does_not_allow_it_is_told_once_and_not_asked_again(
    api: KubeApi, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        api.faults = [HTTPStatus.FORBIDDEN]
        async with guarding(api) as guard:
            assert await answer(api) == HTTPStatus.FORBIDDEN
            await asyncio.sleep(0.1)
            guard.mark(True)
            assert await answer(api) == HTTPStatus.OK, "the next mark is tried all the same"
        errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
        assert len(errors) == 1
        assert "needs the verb patch on pods" in errors[0]
        assert "403" in errors[0]
        assert api.token not in caplog.text

    asyncio.run(scene())


def test_a_mark_returns_at_once_while_the_api_hangs_and_the_newest_wins(
    api: KubeApi,
) -> None:
    async def scene() -> None:
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

    asyncio.run(scene())


def test_an_api_that_is_away_stops_nothing(
    api: KubeApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        there = Pod.from_env(api.environ, api.account)
        (api.account / "token").unlink()
        away = Pod("https://127.0.0.1:1", there.namespace, there.name, there.account)
        guard = Guard(away)
        running = asyncio.create_task(guard.run(), name="guard")
        guard.mark(True)
        while "cannot be marked busy" not in caplog.text:
            await asyncio.sleep(0.01)
        assert not running.done()
        running.cancel()

    asyncio.run(scene())


def test_a_server_with_another_certificate_is_told_no_token(
    api: KubeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        with kube_api(tmp_path / "other") as other:
            (api.account / "ca.crt").write_bytes((other.account / "ca.crt").read_bytes())
            async with guarding(api):
                while "cannot be marked" not in caplog.text:
                    await asyncio.sleep(0.01)
        assert api.asked.empty()

    asyncio.run(scene())


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
    assert Settings.from_env({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}).protect is None
    assert Settings.from_env({"AVATAR_PROTECT": "off"}).protect is None
    with pytest.raises(SettingsError, match="one of off, cost"):
        Settings.from_env({"AVATAR_PROTECT": "detach"})
    with pytest.raises(SettingsError, match="KUBERNETES_SERVICE_HOST"):
        Settings.from_env({"AVATAR_PROTECT": "cost"})
