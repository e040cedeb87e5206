"""The character renderer: the port's promises, a living face, a mouth that shows the sound."""

import gc
import hashlib
import itertools
import shutil
import tracemalloc
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from worker.characters import atlas
from worker.characters.acting import Mood, Move
from worker.characters.compositor import Compositor
from worker.characters.folder import SHIPPED, Character, names
from worker.characters.gauge import gauge, mouth_opening
from worker.characters.life import Pose
from worker.characters.parts import Box
from worker.characters.planes import to_planes
from worker.errors import InputError
from worker.lipsync.shape import MouthShape
from worker.media import FPS, FRAME_SAMPLES, Pcm, Picture
from worker.renderer import ExpressionCue, GestureCue, Renderer
from worker.renderers.character import CharacterRenderer, create
from worker.settings import Settings
from worker.tools.film import read_sound
from worker.video import to_video_frame

SIZES = [(512, 512), (720, 720), (1280, 720), (64, 64), (404, 720), (1024, 64), (66, 130)]
SPEECH = Path(__file__).parents[2] / "benchmarks" / "speech.wav"
STILL = Pose()
RESTLESS = [
    STILL,
    Pose(Mood(raised=1.0), Move(x=0.4, y=-0.4, turn=0.4, pitch=-0.4), 1.0),
    Pose(Mood(lid=1.0, gaze_x=-0.6), Move(x=-0.4, y=0.6, turn=-0.4, tilt=1.0), 0.5),
]
READ_AT = [((512, 512), RESTLESS), ((720, 720), RESTLESS[1:2]), ((1280, 720), RESTLESS[2:])]
"""Sizes and the poses at which the mouth is read there: other sizes only scale the drawing."""


@lru_cache(maxsize=len(SIZES))
def built(width: int, height: int) -> atlas.Atlas:
    return atlas.build(Character.load("ada"), width, height)


def renderer(width: int = 64, height: int = 64, seed: int = 1) -> CharacterRenderer:
    return CharacterRenderer(built(width, height), seed)


def speech(blocks: int, rest: int = 0) -> Pcm:
    """A loud buzz with the formants of an a, roughly."""
    time_s = np.arange(blocks * FRAME_SAMPLES + rest) / 24_000
    wave = sum(
        gain * np.sin(2 * np.pi * hertz * time_s)
        for hertz, gain in (
            (125, 0.3),
            (625, 0.5),
            (750, 1.0),
            (875, 0.6),
            (1250, 0.5),
            (2500, 0.2),
        )
    )
    return np.asarray(4000 * wave, np.int16)


def feed(face: Renderer, segment: int, pcm: Pcm) -> None:
    for start in range(0, len(pcm), FRAME_SAMPLES):
        face.push(segment, pcm[start : start + FRAME_SAMPLES])


def fingerprint(picture: Picture) -> str:
    digest = hashlib.sha256()
    for plane in (picture.y, picture.u, picture.v):
        digest.update(plane.tobytes())
    return digest.hexdigest()


def encoded(pictures: list[Picture]) -> list[Picture]:
    """The pictures as a viewer gets them: H.264, a video call's bit rate."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = (
        pictures[0].width,
        pictures[0].height,
        "yuv420p",
    )
    encoder.bit_rate, encoder.framerate = 500_000, Fraction(FPS)
    encoder.options = {"preset": "veryfast", "tune": "zerolatency"}
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    packets = []
    for index, picture in enumerate(pictures):
        frame = to_video_frame(picture)
        frame.pts = index
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    frames = [frame for packet in packets for frame in decoder.decode(packet)] + decoder.decode(
        None
    )
    result = []
    for frame in frames:
        rows = np.asarray(frame.to_ndarray(), np.uint8)
        height, width = frame.height, frame.width
        u, v = rows[height:].reshape(2, height // 2, width // 2)
        result.append(Picture(rows[:height], u, v))
    return result


# The port


def test_a_block_is_a_frame_when_the_next_one_is_there() -> None:
    face = renderer()
    pcm = speech(2)
    face.push(7, pcm[:FRAME_SAMPLES])
    assert face.drain() == []
    face.push(7, pcm[FRAME_SAMPLES:])
    (frame,) = face.drain()
    assert (frame.segment, frame.last) == (7, False)
    assert np.array_equal(frame.pcm, pcm[:FRAME_SAMPLES])
    assert face.drain() == []


def test_a_finished_segment_holds_nothing_back() -> None:
    face = renderer()
    face.push(7, speech(1))
    face.finish(7)
    assert [len(frame.pcm) for frame in face.drain()] == [FRAME_SAMPLES, 0]


@pytest.mark.parametrize("rest", [0, 1, 500, 959])
def test_sound_comes_back_whole_and_in_order_and_last_once(rest: int) -> None:
    face = renderer()
    pcm = speech(5, rest)
    feed(face, 3, pcm)
    face.finish(3)
    frames = face.drain()
    assert np.array_equal(np.concatenate([frame.pcm for frame in frames]), pcm)
    assert [frame.last for frame in frames] == [False] * 5 + [True]
    assert [len(frame.pcm) for frame in frames] == [FRAME_SAMPLES] * 5 + [rest]


def test_a_segment_with_nothing_is_one_last_frame_without_sound() -> None:
    face = renderer()
    face.finish(4)
    (frame,) = face.drain()
    assert (frame.segment, frame.last, len(frame.pcm)) == (4, True, 0)
    assert frame.pcm.dtype == np.int16


def test_segments_keep_their_sound_apart() -> None:
    face = renderer()
    first, second = speech(2, 10), speech(1, 20)
    feed(face, 1, first)
    face.finish(1)
    feed(face, 2, second)
    face.finish(2)
    frames = face.drain()
    for segment, pcm in ((1, first), (2, second)):
        own = [frame.pcm for frame in frames if frame.segment == segment]
        assert np.array_equal(np.concatenate(own), pcm)
    assert [frame.segment for frame in frames if frame.last] == [1, 2]


def test_reset_forgets_what_was_not_drained() -> None:
    face = renderer()
    feed(face, 1, speech(3, 100))
    face.reset()
    assert face.drain() == []
    face.finish(2)
    (frame,) = face.drain()
    assert len(frame.pcm) == 0


def test_reset_shuts_the_mouth() -> None:
    face = renderer(512, 512)
    feed(face, 1, speech(4))
    face.drain()
    face.reset()
    assert mouth_opening(face.idle().y) == 0.0


# Pictures


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_pictures_have_the_size_that_was_asked_for(width: int, height: int) -> None:
    face = renderer(width, height)
    feed(face, 1, speech(2))
    for picture in (face.idle(), face.drain()[0].picture):
        assert picture.y.shape == (height, width)
        assert picture.u.shape == picture.v.shape == (height // 2, width // 2)
        assert {plane.dtype for plane in (picture.y, picture.u, picture.v)} == {np.dtype(np.uint8)}
        assert picture.y.min() >= 16
        assert picture.y.max() <= 235


def test_a_picture_is_never_written_again() -> None:
    face = renderer()
    kept = [face.idle() for _ in range(3)]
    before = [fingerprint(picture) for picture in kept]
    feed(face, 1, speech(20))
    pictures = [frame.picture for frame in face.drain()]
    assert [fingerprint(picture) for picture in kept] == before
    different = list({id(p): p for p in (*kept, *pictures)}.values())
    for index, picture in enumerate(different):
        assert not any(np.shares_memory(picture.y, other.y) for other in different[index + 1 :])


def test_nobody_can_write_to_a_picture() -> None:
    picture = renderer().idle()
    for plane in (picture.y, picture.u, picture.v):
        with pytest.raises(ValueError, match="read-only"):
            plane[0, 0] = 0


def test_a_face_that_does_not_move_hands_out_the_same_picture() -> None:
    face = CharacterRenderer(built(512, 512), seed=3, stillness=1.0)
    pictures = [face.idle() for _ in range(300)]
    same = sum(a is b for a, b in itertools.pairwise(pictures))
    assert 150 < same < 299


def test_the_same_seed_and_calls_give_the_same_film() -> None:
    films = []
    for _ in range(2):
        face = renderer(128, 128, seed=42)
        film = [fingerprint(face.idle()) for _ in range(60)]
        feed(face, 1, speech(10, 7))
        face.finish(1)
        film += [fingerprint(frame.picture) for frame in face.drain()]
        films.append(film + [fingerprint(face.idle()) for _ in range(60)])
    assert films[0] == films[1]


def test_another_seed_gives_another_film() -> None:
    first, second = renderer(seed=1), renderer(seed=2)
    assert any(fingerprint(first.idle()) != fingerprint(second.idle()) for _ in range(50))


def test_only_the_parts_that_change_differ_from_the_figure_at_rest() -> None:
    """No seam around a sprite: at rest, the mouth's and eyes' pictures are the figure."""
    made = built(512, 512)
    picture = Compositor(made).picture(STILL, MouthShape(0.0, 0.0))
    for plane, rest in zip(
        (picture.y, picture.u, picture.v), (made.rest[0][0], *made.rest[1]), strict=True
    ):
        change = np.abs(plane.astype(int) - rest)
        assert change.max() <= 24
        assert np.mean(change > 2) < 0.001


def test_white_and_black_keep_to_the_limited_range() -> None:
    (y,), (u, v) = to_planes(Image.new("RGB", (4, 4), "white"))
    assert (y.max(), u.max(), v.max()) == (235, 128, 128)
    (y,), (u, v) = to_planes(Image.new("RGB", (4, 4), "red"))
    assert (y[0, 0], u[0, 0], v[0, 0]) == (81, 90, 240)


# The mouth


def test_the_mouth_is_shut_in_pauses_of_true_silence_and_moves_in_speech() -> None:
    face = renderer(512, 512)
    pcm = read_sound(SPEECH)[0][: 200 * FRAME_SAMPLES]
    feed(face, 1, pcm)
    face.finish(1)
    seen = np.array([mouth_opening(frame.picture.y) for frame in face.drain()[:-1]])
    silent = ~pcm.reshape(-1, FRAME_SAMPLES).any(axis=1)
    # A pause begins in a block of speech, whose picture may still show its end.
    settled = silent & np.roll(silent, 1)
    assert settled.sum() > 20
    assert seen[settled].max() == 0.0
    assert (seen[~silent] > 0.1).mean() > 0.5
    assert seen.max() > 0.5


def test_the_mouth_is_shut_at_once_when_speech_ends() -> None:
    face = renderer(512, 512)
    feed(face, 1, speech(5))
    face.drain()
    assert mouth_opening(face.idle().y) == 0.0


@pytest.mark.parametrize(("size", "poses"), READ_AT)
def test_the_opening_can_be_read_from_the_pixels(size: tuple[int, int], poses: list[Pose]) -> None:
    compositor = Compositor(built(*size))
    mouth = built(*size).character.mouth
    reader = gauge("ada", *size)
    for pose in poses:
        for spread in sorted({state[1] for state in mouth.states}):
            for opening in sorted({state[0] for state in mouth.states}):
                drawn = mouth.states[mouth.nearest((opening, spread, 0.0, 0.0, 0.0))][0]
                seen = reader.opening(compositor.picture(pose, MouthShape(opening, spread)).y)
                assert abs(seen - drawn) <= 0.15
                assert seen <= 0.1 or drawn > 0
                assert seen > 0.1 or drawn < 0.2


def test_shut_and_open_stay_apart_after_an_encoder_had_them() -> None:
    compositor = Compositor(built(512, 512))
    shapes = [
        MouthShape(opening, width) for opening in (0.0, 0.5, 0.0, 1.0) for width in (-1, 0, 1)
    ]
    pictures = encoded(
        [compositor.picture(RESTLESS[i % 2], shape) for i, shape in enumerate(shapes)]
    )
    assert len(pictures) == len(shapes)
    for picture, shape in zip(pictures, shapes, strict=True):
        seen = mouth_opening(picture.y)
        assert abs(seen - shape.opening) < 0.2
        assert (seen > 0.1) == (shape.opening > 0)


def test_the_opening_can_be_read_from_a_tiny_picture() -> None:
    compositor = Compositor(built(64, 64))
    for opening in (0.0, 0.6, 0.8, 1.0):
        seen = mouth_opening(compositor.picture(STILL, MouthShape(opening, 0.0)).y)
        assert abs(seen - opening) < 0.11


# Life


def test_the_head_never_leaves_its_canvas() -> None:
    """The largest movements at every size: nothing is cut short and nothing raises."""
    ends = (-9.0, 9.0)
    for width, height in SIZES:
        compositor = Compositor(built(width, height))
        for x, y, tilt, turn, breath in itertools.product(ends, ends, ends, ends, (0.0, 1.0)):
            pose = Pose(Mood(), Move(x=x, y=y, tilt=tilt, turn=turn, pitch=turn), breath)
            assert compositor.picture(pose, MouthShape(1.0, 1.0)).y.shape == (height, width)


# Cost


def test_nothing_grows_while_it_speaks_and_rests() -> None:
    face = renderer(64, 64)
    speak_and_rest(face, 50)
    gc.collect()
    tracemalloc.start()
    try:
        speak_and_rest(face, 50)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        speak_and_rest(face, 150)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 22_500, "150 bytes of each turn"


def speak_and_rest(face: CharacterRenderer, times: int) -> None:
    pcm = speech(3, 100)
    for number in range(times):
        face.cue(GestureCue("nod"))
        face.cue(ExpressionCue("surprised" if number % 2 else "neutral", 1.0))
        feed(face, number + 1, pcm)
        face.finish(number + 1)
        face.drain()
        face.idle()


# Folders


def test_ada_ships_with_the_worker_and_is_small() -> None:
    assert "ada" in names()
    folder = SHIPPED / "ada"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 8_000_000


@pytest.mark.parametrize(
    "name", ["bob", "", ".", "..", "../ada", "ada/../ada", "/etc", "ada\n", "./ada", "a.zip"]
)
def test_who_may_only_name_a_character_is_never_led_by_a_path(name: str) -> None:
    with pytest.raises(InputError, match=r"choose one of: .*ada"):
        Character.load(name)


def test_an_unknown_character_is_refused_with_the_list_of_those_there_are() -> None:
    with pytest.raises(InputError, match=r"choose one of: .*ada"):
        create(Settings(character="bob"))


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "ada", tmp_path / "eve")
    (tmp_path / "eve" / "mouths.webp").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"mouths\.webp"):
        atlas.build(Character.read(tmp_path / "eve"), 64, 64)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_face_keeps_its_proportions_and_the_figure_reaches_the_bottom(
    width: int, height: int
) -> None:
    character = Character.load("ada")
    placement = character.place(width, height)
    face = placement.to_picture(character.mouth.box)
    assert face.width / face.height == pytest.approx(
        character.mouth.box.width / character.mouth.box.height
    )
    whole = placement.to_figure(Box(0, 0, width, height))
    assert whole.bottom <= character.figure_height
    head = placement.to_picture(character.head)
    assert 0 <= face.left < face.right <= width
    assert head.top >= 0
    assert face.bottom <= height
