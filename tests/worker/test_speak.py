"""avatar speak: any sound file becomes a film; any other input one line and nothing else."""

import os
import signal
import subprocess
import sys
import termios
import time
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from drawn_character import draw
from plain_renderer import REST, luma

from worker.characters.folder import Character
from worker.media import FPS, FRAME_SAMPLES, SAMPLE_RATE, Pcm
from worker.renderers.character import create_for
from worker.settings import Settings
from worker.tools import speak
from worker.tools.film import read_film
from worker.tools.script import Script, parse_act

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "benchmarks" / "speech.wav"
REST_SAMPLES = speak.REST_TICKS * FRAME_SAMPLES


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renderer whose pictures can be told from one another, and no other setting."""
    for name in ("CHARACTER", "CHARACTERS", "SIZE", "SEED", "INPUT_RATE", "LOG_LEVEL",
                 "BACKGROUND", "BADGE", "STILLNESS"):  # fmt: skip
        monkeypatch.delenv(f"AVATAR_{name}", raising=False)
    monkeypatch.setenv("AVATAR_RENDERER", "plain_renderer:create")


def demo_speech() -> Pcm:
    with wave.open(str(SPEECH)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def short_speech(seconds: float = 1.5) -> Pcm:
    return demo_speech()[: round(seconds * SAMPLE_RATE)]


def write_wav(path: Path, pcm: Pcm, rate: int = SAMPLE_RATE, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.tobytes())
    return path


def write_sound(path: Path, pcm: Pcm, codec: str, rate: int, layout: str) -> Path:
    """`pcm` as another program would save it."""
    convert = av.AudioResampler(format="s16", layout=layout, rate=rate)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for part in [*convert.resample(frame), *convert.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path


def run(*arguments: object) -> int:
    """What the program's exit status would be."""
    try:
        return speak.main([str(each) for each in arguments])
    except SystemExit as done:
        return int(done.code or 0)


def best_lag(wanted: Pcm, heard: Pcm) -> tuple[int, float]:
    """Where `heard` agrees best with `wanted` (samples late), and how well (correlation)."""
    size = len(wanted) + len(heard)
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
    place = int(np.argmax(np.fft.irfft(spectrum, size)))
    late = place if place < len(heard) else place - size
    part = heard[max(0, late) :][: len(wanted)]
    return late, float(np.corrcoef(wanted[: len(part)], part)[0, 1])


def test_the_film_is_rest_then_the_speech_then_rest(tmp_path: Path) -> None:
    pcm = short_speech(1.51)
    source = write_wav(tmp_path / "in.wav", pcm)
    assert run(source, "-o", tmp_path / "out.mp4", "--size", "128x96") == 0
    film = read_film(tmp_path / "out.mp4")
    ticks = -(-len(pcm) // FRAME_SAMPLES)
    assert len(film.times_s) == ticks + 2 * speak.REST_TICKS
    assert film.luma.shape[1:] == (96, 128)
    late, likeness = best_lag(pcm, film.sound)
    assert late == REST_SAMPLES
    assert likeness > 0.999
    blocks = np.pad(pcm, (0, ticks * FRAME_SAMPLES - len(pcm))).reshape(-1, FRAME_SAMPLES)
    rest = [REST] * speak.REST_TICKS
    shown = film.luma.mean(axis=(1, 2))
    assert shown == pytest.approx([*rest, *map(luma, blocks), *rest], abs=2)


@pytest.mark.parametrize("samples", [1, 959, 960, 961, 1920])
def test_speech_of_any_length_is_filmed(tmp_path: Path, samples: int) -> None:
    source = write_wav(tmp_path / "in.wav", np.full(samples, 3000, np.int16))
    assert run(source, "-o", tmp_path / "out.mp4", "--size", "64x64") == 0
    ticks = -(-samples // FRAME_SAMPLES)
    assert len(read_film(tmp_path / "out.mp4").times_s) == ticks + 2 * speak.REST_TICKS


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout"),
    [
        ("in.wav", "pcm_s16le", 44_100, "stereo"),
        ("in.wav", "pcm_f32le", 8_000, "mono"),
        ("in.wav", "pcm_s24le", 96_000, "5.1"),
        ("in.flac", "flac", 48_000, "mono"),
        ("in.mp3", "libmp3lame", 44_100, "stereo"),
        ("in.ogg", "libopus", 48_000, "mono"),
        ("in.m4a", "aac", 22_050, "mono"),
    ],
)
def test_any_sound_file_will_do(
    tmp_path: Path, name: str, codec: str, rate: int, layout: str
) -> None:
    pcm = short_speech()
    source = write_sound(tmp_path / name, pcm, codec, rate, layout)
    assert run(source, "-o", tmp_path / "out.mp4", "--size", "64x64") == 0
    late, likeness = best_lag(pcm, read_film(tmp_path / "out.mp4").sound)
    assert abs(late - REST_SAMPLES) <= 0.05 * SAMPLE_RATE
    assert likeness > 0.97


def test_the_last_line_says_what_was_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_wav(tmp_path / "in.wav", short_speech(1.2))
    run(source, "-o", tmp_path / "out.mp4", "--size", "64x64")
    out, err = capsys.readouterr()
    assert out.startswith(f"{tmp_path}/out.mp4: 2.0 s, made in ")
    assert "times as fast as real time" in out
    assert out.count("\n") == 1
    assert err == ""


def test_a_damaged_packet_is_skipped_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_sound(tmp_path / "in.flac", short_speech(), "flac", 24_000, "mono")
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 600] = bytes(600)
    source.write_bytes(content)
    assert run(source, "-o", tmp_path / "out.mp4", "--size", "64x64") == 0
    assert "damaged packets" in capsys.readouterr().out


def bad_inputs(folder: Path) -> dict[str, list[object]]:
    """Arguments that cannot be used, by what is wrong with them."""
    speech = write_wav(folder / "speech.wav", short_speech(0.2))
    text = folder / "text.wav"
    text.write_text("This is a text, not a sound.\n" * 20)
    nothing = folder / "nothing.wav"
    nothing.write_bytes(b"")
    silent_film = folder / "silent.mp4"
    with av.open(str(silent_film), "w") as file:
        stream = file.add_stream("libx264", rate=FPS)
        stream.width, stream.height = 64, 64
        file.mux([*stream.encode(av.VideoFrame(64, 64, "yuv420p")), *stream.encode(None)])
    slow = write_wav(folder / "slow.wav", short_speech(0.1), rate=10)
    film = folder / "film.mp4"
    (folder / "folder.mp4").mkdir()
    return {
        "does not exist": [folder / "missing.wav", "-o", film],
        "is a folder": [folder, "-o", film],
        "is not sound": [text, "-o", film],
        "has no sound": [silent_film, "-o", film],
        "is empty": [nothing, "-o", film],
        "no samples": [write_wav(folder / "zero.wav", short_speech(0)), "-o", film],
        "10 samples per second": [slow, "-o", film],
        "not an ordinary file; give": ["/dev/zero", "-o", film],
        "File name too long": ["x" * 300, "-o", film],
        "no character": [speech, "-o", film, "--character", "no\nbody"],
        "'0x0'": [speech, "-o", film, "--size", "0x0"],
        "'99999x99999'": [speech, "-o", film, "--size", "99999x99999"],
        "'65x64'": [speech, "-o", film, "--size", "65x64"],
        "no expressions; leave --expression out": [speech, "-o", film, "--expression", "happy"],
        "--gesture is 'nod:1'; it has to be NAME[@SECONDS]": [
            speech,
            "-o",
            film,
            "--gesture",
            "nod:1",
        ],
        "--expression is 'happy:2'": [speech, "-o", film, "--expression", "happy:2"],
        "--expression is 'happy@-1'": [speech, "-o", film, "--expression", "happy@-1"],
        "--posture is ''": [speech, "-o", film, "--posture", ""],
        "--stillness is '2'": [speech, "-o", film, "--stillness", "2"],
        "'large'": [speech, "-o", film, "--size", "large"],
        "''": [speech, "-o", film, "--size", ""],
        "is not a folder": [speech, "-o", folder / "nowhere" / "film.mp4"],
        "text.wav is not a folder": [speech, "-o", text / "film.mp4"],
        "cannot be written": [speech, "-o", "/proc/film.mp4"],
        "folder.mp4 is a folder": [speech, "-o", folder / "folder.mp4"],
        "is the speech itself": [speech, "-o", folder / "." / "speech.wav"],
        "ends in .mp4": [speech, "-o", folder / "film.avi"],
        "required: -o/--output": [speech],
        "required: IN.wav": [],
        "unrecognized arguments: --loud": [speech, "-o", film, "--loud"],
        "expected one argument": [speech, "-o"],
    }


def test_each_bad_input_gets_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong, arguments in bad_inputs(tmp_path).items():
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        assert run(*arguments) == 2, wrong
        out, err = capsys.readouterr()
        assert wrong in err
        assert err.startswith("avatar speak: ")
        assert err.count("\n") == 1, err
        assert out == ""
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before, wrong


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, b"avatar speak: interrupted; nothing was written.\n"),
        (signal.SIGTERM, 143, b""),
    ],
)
def test_a_stopped_program_leaves_nothing(
    tmp_path: Path, number: signal.Signals, status: int, said: bytes
) -> None:
    target = tmp_path / "out.mp4"
    program = subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "worker.tools.speak",
            SPEECH,
            "-o",
            target,
            "--size",
            "2048x2048",
        ],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}"},
        stderr=subprocess.PIPE,
    )
    while not any(each.stat().st_size for each in tmp_path.iterdir()):
        assert program.poll() is None
        time.sleep(0.01)
    program.send_signal(number)
    _, err = program.communicate(timeout=20)
    assert (program.returncode, err) == (status, said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("options", "bars"), [([], True), (["--quiet"], False)])
def test_a_terminal_shows_progress_unless_told_otherwise(
    tmp_path: Path, options: list[str], bars: bool
) -> None:
    source = write_wav(tmp_path / "in.wav", short_speech())
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "worker.tools.speak",
            source,
            "-o",
            tmp_path / "out.mp4",
            *options,
        ],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}"},
        stderr=theirs,
        check=True,
    )
    os.write(theirs, b"end")
    shown = b""
    while not shown.endswith(b"end"):
        shown += os.read(ours, 4096)
    os.close(ours)
    os.close(theirs)
    assert (b" pictures/s" in shown) is bars
    assert shown.endswith(b"\rend" if bars else b"end")


def test_a_setting_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AVATAR_SEED", "lucky")
    source = write_wav(tmp_path / "in.wav", short_speech(0.2))
    assert run(source, "-o", tmp_path / "out.mp4") == 2
    assert "AVATAR_SEED is 'lucky'" in capsys.readouterr().err


def test_the_demo_speech_is_long_clean_and_has_pauses_of_true_silence() -> None:
    pcm = demo_speech()
    assert len(pcm) >= 20 * SAMPLE_RATE
    assert np.abs(pcm.astype(int)).max() / 32768 == pytest.approx(10 ** (-3 / 20), abs=0.001)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], pcm == 0, [0]]).astype(int)))
    silences = [
        (begin / SAMPLE_RATE, (end - begin) / SAMPLE_RATE)
        for begin, end in edges.reshape(-1, 2)
        if end - begin > 0.1 * SAMPLE_RATE
    ]
    assert len(silences) == 9
    assert all(0.3 <= length <= 0.91 for _, length in silences)
    begins = [round(begin * SAMPLE_RATE) for begin, _ in silences[1:]]
    assert all(np.abs(pcm[begin - 3 : begin]).max() <= 3 for begin in begins)


# Acting


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A character in a folder of its own, and the renderer that draws it."""
    monkeypatch.setenv("AVATAR_RENDERER", "character")
    return draw(tmp_path / "dot")


def filmed(folder: Path, *options: object) -> list[float]:
    """The mean luma of each picture of a film of a second, between rests."""
    return [float(luma.mean()) for luma in film(folder, *options)]


def film(folder: Path, *options: object) -> np.ndarray:
    """Its pictures' luma, shape (pictures, 128, 128)."""
    source = write_wav(folder.parent / "in.wav", np.zeros(SAMPLE_RATE, np.int16))
    target = folder.parent / "out.mp4"
    calm = ["--size", "128x128", "--stillness", "1", "--character", folder]
    assert run(source, "-o", target, *calm, *options) == 0
    return read_film(target).luma.astype(np.float32)


def test_a_character_in_a_folder_speaks(drawn: Path) -> None:
    assert len(filmed(drawn)) == FPS + 2 * speak.REST_TICKS


def test_a_gesture_comes_when_it_is_asked_for(drawn: Path) -> None:
    change = np.abs(film(drawn, "--gesture", "wave_hello@0.6") - film(drawn)).max(axis=(1, 2))
    assert change[:12].max() < 30
    assert change[20:35].max() > 60


def test_a_posture_is_taken(drawn: Path) -> None:
    lively = ["--stillness", "0"]
    assert filmed(drawn, *lively, "--posture", "listening@0.1") != filmed(drawn, *lively)


def test_background_and_badge_are_seen(drawn: Path) -> None:
    dark, light = (filmed(drawn, "--background", colour)[0] for colour in ("#000000", "#ffffff"))
    assert light - dark > 50
    assert filmed(drawn, "--badge")[0] != pytest.approx(filmed(drawn)[0], abs=0.05)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--gesture", "jump@1", "There is no gesture 'jump'; choose one of: nod, shake, laugh, "),
        ("--expression", "angry", "There is no expression 'angry'; choose one of: neutral, happy"),
        ("--posture", "flying", "There is no posture 'flying'; choose one of: resting, listening,"),
        ("--background", "#12", "The background '#12' cannot be used"),
        ("--background", "no.png", "The background 'no.png' cannot be used"),
        ("--character", "./nowhere", "There is no character at nowhere; give a folder"),
    ],
)
def test_what_a_character_has_not_is_one_line_with_the_list_of_what_it_has(
    drawn: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, said: str
) -> None:
    source = write_wav(drawn.parent / "in.wav", short_speech(0.2))
    arguments = ["--character", drawn, option, value]
    assert run(source, "-o", drawn.parent / "out.mp4", *arguments) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"avatar speak: {said}"), err
    assert (out, err.count("\n")) == ("", 1)
    assert not (drawn.parent / "out.mp4").exists()


def test_a_script_tells_the_face_what_is_due_and_no_earlier(drawn: Path) -> None:
    face = create_for(Character.read(drawn), Settings(width=128, height=128, stillness=1.0))
    acts = [parse_act("expression", "happy:0.5@0.4"), parse_act("gesture", "nod@0.2")]
    script = Script(acts, face)
    smiles = []
    for picture in range(30):
        script.perform(picture)
        face.idle()
        smiles.append(face.pose_shown.mood.smile)
    assert max(smiles[:10]) == 0
    assert smiles[-1] == pytest.approx(0.5)
