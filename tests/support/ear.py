"""An ear in a process of its own, which notes when a voice arrives from a face of the local room.

Nothing else runs there that could make it late: agents' SDKs stand still at times. It is told
``URL`` on stdin, a line for each face to hear over WHEP, and says ``URL SECONDS`` on stdout
for each 20 ms with a voice in it, when it came, on the clock that all processes share.
"""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import httpx
import numpy as np
from vsaiortc import RTCPeerConnection, RTCSessionDescription
from vsaiortc.mediastreams import MediaStreamError

VOICE: Final = 1000
"""What is as loud as this is no echo of the codec."""

SDP: Final = {"Content-Type": "application/sdp"}
END_S: Final = 5.0


class ListenerProcess:
    """The process, as whoever has started it sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._voiced: dict[str, list[float]] = defaultdict(list)

    def receive(self, whep_url: str) -> None:
        """Begin to listen to a face, until it is gone for long or the ear ends."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{whep_url}\n".encode())

    def voiced(self, whep_url: str) -> list[float]:
        """When each 20 ms with a voice in it came; `time.monotonic`, in seconds."""
        return self._voiced[whep_url]

    async def read(self) -> None:
        """Take what it says, until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            url, at = line.decode().split()
            self._voiced[url].append(float(at))


@asynccontextmanager
async def ear() -> AsyncIterator[ListenerProcess]:
    """An ear until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    listening = ListenerProcess(process)
    reading = asyncio.create_task(listening.read(), name="ear")
    try:
        yield listening
    finally:
        process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
        await reading


async def listen(whep_url: str) -> None:
    """Hear one face until its track ends."""
    connection: Any = RTCPeerConnection()
    voice: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    connection.on("track", lambda track: voice.set_result(track))
    try:
        connection.addTransceiver("audio", direction="recvonly")
        await connection.setLocalDescription(await connection.createOffer())
        async with httpx.AsyncClient(verify=False) as client:
            offer = connection.localDescription.sdp
            answer = await client.post(whep_url, content=offer, headers=SDP)
        answer.raise_for_status()
        await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        track = await voice
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if np.abs(frame.to_ndarray()).max() > VOICE:
                    sys.stdout.write(f"{whep_url} {time.monotonic()}\n")
                    sys.stdout.flush()
    finally:
        await connection.close()


async def main() -> None:
    """Until stdin ends."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with asyncio.TaskGroup() as tasks:
        listening = []
        async for line in lines:
            url = line.decode().strip()
            listening.append(tasks.create_task(listen(url), name=url))
        for each in listening:
            each.cancel()


if __name__ == "__main__":
    asyncio.run(main())
