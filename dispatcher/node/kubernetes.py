"""The pod that a node runs in, marked busy while it has sessions, so that Kubernetes spares it.

One PATCH when the first session begins and one when the last is over. It sets what a Deployment
looks at when it chooses a pod to delete, what the cluster's autoscaler looks at when it empties a
machine, and the label that the PodDisruptionBudget selects. None of them is a promise: only the
pod's grace period keeps a session alive that is being deleted all the same. No session waits for
a mark. A PATCH that fails is repeated with back-off until the mark is true: a pod that stays busy
by mistake blocks the drain of its machine, and one that stays idle is chosen with its sessions.
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

REQUEST_TIMEOUT_S: Final = 5.0

RETRY_FIRST_S: Final = 0.5
RETRY_LONGEST_S: Final = 30.0
"""The wait after a PATCH that failed doubles from the first to the second."""

FAILURES_BEFORE_ERROR: Final = 4
"""An API server that restarts is no error: 4 failures in a row take at least 3.5 s."""

REFUSALS: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""Answers that only an operator changes: logged at once, and repeated at the longest interval."""

CONSEQUENCE: Final = {
    True: "Kubernetes may choose it when it scales down or empties its machine, although it has "
    "sessions",
    False: "Kubernetes spares it although it has no session, and a drain of its machine waits",
}

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


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a PATCH failed; `refused` where only an operator can change that."""

    why: str
    refused: bool = False


class PodAnnotator:
    """Keeps the marks of `pod` as the node says: one PATCH for each change, repeated until it
    succeeds."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod
        self._busy = False
        self._changed = asyncio.Event()
        self._failures = 0
        self._error_logged = False

    def mark(self, busy: bool) -> None:
        """The node has sessions from now on, or has none. Returns at once and never raises."""
        if busy != self._busy:
            self._busy = busy
            self._changed.set()

    async def run(self) -> None:
        """Set the marks, until cancelled.

        The first PATCH is for the start: a container that was restarted inherits its pod's marks.
        """
        marked: bool | None = None
        while True:
            self._changed.clear()
            busy = self._busy
            if busy == marked:
                await self._changed.wait()
                continue
            fault = await self._try_to_mark(busy)
            if fault is None:
                marked = busy
                self._succeeded(busy)
            else:
                # The request may have been obeyed although its answer was lost.
                marked = None
                await self._changed_within(self._failed(busy, fault))

    async def _try_to_mark(self, busy: bool) -> Fault | None:
        try:
            status = await self._patch(marks(busy))
        except (httpx.HTTPError, OSError, ValueError) as error:
            return Fault(f"{type(error).__name__}: {error}")
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return None
        return Fault(f"the API answered {status}", refused=status in REFUSALS)

    def _succeeded(self, busy: bool) -> None:
        log = logger.warning if self._error_logged else logger.info
        log("the pod is marked %s", _word(busy))
        self._failures = 0
        self._error_logged = False

    def _failed(self, busy: bool, fault: Fault) -> float:
        """Log a lasting fault once; the wait before the next try, in seconds."""
        self._failures += 1
        if not self._error_logged and (fault.refused or self._failures >= FAILURES_BEFORE_ERROR):
            self._error_logged = True
            logger.error(
                "the pod cannot be marked %s, so %s; sessions go on, and the mark is tried again "
                "at least every %g s. Its service account needs the verb patch on pods, its "
                "network a way to the API at %s. (%s)",
                _word(busy),
                CONSEQUENCE[busy],
                RETRY_LONGEST_S,
                self._pod.url,
                fault.why,
            )
        if fault.refused:
            return RETRY_LONGEST_S
        doublings = min(self._failures - 1, 16)
        return min(RETRY_FIRST_S * 2.0**doublings, RETRY_LONGEST_S)

    async def _changed_within(self, seconds: float) -> None:
        """Wait for `seconds`, or less where the wanted mark changes meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

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
            timeout=REQUEST_TIMEOUT_S,
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
