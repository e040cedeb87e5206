"""What a viewing shows: sound and pictures, when they arrived, and how they go together."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import av
import measure
import numpy as np
import numpy.typing as npt
import viewer
from viewer import RecordedTrack, Viewing

from worker.media import Pcm, Picture
from worker.sound import Doubler

SOUND_RATE: Final = 48_000
PICTURE_RATE: Final = 90_000
RATES: Final = {"audio": SOUND_RATE, "video": PICTURE_RATE}

PACKET: Final = SOUND_RATE // 50
"""Samples of 20 ms, which is one packet."""

ALIKE: Final = 0.5
"""The correlation above which 20 ms of noise that went through Opus are what was said; what
was not said stays below 0.15."""

LOUD: Final = 400
"""The amplitude from which on sound is a voice, and no rest of the codec's."""

QUIET: Final = 150
"""Sound with a lower root mean square is a pause."""

LEAST_MS: Final = 10
"""The codec moves sound by less than this."""

SEARCH: Final = 4 * SOUND_RATE
"""How far around its place a piece of speech is looked for (samples)."""

Floats = npt.NDArray[np.float64]


class SoundPacket(NamedTuple):
    """20 ms of sound: when they arrived, when the sender's clock says they sound, samples."""

    time_s: float
    ntp_s: float
    pcm: Pcm


class ShownPicture(NamedTuple):
    """A picture: when its last packet arrived, when the sender's clock says it is shown."""

    time_s: float
    ntp_s: float
    picture: Picture


@dataclass(frozen=True, slots=True)
class View:
    """Everything that was heard and shown, in order. Sound is mono at 48 kHz."""

    sound: list[SoundPacket]
    pictures: list[ShownPicture]


def load(file: Path) -> Viewing:
    """What `viewer` has written."""
    # The viewer was run as a program, so its classes were pickled under that name.
    import __main__

    for name in (
        viewer.Viewing,
        viewer.RecordedTrack,
        viewer.Arrival,
        viewer.Coded,
        viewer.SenderReport,
    ):
        setattr(__main__, name.__name__, name)
    viewing: Viewing = pickle.loads(file.read_bytes())
    return viewing


def decode(viewing: Viewing) -> View:
    """The sound and the pictures of a viewing."""
    sound, pictures = [], []
    for track in viewing.tracks:
        if track.kind == "audio":
            sound += list(_sound(track))
        else:
            pictures += list(_pictures(track))
    return View(sound, pictures)


def _sound(track: RecordedTrack) -> Iterator[SoundPacket]:
    decoder: Any = av.CodecContext.create("libopus", "r")
    decoder.format, decoder.layout, decoder.sample_rate = "s16", "stereo", SOUND_RATE
    arrivals, clock = _arrivals(track), _clock(track)
    for coded in track.coded:
        for frame in decoder.decode(av.Packet(coded.data)):
            stereo = frame.to_ndarray().reshape(-1, 2).astype(np.int32)
            pcm = np.asarray(stereo.mean(axis=1), np.int16)
            yield SoundPacket(arrivals[coded.timestamp], clock(coded.timestamp), pcm)


def _pictures(track: RecordedTrack) -> Iterator[ShownPicture]:
    decoder: Any = av.CodecContext.create("vp8", "r")
    arrivals, clock = _arrivals(track), _clock(track)
    for coded in track.coded:
        for frame in decoder.decode(av.Packet(coded.data)):
            picture = measure.planes(frame)
            yield ShownPicture(arrivals[coded.timestamp], clock(coded.timestamp), picture)


def _arrivals(track: RecordedTrack) -> dict[int, float]:
    """When the last packet of each time stamp came."""
    last: dict[int, float] = {}
    for arrival in track.arrivals:
        last[arrival.timestamp] = max(arrival.time_s, last.get(arrival.timestamp, 0.0))
    return last


def _clock(track: RecordedTrack) -> Callable[[int], float]:
    """From time stamps to the sender's clock, by all of its reports; NaN where none came.

    Each report says when its packet was sent, which is now and then a little late; their median
    is not.
    """
    rate = RATES[track.kind]
    if not track.reports:
        return lambda _: float("nan")
    origin = track.reports[0].timestamp
    offsets = [each.ntp_s - _since(origin, each.timestamp) / rate for each in track.reports]
    begin_s = float(np.median(offsets))
    return lambda timestamp: begin_s + _since(origin, timestamp) / rate


def _since(earlier: int, later: int) -> int:
    """The difference of two RTP time stamps, which wrap at 2**32."""
    return (later - earlier + 2**31) % 2**32 - 2**31


# Latencies -----------------------------------------------------------------------------------


def loud(view: View, since_s: float, until_s: float = float("inf")) -> list[float]:
    """When each packet with a voice came."""
    return [
        piece.time_s
        for piece in view.sound
        if since_s <= piece.time_s < until_s and np.abs(piece.pcm).max() > LOUD
    ]


def first_sound_ms(view: View, since_s: float) -> float:
    """From `since_s` until the first packet with a voice came."""
    return 1000 * (loud(view, since_s)[0] - since_s)


def silence_ms(view: View, since_s: float, until_s: float) -> float:
    """From `since_s` until the last packet with a voice before `until_s` came; 0 for none."""
    return 1000 * (max([since_s, *loud(view, since_s, until_s)]) - since_s)


def first_ms(view: View, since_s: float, is_meant: Callable[[Picture], bool]) -> float:
    """From `since_s` until the first picture of a kind came."""
    return 1000 * (
        next(p.time_s for p in view.pictures if p.time_s >= since_s and is_meant(p.picture))
        - since_s
    )


def sound_between(view: View, since_s: float = 0.0, until_s: float = float("inf")) -> Pcm:
    """The sound of the packets that came in that time."""
    pieces = (piece.pcm for piece in view.sound if since_s <= piece.time_s < until_s)
    return np.concatenate([np.zeros(0, np.int16), *pieces])


# What was heard of what was said -------------------------------------------------------------


@dataclass(slots=True)
class AckAccount:
    """What became of a turn's speech, in milliseconds, to 20 ms.

    `inserted` is silence and `repeated` sound that was not said there, `until` the end of the
    last piece that was heard.
    """

    said: int = 0
    lost: int = 0
    inserted: int = 0
    insertions: int = 0
    repeated: int = 0
    until: int = 0
    lag: int = 0
    """How far behind the beginning of the sound the speech begins (samples)."""


def account(sound: Pcm, speech: Pcm, step: int = PACKET) -> AckAccount:
    """Hold what was heard against a turn's speech, in pieces of `step` samples.

    Pieces of silence are passed over. Sound that was not said moves what follows it back; a
    piece that is nowhere near its place is lost.
    """
    said, sounded = fine(speech), np.asarray(sound, np.float64)
    found = AckAccount()
    lag: int | None = None
    step_ms = 1000 * step // SOUND_RATE
    for at in range(0, len(said) - step + 1, step):
        piece = said[at : at + step]
        if _rms(piece) < QUIET:
            continue
        found.said += step_ms
        if lag is None or not _alike(piece, sounded, at + lag):
            place = _find(piece, sounded, at + (lag or 0), everywhere=lag is None)
            if place is None:
                found.lost += step_ms
                continue
            if lag is not None:
                _note_move(found, sounded, at + lag, place)
            else:
                found.lag = place - at
            lag = place - at
        found.until = 1000 * (at + step) // SOUND_RATE
    return found


def reach_s(sound: Pcm, speech: Pcm) -> float:
    """How far a turn was heard that was cut off: the end of the last piece that was said (s).

    A hiss in the middle may be too much changed by the codec to be found, so one look back is
    not enough.
    """
    said, sounded = fine(speech), np.asarray(sound, np.float64)
    begin = int(np.argmax(np.abs(said) > LOUD))
    place = _find(said[begin : begin + 5 * PACKET], sounded, 0, everywhere=True)
    if place is None:
        return 0.0
    reached = begin
    for at in range(begin, len(said) - PACKET + 1, PACKET):
        piece = said[at : at + PACKET]
        if _rms(piece) >= QUIET and _alike(piece, sounded, place + at - begin):
            reached = at + PACKET
    return reached / SOUND_RATE


def fine(speech: Pcm) -> Floats:
    """Speech at 24 kHz as it is heard, at 48 kHz."""
    return np.asarray(Doubler().push(speech), np.float64)


def _note_move(found: AckAccount, sound: Floats, due: int, place: int) -> None:
    """What follows came at `place`, later than it was due: silence was put in, or sound."""
    milliseconds = round(1000 * (place - due) / SOUND_RATE)
    if milliseconds < LEAST_MS:
        return
    block = PACKET // 4
    blocks = range(max(0, due - 2 * PACKET), place - block + 1, block)
    silent_ms = 5 * sum(_rms(sound[at : at + block]) < QUIET for at in blocks)
    if 2 * silent_ms >= milliseconds:
        found.inserted += milliseconds
        found.insertions += 1
    else:
        found.repeated += milliseconds


def _rms(sound: Floats) -> float:
    return float(np.sqrt(np.mean(sound**2)))


def _alike(piece: Floats, sound: Floats, place: int) -> bool:
    part = sound[max(0, place) : place + len(piece)]
    return len(part) == len(piece) and _correlation(piece, part) > ALIKE


def _find(piece: Floats, sound: Floats, near: int, *, everywhere: bool) -> int | None:
    first = 0 if everywhere else max(0, near - SEARCH)
    window = sound[first:] if everywhere else sound[first : near + SEARCH]
    if len(window) < len(piece):
        return None
    size = len(window) + len(piece)
    spectrum = np.fft.rfft(window, size) * np.conj(np.fft.rfft(piece, size))
    products = np.fft.irfft(spectrum, size)[: len(window) - len(piece) + 1]
    squares = np.concatenate([[0.0], np.cumsum(window**2)])
    energy = np.sqrt(np.maximum(0.0, squares[len(piece) :] - squares[: -len(piece)]))
    scores = products / np.maximum(energy * np.linalg.norm(piece), 1e6)
    best = int(np.argmax(scores))
    return first + best if scores[best] > ALIKE else None


def _correlation(a: Floats, b: Floats) -> float:
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 1e6 else 0.0
