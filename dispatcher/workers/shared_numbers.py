"""The numbers that workers count, read from memory that is shared with them.

A block for each worker's number: what a worker has counted stays when it ends or is killed, and
the next one of the same number counts on. avatar_runtime/shared_block.py has the format, and
worker/process/shared_numbers.py writes it.
The blocks have no name in any file system, and all of their memory is reserved when they are made,
so that no worker dies of a disk or of memory that is full (SIGBUS).
"""

import fcntl
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from prometheus_client import Metric
from prometheus_client.registry import Collector

from avatar_runtime.shared_block import LAYOUT_AT, NUMBERS_AT, SIZE
from dispatcher.degraded import Degraded

PLACES: Final = (LAYOUT_AT - NUMBERS_AT) // 8

SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
"""Nobody changes a block's length: reading beyond the end of a mapped file is SIGBUS."""

Labels = tuple[tuple[str, str], ...]


class Sample(NamedTuple):
    """What one number of a block is, and where it is."""

    family: str
    kind: str
    text: str
    name: str
    labels: Labels
    place: int


class SharedNumbers(Collector):
    """A block of memory for each number of a worker; as a collector, the sums over all of them.

    Where a block cannot be made its workers count for themselves, which is `degraded`.
    """

    def __init__(self, degraded: Degraded) -> None:
        self._degraded = degraded
        self._blocks: dict[int, int] = {}

    def block(self, number: int) -> int | None:
        """The descriptor of that worker's block; None where there is none to be had."""
        if number not in self._blocks:
            try:
                self._blocks[number] = _make()
            except (OSError, AttributeError) as error:  # without memfd: an old kernel or libc
                self._degraded.failed("metrics", getattr(error, "strerror", None) or str(error))
                return None
            self._degraded.restored("metrics")
        return self._blocks[number]

    def reset_gauges(self, number: int) -> None:
        """The worker of that number is gone: its counters stay, its gauges go to zero."""
        if number not in self._blocks:
            return
        for sample in _samples(_read(self._blocks[number])):
            if sample.kind == "gauge":
                os.pwrite(self._blocks[number], struct.pack("d", 0.0), _at(sample.place))

    def collect(self) -> Iterable[Metric]:
        """The metrics of all workers together."""
        families: dict[str, tuple[str, str]] = {}
        sums: dict[str, dict[tuple[str, Labels], float]] = {}
        for block in map(_read, self._blocks.values()):
            for family, kind, text, name, labels, place in _samples(block):
                families[family] = kind, text
                total = sums.setdefault(family, {})
                (value,) = struct.unpack_from("d", block, _at(place))
                total[name, labels] = total.get((name, labels), 0.0) + value
        for family, (kind, text) in families.items():
            metric = Metric(family, text, kind)
            samples_of = _cumulative if kind == "histogram" else _plain
            for sample, named, value in samples_of(family, sums[family]):
                metric.add_sample(sample, dict(named), value)
            yield metric

    def close(self) -> None:
        """Close all blocks."""
        for descriptor in self._blocks.values():
            os.close(descriptor)
        self._blocks.clear()


def _make() -> int:
    """A block of zeros. Raises OSError, or AttributeError where there is no memfd."""
    descriptor = os.memfd_create("avatar-numbers", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(descriptor, 0, SIZE)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _read(descriptor: int) -> bytes:
    return os.pread(descriptor, SIZE, 0)


def _at(place: int) -> int:
    return NUMBERS_AT + 8 * place


def _samples(block: bytes) -> list[Sample]:
    """What the numbers of a block are.

    None where no worker has written a layout yet, or where it cannot be read.
    """
    length = int.from_bytes(block[:NUMBERS_AT], "little")
    try:
        layout = json.loads(block[LAYOUT_AT : LAYOUT_AT + length] or b"{}")
        found = [
            Sample(str(family), str(kind), str(text), str(name), tuple(labels.items()), int(place))
            for family, (kind, text, samples) in layout.items()
            for name, labels, place in samples
        ]
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return []
    return found if all(0 <= each.place < PLACES for each in found) else []


def _plain(_: str, sums: Mapping[tuple[str, Labels], float]) -> Iterator[tuple[str, Labels, float]]:
    for (sample, labels), value in sums.items():
        yield sample, labels, value


def _cumulative(
    family: str, sums: Mapping[tuple[str, Labels], float]
) -> Iterator[tuple[str, Labels, float]]:
    """Each bucket of a block has what fell into it alone; one of an exposition, all below it."""
    below: dict[Labels, float] = {}
    for (sample, labels), value in sums.items():
        if sample == f"{family}_bucket":
            others = tuple(each for each in labels if each[0] != "le")
            below[others] = below.get(others, 0.0) + value
            yield sample, labels, below[others]
        else:
            yield sample, labels, value
    for others, count in below.items():
        yield f"{family}_count", others, count
