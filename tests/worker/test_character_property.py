"""Whatever a face is told, and whenever: pictures are whole, sound is kept, seeds decide."""

import hashlib
import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from drawn_character import draw
from hypothesis import given
from hypothesis import strategies as st
from thorough import thorough

from worker.characters import atlas
from worker.characters.acting import Mood, Move
from worker.characters.backdrop import badge
from worker.characters.compositor import Compositor
from worker.characters.folder import Character
from worker.characters.life import Pose
from worker.lipsync.shape import SHUT, MouthShape
from worker.media import FRAME_SAMPLES, AvatarFrame, Pcm, Picture
from worker.renderer import ExpressionCue, GestureCue, PostureCue
from worker.renderers.character import CharacterRenderer

WIDTH, HEIGHT = 160, 128


@cache
def built(has_badge: bool = False) -> atlas.Atlas:
    with TemporaryDirectory() as folder:
        character = Character.read(draw(Path(folder) / "dot"))
        mark = badge(WIDTH, HEIGHT) if has_badge else None
        return atlas.build(character, WIDTH, HEIGHT, None, mark)


class Watched(Compositor):
    """Holds each picture against one of the same stance that a new compositor draws."""

    def draw(self, stance):  # type: ignore[no-untyped-def]
        picture = super().draw(stance)
        scratch = Compositor(self._atlas).draw(stance)
        for mine, fresh in zip(planes(picture), planes(scratch), strict=True):
            assert np.array_equal(mine, fresh), f"torn: {stance}"
        return picture


def planes(picture: Picture) -> tuple[np.ndarray, ...]:
    return picture.y, picture.u, picture.v


def fingerprint(picture: Picture) -> bytes:
    return hashlib.sha256(b"".join(plane.tobytes() for plane in planes(picture))).digest()


def watched(has_badge: bool = False, seed: int = 1, stillness: float = 0.0) -> CharacterRenderer:
    face = CharacterRenderer(built(has_badge), seed, stillness)
    face._compositor = Watched(built(has_badge))
    return face


def speech(samples: int, loudness: int) -> Pcm:
    return (loudness * np.sin(np.arange(samples) / 9)).astype(np.int16)


NAMES = ("nod", "shake", "laugh", "wave_hello")
MOODS = ("neutral", "happy", "surprised")
POSTURES = ("resting", "listening", "thinking")

steps = st.one_of(
    st.tuples(st.just("push"), st.sampled_from([0, 300, 6000, 20_000])),
    st.tuples(st.just("rest"), st.integers(1, FRAME_SAMPLES - 1)),
    st.tuples(st.just("finish"), st.just(0)),
    st.tuples(st.just("drain"), st.just(0)),
    st.tuples(st.just("reset"), st.just(0)),
    st.tuples(st.just("idle"), st.integers(1, 12)),
    st.tuples(st.just("gesture"), st.sampled_from(NAMES)),
    st.tuples(st.just("express"), st.sampled_from([(m, i) for m in MOODS for i in (0.3, 1.0)])),
    st.tuples(st.just("pose"), st.sampled_from(POSTURES)),
)


class Stage:
    """Plays steps on a face as a session does, and keeps account of the sound."""

    def __init__(self, face: CharacterRenderer) -> None:
        self.face = face
        self.pictures: list[Picture] = []
        self._segment = 1
        self._owed: list[Pcm] = []
        self._given: list[Pcm] = []
        self._ended = False

    def play(self, todo: Sequence[tuple[str, object]]) -> None:
        for name, value in todo:
            getattr(self, f"_{name}")(value)

    def _push(self, loudness: int) -> None:
        pcm = speech(FRAME_SAMPLES, loudness)
        self._owed.append(pcm)
        self.face.push(self._segment, pcm)

    def _rest(self, samples: int) -> None:
        pcm = speech(samples, 4000)
        self._owed.append(pcm)
        self.face.push(self._segment, pcm)
        self._finish(None)

    def _finish(self, _: object) -> None:
        self.face.finish(self._segment)
        self._ended = True
        self._drain(None)
        assert self._ended is False, "no last frame came"

    def _drain(self, _: object) -> None:
        for frame in self.face.drain():
            self._take(frame)

    def _take(self, frame: AvatarFrame) -> None:
        assert frame.segment == self._segment
        self.pictures.append(frame.picture)
        self._given.append(frame.pcm)
        assert len(frame.pcm) == FRAME_SAMPLES or frame.last
        if frame.last:
            assert np.array_equal(_joined(self._given), _joined(self._owed))
            self._begin_anew()

    def _reset(self, _: object) -> None:
        self.face.reset()
        self._begin_anew()
        assert self.face.drain() == []

    def _begin_anew(self) -> None:
        self._segment += 1
        self._owed, self._given, self._ended = [], [], False

    def _idle(self, ticks: int) -> None:
        self.pictures += [self.face.idle() for _ in range(ticks)]

    def _gesture(self, name: str) -> None:
        self.face.cue(GestureCue(name))

    def _express(self, worn: tuple[str, float]) -> None:
        self.face.cue(ExpressionCue(*worn))

    def _pose(self, name: str) -> None:
        self.face.cue(PostureCue(name))


def _joined(parts: list[Pcm]) -> Pcm:
    return np.concatenate([np.zeros(0, np.int16), *parts])


@thorough(200)
@given(todo=st.lists(steps, max_size=40), has_badge=st.booleans())
def test_no_order_of_calls_leaves_a_face_torn_or_loses_sound(
    todo: list[tuple[str, object]], has_badge: bool
) -> None:
    stage = Stage(watched(has_badge))
    seen: dict[int, bytes] = {}
    for step in todo:
        stage.play([step])
        for picture in stage.pictures:
            assert [plane.shape for plane in planes(picture)] == [
                (HEIGHT, WIDTH),
                *[(HEIGHT // 2, WIDTH // 2)] * 2,
            ]
            assert seen.setdefault(id(picture), fingerprint(picture)) == fingerprint(picture)
            assert not any(plane.flags.writeable for plane in planes(picture))
    stage.play([("finish", 0)])


@thorough(100)
@given(todo=st.lists(steps, max_size=30), seed=st.integers(0, 2**32 - 1))
def test_the_same_seed_and_calls_give_the_same_pictures(
    todo: list[tuple[str, object]], seed: int
) -> None:
    films = []
    for _ in range(2):
        stage = Stage(CharacterRenderer(built(), seed))
        stage.play([*todo, ("idle", 10)])
        films.append([fingerprint(picture) for picture in stage.pictures])
    assert films[0] == films[1]


@thorough(100)
@given(
    places=st.lists(
        st.tuples(
            st.floats(-2, 2), st.floats(-2, 2), st.floats(-3, 3), st.floats(-1, 1),
            st.floats(0, 1), st.floats(0, 1), st.sampled_from([None, 0, 1, 2]),
        ),
        min_size=2,
        max_size=6,
    ),
    openings=st.lists(st.floats(0, 1), min_size=8, max_size=8),
)  # fmt: skip
def test_a_picture_depends_on_what_is_asked_of_it_and_not_on_the_one_before(
    places: list[tuple[float, float, float, float, float, float, int | None]],
    openings: list[float],
) -> None:
    compositor = Watched(built(True))
    for x, y, tilt, turn, breath, lid, frame in places:
        overlay = None if frame is None else ("hand", frame, breath)
        move = Move(x=x, y=y, tilt=tilt, turn=turn, pitch=-turn)
        pose = Pose(Mood(lid=lid), move, breath, overlay)
        for opening in openings:
            compositor.picture(pose, MouthShape(opening, 0.0))
            compositor.picture(pose, None)


@pytest.mark.parametrize("ticks", range(12))
def test_reset_in_the_middle_of_anything_leaves_a_face_at_rest_with_its_mouth_shut(
    ticks: int,
) -> None:
    face = watched()
    face.cue(GestureCue("laugh"))
    face.cue(ExpressionCue("surprised", 1.0))
    for _ in range(ticks):
        face.push(1, speech(FRAME_SAMPLES, 8000))
        face.drain()
    face.reset()
    face.cue(ExpressionCue("neutral", 1.0))
    face.cue(GestureCue("nod"))
    pictures = [face.idle() for _ in range(60)]
    assert face.drain() == []
    shut = face._compositor.stance(Pose(), SHUT).mouth
    assert face._compositor._last is not None
    assert face._compositor._last[0].mouth == shut
    assert len({fingerprint(picture) for picture in pictures}) > 1


def test_a_smile_stays_in_speech_and_a_closure_shuts_it() -> None:
    compositor = Compositor(built())
    states = built().character.mouth.states
    happy = Pose(Mood(smile=1.0))
    for opening in (0.0, 0.02, 0.2, 0.5, 1.0):
        state = states[
            compositor.stance(happy, MouthShape(opening, 0.0, teeth=opening > 0.1)).mouth
        ]
        assert state[4] == 1.0
        assert (state[0] == 0.0) == (opening < 0.1)


def test_the_face_is_expressive_and_lists_only_what_it_can_show() -> None:
    face = CharacterRenderer(built(), 1)
    assert set(face.gestures) == {"nod", "shake", "laugh", "wave_hello"}
    assert set(face.expressions) == {"neutral", "happy", "surprised"}
    assert set(face.postures) == set(POSTURES)


def test_an_overlay_touches_no_more_than_its_box() -> None:
    compositor = Compositor(built())
    plain = compositor.picture(Pose(), None)
    waving = compositor.picture(Pose(overlay=("hand", 1, 1.0)), None)
    rows, columns = np.nonzero(plain.y != waving.y)
    left, top, right, bottom = built().overlays["hand"][1].box
    assert len(rows) > 20
    assert top <= rows.min() <= rows.max() < bottom
    assert left <= columns.min() <= columns.max() < right


def test_all_gestures_change_the_picture() -> None:
    for name in NAMES:
        face = CharacterRenderer(built(), 1, stillness=1.0)
        plain = CharacterRenderer(built(), 1, stillness=1.0)
        face.cue(GestureCue(name))
        pairs = [(face.idle(), plain.idle()) for _ in range(60)]
        different = [fingerprint(a) != fingerprint(b) for a, b in pairs]
        assert sum(different) > 8, name
        assert not any(different[50:]), name
        first = next(iter(itertools.compress(itertools.count(), different)))
        assert first < 8
