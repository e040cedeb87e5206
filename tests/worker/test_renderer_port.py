"""What a renderer says of itself, and what the zygote and the engine make of it."""

from dataclasses import replace

import pytest
from plain_renderer import PlainRenderer

from worker.errors import RendererError
from worker.process.loading import load_before_fork, load_renderer
from worker.renderer import ExpressionCue, GestureCue, PostureCue, Renderer, WordsCue
from worker.settings import Settings

HERE = Settings(width=64, height=64)


class OwnThreads(PlainRenderer):
    """One of those that only work in the process that made them."""

    fork_safe = False
    made = 0

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.width, settings.height)
        OwnThreads.made += 1


def create(settings: Settings) -> OwnThreads:
    return OwnThreads(settings)


def named(attribute: str) -> Settings:
    return replace(HERE, renderer=f"{__name__}:{attribute}")


def test_a_renderer_is_made_before_the_fork_unless_its_class_says_otherwise() -> None:
    assert isinstance(
        load_before_fork(replace(HERE, renderer="plain_renderer:create")), PlainRenderer
    )
    made = OwnThreads.made
    assert load_before_fork(named("OwnThreads")) is None
    assert OwnThreads.made == made
    assert isinstance(load_renderer(named("OwnThreads")), OwnThreads)


def test_a_renderer_that_says_it_too_late_is_refused_with_what_to_do() -> None:
    with pytest.raises(RendererError, match=r"not fork-safe.*package\.module:Class"):
        load_before_fork(named("create"))


def test_a_face_that_only_speaks_ignores_every_cue() -> None:
    face = PlainRenderer(64, 64)
    rest = face.idle()
    for cue in (GestureCue("nod"), ExpressionCue("sad", 1.0), PostureCue("x"), WordsCue(1, ())):
        face.cue(cue)
    assert (face.gestures, face.expressions, face.postures) == ((), (), ())
    assert face.drain() == []
    assert (face.idle().y == rest.y).all()


def test_only_what_every_face_does_has_to_be_written() -> None:
    assert Renderer.__abstractmethods__ == {"push", "finish", "drain", "reset", "idle"}
