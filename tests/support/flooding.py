"""A flood of requests, in a process of its own: as many a second as it is told, from many lines.

Run it as ``python -m flooding ADDRESS PORT PER_SECOND SECONDS`` with the requests, one JSON list
of strings, on stdin. It prints ``{status: how many}`` as JSON; -1 stands for no answer.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from itertools import cycle

LINES = 16
BUSY_S = 30.0
"""After so long there is no answer."""


async def ask(
    address: tuple[str, int], requests: list[bytes], every_s: float, until: float, first_s: float
) -> Counter[int]:
    """The statuses of one request after the other on one line, which is opened anew when it is
    closed."""
    found: Counter[int] = Counter()
    line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    due = first_s
    for request in cycle(requests):
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due = max(due + every_s, time.monotonic() - 1.0)
        if time.monotonic() > until:
            break
        try:
            async with asyncio.timeout(BUSY_S):
                line = line or await asyncio.open_connection(*address)
                line[1].write(request)
                head = (await line[0].readuntil(b"\r\n\r\n")).lower()
                found[int(head.split()[1])] += 1
                length = int(head.split(b"content-length: ")[1].split()[0])
                await line[0].readexactly(length)
                if b"connection: close" in head:
                    line[1].close()
                    line = None
        except (OSError, asyncio.IncompleteReadError, TimeoutError, IndexError):
            found[-1] += 1
            if line is not None:
                line[1].close()
            line = None
    if line is not None:
        line[1].close()
    return found


async def flood(
    address: tuple[str, int], requests: list[bytes], per_s: float, seconds: float
) -> Counter[int]:
    """All lines together send `per_s` requests a second."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        lines = [
            tasks.create_task(
                ask(
                    address,
                    requests[number % len(requests) :] + requests[: number % len(requests)],
                    LINES / per_s,
                    began + seconds,
                    began + number / per_s,
                ),
                name=f"line {number}",
            )
            for number in range(LINES)
        ]
    return sum((line.result() for line in lines), Counter())


if __name__ == "__main__":
    host, port, per_s, seconds = sys.argv[1:]
    sent = [each.encode("latin-1") for each in json.load(sys.stdin)]
    answers = asyncio.run(flood((host, int(port)), sent, float(per_s), float(seconds)))
    sys.stdout.write(json.dumps(answers))
