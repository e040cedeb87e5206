"""What has failed beside the faces: metrics or recordings that are missing while sessions go on.

None of it makes a process not ready: what ends a process that is not ready would end its sessions.
"""

import logging
from collections.abc import Mapping
from typing import Final

from dispatcher import metrics

CONSEQUENCES: Final[Mapping[str, str]] = {
    "metrics": "some workers are not counted in the metrics",
    "recording": "sessions are not recorded",
}
"""What is missing while a part fails."""

logger = logging.getLogger("avatar.dispatcher.degraded")


class Degraded:
    """Which auxiliary parts fail now, and why. Each failure is counted, its beginning logged."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def failed(self, part: str, reason: str) -> None:
        """`part` has failed. A part that is not known, which a worker may report, is left out."""
        if part not in CONSEQUENCES:
            return
        metrics.AUXILIARY_FAILURES[part].inc()
        metrics.DEGRADED[part].set(1)
        if part not in self._reasons:
            logger.error("degraded: %s; sessions go on (%s)", CONSEQUENCES[part], reason)
        self._reasons[part] = reason

    def restored(self, part: str) -> None:
        """`part` works; logged where it did not before."""
        if self._reasons.pop(part, None) is not None:
            metrics.DEGRADED[part].set(0)
            logger.info("no longer degraded: %s works again", part)

    @property
    def sentences(self) -> list[str]:
        """One for each part that fails, for operators; empty where all is well."""
        return [f"{CONSEQUENCES[part]} ({reason})" for part, reason in self._reasons.items()]
