"""How all tests run: the same examples each time, and no warnings that nobody here can mend.

`HYPOTHESIS_PROFILE=explore` looks for new examples, at random. With ``--basetemp`` what the
tests themselves write is in or beside that folder; TMPDIR is left to the programs under test.
"""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from agent_side import speaker

SDK_IMPORTS_OLD_NAMES = r"ignore:websockets\..* is deprecated:DeprecationWarning"

settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell has what it runs in the background ignore Ctrl-C, and programs inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.basetemp:
        tempfile.tempdir = str(Path(config.option.basetemp).absolute().parent)
    config.addinivalue_line("filterwarnings", SDK_IMPORTS_OLD_NAMES)
    config.addinivalue_line("markers", "browser: needs a real Chromium; see support/browser.py")


@pytest.fixture(scope="module")
def version_2_however_long_the_greeting_takes() -> Iterator[None]:
    """Where the network loses every third packet, the worker may seem to be a stock one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speaker, "HELLO_PATIENCE_S", 1e9)
        yield
