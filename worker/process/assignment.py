"""Assignment: which session a worker has taken, as whom the dispatcher knows it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the dispatcher adds to a join request; empty where nobody did.

    `epoch` is 1 for a session's first owner and rises with each new one, `slot` is the slot
    that it has there, `traceparent` (W3C Trace Context) the span in which it was launched.
    """

    session_id: str = ""
    epoch: int = 0
    slot: str = ""
    traceparent: str | None = None

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        """What the line of a join request says; what it does not say, or says wrong, is empty."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return cls()
        said = request.get("assignment") if isinstance(request, dict) else None
        if not isinstance(said, dict):
            return cls()
        epoch = said.get("epoch")
        return cls(
            session_id=_text(said, "session_id"),
            epoch=epoch if type(epoch) is int and epoch >= 0 else 0,
            slot=_text(said, "slot"),
            traceparent=_text(said, "traceparent") or None,
        )


def _text(said: Mapping[str, object], name: str) -> str:
    value = said.get(name)
    return value if isinstance(value, str) else ""
