"""Who has gone leaves nothing behind in the room's process."""

import asyncio

import httpx
from painter import LOW_HZ, tracks
from room_stage import RoomStage, room_process
from watching import watching

from localroom.launch import LocalRoom

PEERS, WATCHERS = 16, 8
TIMEOUT_S = 60.0


async def held(local: LocalRoom) -> dict[str, int]:
    """Files, threads and tasks of the room's process."""
    async with httpx.AsyncClient() as client:
        answer: dict[str, int] = (await client.get(f"{local.control_url}/process")).json()
    return answer


async def come_and_go(stage: RoomStage, peers: int, watchers: int) -> None:
    """All peers one after the other, then all watchers, while `ada` publishes."""
    for number in range(peers):
        await stage.exit(await stage.enter(f"guest-{number}"))
    url = stage.local.whep_url(stage.room_id, "ada")
    for number in range(watchers):
        async with watching(stage.local.control_url, url) as watcher:
            while not watcher.recording.sound:
                await asyncio.sleep(0.01)
            if number % 2:
                assert await watcher.delete() == 200
    while await asyncio.to_thread(stage.local.watchers):
        await asyncio.sleep(0.05)


def test_peers_and_watchers_leave_no_file_no_thread_and_no_task_behind() -> None:
    async def scene(local: LocalRoom) -> None:
        async with RoomStage(local, "leaks").open() as stage:
            await stage.enter("ada", **tracks(100, LOW_HZ))
            await come_and_go(stage, 1, 2)
            before = await held(local)
            await come_and_go(stage, PEERS, WATCHERS)
            async with asyncio.timeout(TIMEOUT_S):
                while any(count > before[kind] for kind, count in (await held(local)).items()):
                    await asyncio.sleep(0.05)

    with room_process() as local:
        asyncio.run(scene(local))
