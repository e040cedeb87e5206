"""Whatever is in a sound file is heard as it was meant, and what is unusual is said in one line."""

import struct
import wave
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from worker.errors import InputError
from worker.media import SAMPLE_RATE, Pcm
from worker.tools import speak
from worker.tools.sound_file import to_pcm, wav_parts

RATE = SAMPLE_RATE
VOICE = np.round(9000 * np.sin(np.arange(RATE) * 2 * np.pi * 220 / RATE)).astype(np.int16)
"""A second of a tone at a level at which people speak."""


def wav(pcm: npt.NDArray[np.int16], rate: int = RATE, channels: int = 1) -> bytes:
    content = BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(pcm.tobytes())
    return content.getvalue()


def float_wav(samples: npt.ArrayLike, channels: int = 1) -> bytes:
    data = np.asarray(samples, "<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, channels, RATE, 4 * RATE * channels, 4 * channels, 32)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data))
    return b"RIFF" + struct.pack("<I", len(chunks) + len(data)) + chunks + data


def reports(content: bytes, length: int) -> bytes:
    """The WAV file with another length of its sound in its header."""
    place = content.index(b"data") + 4
    return content[:place] + struct.pack("<I", length) + content[place + 4 :]


def heard(content: bytes, tmp_path: Path, name: str = "in.wav") -> tuple[Pcm, tuple[str, ...]]:
    path = tmp_path / name
    path.write_bytes(content)
    with speak.opened(path) as speech:
        pcm = np.concatenate(list(speech.blocks()))
        assert speech.ticks == -(-len(pcm) // 960)
        return pcm, speech.notes


# What was read, and what is there


def test_a_usual_file_is_heard_sample_by_sample_without_a_word(tmp_path: Path) -> None:
    pcm, notes = heard(wav(VOICE), tmp_path)
    assert np.array_equal(pcm, VOICE)
    assert notes == ()


def test_several_files_in_one_are_all_heard(tmp_path: Path) -> None:
    second = VOICE[: RATE // 2] // 2
    pcm, notes = heard(wav(VOICE) + wav(second) + wav(VOICE), tmp_path)
    assert np.array_equal(pcm, np.concatenate([VOICE, second, VOICE]))
    assert notes == ("it is 3 WAV files in one, and all of them are heard",)


def test_each_of_several_files_may_have_its_own_rate_and_channels(tmp_path: Path) -> None:
    stereo = np.repeat(VOICE, 2)
    other = wav(VOICE[: RATE // 2], rate=48_000)
    pcm, notes = heard(wav(stereo, channels=2) + other, tmp_path)
    assert len(pcm) == RATE + RATE // 4
    assert np.array_equal(pcm[:RATE], VOICE)
    assert len(notes) == 1


@pytest.mark.parametrize("length", [2 * RATE // 10, 2, 1000])
def test_a_header_that_says_too_little_cuts_nothing(length: int, tmp_path: Path) -> None:
    pcm, notes = heard(reports(wav(VOICE), length), tmp_path)
    assert np.array_equal(pcm, VOICE)
    says = f"its header says {length / 2 / RATE:.2f} s and 1.00 s are there, which are heard"
    assert notes == (says,)


def test_a_header_that_says_too_much_is_said(tmp_path: Path) -> None:
    pcm, notes = heard(wav(VOICE)[:-RATE], tmp_path)  # half of it: two bytes are a sample
    assert np.array_equal(pcm, VOICE[: RATE // 2])
    assert notes == ("its header says 1.00 s and 0.50 s are there, which are heard",)


@pytest.mark.parametrize("length", [0, 0xFFFF_FFFF, 0x7FFF_FFFF])
def test_a_header_that_was_written_first_says_nothing_wrong(length: int, tmp_path: Path) -> None:
    pcm, notes = heard(reports(wav(VOICE), length), tmp_path)
    assert np.array_equal(pcm, VOICE)
    assert notes == ()
    pcm, notes = heard(2 * reports(wav(VOICE), length), tmp_path)
    assert np.array_equal(pcm, np.concatenate([VOICE, VOICE]))
    assert len(notes) == 1


@pytest.mark.parametrize(
    "tail",
    [
        b"LIST" + struct.pack("<I", 4) + b"INFO",
        b"id3 " + struct.pack("<I", 3) + b"abc\0" + b"LIST" + struct.pack("<I", 4) + b"INFO",
        b"\0" * 100,
    ],
)
def test_what_is_behind_the_sound_is_no_sound(tail: bytes, tmp_path: Path) -> None:
    pcm, notes = heard(wav(VOICE) + tail, tmp_path)
    assert np.array_equal(pcm, VOICE)
    assert notes == ()


def test_an_au_file_that_says_too_little_is_said(tmp_path: Path) -> None:
    data = np.tile(VOICE, 2).astype(">i2").tobytes()
    head = struct.pack(">4sIIIII", b".snd", 24, len(data) // 4, 3, RATE, 1)
    _, notes = heard(head + data, tmp_path, "in.au")
    assert [note.partition(" of its")[0] for note in notes] in ([], ["the last 70"])


# What samples say


def test_channels_that_cancel_are_heard_one_alone(tmp_path: Path) -> None:
    stereo = np.stack([VOICE, -VOICE], axis=1)
    pcm, notes = heard(wav(stereo, channels=2), tmp_path)
    assert np.array_equal(pcm, VOICE)
    assert notes == ("its channels cancel each other, so channel 1 alone is heard",)


def test_channels_that_cancel_in_part_are_heard_too(tmp_path: Path) -> None:
    other = np.concatenate([VOICE[: RATE // 2], -VOICE[RATE // 2 :]])
    pcm, notes = heard(wav(np.stack([VOICE, other], axis=1), channels=2), tmp_path)
    assert np.array_equal(np.abs(pcm), np.abs(VOICE))
    assert len(notes) == 1


@pytest.mark.parametrize("other", ["same", "silent", "noise"])
def test_usual_stereo_is_mixed_without_a_word(other: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(-5000, 5000, RATE).astype(np.int16)
    right = {"same": VOICE, "silent": np.zeros_like(VOICE), "noise": noise}[other]
    pcm, notes = heard(wav(np.stack([VOICE, right], axis=1), channels=2), tmp_path)
    wanted = np.rint((VOICE.astype(float) + right) / 2)
    assert np.abs(pcm - wanted).max() <= 1
    assert notes == ()


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_no_sample_is_silence_and_no_click(broken: float, tmp_path: Path) -> None:
    samples = VOICE / 32768.0
    samples[100:110] = broken
    pcm, notes = heard(float_wav(samples), tmp_path)
    assert not pcm[100:110].any()
    assert np.abs(np.delete(pcm, range(100, 110)) - np.delete(VOICE, range(100, 110))).max() <= 1
    assert notes == ("10 samples are no numbers or far too loud, and are left out",)


@pytest.mark.parametrize("times", [2.5, 32768.0])
def test_floats_beyond_full_scale_are_made_quieter_and_not_cut(
    times: float, tmp_path: Path
) -> None:
    loud = VOICE / np.abs(VOICE).max() * times
    pcm, notes = heard(float_wav(loud), tmp_path)
    wanted = loud / times * 32767
    assert np.corrcoef(pcm, wanted)[0, 1] > 0.9999
    assert np.abs(pcm).max() >= 32_000
    assert np.count_nonzero(np.abs(pcm) > 32_700) < RATE / 20
    (note,) = notes
    assert note == f"its samples reach {times:.3g} times full scale, and it is made quieter"


def test_a_single_click_does_not_make_the_rest_inaudible(tmp_path: Path) -> None:
    samples = VOICE / 32768.0
    samples[5000] = 900.0
    pcm, notes = heard(float_wav(samples), tmp_path)
    assert np.array_equal(np.delete(pcm, 5000), np.delete(VOICE, 5000))
    assert notes == ("single samples are far louder than the rest, and are cut off",)


def test_silence_is_said(tmp_path: Path) -> None:
    pcm, notes = heard(wav(np.zeros(RATE, np.int16)), tmp_path)
    assert not pcm.any()
    assert notes == ("it is silent from beginning to end",)


@pytest.mark.parametrize("content", [b"", b"RIFF", wav(VOICE)[:40], wav(VOICE)[:44]])
def test_what_has_no_samples_is_an_input_error(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        heard(content, tmp_path)


def test_any_bytes_behind_a_wav_s_beginning_are_read_or_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    whole = wav(VOICE[:3000])
    for _ in range(60):
        content = bytearray(whole)
        for place in random.integers(12, 60, 4):
            content[place] = random.integers(256)
        path = tmp_path / "in.wav"
        path.write_bytes(content[: random.integers(16, len(content))])
        with path.open("rb") as file:
            parts, notes = wav_parts(file)
        assert bool(parts) == bool(notes)
        try:
            with speak.opened(path) as speech:
                list(speech.blocks())
        except InputError:
            continue


# The command says it


def test_the_command_says_each_in_one_line_and_makes_the_film(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_RENDERER", "plain_renderer:create")
    source = tmp_path / "in.wav"
    source.write_bytes(2 * wav(np.stack([VOICE, -VOICE], axis=1), channels=2))
    assert speak.main([str(source), "-o", str(tmp_path / "out.mp4"), "--size", "64x64"]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        f"avatar speak: {source}: it is 2 WAV files in one, and all of them are heard.",
        f"avatar speak: {source}: its channels cancel each other, so channel 1 alone is heard.",
    ]
    assert out.startswith(f"{tmp_path / 'out.mp4'}: 2.8 s, made in ")
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert film.streams.audio[0].frames


def test_full_scale_is_kept() -> None:
    samples = np.array([-1.0, 1.0, 0.5, 1.5], np.float32)
    assert to_pcm(samples, 1.0).tolist() == [-32768, 32767, 16384, 32767]
