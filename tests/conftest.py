"""All tests run with the same examples, in their own environment, and with warnings as errors.

The shell's proxies, modules in PYTHONPATH and settings of ours are removed; the tests that are
about those set them themselves. Programs under test may cache their bytecode, as they do once
installed: compiling all that they import would cost each start several seconds.

A test that is an `async def` runs in an event loop of its own, and with the marker `virtual_time`
on the virtual clock. `HYPOTHESIS_PROFILE` chooses how many examples a property has to survive; see
`thorough`. With ``--basetemp`` what the tests themselves write is in or beside that folder; TMPDIR
is left to the programs under test.
"""

import asyncio
import inspect
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import virtual_time
from hypothesis import settings
from thorough import PROFILES, profile

from agent_side import handshake
from avatar_runtime.__main__ import reordered

KEPT = frozenset({"AVATAR_NO_BROWSER", "AVATAR_NO_REDIS", "AVATAR_PORTRAIT_MODELS"})
"""What says which tests to leave out, and where the nets for portraits are."""

ROOT = str(Path(__file__).parents[1])


def leave_surroundings() -> None:
    """Before any test: make the environment independent of the shell's.

    pip, which fetches what the tests of portraits need, keeps its way to the index.
    """
    proxies = {name: os.environ.pop(name) for name in [*os.environ] if _is_proxy(name)}
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        if proxies.get(name):
            os.environ.setdefault("PIP_PROXY", proxies[name])
    for name in [*os.environ]:
        if name.startswith("AVATAR_") and name not in KEPT:
            del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    theirs = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each != ROOT]
    sys.path[:] = reordered(sys.path, os.pathsep.join(theirs))
    os.environ["PYTHONPATH"] = ROOT


def _is_proxy(name: str) -> bool:
    return name.lower().endswith("_proxy") and not name.startswith("PIP_")


leave_surroundings()

SDK_IMPORTS_OLD_NAMES = r"ignore:websockets\..* is deprecated:DeprecationWarning"

for name, chosen in PROFILES.items():
    settings.register_profile(name, chosen)
settings.load_profile(profile())


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell has what it runs in the background ignore Ctrl-C, and programs inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.basetemp:
        tempfile.tempdir = str(Path(config.option.basetemp).absolute().parent)
    config.addinivalue_line("filterwarnings", SDK_IMPORTS_OLD_NAMES)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test in an event loop of its own: on the virtual clock if so marked."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    coroutine = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    run = virtual_time.run if pyfuncitem.get_closest_marker("virtual_time") else asyncio.run
    run(coroutine)
    return True


@pytest.fixture(scope="module")
def version_2_however_long_the_greeting_takes() -> Iterator[None]:
    """Where the network loses every third packet, the worker may seem to be a stock one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handshake, "HELLO_TIMEOUT_S", 1e9)
        yield
