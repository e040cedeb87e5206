"""A real control plane of the test run's own, where KUBEBUILDER_ASSETS names its programs.

etcd and kube-apiserver only: objects are stored, defaulted and validated, roles are held, and
nothing runs them. Not to be had from package registries; see the envtest of controller-runtime.
"""

import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ASSETS = "KUBEBUILDER_ASSETS"
ADMIN = "admins-token"
WAIT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The API at 127.0.0.1, whose certificate is signed by `authority`."""

    port: int
    authority: Path
    http: httpx.Client

    def apply(self, manifest: dict[str, Any]) -> httpx.Response:
        """Server-side apply, as ``kubectl apply --server-side`` does it."""
        return self.http.patch(
            self.path_of(manifest),
            params={"fieldManager": "test", "fieldValidation": "Strict"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=yaml.safe_dump(manifest),
        )

    def path_of(self, manifest: dict[str, Any]) -> str:
        group = manifest["apiVersion"]
        root = f"/api/{group}" if "/" not in group else f"/apis/{group}"
        for resource in self.http.get(root).json()["resources"]:
            if resource["kind"] == manifest["kind"] and "/" not in resource["name"]:
                metadata = manifest["metadata"]
                space = f"/namespaces/{metadata['namespace']}" if resource["namespaced"] else ""
                return f"{root}{space}/{resource['name']}/{metadata['name']}"
        raise LookupError(f"the API has no {manifest['kind']} of {group}")

    def token_of(self, account: str, namespace: str, folder: Path) -> Path:
        """A folder as a pod of that service account finds it."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = self.http.post(path, json=body)
        assert answer.status_code == 201, answer.text
        folder.mkdir()
        (folder / "token").write_text(answer.json()["status"]["token"])
        (folder / "namespace").write_text(namespace)
        (folder / "ca.crt").write_bytes(self.authority.read_bytes())
        return folder


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Skips the test where there is none to be had."""
    assets = os.environ.get(ASSETS)
    if not assets:
        pytest.skip(f"NOT CHECKED: {ASSETS} is unset, so there is no real control plane")
    etcd_port, peer_port, port = _free_port(), _free_port(), _free_port()
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_pem.write_to_path(str(folder / "tls.key"))
    for number, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(str(folder / "tls.crt"), append=bool(number))
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    (folder / "tokens.csv").write_text(f'{ADMIN},admin,1,"system:masters"\n')
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "accounts.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    etcd = f"http://127.0.0.1:{etcd_port}"
    programs = [
        [
            *(f"{assets}/etcd", "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"),
            *("--listen-client-urls", etcd, "--advertise-client-urls", etcd),
            *("--listen-peer-urls", f"http://127.0.0.1:{peer_port}"),
        ],
        [
            *(f"{assets}/kube-apiserver", "--etcd-servers", etcd, "--secure-port", str(port)),
            *("--bind-address", "127.0.0.1", "--cert-dir", str(folder)),
            *("--tls-cert-file", str(folder / "tls.crt")),
            *("--tls-private-key-file", str(folder / "tls.key")),
            *("--token-auth-file", str(folder / "tokens.csv"), "--authorization-mode", "RBAC"),
            *("--service-account-issuer", "https://test"),
            *("--service-account-key-file", str(folder / "accounts.key")),
            *("--service-account-signing-key-file", str(folder / "accounts.key")),
            *("--service-cluster-ip-range", "10.96.0.0/16"),
            *("--disable-admission-plugins", "ServiceAccount"),
        ],
    ]
    with ExitStack() as stack:
        for command in programs:
            log = stack.enter_context((folder / f"{Path(command[0]).name}.log").open("w"))
            running = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(running.wait)
            stack.callback(running.kill)
        http = stack.enter_context(
            httpx.Client(
                base_url=f"https://127.0.0.1:{port}",
                verify=ssl.create_default_context(cafile=folder / "ca.crt"),
                headers={"Authorization": f"Bearer {ADMIN}"},
                trust_env=False,
                timeout=10.0,
            )
        )
        _until_ready(http, folder)
        yield ControlPlane(port, folder / "ca.crt", http)


def _until_ready(http: httpx.Client, folder: Path) -> None:
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while True:
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        log = json.dumps([each.read_text()[-2000:] for each in folder.glob("*.log")])
        assert time.monotonic() < deadline, log
        time.sleep(0.2)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
