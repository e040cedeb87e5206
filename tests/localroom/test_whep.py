"""Watching a participant by WHEP: by vsaiortc's peer connection, and by a real browser."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from browser import page
from meeting_contract import until
from painter import BRIGHT, DARK, LOW_HZ, Paint, luma, pitch_hz, received, tracks
from room_stage import RoomStage, room_process
from vsaiortc.rtcdtlstransport import RTCCertificate
from watching import SDP, Watching, watching

from localroom.faults import Chaos, DatagramFaults, Faults, PeerFaults
from localroom.launch import LocalRoom
from localroom.media import sdp
from localroom.signalling.peer import PeerContext
from localroom.watching.watcher import ABSENCE_S, SILENCE_S, Watcher

Scene = Callable[[RoomStage], Awaitable[None]]


@pytest.fixture(scope="module")
def local() -> Iterator[LocalRoom]:
    with room_process() as room:
        yield room


def on_stage(scene: Scene) -> Callable[[LocalRoom], None]:
    """The scene as a test, in a room that has its name."""

    @functools.wraps(scene)
    def test(local: LocalRoom) -> None:
        async def run() -> None:
            async with asyncio.timeout(60), RoomStage(local, scene.__name__).open() as stage:
                await scene(stage)

        asyncio.run(run())

    del test.__wrapped__  # type: ignore[attr-defined]  # pytest would look for its arguments
    return test


def watch(stage: RoomStage, participant: str = "ada") -> Any:
    return watching(stage.local.control_url, stage.local.whep_url(stage.room_id, participant))


async def state(stage: RoomStage) -> list[dict[str, Any]]:
    """Who watches in this room."""
    everywhere = await asyncio.to_thread(stage.local.watchers)
    return [watcher for watcher in everywhere if watcher["room"] == stage.room_id]


async def nobody_watches(stage: RoomStage) -> None:
    while await state(stage):
        await asyncio.sleep(0.02)


def last_luma(watcher: Watching) -> float:
    return luma(watcher.recording) if watcher.recording.pictures else -1.0


# What is seen and heard --------------------------------------------------------------------------


@on_stage
async def test_a_watcher_sees_and_hears_the_participant_and_is_gone_when_it_says_so(
    stage: RoomStage,
) -> None:
    await stage.enter("ada", **tracks(BRIGHT, LOW_HZ))
    async with watch(stage) as watcher:
        await received(watcher.recording)
        assert luma(watcher.recording) == pytest.approx(BRIGHT, abs=3)
        assert pitch_hz(watcher.recording) == pytest.approx(LOW_HZ, abs=4)
        (shown,) = await state(stage)
        assert shown["participant"] == "ada"
        assert shown["state"] == "connected"
        assert all(track["flowing"] for track in shown["tracks"].values())
        assert shown["tracks"]["video"]["packets"] >= 20
        assert await watcher.delete() == 200
        assert await state(stage) == []
        await until(lambda: watcher.ended == {"audio", "video"})
        assert await watcher.delete() == 404


@on_stage
async def test_sound_and_pictures_come_with_their_senders_clock(stage: RoomStage) -> None:
    await stage.enter("ada", **tracks(BRIGHT, LOW_HZ))
    async with watch(stage) as watcher:
        receivers = {each.kind: each.receiver for each in watcher.connection.getTransceivers()}

        async def reported(kind: str) -> bool:
            found = (await receivers[kind].getStats()).values()
            return any(each.type == "remote-outbound-rtp" for each in found)

        while not (await reported("audio") and await reported("video")):
            await asyncio.sleep(0.05)


@on_stage
async def test_one_who_comes_before_there_is_anything_to_see_sees_it_when_there_is(
    stage: RoomStage,
) -> None:
    ada = await stage.enter("ada")
    async with watch(stage) as watcher:
        while [each["state"] for each in await state(stage)] != ["connected"]:
            await asyncio.sleep(0.02)
        assert watcher.recording.pictures == []
        ada.enable_webcam(Paint(DARK))
        await until(lambda: last_luma(watcher) == pytest.approx(DARK, abs=3))


@on_stage
async def test_the_picture_goes_on_when_a_camera_or_the_participant_is_replaced(
    stage: RoomStage,
) -> None:
    ada = await stage.enter("ada", **tracks(DARK, LOW_HZ))
    async with watch(stage) as watcher:
        await received(watcher.recording)
        ada.disable_webcam()
        while (await stage.state())["ada"]["produces"] != ["audio"]:
            await asyncio.sleep(0.02)
        ada.enable_webcam(Paint(BRIGHT))
        await until(lambda: last_luma(watcher) == pytest.approx(BRIGHT, abs=3))
        await stage.exit(ada)
        await stage.enter("ada", **tracks(DARK, LOW_HZ))
        await until(lambda: last_luma(watcher) == pytest.approx(DARK, abs=3))
        times = [pts for _, pts, _ in watcher.recording.pictures]
        assert times == sorted(set(times))
        assert len(await state(stage)) == 1


@on_stage
async def test_lost_packets_come_again(stage: RoomStage) -> None:
    await stage.enter("ada", **tracks(BRIGHT, LOW_HZ))
    async with watch(stage) as watcher:
        await received(watcher.recording)
        lossy = PeerFaults(datagrams=DatagramFaults(loss=0.1))
        stage.local.set_faults(Faults(peers={"watcher:ada": lossy}))

        async def repeated() -> int:
            (shown,) = await state(stage)
            return int(shown["tracks"]["video"]["retransmissions"])

        while await repeated() < 5:
            await asyncio.sleep(0.05)
        count = len(watcher.recording.pictures)
        await until(lambda: len(watcher.recording.pictures) > count + 20)
        assert luma(watcher.recording) == pytest.approx(BRIGHT, abs=3)


@on_stage
async def test_one_who_just_goes_is_not_kept(stage: RoomStage) -> None:
    await stage.enter("ada", **tracks(BRIGHT, LOW_HZ))
    async with watch(stage) as watcher:
        await until(lambda: watcher.recording.pictures)
    await nobody_watches(stage)


async def test_one_of_whom_nothing_is_heard_is_not_kept_nor_one_whose_participant_stays_away() -> (
    None
):
    context = PeerContext("127.0.0.1", RTCCertificate.generateCertificate(), Chaos())
    watcher = Watcher("room", "ada", sdp.read(OFFER), context)
    await watcher.open()
    now_s = asyncio.get_running_loop().time()
    assert watcher.end_reason(now_s + SILENCE_S - 1, present=True) is None
    assert (
        watcher.end_reason(now_s + SILENCE_S + 1, present=True)
        == "nothing is received from the watcher"
    )
    watcher._transport._ice.received_at = now_s + 100
    assert watcher.end_reason(now_s + 100, present=True) is None
    assert watcher.end_reason(now_s + 99 + ABSENCE_S, present=False) is None
    watcher._transport._ice.received_at = now_s + 200
    reason = watcher.end_reason(now_s + 101 + ABSENCE_S, present=False)
    assert reason == "the participant has not come back"
    await watcher.close()


# What is answered --------------------------------------------------------------------------------


OFFER = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=recvonly
a=rtpmap:111 opus/48000/2
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=fingerprint:sha-256 AA:BB
a=setup:actpass
"""


@on_stage
async def test_what_cannot_be_watched_is_said_in_one_sentence(stage: RoomStage) -> None:
    await stage.enter("ada")
    here = stage.local.whep_url(stage.room_id, "ada")

    async def said(status: int, method: str, url: str, text: str = "", **headers: str) -> str:
        async with httpx.AsyncClient() as client:
            response = await client.request(method, url, content=text, headers=headers)
        assert response.status_code == status, (url, response.text)
        return str(response.json()["error"])

    nobody = stage.local.whep_url(stage.room_id, "nobody")
    assert "No participant nobody" in await said(404, "POST", nobody, OFFER, **SDP)
    nowhere = stage.local.whep_url("nowhere", "ada")
    assert "a room nowhere" in await said(404, "POST", nowhere, OFFER, **SDP)
    as_json = {"Content-Type": "application/json"}
    assert "application/sdp" in await said(415, "POST", here, OFFER, **as_json)
    for text in ("", "nonsense", "v=0\r\n", "m=audio nine\r\n", "\xff", OFFER + "a=setup:what\n"):
        await said(400, "POST", here, text, **SDP)
    for line, missed in (("ice-ufrag", "setup"), ("setup", "setup"), ("fingerprint", "SHA-256")):
        lines = [each for each in OFFER.split("\n") if not each.startswith(f"a={line}")]
        assert missed in await said(400, "POST", here, "\n".join(lines), **SDP)
    md5 = OFFER.replace("sha-256", "md5")
    assert "SHA-256" in await said(400, "POST", here, md5, **SDP)
    for other in (OFFER.replace("opus", "PCMU"), OFFER.replace("recvonly", "sendonly")):
        assert "Opus or VP8" in await said(406, "POST", here, other, **SDP)
    for method in ("GET", "PUT", "DELETE"):
        assert method in await said(405, method, here)
    await said(404, "DELETE", f"{here}/unknown")
    await said(404, "POST", f"{stage.local.control_url}/whep/alone", OFFER, **SDP)
    assert await state(stage) == []


@on_stage
async def test_candidates_are_not_needed_and_ice_is_not_restarted(stage: RoomStage) -> None:
    await stage.enter("ada")
    here = stage.local.whep_url(stage.room_id, "ada")
    async with httpx.AsyncClient() as client:
        begun = await client.post(here, content=OFFER, headers=SDP)
        assert begun.status_code == 201
        assert "a=candidate:" in begun.text
        assert "a=ice-lite" in begun.text
        assert "a=setup:passive" in begun.text
        place = stage.local.control_url + begun.headers["location"]
        candidate = "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n"
        fragment = {"Content-Type": "application/trickle-ice-sdpfrag"}
        assert (await client.patch(place, content=candidate, headers=fragment)).status_code == 204
        restart = await client.patch(place, content="a=ice-ufrag:x", headers={"If-Match": "*"})
        assert restart.status_code == 422
        assert (await client.delete(place)).status_code == 200


@on_stage
async def test_pages_of_this_machine_may_ask_and_those_of_the_world_may_not(
    stage: RoomStage,
) -> None:
    await stage.enter("ada")
    here = stage.local.whep_url(stage.room_id, "ada")
    state_url = f"{stage.local.control_url}/state"
    async with httpx.AsyncClient() as client:
        origin = "http://localhost:3000"
        asked = await client.options(
            here, headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
        )
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == origin
        assert "POST" in asked.headers["access-control-allow-methods"]
        assert "Content-Type" in asked.headers["access-control-allow-headers"]
        begun = await client.post(here, content=OFFER, headers=SDP | {"Origin": origin})
        assert begun.headers["access-control-expose-headers"] == "Link, Location"
        place = stage.local.control_url + begun.headers["location"]
        assert (await client.delete(place, headers={"Origin": origin})).status_code == 200
        for foreign in ({"Origin": "https://example.com"}, {"Origin": "null"}):
            assert (await client.post(here, content=OFFER, headers=foreign)).status_code == 403
            assert (await client.get(state_url, headers=foreign)).status_code == 403
        renamed = {"Host": "example.com"}
        assert (await client.get(state_url, headers=renamed)).status_code == 403


# In a browser ------------------------------------------------------------------------------------

LUMA = """(() => {
  const canvas = new OffscreenCanvas(8, 8), pen = canvas.getContext('2d');
  pen.drawImage(video, 0, 0, 8, 8);
  return pen.getImageData(4, 4, 1, 1).data[1];
})()"""

INBOUND = """(async () => Object.fromEntries(
  [...(await connection.getStats()).values()]
    .filter((each) => each.type === 'inbound-rtp')
    .map((each) => [each.kind, each])))()"""


def in_rgb(shade: int) -> float:
    """A luma as a browser shows it: 16 is black there and 235 is white."""
    return (shade - 16) * 255 / 219


@pytest.mark.browser
@on_stage
async def test_a_browser_shows_the_participant_and_the_one_who_replaces_it(
    stage: RoomStage,
) -> None:
    ada = await stage.enter("ada", **tracks(BRIGHT, LOW_HZ))
    async with page(stage.local.watch_url(stage.room_id, "ada")) as tab:
        begun = await tab.until("video.videoWidth && video.currentTime")
        assert await tab.evaluate("[video.videoWidth, video.videoHeight]") == [160, 120]
        await tab.until(f"video.currentTime > {begun} + 1")
        assert await tab.evaluate(LUMA) == pytest.approx(in_rgb(BRIGHT), abs=4)
        inbound = await tab.evaluate(INBOUND)
        assert inbound["video"]["framesDecoded"] > 10
        assert inbound["audio"]["packetsReceived"] > 10
        assert inbound["audio"]["totalAudioEnergy"] > 0
        await stage.exit(ada)
        await tab.until("document.querySelector('p').textContent === 'No new pictures of ada.'")
        await stage.enter("ada", **tracks(DARK, LOW_HZ))
        while await tab.evaluate(LUMA) != pytest.approx(in_rgb(DARK), abs=4):
            await asyncio.sleep(0.05)
        await tab.until("document.querySelector('p').textContent === ''")
        (shown,) = await state(stage)
        assert shown["state"] == "connected"
        await tab.evaluate("location = 'about:blank'")
        await nobody_watches(stage)


@pytest.mark.browser
@on_stage
async def test_a_browser_lists_who_is_there(stage: RoomStage) -> None:
    await stage.enter("<ada>")
    async with page(f"{stage.local.control_url}/watch") as tab:
        link = "[...document.links].find((each) => each.textContent === '<ada>')"
        await tab.until(f"{link} !== undefined")
        await tab.evaluate(f"{link}.click()")
        await tab.until("location.pathname.endsWith('/%3Cada%3E') && 'connection' in window")
        await tab.until("document.querySelector('p').textContent.includes('not been seen yet')")
