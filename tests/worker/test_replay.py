"""A recorded session comes back bit for bit, and a file that is none gets one line."""

import asyncio
import gzip
import json
import signal
import tempfile
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import virtual_time
from conversing import EVERY_S, PIECES, networks, play
from dispatching import dispatcher
from expressive_renderer import EXPRESSIONS, POSTURES
from hypothesis import given
from hypothesis import strategies as st
from processes import until
from recorded import (
    UNBOUNDED,
    CountingRenderer,
    check,
    lines,
    planes,
    recorded,
    recording,
    replayed,
    worker,
)
from script import Interrupts, Pause, Perform, Say, Tell
from thorough import thorough

from agent_side.join import JoinInfo
from worker.errors import InputError, RendererError
from worker.meeting_support.reconnecting import Rejoining
from worker.meetings.memory import MemoryMeeting, MemoryRoom
from worker.process.loading import load_renderer
from worker.recording.file import FORMAT, CutOff, Damaged, RecordingReader, compose, pack
from worker.recording.recorder import recorder
from worker.session import Session
from worker.settings import Settings
from worker.tools.film import read_pictures
from worker.tools.replay import Replay, main, settings_of

SIZE = Settings(width=64, height=64)

TALK = [
    Perform("expression", "happy", 0.7),
    Say(30_000, 4000, 0.0),
    Pause(0.7),
    Perform("gesture", "nod"),
    Tell(4),
    Say(40_000, 960, 0.02),
    Interrupts(2),
    Perform("posture", "thinking"),
    Pause(0.33),
    Say(20_001, 4000, 0.0),
    Pause(0.61),
    Interrupts(1),
    Perform("expression", "sad", 1.0),
    Say(5000, 4000, 0.0),
    Pause(2.5),
]


def keep(folder, sound=True):
    return replace(SIZE, record=str(folder), record_sound=sound)


def talk(folder, renderer, *, sound=True, script=TALK, faults=None, seed=0):
    """A session of it, recorded; returns what the room saw and heard."""

    async def conversation():
        async with recorded(folder, renderer, keep(folder, sound), faults, seed) as scene:
            await scene.agent.wait_until_ready()
            await play(scene, script)
            async with asyncio.timeout(300):
                await scene.agent.wait_for_playout()
            await asyncio.sleep(0.5)
            return scene

    return virtual_time.run(conversation())


@pytest.fixture(scope="module")
def ada(tmp_path_factory):
    """A recording of a session of the real character."""
    folder = tmp_path_factory.mktemp("ada")
    talk(folder, load_renderer(SIZE))
    return recording(folder)


def replay(*arguments, capsys):
    status = main([str(each) for each in arguments])
    return status, *capsys.readouterr()


# Bit for bit ----------------------------------------------------------------------------------


def test_a_replay_shows_the_same_pictures_and_sounds_the_same_samples(tmp_path):
    scene = talk(tmp_path, load_renderer(SIZE))
    shots = replayed(recording(tmp_path), load_renderer(SIZE))
    check(scene, shots)
    assert len({planes(shot.picture) for shot in shots}) > 40
    assert len(scene.film.cuts) >= 2
    reports = [line["what"] for line in lines(recording(tmp_path))]
    assert {"gesture", "express", "pose", "words", "reset", "cut"} <= set(reports)


says = st.builds(
    Say,
    samples=st.integers(1, 30_000),
    piece=st.sampled_from(PIECES),
    every_s=st.sampled_from(EVERY_S),
)
acts = st.one_of(
    st.builds(Perform, st.just("gesture"), st.sampled_from(["nod", "laugh"])),
    st.builds(Perform, st.just("expression"), st.sampled_from(EXPRESSIONS), st.floats(0, 1)),
    st.builds(Perform, st.just("posture"), st.sampled_from(POSTURES)),
    st.builds(Tell, st.integers(1, 20)),
)
others = st.one_of(st.builds(Pause, st.floats(0, 1.5)), st.builds(Interrupts, st.integers(1, 2)))


@thorough(100)
@given(
    script=st.lists(st.one_of(says, says, others, acts), min_size=1, max_size=10),
    faults=networks,
    seed=st.integers(0, 2**16),
)
def test_any_conversation_comes_back(script, faults, seed):
    with tempfile.TemporaryDirectory() as folder:
        scene = talk(Path(folder), CountingRenderer(), script=script, faults=faults, seed=seed)
        check(scene, replayed(recording(Path(folder)), CountingRenderer()))


# The film ---------------------------------------------------------------------------------------


def test_the_film_has_every_picture_and_says_that_they_are_as_shown(ada, tmp_path, capsys):
    film = tmp_path / "session.mp4"
    status, out, err = replay(ada, "-o", film, capsys=capsys)
    ticks = [line for line in lines(ada) if line["what"] == "tick"]
    assert (status, err) == (0, "")
    assert out == f"{film}: {len(ticks) / 25:.2f} s, {len(ticks)} pictures, all as shown.\n"
    assert len(list(read_pictures(film))) == len(ticks)


def retold(path, target, change):
    """The recording with another story: `change` gets each line."""
    reports = [change(dict(line)) for line in lines(path)]
    target.write_bytes(
        b"".join(pack(compose(each.pop("at"), each.pop("what"), each)) for each in reports if each)
    )
    return target


def test_a_picture_that_differs_is_named_with_what_it_may_be_owing_to(ada, tmp_path, capsys):
    def change(line):
        if line["what"] == "begin":
            line |= {"face": "0123456789abcdef", "seed": 2}
        return line

    other = retold(ada, tmp_path / "other.avatar", change)
    status, out, err = replay(other, "-o", tmp_path / "session.mp4", capsys=capsys)
    assert status == 1
    assert "not as shown, the first at " in out
    assert err.startswith("avatar replay: the pictures may differ for: other files of the char")
    assert "0123456789abcdef then" in err
    assert err.count("\n") == 1


def test_one_flipped_checksum_is_found(ada, tmp_path, capsys):
    shown = [line["picture"] for line in lines(ada) if line["what"] == "tick"]
    drawn = -1

    def change(line):
        nonlocal drawn
        for frame in line.get("frames", ()):
            drawn += 1
            frame[-1] ^= drawn == shown[60]
        if line["what"] == "idle":
            drawn += 1
            line["check"] ^= drawn == shown[60]
        return line

    other = retold(ada, tmp_path / "other.avatar", change)
    status, out, err = replay(other, "-o", tmp_path / "session.mp4", capsys=capsys)
    assert status == 1
    first = shown.index(shown[60])
    assert f" {shown.count(shown[60])} not as shown, the first at {first / 25:.2f} s" in out
    assert "please report it" in err


def test_a_recording_without_sound_tells_its_events_and_makes_no_film(tmp_path, capsys):
    folder = tmp_path / "kept"
    folder.mkdir()
    talk(folder, CountingRenderer(), sound=False)
    film = tmp_path / "session.mp4"
    status, out, err = replay(recording(folder), "-o", film, capsys=capsys)
    assert status == 2
    assert "without sound" in out
    assert "TurnInterrupt" in out
    assert err.count("\n") == 1
    assert "AVATAR_RECORD_SOUND=on" in err
    assert not film.exists()


def test_a_recording_does_not_choose_code(ada, tmp_path, capsys):
    def change(line):
        return line | {"renderer": "os:system"} if line["what"] == "begin" else line

    other = retold(ada, tmp_path / "other.avatar", change)
    status, out, err = replay(other, "-o", tmp_path / "session.mp4", capsys=capsys)
    assert (status, out) == (2, "")
    assert "if you trust it" in err
    trusted = Settings(renderer="os:system")
    assert settings_of(RecordingReader(other).header, trusted, tmp_path).renderer == "os:system"


class FailsLater(CountingRenderer):
    """As a renderer that has run out of something."""

    def drain(self):
        if self._state % 97 == 0:
            raise ZeroDivisionError
        return super().drain()


def test_a_renderer_that_fails_ends_the_film_where_it_did(tmp_path):
    async def session():
        room = MemoryRoom(raw=True)
        with recorder(keep(tmp_path), asyncio.get_running_loop().time, "", UNBOUNDED) as record:
            meeting = record.meeting(room.join_worker("avatar"))
            await Session(meeting, record.renderer(FailsLater()), SIZE, None).run()

    with pytest.raises(RendererError):
        virtual_time.run(session())
    path = recording(tmp_path)
    assert lines(path)[-1]["reason"].startswith("RendererError: The renderer failed with Zero")
    stage = Replay(CountingRenderer())
    shots = list(stage.shots(RecordingReader(path).lines()))
    assert "ZeroDivisionError" in stage.flaw
    assert len(shots) == sum(line["what"] == "tick" for line in lines(path))
    assert all(shot.as_shown for shot in shots)


def test_a_place_that_was_lost_leaves_no_gap_in_the_film(tmp_path):
    async def session():
        room = MemoryRoom(raw=True)
        film = room.peer("viewer", "normal").watch()
        made = []

        def make():
            made.append(MemoryMeeting(room, "avatar", 5.0))
            return made[-1]

        with recorder(keep(tmp_path), asyncio.get_running_loop().time, "", UNBOUNDED) as record:
            meeting = record.meeting(Rejoining(make))
            session = Session(meeting, record.renderer(CountingRenderer()), SIZE, None)
            running = asyncio.create_task(session.run())
            for _ in range(3):
                await asyncio.sleep(1)
                room.lose(made[-1])
            await asyncio.sleep(1)
            session.finish()
            record.ended(await running)
        return film

    film = virtual_time.run(session())
    path = recording(tmp_path)
    shots = replayed(path, CountingRenderer())
    shown = [planes(each.frame.picture) for each in film.published]
    assert [planes(shot.picture) for shot in shots] == shown
    reports = [line["what"] for line in lines(path)]
    assert reports.count("away") == reports.count("back") == 3


def test_lost_lines_end_the_film_and_are_said(ada, tmp_path, capsys):
    gone = 0

    def change(line):
        nonlocal gone
        gone += line["what"] == "tick"
        return {"at": line["at"], "what": "lost", "lines": 7} if gone == 50 else line

    other = retold(ada, tmp_path / "other.avatar", change)
    status, out, _ = replay(other, "-o", tmp_path / "session.mp4", capsys=capsys)
    assert status == 1
    assert "49 pictures, all as shown; then 7 lines are missing at" in out


# Events -----------------------------------------------------------------------------------------


def test_events_say_who_said_what_when(ada, capsys):
    status, out, err = replay(ada, "--events", capsys=capsys)
    assert (status, err) == (0, "")
    reports = out.splitlines()
    assert 'session "session-1"' in reports[0]
    assert "64x64, seed 1, with sound" in reports[0]
    kinds = [line.split()[3] for line in reports[1:]]
    for kind in ("joined", "in", "out", "audio", "sounds", "silent", "cut", "reset", "gesture"):
        assert kind in kinds
    assert kinds[-1] == "ended"
    assert any('message="TurnInterrupt"' in line and 'sender="agent"' in line for line in reports)
    assert kinds.count("sounds") == kinds.count("silent") == 4


def test_what_a_recording_says_cannot_reach_the_terminal(ada, tmp_path, capsys):
    def change(line):
        if line["what"] == "joined":
            line |= {"what": "joi\x7fed", "participant": "\x1b[2J\n\u202e\x7f", "\x1b]0;x\x07": 1}
        return line

    other = retold(ada, tmp_path / "other.avatar", change)
    _, out, _ = replay(other, "--events", capsys=capsys)
    assert "\\u001b[2J\\n" in out
    assert out.replace("\n", "").isprintable()


# Files that are no recording, or not all of one -------------------------------------------------


def test_a_recording_may_be_cut_off_anywhere(ada, tmp_path):
    data = ada.read_bytes()
    whole = list(RecordingReader(ada).lines())
    part = tmp_path / "part.avatar"
    counts = set()
    for length in sorted({*range(0, len(data), 997), *range(40), len(data) - 1}):
        part.write_bytes(data[:length])
        try:
            reader = RecordingReader(part)
        except InputError:
            assert length < 2000, "the header is in the first block"
            continue
        read = list(reader.lines())
        assert read == whole[: len(read)]
        assert isinstance(reader.flaw, CutOff)
        counts.add(len(read))
    assert len(counts) > 2


def test_a_flipped_bit_is_noticed_and_what_is_before_it_stays(ada, tmp_path):
    data = ada.read_bytes()
    whole = list(RecordingReader(ada).lines())
    random = np.random.default_rng(0)
    part = tmp_path / "part.avatar"
    noticed = 0
    for _ in range(100):
        place, bit = int(random.integers(len(data))), int(random.integers(8))
        part.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
        try:
            reader = RecordingReader(part)
        except InputError:
            noticed += 1
            continue
        read = list(reader.lines())
        assert read == whole[: len(read)]
        noticed += reader.flaw is not None
    assert noticed >= 95  # a member's time stamp and the like are checked by nobody


def bomb():
    return gzip.compress(bytes(64 * 1024 * 1024))


BEGIN = compose(0.0, "begin", {"format": FORMAT})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"RIFF....WAVE", "it is damaged behind byte 0"),
        (b"\x1f\x8b", "it was cut off behind byte 0"),
        (gzip.compress(b"", mtime=0), "it is empty"),
        (gzip.compress(b"hello\n", mtime=0), "line 1 is not JSON"),
        (gzip.compress(b"[" * 100_000, mtime=0), "line 1 is not JSON"),
        (gzip.compress(b'{"at":NaN,"what":"begin"}', mtime=0), "line 1 has no `at`"),
        (gzip.compress(b'{"at":' + b"9" * 5000 + b"}", mtime=0), "line 1 is not JSON"),
        (pack(compose(0.0, "tick", {})), "it does not begin with how it was made"),
        (pack(compose(0.0, "begin", {"format": 99})), "it has format 99 and this version reads 1"),
        (pack(BEGIN), "line 1 has no `product`"),
        (bomb(), "it is damaged behind byte 0: a block is too long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_no_recording_gets_one_line(content, reason, tmp_path, capsys):
    path = tmp_path / "foreign.avatar"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        status, out, err = replay(path, "--events", capsys=capsys)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert (status, out) == (2, "")
    assert err.startswith(f"avatar replay: {path} is no recording that can be replayed: {reason}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["nothing.avatar", "."])
def test_a_path_without_a_file_gets_one_line(name, tmp_path, capsys):
    status, out, err = replay(tmp_path / name, "--events", capsys=capsys)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        {"what": "tick", "picture": 10**6, "segment": 0, "sound": "silent"},
        {"what": "tick", "picture": -1, "segment": 0, "sound": "silent"},
        {"what": "tick", "picture": 0, "segment": 0, "sound": "%%%"},
        {"what": "push", "segment": 1, "pcm": "AAAA" * 1000},
        {"what": "push", "segment": 1, "pcm": ""},
        {"what": "drain", "frames": [[1]]},
        {"what": "drain", "frames": "all"},
        {"what": "idle", "check": None},
        {"what": "words", "segment": 1, "words": [[1, 2, 3]]},
        {"what": "gesture", "name": 5},
        {"what": "lost", "lines": True},
    ],
)
def test_a_line_that_cannot_be_is_damage(line, ada, tmp_path):
    first = dict(lines(ada)[0])
    reports = [first, {"at": 0.1, **line}]
    path = tmp_path / "odd.avatar"
    path.write_bytes(b"".join(pack(compose(x.pop("at"), x.pop("what"), x)) for x in reports))
    with pytest.raises(Damaged):
        replayed(path, CountingRenderer())


def test_an_unknown_line_is_passed_over(ada, tmp_path, capsys):
    """A later version may say more."""
    added = pack(compose(99.0, "weather", {"sky": "blue"}))
    path = tmp_path / "later.avatar"
    path.write_bytes(ada.read_bytes() + added)
    status, out, _ = replay(path, "--events", "-o", tmp_path / "session.mp4", capsys=capsys)
    assert status == 0
    assert 'weather   sky="blue"' in out


# A real process ---------------------------------------------------------------------------------

CANARY = "eyJ.canary-of-a-token.sig"


def test_what_a_killed_worker_had_flushed_is_all_there(tmp_path, capsys):
    with worker(
        AVATAR_MEETING="worker_in_memory:create",
        AVATAR_RECORD=str(tmp_path / "kept"),
        AVATAR_RECORD_SOUND="on",
    ) as process:
        join = JoinInfo("room", CANARY, "face", metadata={"secret": CANARY})
        process.stdin.write(join.to_json() + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "joined\n"
        assert process.stdout.readline() == "speaking\n"
        time.sleep(2.5)
        process.send_signal(signal.SIGKILL)
    path = recording(tmp_path / "kept")
    assert path.stat().st_mode & 0o777 == 0o600
    film = tmp_path / "session.mp4"
    status, out, err = replay(path, "-o", film, capsys=capsys)
    assert (status, err) == (0, "")
    pictures = int(out.split(" s, ")[1].split(" pictures, all as shown")[0])
    assert pictures > 0  # of the last second they may be lost
    reports = gzip.decompress(path.read_bytes())
    assert b"canary" not in reports
    assert json.loads(reports.splitlines()[0])["character"] == "ada"


def test_a_forked_worker_of_another_character_comes_back_too(tmp_path, capsys):
    kept = tmp_path / "kept"
    with dispatcher(
        tmp_path / "log",
        AVATAR_RENDERER="character",
        AVATAR_MEETING="worker_in_memory:create",
        AVATAR_RECORD=str(kept),
        AVATAR_RECORD_SOUND="on",
        AVATAR_SLOTS="1",
    ) as running:
        session = running.launched("room", character="leo")
        running.reach(session, "active")
        until(lambda: running.session(session)["counters"].get("frames", 0) > 50)
        running.free()
        until(lambda: running.session(session)["state"] == "ended")
    path = recording(kept)
    assert path.name.endswith(f"-{session}.avatar")
    status, out, err = replay(path, "-o", tmp_path / "session.mp4", capsys=capsys)
    assert (status, err) == (0, "")
    assert "all as shown" in out
    assert RecordingReader(path).header.character == "leo"
