"""Renderers by name: `character` is ours, `package.module:create` is somebody else's."""

import importlib
import pkgutil
import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final

import worker.renderers
from worker.errors import AvatarError, RendererError
from worker.renderer import Renderer
from worker.settings import Settings

FACTORY: Final = "create"
METHODS: Final = ("push", "finish", "drain", "reset", "idle", "close")


def renderer_names() -> list[str]:
    """The short names that ``AVATAR_RENDERER`` may have."""
    return sorted(each.name for each in pkgutil.iter_modules(worker.renderers.__path__))


def load_renderer(settings: Settings) -> Renderer:
    """The renderer that `settings` names, made and ready to draw.

    Raises RendererError where it cannot be found or made, and passes on whatever AvatarError
    its own ``create`` raises, such as InputError for an unknown character.
    """
    create = _factory(settings.renderer)
    try:
        renderer = create(settings)
    except AvatarError:
        raise
    except Exception as error:
        raise RendererError(
            f"Renderer {settings.renderer!r} cannot be made ({type(error).__name__}: {error}); "
            "see what it needs, or choose another with AVATAR_RENDERER."
        ) from error
    missing = [name for name in METHODS if not callable(getattr(renderer, name, None))]
    if missing:
        raise RendererError(
            f"Renderer {settings.renderer!r} made a {type(renderer).__name__} without "
            f"{', '.join(missing)}; it has to have what worker/renderer.py names."
        )
    made: Renderer = renderer
    return made


def _factory(name: str) -> Callable[[Settings], Any]:
    module_name, colon, attribute = name.partition(":")
    if not colon:
        module_name, attribute = _ours(name), FACTORY
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise RendererError(
            f"Renderer {name!r} cannot be imported ({type(error).__name__}: {error}); "
            "install what it needs, or choose another with AVATAR_RENDERER."
        ) from error
    create = getattr(module, attribute, None)
    if not callable(create):
        raise RendererError(
            f"Renderer {name!r} is not there: {module_name} has no function "
            f"{attribute!r}; name it as package.module:create."
        )
    factory: Callable[[Settings], Any] = create
    return factory


def _ours(name: str) -> str:
    module_name = f"{worker.renderers.__name__}.{name}"
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None or find_spec(module_name) is None:
        raise RendererError(
            f"There is no renderer {name!r}; choose one of {', '.join(renderer_names())}, "
            "or name your own as package.module:create."
        )
    return module_name
