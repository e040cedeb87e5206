"""Writes a character's contact sheet and its short film."""

import argparse
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

from worker.characters.folder import Character
from worker.characters.preview import contact_sheet, film_script
from worker.errors import InputError
from worker.media import FPS, SILENCE
from worker.renderers.character import create_for
from worker.settings import Settings, parse_size
from worker.tools.film import FilmWriter
from worker.tools.script import Script
from worker.tools.speak import opened, shots

SHIPPED_SPEECH: Final = Path(__file__).parents[2] / "benchmarks" / "speech.wav"
"""In the repository; a package that was installed has none."""
LONGEST_S: Final = 600.0


def preview(given: argparse.Namespace) -> Iterator[str]:
    """One line for each file that is written. Raises InputError."""
    character = Character.find(given.character, os.environ.get("AVATAR_CHARACTERS", ""))
    width, height = parse_size(given.size, "--size")
    if not 1 <= given.seconds <= LONGEST_S:
        raise InputError(f"--seconds is {given.seconds:g}; it has to be from 1 to {LONGEST_S:g}.")
    out: Path = given.output
    try:
        out.mkdir(parents=True, exist_ok=True)
        sheet = contact_sheet(character)
        file = out / f"{character.name}.{'png' if given.png else 'webp'}"
        sheet.save(file, quality=85)
    except OSError as error:
        raise InputError(
            f"{out} cannot be written ({error.strerror}); choose another place."
        ) from error
    yield f"{file}: {sheet.width}x{sheet.height}, {file.stat().st_size // 1024} KB"
    settings = replace(Settings(), width=width, height=height)
    film = out / f"{character.name}.mp4"
    for note in _film(character, settings, film, given.speech, given.seconds):
        yield f"{given.speech or SHIPPED_SPEECH}: {note}"
    yield f"{film}: {given.seconds:g} s, {film.stat().st_size // 1024} KB"


def _film(
    character: Character, settings: Settings, film: Path, speech: Path | None, seconds: float
) -> tuple[str, ...]:
    """Returns what is unusual about the speech."""
    speech = speech or SHIPPED_SPEECH
    if not speech.is_file():
        raise InputError(f"There is no speech at {speech}; give one with --speech.")
    with opened(speech) as sound, closing(create_for(character, settings)) as renderer:
        script = Script(film_script(character, renderer.expressions, seconds), renderer)
        script.perform(0)
        rest = renderer.idle()
        pictures = shots(renderer, script, rest, sound.blocks())
        with FilmWriter(film, rest.width, rest.height) as writer:
            for picture, pcm in islice(pictures, round(seconds * FPS)):
                writer.add_picture(picture)
                writer.add_sound(pcm)
            for _ in range(round(seconds * FPS) - writer.pictures):
                script.perform(writer.pictures)
                writer.add_picture(renderer.idle())
                writer.add_sound(SILENCE)
        return sound.notes
