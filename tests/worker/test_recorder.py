"""The flight recorder: what is written, what never is; a session goes on without it."""

import asyncio
import base64
import gzip
import itertools
import json
import logging
import re
import threading
import time
from dataclasses import replace
from inspect import isfunction
from pathlib import Path
from types import SimpleNamespace
from typing import get_type_hints

import numpy as np
import pytest
import virtual_time
from bounds import within
from conversing import play
from expressive_renderer import ExpressiveRenderer
from recorded import UNBOUNDED, CountingRenderer, lines, recorded, recording, worker
from script import Interrupts, Pause, Say
from stage import QuickRenderer, voice

from agent_side.join import JoinInfo
from agent_side.wire import AgentHello
from worker.media import SILENCE, AvatarFrame, Picture
from worker.meeting import Away
from worker.recording import writer as module
from worker.recording.album import MOST_HELD, RESTS_HELD, Album
from worker.recording.ports import RecordedRenderer
from worker.recording.recorder import Recorder, probe, recorder
from worker.recording.writer import Writer
from worker.renderer import Renderer
from worker.settings import Settings
from worker.turns.cues import face_of

TOKEN = "eyJ.secret-token.sig"
WAIT_TIMEOUT_S = 60
TURN = (Say(30_000, 4000, 0.0), Pause(2))


def keep(folder, **changes):
    return replace(Settings(width=64, height=64), **({"record": str(folder)} | changes))


def talk(folder, renderer=None, *, script=TURN, **changes):
    """A session of it, recorded; returns what the room saw and heard."""

    async def conversation():
        async with recorded(folder, renderer or CountingRenderer(), keep(folder, **changes)) as s:
            await s.agent.wait_until_ready()
            s.agent.words([("confidential", 0.0, 0.5)])
            await play(s, list(script))
            await s.agent.wait_for_playout()
            return s

    return virtual_time.run(conversation())


def writer(folder, waiting=UNBOUNDED, **changes):
    return Writer(keep(folder, **changes), time.monotonic, "", waiting, lambda _: None)


# What it is to a session ------------------------------------------------------------------------


def test_without_a_folder_the_ports_are_the_very_same_objects():
    meeting, renderer = object(), QuickRenderer()
    with recorder(Settings(), time.monotonic) as record:
        assert type(record) is Recorder
        assert record.meeting(meeting) is meeting
        assert record.renderer(renderer) is renderer
        record.ended("over")
    assert not any(each.name == "avatar-record" for each in threading.enumerate())


@pytest.mark.parametrize("kind", [QuickRenderer, ExpressiveRenderer])
def test_a_recorded_renderer_says_of_itself_what_the_renderer_says(kind, tmp_path):
    renderer = kind()
    renderer.prefetch_frames, renderer.fork_safe = 4, False
    with recorder(keep(tmp_path), time.monotonic) as record:
        face = record.renderer(renderer)
    assert face_of(face) == face_of(renderer)
    assert bool(face_of(face).gestures) == (kind is ExpressiveRenderer)
    assert (face.prefetch_frames, face.fork_safe) == (4, False)


def test_a_recorded_renderer_has_all_of_the_port():
    """Whatever the port gets, the recorder has to pass on: a default would swallow it."""
    methods = {name for name, value in vars(Renderer).items() if isfunction(value)}
    assert methods <= set(vars(RecordedRenderer))
    writer = SimpleNamespace(note=None)
    face = RecordedRenderer(QuickRenderer(), writer, Album(), sound=False)
    assert set(get_type_hints(Renderer)) <= set(vars(face))


def test_a_recorded_meeting_has_the_offset_of_the_meeting(tmp_path):
    class Punctual:
        offset_s = 0.01

    with recorder(keep(tmp_path), time.monotonic) as record:
        assert record.meeting(Punctual()).offset_s == 0.01


def test_a_recorded_session_is_seen_and_heard_as_one_that_is_not(tmp_path):
    script = (Say(30_000, 960, 0.02), Pause(0.5), Interrupts(2), Say(9000, 4000, 0.0))
    scenes = [talk(tmp_path, script=script, record=folder) for folder in ("", str(tmp_path))]
    assert scenes[0].acks == scenes[1].acks
    assert np.array_equal(scenes[0].film.heard(), scenes[1].film.heard())


# What is written --------------------------------------------------------------------------------


def test_a_recording_is_named_after_time_and_session_and_is_its_owners_alone(tmp_path):
    talk(tmp_path)
    path = recording(tmp_path)
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z-session-1\.avatar", path.name)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("session", ["", "../../etc/passwd", "a b", "x" * 65, "é", "a/b", "..\0"])
def test_a_session_cannot_name_another_place(session, tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    with recorder(keep(folder), time.monotonic, session):
        pass
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{16}\.avatar", recording(folder).name)


def test_it_holds_who_said_what_and_what_was_shown(tmp_path):
    scene = talk(tmp_path)
    reports = lines(recording(tmp_path))
    assert [reports[0]["what"], reports[-1]["what"]] == ["begin", "ended"]
    assert reports[-1]["reason"] == "The worker was told to stop."
    ticks = [line for line in reports if line["what"] == "tick"]
    assert [line["segment"] for line in ticks] == [
        each.frame.segment for each in scene.film.published
    ]
    assert {"AgentHello", "TurnEnd", "Ack"} <= {x["message"] for x in reports if x["what"] == "in"}
    assert {"AvatarReady", "TurnEnded"} <= {x["message"] for x in reports if x["what"] == "out"}
    pushed = sum(line["samples"] for line in reports if line["what"] == "push")
    heard = sum(line["samples"] for line in reports if line["what"] == "audio")
    assert pushed == 30_000 <= heard
    assert all(later["at"] >= sooner["at"] for sooner, later in itertools.pairwise(reports))


def test_speech_and_its_words_are_there_only_where_they_are_asked_for(tmp_path):
    for sound in (False, True):
        folder = tmp_path / str(sound)
        folder.mkdir()
        talk(folder, record_sound=sound)
        text = gzip.decompress(recording(folder).read_bytes())
        speech = base64.b64encode(voice(30_000, seed=1)[:960].tobytes())
        assert (speech in text) == (b"confidential" in text) == sound


def test_no_token_is_ever_in_it(tmp_path):
    """The whole program, its join request full of canaries."""
    request = json.loads(
        JoinInfo("leaves", TOKEN, f"{TOKEN}-face", None, f"{TOKEN}-agent").to_json()
    )
    request["assignment"] = {"session_id": "session-7", "epoch": 1, "slot": TOKEN}
    with worker(
        AVATAR_MEETING="room_of_one:create", AVATAR_RECORD=str(tmp_path), AVATAR_RECORD_SOUND="on"
    ) as process:
        _, errors = process.communicate(json.dumps(request), timeout=WAIT_TIMEOUT_S)
    assert process.returncode == 0, errors
    assert recording(tmp_path).name.endswith("Z-session-7.avatar")
    reports = gzip.decompress(recording(tmp_path).read_bytes())
    assert b'"what":"ended"' in reports
    assert b'"session":"session-7"' in reports
    assert b"secret-token" not in reports
    assert b"leaves" not in reports


CANARY = "wss://user:canary-1@host/?secret=canary-2&x=1 refused eyJhbGci.eyJjYW5hcnk.canary-3"
"""What the server of a meeting says of an error, and what it should keep for itself."""


def test_a_join_that_fails_leaves_no_token_in_it(tmp_path):
    """The whole program: the error that ends it quotes the server."""
    request = json.loads(JoinInfo("tells", TOKEN, metadata={"quote": CANARY}).to_json())
    with worker(AVATAR_MEETING="room_of_one:create", AVATAR_RECORD=str(tmp_path)) as process:
        _, errors = process.communicate(json.dumps(request), timeout=WAIT_TIMEOUT_S)
    assert process.returncode == 1, errors
    assert "canary" not in errors
    ended = lines(recording(tmp_path))[-1]
    assert ended["what"] == "ended"
    assert ended["reason"].startswith("JoinError: The room says: wss://user:***@host/?secret=***&x")
    assert "canary" not in gzip.decompress(recording(tmp_path).read_bytes()).decode()


def test_a_meeting_that_is_lost_leaves_no_token_in_it(tmp_path):
    class Shaky:
        async def messages(self):
            yield Away(f"The room says: {CANARY}")

    async def scene():
        with recorder(keep(tmp_path), asyncio.get_running_loop().time) as record:
            (event,) = [event async for event in record.meeting(Shaky()).messages()]
            record.ended(event.reason)
            assert event.reason == f"The room says: {CANARY}"

    asyncio.run(scene())
    _, away, ended = lines(recording(tmp_path))
    assert [away["what"], ended["what"]] == ["away", "ended"]
    for line in (away, ended):
        assert line["reason"].startswith("The room says: wss://user:***@host")
        assert "canary" not in line["reason"]


# Bounds -----------------------------------------------------------------------------------------


def test_a_full_recording_says_so_and_the_session_goes_on(tmp_path, caplog):
    scene = talk(tmp_path, script=[Say(640_000, 15_000, 0.0)], record_sound=True, record_mb=1)
    path = recording(tmp_path)
    assert 900_000 < path.stat().st_size <= 1_000_000
    reports = lines(path)
    assert reports[-1]["what"] == "full"
    assert scene.acks == [(1, 640_000 / 24_000, False)]
    assert [each.getMessage() for each in caplog.records if "recording" in each.getMessage()] == [
        "the recording is full, the session goes on: AVATAR_RECORD_MB is 1"
    ]


def test_a_writer_that_cannot_keep_up_loses_whole_notes_and_says_how_many(tmp_path, monkeypatch):
    gate = threading.Event()
    create = Writer._create

    def late(self):
        gate.wait(WAIT_TIMEOUT_S)
        return create(self)

    monkeypatch.setattr(Writer, "_create", late)
    slow = writer(tmp_path, waiting=400)
    with within(10):
        for number in range(1000):
            slow.note("idle", check=number)
    gate.set()
    while slow._lines:
        time.sleep(0.01)
    slow.note("idle", check=5000)
    slow.close()
    reports = lines(recording(tmp_path))[1:]
    kept = len(reports) - 2
    assert 5 < kept < 15
    assert [line.get("check") for line in reports] == [*range(kept), None, 5000]
    assert reports[kept]["what"] == "lost"
    assert reports[kept]["lines"] == 1000 - kept


def test_notes_that_are_lost_at_the_very_end_are_said_too(tmp_path, monkeypatch):
    gate = threading.Event()
    create = Writer._create
    monkeypatch.setattr(
        Writer, "_create", lambda self: (gate.wait(WAIT_TIMEOUT_S), create(self))[1]
    )
    slow = writer(tmp_path, waiting=0)
    for _ in range(5):
        slow.note("reset")
    gate.set()
    slow.close()
    assert lines(recording(tmp_path))[-1]["lines"] == 5


def test_a_line_that_is_longer_than_a_block_is_lost_and_said(tmp_path):
    taken = writer(tmp_path)
    taken.note("joined", participant="x" * module.BLOCK, agent=True)
    taken.note("reset")
    taken.close()
    assert [line["what"] for line in lines(recording(tmp_path))] == ["begin", "lost", "reset"]


def test_a_disk_that_hangs_does_not_keep_a_session_from_ending(tmp_path, monkeypatch, caplog):
    gate = threading.Event()
    monkeypatch.setattr(module, "FINISH_S", 0.05)
    create = Writer._create
    monkeypatch.setattr(
        Writer, "_create", lambda self: (gate.wait(WAIT_TIMEOUT_S), create(self))[1]
    )
    stuck = writer(tmp_path, waiting=1)
    stuck.note("reset")
    with within(10):
        stuck.close()
    assert "its disk is too slow" in caplog.text
    gate.set()
    stuck._thread.join(WAIT_TIMEOUT_S)


def full_disk(self):
    return Path("/dev/full").open("wb", buffering=0)


def gone(self):
    return Path("/nonexistent/recording").open("wb", buffering=0)


@pytest.mark.parametrize(
    ("create", "reason"), [(full_disk, "No space left"), (gone, "No such file")]
)
def test_a_disk_that_fails_is_one_warning(create, reason, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(Writer, "_create", create)
    scene = talk(tmp_path, script=[Say(24_000, 4000, 0.0)])
    assert scene.acks == [(1, 1.0, False)]
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert reason in warnings[0].getMessage()
    assert "the session goes on" in warnings[0].getMessage()


# The folder -------------------------------------------------------------------------------------


def probed(folder):
    """What is told of a folder: nothing, or why it takes no recording."""
    reports = []
    probe(str(folder), reports.append)
    for thread in threading.enumerate():
        if thread.name == "avatar-record":
            thread.join()
    return reports


def test_the_folder_is_made_and_is_its_owners_alone(tmp_path):
    assert probed(tmp_path / "new" / "kept") == []
    assert (tmp_path / "new" / "kept").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "new" / "kept").iterdir()) == []


def test_a_folder_that_cannot_be_used_is_told_and_ends_no_session(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    for place, why in [(tmp_path / "file", "File exists"), ("/proc/recordings", "No such file")]:
        (reason,) = probed(place)
        assert reason == f"AVATAR_RECORD is {str(place)!r}: {why}" + " or directory" * (
            why == "No such file"
        )
    scene = talk(tmp_path / "file", script=[Say(24_000, 4000, 0.0)])
    assert scene.acks == [(1, 1.0, False)]
    assert "the session goes on: AVATAR_RECORD is" in caplog.text


def test_whoever_wants_to_know_is_told_how_a_recording_ended(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder, expected in [(tmp_path, ""), (tmp_path / "file", "File exists")]:
        reports = []
        with recorder(keep(folder), time.monotonic, report=reports.append):
            pass
        (reason,) = reports
        assert reason.endswith(expected)
        assert bool(reason) == bool(expected)


def test_a_session_goes_on_where_no_thread_can_be_started(tmp_path, monkeypatch):
    def start(_):
        raise RuntimeError("can't start new thread")

    reports = []
    monkeypatch.setattr(threading.Thread, "start", start)
    with recorder(keep(tmp_path), time.monotonic, report=reports.append) as record:
        record.ended("over")
    assert reports == ["no thread could be started: can't start new thread"]


# Which picture is which -------------------------------------------------------------------------


def test_pictures_are_found_by_being_the_same_object():
    album = Album()
    first, second = Picture.blank(2, 2), Picture.blank(2, 2)
    frames = [AvatarFrame(1, picture, SILENCE) for picture in (first, second, first)]
    rest = Picture.blank(2, 2)
    assert album.add_rest(rest) == album.add_frame(frames[0])
    for frame in frames[1:]:
        album.add_frame(frame)
    assert [album.find(frame)[0] for frame in frames] == [1, 2, 3]
    assert album.find(AvatarFrame(0, first, SILENCE))[0] == 3
    assert album.find(AvatarFrame(0, rest, SILENCE))[0] == 0
    assert album.find(AvatarFrame(1, Picture.blank(2, 2), SILENCE)) == (None, None)


def test_frames_that_were_cut_are_not_taken_for_later_ones():
    album = Album()
    picture = Picture.blank(2, 2)
    for segment in (1, 1, 2):
        album.add_frame(AvatarFrame(segment, picture, SILENCE))
    assert album.find(AvatarFrame(2, picture, SILENCE))[0] == 2


def test_what_a_recorder_holds_is_bounded():
    album = Album()
    for _ in range(1000):
        album.add_frame(AvatarFrame(1, Picture.blank(2, 2), SILENCE))
        album.add_rest(Picture.blank(2, 2))
    assert len(album._frames) == MOST_HELD
    assert len(album._rests) == RESTS_HELD


def test_a_message_that_cannot_be_sent_is_noted_with_why(tmp_path):
    from worker.errors import MeetingError

    class Deaf:
        async def send(self, message):
            raise MeetingError("no")

    async def scene():
        with recorder(keep(tmp_path), asyncio.get_running_loop().time) as record:
            meeting = record.meeting(Deaf())
            with pytest.raises(MeetingError):
                await meeting.send(AgentHello("0" * 16, 1, 0, 24_000))

    asyncio.run(scene())
    assert lines(recording(tmp_path))[1]["failed"] == "MeetingError"
