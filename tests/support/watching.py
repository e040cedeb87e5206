"""One who watches by WHEP without a browser: vsaiortc's peer connection and an HTTP client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from room_stage import RoomRecording
from vsaiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription

SDP = {"Content-Type": "application/sdp"}


class Watching:
    """What is seen and heard, and how to end it."""

    def __init__(
        self, base: str, client: httpx.AsyncClient, ice_servers: list[RTCIceServer]
    ) -> None:
        self.recording = RoomRecording()
        self.connection: Any = RTCPeerConnection(RTCConfiguration(ice_servers))
        self.place = ""
        self.ended: set[str] = set()
        self._base = base
        self._client = client
        self._tasks: list[asyncio.Task[None]] = []
        self.connection.on("track", self._on_track)

    async def begin(self, whep_url: str) -> None:
        for kind in ("audio", "video"):
            self.connection.addTransceiver(kind, direction="recvonly")
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = self.connection.localDescription.sdp
        response = await self._client.post(whep_url, content=offer, headers=SDP)
        assert response.status_code == 201, response.text
        assert response.headers["content-type"] == "application/sdp"
        self.place = response.headers["location"]
        answer = RTCSessionDescription(response.text, "answer")
        await self.connection.setRemoteDescription(answer)

    async def delete(self) -> int:
        return (await self._client.delete(self._base + self.place)).status_code

    async def close(self) -> None:
        await self.connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_track(self, track: Any) -> None:
        self._tasks.append(asyncio.create_task(self._record(track)))

    async def _record(self, track: Any) -> None:
        record = self.recording.record_sound if track.kind == "audio" else self.recording.see
        await record(track)
        self.ended.add(track.kind)


@asynccontextmanager
async def watching(base: str, whep_url: str) -> AsyncIterator[Watching]:
    """Watch; in the end the connection is closed, and nobody is told."""
    async with httpx.AsyncClient() as client:
        watcher = Watching(base, client, _relays(await client.options(whep_url)))
        try:
            await watcher.begin(whep_url)
            yield watcher
        finally:
            await watcher.close()


def _relays(response: httpx.Response) -> list[RTCIceServer]:
    """What the room offers to those who have nothing but ``lo``."""
    link = response.links.get("ice-server")
    return [RTCIceServer(link["url"], link["username"], link["credential"])] if link else []
