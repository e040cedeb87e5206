"""Numbers that a worker shares with its dispatcher, and which outlive the worker.

They are in a block of memory that the dispatcher makes and passes on with the order to fork: an
anonymous file with no name in any file system, so that no full or read-only disk matters. The
next worker of the same number counts on in the same block; two at a time never have one.

avatar_runtime/shared_block.py has the format. dispatcher/workers/shared_numbers.py makes the blocks
and reads them.
"""

import json
import mmap
from collections.abc import Sequence
from threading import Lock

from avatar_runtime.shared_block import LAYOUT_AT, NUMBERS_AT, SIZE

Sample = tuple[str, dict[str, str], int]


class Block:
    """The block behind a `descriptor`, which may be closed afterwards. Raises OSError."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, SIZE)
        self._numbers = memoryview(self._memory)[NUMBERS_AT:LAYOUT_AT].cast("d")
        self._families: dict[str, tuple[str, str, list[Sample]]] = {}
        self._count = 0
        self._lock = Lock()

    def number(
        self,
        kind: str,
        family: str,
        sample: str,
        labels: Sequence[str],
        values: Sequence[str],
        text: str,
        **_: object,
    ) -> "Number":
        """The next number; called by prometheus_client as its ``ValueClass``."""
        place = self._count
        self._count += 1
        named = dict(zip(labels, values, strict=True))
        self._families.setdefault(family, (kind, text, []))[2].append((sample, named, place))
        return Number(self._numbers, place, self._lock)

    def publish(self) -> None:
        """Say what the numbers are, once all are there.

        Where a worker of another version has counted in the block, all numbers begin at 0.
        """
        layout = json.dumps(self._families).encode()
        if self._layout() == layout:
            return
        self._set_length(0)
        for place in range(len(self._numbers)):
            self._numbers[place] = 0.0
        self._memory[LAYOUT_AT : LAYOUT_AT + len(layout)] = layout
        self._set_length(len(layout))  # last: a worker that is killed here leaves no half of it

    def _layout(self) -> bytes:
        length = int.from_bytes(self._memory[:NUMBERS_AT], "little")
        return self._memory[LAYOUT_AT : LAYOUT_AT + length]

    def _set_length(self, length: int) -> None:
        self._memory[:NUMBERS_AT] = length.to_bytes(NUMBERS_AT, "little")


class Number:
    """One number of a block, as prometheus_client keeps a value; any thread may change it."""

    def __init__(self, numbers: "memoryview[float]", place: int, lock: Lock) -> None:
        self._numbers = numbers
        self._place = place
        self._lock = lock

    def inc(self, amount: float) -> None:
        with self._lock:
            self._numbers[self._place] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        with self._lock:
            self._numbers[self._place] = value

    def get(self) -> float:
        with self._lock:
            return float(self._numbers[self._place])

    def set_exemplar(self, exemplar: object) -> None:
        """Exemplars are not kept."""

    def get_exemplar(self) -> None:
        """There are none."""
