"""A stand-in for the API of Kubernetes that knows one pod: PATCH over TLS, with a bearer token.

It answers as the real one is documented to: 401 for a wrong token, 403 where the role does not
allow it, 404 for another pod, 415 for a body that says of itself that it is no patch, and the
patched pod for a merge patch of RFC 7386.
"""

import json
import queue
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

MERGE_PATCH = "application/merge-patch+json"
PATCHES = (MERGE_PATCH, "application/strategic-merge-patch+json")


@dataclass
class KubeApi:
    """What it knows and was asked; `faults` are the statuses of the next answers."""

    port: int
    account: Path
    token: str = "first-token"
    pod: dict[str, Any] = field(
        default_factory=lambda: {
            "kind": "Pod",
            "metadata": {"name": "node-1", "labels": {"app": "avatar"}},
        }
    )
    faults: list[HTTPStatus] = field(default_factory=list)
    lose_answers: int = 0
    """So many requests are obeyed from now on, and their connections closed without an answer."""
    hold: threading.Event | None = None
    asked: queue.SimpleQueue[tuple[str, str]] = field(default_factory=queue.SimpleQueue)
    """Method and content type of each request, as it comes in."""
    answered: queue.SimpleQueue[HTTPStatus] = field(default_factory=queue.SimpleQueue)

    @property
    def environ(self) -> dict[str, str]:
        """What a container finds in its environment."""
        return {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.port),
            "POD_NAME": "node-1",
        }

    def hand_out(self, token: str) -> None:
        """A new token, as the kubelet writes one into the pod; the old one is refused."""
        self.token = token
        (self.account / "token").write_text(token)

    @property
    def marks(self) -> tuple[str | None, str | None, str | None]:
        """The label, the deletion cost, and whether the pod may be evicted."""
        metadata = self.pod["metadata"]
        notes = metadata.get("annotations", {})
        return (
            metadata["labels"].get("avatar.session"),
            notes.get("controller.kubernetes.io/pod-deletion-cost"),
            notes.get("cluster-autoscaler.kubernetes.io/safe-to-evict"),
        )

    def answer(self, path: str, authorization: str, kind: str, body: bytes) -> HTTPStatus:
        if authorization != f"Bearer {self.token}":
            return HTTPStatus.UNAUTHORIZED
        if self.faults:
            return self.faults.pop(0)
        if path != "/api/v1/namespaces/avatar/pods/node-1":
            return HTTPStatus.NOT_FOUND
        if kind not in PATCHES:
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        self.pod = _merged(self.pod, json.loads(body))
        return HTTPStatus.OK


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


@contextmanager
def kube_api(account: Path) -> Iterator[KubeApi]:
    """The API on a free port of 127.0.0.1; `account` becomes the service account's folder."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    account.mkdir()
    (account / "namespace").write_text("avatar")
    (account / "ca.crt").write_bytes(authority.cert_pem.bytes())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PATCH(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.headers["Content-Type"]
            api.asked.put((self.command, kind))
            if api.hold is not None:
                api.hold.wait(10)
            status = api.answer(self.path, self.headers["Authorization"], kind, body)
            if api.lose_answers:
                api.lose_answers -= 1
                self.close_connection = True
                return
            said = json.dumps(api.pod if status == 200 else {"kind": "Status", "code": status})
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said.encode())
            api.answered.put(status)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        api = KubeApi(server.server_address[1], account)
        api.hand_out(api.token)
        serving = threading.Thread(target=server.serve_forever, args=(0.02,), name="kube api")
        serving.start()
        try:
            yield api
        finally:
            server.shutdown()
            serving.join()
