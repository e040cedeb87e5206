"""The bytes on the wire and the pictures of each character stay what they are.

The files in tests/golden are written once and never again: a message or a picture that differs
from them is a change that peers and viewers see. A new message adds a line.
"""

import hashlib
import json
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from agent_side.wire import Message, Packet, decode, encode
from worker.media import FRAME_SAMPLES, Picture
from worker.renderer import ExpressionCue, GestureCue, PostureCue
from worker.renderers.character import create
from worker.settings import Settings

FOLDER = Path(__file__).parents[1] / "golden"
SPEECH = Path(__file__).parents[2] / "benchmarks" / "speech.wav"
WIRE: dict[str, list[dict[str, str]]] = json.loads((FOLDER / "wire.json").read_text())
FILMS: dict[str, list[str]] = json.loads((FOLDER / "films.json").read_text())

SPEECH_BLOCKS = 75
REST_PICTURES = 25
ACTS = {
    5: ExpressionCue("happy", 0.7),
    10: GestureCue("nod"),
    40: PostureCue("listening"),
    50: GestureCue("wave_hello"),
    80: ExpressionCue("sad", 1.0),
    100: PostureCue("thinking"),
}
"""What the face is told before the picture of that number."""


def packet_of(line: dict[str, str]) -> Packet:
    """Control stands in the file as its text, speech as hexadecimal digits."""
    if "text" in line:
        return Packet(line["text"].encode(), reliable=True)
    return Packet(bytes.fromhex(line["hex"]), reliable=False)


@pytest.mark.parametrize("line", WIRE["encoded"], ids=lambda line: line["message"][:40])
def test_each_message_has_its_bytes(line: dict[str, str]) -> None:
    packet = packet_of(line)
    message = decode(packet.payload, reliable=packet.reliable)
    assert repr(message) == line["message"]
    assert message is not None
    assert encode(message) == packet


@pytest.mark.parametrize("line", WIRE["decoded"], ids=lambda line: line["message"][:40])
def test_what_other_peers_write_is_read_as_ever(line: dict[str, str]) -> None:
    packet = packet_of(line)
    assert repr(decode(packet.payload, reliable=packet.reliable)) == line["message"]


def test_every_kind_of_message_is_held() -> None:
    kinds = {kind.__name__ for kind in get_args(Message)}
    assert kinds == {line["message"].partition("(")[0] for line in WIRE["encoded"]}


def film(character: str) -> Iterator[str]:
    """The digest of each picture: a second at rest, three of speech, a second at rest."""
    with wave.open(str(SPEECH)) as sound:
        pcm = np.frombuffer(sound.readframes(SPEECH_BLOCKS * FRAME_SAMPLES), np.int16)
    renderer: Any = create(replace(Settings.from_env({}), character=character))
    shown = 0

    def seen(picture: Picture) -> str:
        nonlocal shown
        shown += 1
        if shown in ACTS:
            renderer.cue(ACTS[shown])
        planes = (np.ascontiguousarray(plane) for plane in (picture.y, picture.u, picture.v))
        return hashlib.sha256(b"".join(plane.tobytes() for plane in planes)).hexdigest()[:16]

    for _ in range(REST_PICTURES):
        yield seen(renderer.idle())
    for block in pcm.reshape(-1, FRAME_SAMPLES):
        renderer.push(1, block)
        yield from (seen(frame.picture) for frame in renderer.drain())
    renderer.finish(1)
    yield from (seen(frame.picture) for frame in renderer.drain())
    for _ in range(REST_PICTURES):
        yield seen(renderer.idle())


@pytest.mark.parametrize("character", sorted(FILMS))
def test_each_character_draws_the_same_film(character: str) -> None:
    drawn = list(film(character))
    held = FILMS[character]
    assert len(drawn) == len(held)
    different = [
        number for number, pair in enumerate(zip(drawn, held, strict=True)) if len(set(pair)) > 1
    ]
    assert not different, f"pictures {different[:10]} of {len(different)} differ"
