"""Renderers and meetings by name: a short name is ours, `package.module:create` anybody's."""

import importlib
import pkgutil
import re
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final, NamedTuple

import worker.meetings
import worker.renderers
from agent_side.join import JoinInfo
from worker.errors import MeetingError, RendererError, WorkerError
from worker.meeting import Meeting
from worker.renderer import Renderer
from worker.settings import Settings

FACTORY: Final = "create"
PRELOAD: Final = "preload"

MakeMeeting = Callable[[JoinInfo, Settings], Meeting]


class Kind(NamedTuple):
    """A kind of thing that is chosen by name: the folder of ours, and the error about others."""

    name: str
    package: ModuleType
    error: type[WorkerError]

    @property
    def variable(self) -> str:
        return f"AVATAR_{self.name.upper()}"


RENDERER: Final = Kind("renderer", worker.renderers, RendererError)
MEETING: Final = Kind("meeting", worker.meetings, MeetingError)


def names(kind: Kind) -> list[str]:
    """The short names that the kind's variable may have."""
    return sorted(each.name for each in pkgutil.iter_modules(kind.package.__path__))


def renderer_names() -> list[str]:
    """The short names that ``AVATAR_RENDERER`` may have."""
    return names(RENDERER)


def load_renderer(settings: Settings) -> Renderer:
    """The renderer that `settings` names, made and ready to draw.

    Raises RendererError where it cannot be found or made, and passes on whatever WorkerError
    its own ``create`` raises, such as InputError for an unknown character.
    """
    create = _factory(RENDERER, settings.renderer)
    try:
        renderer = create(settings)
    except WorkerError:
        raise
    except Exception as error:
        raise RendererError(
            f"Renderer {settings.renderer!r} cannot be made ({type(error).__name__}: {error}); "
            "see what it needs, or choose another with AVATAR_RENDERER."
        ) from error
    if not isinstance(renderer, Renderer):
        raise RendererError(
            f"Renderer {settings.renderer!r} made a {type(renderer).__name__}; "
            "its class has to inherit from worker.renderer.Renderer."
        )
    return renderer


def load_before_fork(settings: Settings) -> Renderer | None:
    """The renderer that `settings` name; None where it can only be made after the fork.

    Raises RendererError, also for one that says only once it is made that it is not fork-safe.
    """
    if not getattr(_factory(RENDERER, settings.renderer), "fork_safe", Renderer.fork_safe):
        return None
    renderer = load_renderer(settings)
    if not renderer.fork_safe:
        raise RendererError(
            f"Renderer {settings.renderer!r} is not fork-safe, which has to be known before it is "
            "made; name its class, as package.module:Class, with `fork_safe = False`."
        )
    return renderer


def preload(settings: Settings) -> None:
    """Let the renderer that `settings` name make ready what other join requests may ask of it.

    Called before workers are forked, who then share it. It does so where its module has a
    function ``preload(settings)`` beside its ``create``.
    """
    create = _factory(RENDERER, settings.renderer)
    prepare = getattr(importlib.import_module(create.__module__), PRELOAD, None)
    if callable(prepare):
        prepare(settings)


def load_meeting(settings: Settings) -> MakeMeeting:
    """What makes the meetings that `settings` names. Raises MeetingError where it is not there."""
    return _factory(MEETING, settings.meeting)


def _factory(kind: Kind, name: str) -> Callable[..., Any]:
    title = kind.name.capitalize()
    module_name, colon, attribute = name.partition(":")
    if not colon:
        module_name, attribute = _ours(kind, name), FACTORY
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise kind.error(
            f"{title} {name!r} cannot be imported ({type(error).__name__}: {error}); "
            f"install what it needs, or choose another with {kind.variable}."
        ) from error
    create = getattr(module, attribute, None)
    if not callable(create):
        raise kind.error(
            f"{title} {name!r} is not there: {module_name} has no function "
            f"{attribute!r}; name it as package.module:create."
        )
    factory: Callable[..., Any] = create
    return factory


def _ours(kind: Kind, name: str) -> str:
    module_name = f"{kind.package.__name__}.{name}"
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None or find_spec(module_name) is None:
        raise kind.error(
            f"There is no {kind.name} {name!r}; choose one of {', '.join(names(kind))}, "
            "or name your own as package.module:create."
        )
    return module_name
