"""A face whose host is cut off speaks on at another host; `make chaos` lets all else fail."""

import asyncio
import time
from pathlib import Path

import pytest
from cluster import HostCluster, cluster, machines, why_not
from ear import ear
from failing import HEALED
from hosts import HUB
from onlooker import onlooker
from room_stage import room_process
from talking import Installation, posting, talking

from localroom.launch import LocalRoom

SPEECH_S = 30.0


def test_a_face_whose_host_is_cut_off_speaks_on_at_another(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)

    async def scene(house: Installation) -> None:
        async with (
            onlooker(house.local) as seen,
            talking(house, "cut-off", SPEECH_S) as talk,
            posting(house.running, talk.room_id) as poster,
        ):
            await talk.until_it_speaks(0.5)
            host = house.running.home(talk.session).host
            struck_s = time.monotonic()
            await asyncio.to_thread(host.cut)
            await talk.until_it_speaks(1.5)
            await asyncio.to_thread(host.restore)
            await talk.until_it_speaks(2.0)
            silent_s = max(each.lasted_s for each in talk.silences(struck_s, time.monotonic()))
            session = await asyncio.to_thread(house.running.session, talk.session_id)
        assert silent_s > 1.0
        assert session is not None
        assert (session["state"], session["epoch"]) == ("active", talk.session["epoch"] + 1)
        assert house.running.named(session) != house.running.named(talk.session)
        assert {each.session_id for each in poster.answers} - {None} == {talk.session_id}
        assert seen.shown(talk.room_id) == 1
        assert seen.doubles(talk.room_id, struck_s) <= HEALED

    async def play(local: LocalRoom, running: HostCluster) -> None:
        async with ear() as listening:
            await scene(Installation(local, running, listening))

    with (
        machines(3) as made,
        room_process("--host", HUB) as local,
        cluster(local, made, tmp_path) as running,
    ):
        asyncio.run(play(local, running))
