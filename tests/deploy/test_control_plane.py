"""A real API server takes the manifests, and lets a node do its one PATCH and nothing else.

Runs where KUBEBUILDER_ASSETS names etcd and kube-apiserver, and is left out elsewhere.
"""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_plane import ControlPlane, control_plane
from deployed import CUSTOM_KINDS, OVERLAYS, Manifest, of_kind, rendered

from dispatcher.node.kubernetes import Pod, PodAnnotator

POD = "avatar-node-1"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


def core(overlay: str) -> list[Manifest]:
    """What a bare control plane has definitions for; the namespace first, for the others."""
    found = [each for each in rendered(overlay) if each["kind"] not in CUSTOM_KINDS]
    return sorted(found, key=lambda each: each["kind"] != "Namespace")


def pod() -> Manifest:
    """One of the node's Deployment, as its ReplicaSet would make it."""
    template = of_kind(rendered("pool"), "Deployment")["avatar-node"]["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": POD, "namespace": "avatar"},
        "spec": template["spec"],
    }


def stored(plane: ControlPlane) -> Manifest:
    """The pod's metadata, as the API has them."""
    metadata: Manifest = plane.http.get(plane.path_of(pod())).json()["metadata"]
    return metadata


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_object_is_accepted(plane: ControlPlane, overlay: str) -> None:
    for manifest in core(overlay):
        answer = plane.apply(manifest)
        assert answer.status_code in (200, 201), f"{manifest['kind']}: {answer.text}"
        assert "Warning" not in answer.headers, answer.headers["Warning"]


def test_the_pods_are_as_restricted_as_their_namespace_demands(plane: ControlPlane) -> None:
    for manifest in core("pool"):
        plane.apply(manifest)
    assert plane.apply(pod()).status_code in (200, 201)


def test_a_node_may_mark_its_pod(plane: ControlPlane, tmp_path: Path) -> None:
    for manifest in [*core("pool"), pod()]:
        plane.apply(manifest)
    account = plane.token_of("avatar-node", "avatar", tmp_path / "account")
    busy = PodAnnotator(Pod(f"https://127.0.0.1:{plane.port}", "avatar", POD, account))

    async def scene() -> None:
        running = asyncio.create_task(busy.run(), name="guard")
        busy.mark(True)
        async with asyncio.timeout(20):
            while stored(plane)["labels"]["avatar.session"] != "busy":
                await asyncio.sleep(0.1)
        running.cancel()

    asyncio.run(scene())
    metadata = stored(plane)
    assert metadata["annotations"]["controller.kubernetes.io/pod-deletion-cost"] == "1000"
    assert metadata["labels"]["app.kubernetes.io/component"] == "node", "its own labels stay"


def test_a_dispatcher_may_not(
    plane: ControlPlane, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for manifest in [*core("pool"), pod()]:
        plane.apply(manifest)
    account = plane.token_of("avatar-dispatcher", "avatar", tmp_path / "account")
    guard = PodAnnotator(Pod(f"https://127.0.0.1:{plane.port}", "avatar", POD, account))

    async def scene() -> None:
        running = asyncio.create_task(guard.run(), name="guard")
        async with asyncio.timeout(20):
            while not [each for each in caplog.records if each.levelno == logging.ERROR]:
                await asyncio.sleep(0.1)
        running.cancel()

    asyncio.run(scene())
    assert "403" in caplog.text
