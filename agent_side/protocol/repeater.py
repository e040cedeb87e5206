"""RepeaterOf: control is sent again until it is acknowledged."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Message = TypeVar("Message")


@dataclass(slots=True)
class _Waiting(Generic[Message]):
    message: Message
    due: float
    interval: float


class RepeaterOf(Generic[Message]):
    """Sends control again until it is acknowledged: at once, then after 0.1 s, 0.2 s, 0.4 s ...

    The interval doubles up to `slowest_s`. Holds no clock: the caller passes the time.
    """

    FIRST_S: Final = 0.1

    def __init__(self, slowest_s: float = 1.0, most: int | None = None) -> None:
        self.given_up = 0
        """Messages that were never acknowledged and had to make room."""
        self._slowest_s = slowest_s
        self._most = most
        self._waiting: dict[Hashable, _Waiting[Message]] = {}

    def add(self, key: Hashable, message: Message, now: float) -> None:
        """Repeat `message` from now on, in place of what `key` stood for.

        With more than `most` that wait, the oldest is given up.
        """
        self._waiting[key] = _Waiting(message, now, self.FIRST_S)
        if self._most is not None and len(self._waiting) > self._most:
            del self._waiting[next(iter(self._waiting))]
            self.given_up += 1

    def done(self, key: Hashable) -> None:
        """`key` needs no repetition any more, if it ever did."""
        self._waiting.pop(key, None)

    def clear(self) -> None:
        """Nobody listens any more."""
        self._waiting.clear()

    def due(self, now: float) -> list[Message]:
        """What has to be sent now, in the order in which it was added."""
        return list(self._due(now))

    def pop_due(self, now: float) -> Message | None:
        """The first message that has to be sent now; None when there is none."""
        return next(self._due(now), None)

    def _due(self, now: float) -> Iterator[Message]:
        for waiting in self._waiting.values():
            if waiting.due <= now:
                waiting.due = now + waiting.interval
                waiting.interval = min(2 * waiting.interval, self._slowest_s)
                yield waiting.message

    @property
    def messages(self) -> tuple[Message, ...]:
        """What has not been acknowledged yet, in the order in which it was added."""
        return tuple(waiting.message for waiting in self._waiting.values())

    @property
    def next_due(self) -> float | None:
        """When `due` has something again; None if nothing waits."""
        return min((waiting.due for waiting in self._waiting.values()), default=None)
