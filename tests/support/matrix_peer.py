"""A peer in the local room on the SDK as it is, without the patches of `sdk_internals`.

Nobody's sound and pictures are taken: they are not what the matrix looks at.
"""

import asyncio
import sys
from typing import Any

WAIT_TIMEOUT_S = 60.0
POLL_S = 0.02


async def enter(meeting: Any) -> None:
    """Join, and return when data can be sent."""
    assert "worker.meeting_support.sdk_internals" not in sys.modules, (
        "it changes the SDK's SCTP in all of the process"
    )
    client = meeting._Meeting__room_client

    async def decline(**_: object) -> None:
        return

    client.handleConsume = decline
    await meeting.async_join()
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while not all(
            channel is not None and channel.readyState == "open"
            for channel in (client._reliable_data_producer, client._unreliable_data_producer)
        ):
            await asyncio.sleep(POLL_S)


async def leave(meeting: Any) -> None:
    """The SDK's public ``leave`` does not wait until it has happened."""
    await meeting._Meeting__room_client.async_leave()
