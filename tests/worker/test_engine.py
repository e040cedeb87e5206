"""The engine hands out each sample of live speech once, and none of speech that was cut."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import virtual_time
from hypothesis import given
from hypothesis import strategies as st
from plain_renderer import BrokenRenderer, PlainRenderer
from stage import voice
from thorough import thorough

from worker.engine import Cut, Engine, Started
from worker.errors import RendererError
from worker.media import FRAME_SAMPLES, SAMPLE_RATE, TICK_S, Pcm
from worker.renderer import Renderer
from worker.turns.playout import Ended

SIZE = (2, 2)


@dataclass
class Listener:
    """Ticks an engine and keeps what it hands out and tells."""

    engine: Engine
    heard: dict[int, list[Pcm]] = field(default_factory=dict)
    started: list[int] = field(default_factory=list)
    ended: dict[int, Ended] = field(default_factory=dict)
    ticks: int = 0

    async def run(self) -> None:
        while True:
            self.tick()
            await asyncio.sleep(TICK_S)

    def tick(self) -> None:
        frame = self.engine.tick()
        self.ticks += 1
        assert len(frame.pcm) == FRAME_SAMPLES
        if frame.segment:
            assert frame.segment >= self.engine.first_live_segment
            self.heard.setdefault(frame.segment, []).append(frame.pcm)
        self.take_events()

    def take_events(self) -> None:
        for event in self.engine.take_events():
            if isinstance(event, Started):
                self.started.append(event.segment)
            else:
                assert event.segment not in self.ended, "told twice"
                self.ended[event.segment] = event

    def samples(self, segment: int) -> Pcm:
        """What was heard of the segment, as far as its end was told."""
        return np.concatenate(self.heard[segment])[: self.ended[segment].samples]


def play(scene: Callable[[Listener], Awaitable[None]], engine: Callable[[], Engine]) -> None:
    """Run the scene in virtual time, beside the engine and a listener."""

    async def whole() -> None:
        made = engine()
        listener = Listener(made)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(made.run()), tasks.create_task(listener.run())]
            await scene(listener)
            for task in running:
                task.cancel()

    virtual_time.run(whole())


def plain() -> Engine:
    return Engine(PlainRenderer(*SIZE))


def say(engine: Engine, pcm: Pcm, rate: int = SAMPLE_RATE) -> int:
    """A whole segment at once; its number."""
    segment = engine.open(rate)
    segment.append(pcm.tobytes())
    segment.close()
    engine.wake()
    return segment.number


def test_a_segment_is_handed_out_whole_and_told_once() -> None:
    pcm = voice(10_000)

    async def scene(listener: Listener) -> None:
        number = say(listener.engine, pcm)
        while number not in listener.ended:
            await asyncio.sleep(TICK_S)
        assert np.array_equal(listener.samples(number), pcm)
        assert listener.ended[number] == Ended(number, len(pcm), interrupted=False)
        assert listener.started == [number]
        assert listener.engine.silent

    play(scene, plain)


def test_an_empty_segment_ends_without_being_heard() -> None:
    async def scene(listener: Listener) -> None:
        number = say(listener.engine, voice(0))
        await asyncio.sleep(5 * TICK_S)
        assert listener.ended == {number: Ended(number, 0, interrupted=False)}
        assert listener.started == []

    play(scene, plain)


def test_an_interrupt_says_what_died_and_what_was_silenced() -> None:
    async def scene(listener: Listener) -> None:
        engine = listener.engine
        first, second = say(engine, voice(48_000)), say(engine, voice(24_000))
        await asyncio.sleep(0.5)
        handed = engine.handed(first)
        cut = engine.interrupt()
        assert cut == Cut(
            (
                Ended(first, handed - 480, interrupted=True),
                Ended(second, 0, interrupted=True),
            ),
            silenced=480,
        )
        assert engine.interrupt() == Cut()
        listener.take_events()
        assert tuple(listener.ended.values()) == cut.ended
        ticks = listener.ticks
        await asyncio.sleep(0.5)
        assert listener.ticks > ticks
        third = say(engine, voice(4_800, 3))
        await asyncio.sleep(0.5)
        assert np.array_equal(listener.samples(third), voice(4_800, 3))

    play(scene, lambda: Engine(PlainRenderer(*SIZE), silence=lambda: 480))


def test_nothing_is_silenced_where_nothing_sounds() -> None:
    def fail() -> int:
        raise AssertionError("nothing sounds")

    async def scene(listener: Listener) -> None:
        number = listener.engine.open().number
        assert listener.engine.interrupt() == Cut((Ended(number, 0, interrupted=True),))

    play(scene, lambda: Engine(PlainRenderer(*SIZE), silence=fail))


@pytest.mark.virtual_time
async def test_a_renderer_that_fails_ends_the_engine_with_what_to_do() -> None:
    engine = Engine(BrokenRenderer(*SIZE))
    say(engine, voice(960))
    with pytest.raises(RendererError, match=r"division by zero.*AVATAR_RENDERER=character"):
        await engine.run()


@pytest.mark.parametrize("frames", [None, 1, 4, 9])
def test_the_prefetch_is_the_renderers(frames: int | None) -> None:
    renderer = PlainRenderer(*SIZE)
    if frames is not None:
        renderer.prefetch_frames = frames
    wanted = Renderer.prefetch_frames if frames is None else frames

    async def scene(listener: Listener) -> None:
        engine = listener.engine
        segment = engine.open(SAMPLE_RATE)
        look_ahead = 2
        segment.append(voice((wanted + look_ahead) * FRAME_SAMPLES - 1).tobytes())
        engine.wake()
        await asyncio.sleep(0.5)
        assert listener.started == []
        segment.append(voice(1).tobytes())
        engine.wake()
        await asyncio.sleep(0.5)
        assert listener.started == [segment.number]

    play(scene, lambda: Engine(renderer))


def test_rendering_is_measured() -> None:
    seen: list[tuple[int, float]] = []

    async def scene(listener: Listener) -> None:
        say(listener.engine, voice(9_600))
        await asyncio.sleep(1.0)

    play(scene, lambda: Engine(PlainRenderer(*SIZE), on_rendered=lambda *each: seen.append(each)))
    assert sum(pictures for pictures, _ in seen) >= 10
    assert all(seconds >= 0 for _, seconds in seen)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(1, 12_000)),
        st.tuples(st.just("end"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 12)),
        st.tuples(st.just("interrupt"), st.sampled_from([0, 480, 960])),
        st.tuples(st.just("hold"), st.just(0)),
    ),
    max_size=30,
)


@thorough(400)
@given(steps)
def test_whatever_happens_each_segment_ends_once_in_order_where_it_was_last_heard(
    done: list[tuple[str, int]],
) -> None:
    said: dict[int, Pcm] = {}
    silenced = 0
    held = False

    async def scene(listener: Listener) -> None:
        nonlocal silenced, held
        engine = listener.engine
        current = None
        for step, amount in done:
            match step:
                case "say":
                    if current is None:
                        current = engine.open(SAMPLE_RATE)
                        said[current.number] = voice(0)
                    pcm = voice(amount, current.number + len(said[current.number]))
                    said[current.number] = np.concatenate([said[current.number], pcm])
                    current.append(pcm.tobytes())
                case "end" if current is not None:
                    current.close()
                    current = None
                case "wait":
                    await asyncio.sleep(amount * TICK_S)
                case "interrupt":
                    silenced, current = amount, None
                    engine.interrupt()
                case "hold":
                    held = True
                    engine.hold()
            engine.wake()
        if current is not None:
            current.close()
            engine.wake()
        await asyncio.sleep(sum(map(len, said.values())) / SAMPLE_RATE + 1.0)
        assert list(listener.ended) == sorted(said)
        assert listener.started == sorted(listener.heard)
        for number, ended in listener.ended.items():
            if not ended.interrupted:
                assert ended.samples == len(said[number])
            if ended.samples and not held and not engine.underruns:
                wanted = said[number][: ended.samples]
                assert np.array_equal(listener.samples(number), wanted)

    play(scene, lambda: Engine(PlainRenderer(*SIZE), silence=lambda: silenced))
