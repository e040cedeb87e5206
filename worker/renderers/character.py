"""The character renderer: a drawn face that is alive, its mouth driven by the sound.

Drawn straight into YUV planes. A picture is a copy of the figure at rest, the body at this
moment's breath, and the head, whose mouth, eyes and brows are copied onto its canvas before
the whole is moved by a fraction of a pixel and faded into its surroundings.
"""

from collections import deque
from typing import Final

import numpy as np

from worker.characters import atlas
from worker.characters.atlas import Atlas, Part
from worker.characters.folder import Character
from worker.characters.life import Life, Pose
from worker.lipsync.shape import SHUT, MouthShape
from worker.lipsync.spectrum import SpectrumLipSync
from worker.media import FRAME_SAMPLES, SILENCE, AvatarFrame, Pcm, Picture, Plane
from worker.renderer import Renderer
from worker.settings import Settings

NOTHING: Final = SILENCE[:0]


def create(settings: Settings) -> Renderer:
    """The face that `settings` name, at their size. Raises InputError for an unknown one."""
    built = atlas.build(Character.load(settings.character), settings.width, settings.height)
    return CharacterRenderer(built, settings.seed)


class CharacterRenderer:
    """Looks ahead by nothing: each 40 ms that are pushed are a frame at the next drain.

    A segment's `last` frame comes with `finish` and carries the short rest of its sound, or
    none. Every picture that is handed out, of speech or of rest, is one tick of its life.
    """

    def __init__(self, built: Atlas, seed: int) -> None:
        self._atlas = built
        self._artist = Artist(built)
        self._life = Life(seed, glances=len(built.character.gazes) - 1)
        self._lips = SpectrumLipSync()
        self._waiting: deque[tuple[int, Pcm, bool]] = deque()
        self._rest = NOTHING

    def push(self, segment: int, pcm: Pcm) -> None:
        if len(pcm) == FRAME_SAMPLES:
            self._waiting.append((segment, pcm, False))
        else:
            self._rest = pcm

    def finish(self, segment: int) -> None:
        self._waiting.append((segment, self._rest, True))
        self._rest = NOTHING

    def drain(self) -> list[AvatarFrame]:
        frames = []
        while self._waiting:
            segment, pcm, last = self._waiting.popleft()
            picture = self._artist.draw(self._life.step(), self._lips.push(pcm))
            frames.append(AvatarFrame(segment, picture, pcm, last))
        return frames

    def reset(self) -> None:
        self._waiting.clear()
        self._rest = NOTHING
        self._lips.reset()

    def idle(self) -> Picture:
        self._lips.push(NOTHING)
        return self._artist.draw(self._life.step(), SHUT)

    def close(self) -> None:
        self._waiting.clear()


class Artist:
    """Draws one picture after another from an atlas; keeps room to work in, no other state."""

    def __init__(self, built: Atlas) -> None:
        self._atlas = built
        left, top, right, bottom = built.head.box
        size = (bottom - top, right - left)
        half = (size[0] // 2, size[1] // 2)
        self._canvas = tuple(plane.copy() for plane in built.head.canvas)
        self._room = [
            (np.empty((rows + 1, columns), np.uint16), np.empty((rows + 1, columns), np.uint16))
            for rows, columns in (size, half, half)
        ]

    def draw(self, pose: Pose, mouth: MouthShape) -> Picture:
        """A new picture of the face in `pose`; its planes are the caller's."""
        built, character = self._atlas, self._atlas.character
        planes = tuple(plane.copy() for plane in built.rest)
        breath = built.breaths[round(pose.breath * (len(built.breaths) - 1))]
        for index, (plane, body) in enumerate(zip(planes, breath, strict=True)):
            plane[built.breath_top // (2 if index else 1) :] = body

        opening = nearest(character.openings, mouth.opening)
        width = nearest(character.widths, mouth.width)
        lid = nearest(character.lids, pose.lid)
        self._put(built.mouth, opening * len(character.widths) + width)
        self._put(built.eyes, lid * len(character.gazes) + pose.glance)
        self._put(built.brows, nearest(character.raised, pose.brow))

        frame = character.frame.height * built.placement.scale
        right = pose.sway[0] * atlas.SWAY_X * frame
        down = (pose.sway[1] * atlas.SWAY_Y - pose.breath * atlas.NOD) * frame
        for index, plane in enumerate(planes):
            self._move_head(index, plane, right, down)
        y, u, v = planes
        return Picture(y, u, v)

    def _put(self, part: Part, state: int) -> None:
        for index, (canvas, sprite) in enumerate(
            zip(self._canvas, part.states[state], strict=True)
        ):
            step = 2 if index else 1
            rows, columns = sprite.shape
            top, left = part.top // step, part.left // step
            canvas[top : top + rows, left : left + columns] = sprite

    def _move_head(self, index: int, plane: Plane, right: float, down: float) -> None:
        """Blend the canvas, moved by fractions of a pixel, into `plane`.

        All sums stay within 16 bits: two blends of sixteenths, then one of 256ths.
        """
        head, step = self._atlas.head, 2 if index else 1
        canvas = self._canvas[index]
        left, top, right_edge, bottom = (edge // step for edge in head.box)
        rows, columns = bottom - top, right_edge - left
        one = atlas.SUBPIXELS
        x = head.pad // step * one - round(right / step * one)
        y = head.pad // step * one - round(down / step * one)
        (x, x_share), (y, y_share) = divmod(x, one), divmod(y, one)
        across, other = self._room[index]
        near = canvas[y : y + rows + 1, x : x + columns]
        far = canvas[y : y + rows + 1, x + 1 : x + columns + 1]
        np.multiply(near, np.uint16(one - x_share), out=across)
        np.multiply(far, np.uint16(x_share), out=other)
        across += other
        moved = other[:-1]
        np.multiply(across[1:], np.uint16(y_share), out=moved)
        across *= np.uint16(one - y_share)
        moved += across[:-1]
        moved += np.uint16(128)
        moved >>= np.uint16(8)

        behind = plane[top:bottom, left:right_edge]
        moved *= head.mask[index]
        still = np.multiply(behind, head.still[index], out=across[:-1])
        moved += still
        moved += np.uint16(128)
        moved >>= np.uint16(8)
        behind[...] = moved


def nearest(values: tuple[float, ...], wanted: float) -> int:
    """The place of the value that is nearest to `wanted`."""
    return min(range(len(values)), key=lambda place: abs(values[place] - wanted))
