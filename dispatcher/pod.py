"""The pod that a node runs in, marked busy while it has sessions, so that Kubernetes spares it.

One PATCH when the first session begins and one when the last is over, never on a timer. It sets
what a Deployment looks at when it chooses a pod to delete, what the cluster's autoscaler looks at
when it empties a machine, and the label that the PodDisruptionBudget selects. None of them is a
promise: only the pod's grace period keeps a session alive that is being deleted all the same. So a
mark that cannot be set is told once and given up, and no session ever waits for one.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

import httpx

from dispatcher.errors import SettingsError

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes lays a pod's token, the certificate of its API, and the pod's namespace."""

PATIENCE_S: Final = 5.0
PAUSES_S: Final = (0.0, 0.5, 2.0, 8.0)
"""The wait before each try of a PATCH; after the last one the mark is given up."""

IN_VAIN: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""Answers that another try does not change."""

logger = logging.getLogger("avatar.dispatcher.pod")


@dataclass(frozen=True, slots=True)
class Pod:
    """Where the pod is found: the API's `url`, its `namespace` and `name`, and the folder
    `account` of its service account, whose token is read anew each time since it is replaced
    every hour."""

    url: str
    namespace: str
    name: str
    account: Path = ACCOUNT

    @classmethod
    def from_env(cls, environ: Mapping[str, str], account: Path = ACCOUNT) -> Self:
        """The pod that this process runs in. Raises SettingsError that says what is missing."""
        host = environ.get("KUBERNETES_SERVICE_HOST")
        if not host:
            raise SettingsError(
                "AVATAR_PROTECT is 'cost', which is for pods of Kubernetes, and there is no "
                "KUBERNETES_SERVICE_HOST here; set it to 'off'."
            )
        name = environ.get("POD_NAME")
        if not name:
            raise SettingsError(
                "AVATAR_PROTECT is 'cost' and needs the pod's name; give it POD_NAME from the "
                "field metadata.name."
            )
        try:
            namespace = (account / "namespace").read_text().strip()
            for each in ("token", "ca.crt"):
                (account / each).read_bytes()
        except OSError as error:
            raise SettingsError(
                f"AVATAR_PROTECT is 'cost' and {error.filename} cannot be read "
                f"({error.strerror}); mount the service account's token "
                "(automountServiceAccountToken: true)."
            ) from error
        bracketed = f"[{host}]" if ":" in host else host
        url = f"https://{bracketed}:{environ.get('KUBERNETES_SERVICE_PORT', '443')}"
        try:
            httpx.URL(url)
        except httpx.InvalidURL as error:
            raise SettingsError(
                f"AVATAR_PROTECT is 'cost' and {url!r}, of KUBERNETES_SERVICE_HOST and _PORT, is "
                f"no address: {error}."
            ) from error
        return cls(url, namespace, name, account)

    @property
    def address(self) -> str:
        return f"{self.url}/api/v1/namespaces/{self.namespace}/pods/{self.name}"


class Guard:
    """Keeps the marks of `pod` as the node says, one PATCH for each change."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._busy = False
        self._changed = asyncio.Event()

    def mark(self, busy: bool) -> None:
        """The node has sessions from now on, or has none. Returns at once and never raises."""
        if busy != self._busy:
            self._busy = busy
            self._changed.set()

    async def run(self) -> None:
        """Set the marks, until cancelled.

        The first PATCH is for the start: a container that was restarted inherits its pod's marks.
        """
        told: bool | None = None
        while True:
            self._changed.clear()
            busy = self._busy
            if busy == told:
                await self._changed.wait()
            else:
                told = busy if await self._tell(busy) else None

    async def _tell(self, busy: bool) -> bool:
        """Set the marks, or give up; False where a newer mark has ended the tries."""
        why = ""
        for pause_s in PAUSES_S:
            if await self._overtaken(pause_s):
                return False
            try:
                status = await self._patch(marks(busy))
            except (httpx.HTTPError, OSError, ValueError) as error:
                why = f"{type(error).__name__}: {error}"
                continue
            if status < HTTPStatus.MULTIPLE_CHOICES:
                logger.info("the pod is marked %s", _word(busy))
                return True
            why = f"the API answered {status}"
            if status in IN_VAIN:
                break
        logger.error(
            "the pod cannot be marked %s, and Kubernetes may choose it when it scales down; "
            "sessions go on. Its service account needs the verb patch on pods, its network a way "
            "to the API at %s. (%s)",
            _word(busy),
            self._pod.url,
            why,
        )
        return True

    async def _overtaken(self, pause_s: float) -> bool:
        """Wait for `pause_s`; whether a newer mark has come meanwhile."""
        if pause_s == 0:
            return False
        try:
            async with asyncio.timeout(pause_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _patch(self, body: Mapping[str, object]) -> int:
        """The status of the API's answer. Raises httpx.HTTPError, OSError and ValueError."""
        async with self._client() as api:
            answer = await api.patch(self._pod.address, content=json.dumps(body))
        return answer.status_code

    def _client(self) -> httpx.AsyncClient:
        """With the token and the certificate as they are now; both are replaced under way."""
        token = (self._pod.account / "token").read_text().strip()
        return httpx.AsyncClient(
            verify=ssl.create_default_context(cafile=self._pod.account / "ca.crt"),
            trust_env=False,
            timeout=PATIENCE_S,
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/merge-patch+json",
                "Accept": "application/json",
            },
        )


def marks(busy: bool) -> dict[str, object]:
    """The merge patch: all that says to Kubernetes that a pod has sessions, or has none."""
    return {
        "metadata": {
            "labels": {"avatar.session": _word(busy)},
            "annotations": {
                "controller.kubernetes.io/pod-deletion-cost": "1000" if busy else "0",
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false" if busy else "true",
            },
        }
    }


def _word(busy: bool) -> str:
    return "busy" if busy else "idle"
