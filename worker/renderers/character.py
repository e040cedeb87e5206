"""The character renderer: a drawn face that is alive, its mouth driven by the sound."""

import logging
import math
from collections import deque
from dataclasses import replace
from typing import Final

import numpy as np

from agent_side.wire import Word
from worker.characters.atlas import MAX_PRELOADED, Atlas, build_for, prepared
from worker.characters.compositor import Compositor
from worker.characters.folder import Character, names
from worker.characters.life import POSTURES, Animator, Pose
from worker.errors import InputError
from worker.lipsync.lips import LipSync
from worker.lipsync.shape import SHUT, MouthShape
from worker.media import FRAME_SAMPLES, SILENCE, AvatarFrame, Pcm, Picture
from worker.renderer import Cue, ExpressionCue, GestureCue, PostureCue, Renderer, WordsCue
from worker.settings import Settings

NOTHING: Final = SILENCE[:0]
MAX_WORDED: Final = 8
"""Segments whose words are kept until they are spoken."""

logger = logging.getLogger("avatar.worker.character")


def create(settings: Settings) -> Renderer:
    """The face that `settings` name, at their size. Raises InputError for an unknown one."""
    return CharacterRenderer(prepared(settings), settings.seed, settings.stillness)


def preload(settings: Settings) -> None:
    """Build every character that a join request may name, so that forked workers share them.

    One that cannot be used is said and left out: it fails the request that names it.
    """
    for name in names(settings.characters)[:MAX_PRELOADED]:
        try:
            prepared(replace(settings, character=name))
        except InputError as error:
            logger.warning("a character is left out: %s", error)


def create_for(character: Character, settings: Settings) -> "CharacterRenderer":
    """The face of a character that was read already."""
    return CharacterRenderer(build_for(character, settings), settings.seed, settings.stillness)


class CharacterRenderer(Renderer):
    """Looks ahead by one block: 40 ms are a frame at the next drain after the 40 ms behind them.

    A segment's `last` frame comes with `finish` and carries the short rest of its sound, or
    none. Every picture that is shown, of speech or of rest, is one tick of its life.
    """

    def __init__(self, built: Atlas, seed: int, stillness: float = 0.3) -> None:
        character = built.character
        self.atlas = built
        self._compositor = Compositor(built)
        self._life = Animator(seed, stillness, character.gestures, character.expressions)
        self._lips = LipSync()
        self._waiting: deque[tuple[int, Pcm, bool]] = deque()
        self._mouths: deque[MouthShape] = deque()
        self._rest = NOTHING
        self._segment = 0
        self._words: dict[int, list[Word]] = {}
        self.pose_shown = Pose()
        self.gestures = tuple(character.gestures)
        self.expressions = tuple(filter(self._compositor.shows, character.expressions))
        self.postures = POSTURES

    def cue(self, cue: Cue) -> None:
        match cue:
            case GestureCue(name):
                self._life.gesture(name)
            case ExpressionCue(name, intensity):
                self._life.express(name, intensity)
            case PostureCue(name):
                self._life.pose(name)
            case WordsCue(segment, words):
                self._keep_words(segment, words)

    def push(self, segment: int, pcm: Pcm) -> None:
        self._begin(segment)
        if len(pcm) == FRAME_SAMPLES:
            self._waiting.append((segment, pcm, False))
            self._mouths += self._lips.push(pcm)
        else:
            self._rest = pcm

    def finish(self, segment: int) -> None:
        self._begin(segment)
        if len(self._rest):
            self._mouths += self._lips.push(self._rest)
        self._waiting.append((segment, self._rest, True))
        self._rest = NOTHING
        self._mouths += self._lips.finish()
        while len(self._mouths) < len(self._waiting):
            self._mouths.append(SHUT)

    def drain(self) -> list[AvatarFrame]:
        frames = []
        while self._mouths:
            segment, pcm, last = self._waiting.popleft()
            mouth = self._mouths.popleft()
            if len(pcm):
                self.pose_shown = self._life.step(_level_db(pcm))
            picture = self._compositor.picture(self.pose_shown, mouth)
            frames.append(AvatarFrame(segment, picture, pcm, last))
        return frames

    def reset(self) -> None:
        self._waiting.clear()
        self._mouths.clear()
        self._rest = NOTHING
        self._lips.reset()

    def _keep_words(self, segment: int, words: tuple[Word, ...]) -> None:
        """Words of the current segment help at once, those of later ones when they begin."""
        if segment == self._segment:
            self._lips.words(words)
        elif segment > self._segment:
            self._words.setdefault(segment, []).extend(words)
            while len(self._words) > MAX_WORDED:
                del self._words[max(self._words)]

    def _begin(self, segment: int) -> None:
        """The first push or finish of a segment makes it the current one."""
        if segment <= self._segment:
            return
        self._segment = segment
        for earlier in [number for number in self._words if number < segment]:
            del self._words[earlier]
        self._lips.words(self._words.pop(segment, ()))

    def idle(self) -> Picture:
        self.pose_shown = self._life.step()
        return self._compositor.picture(self.pose_shown, None)

    def close(self) -> None:
        self.reset()


def _level_db(pcm: Pcm) -> float:
    """Of full scale."""
    samples = pcm.astype(np.float32)
    return 10 * math.log10(float(samples @ samples) / len(pcm) / 2**30 + 1e-12)
