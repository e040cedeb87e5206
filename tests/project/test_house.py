"""Nobody sleeps, prints or logs but where he may, and every file says what it is about.

Who may import whom, and how large things may be, is in test_architecture.py.
"""

import ast
import re

import pytest
from source_tree import OURS, PACKAGES, calls, imports, place, sources, tree, within

PROGRAMS = {
    "dispatcher/__main__.py",
    "worker/__main__.py",
    "worker/tools/speak.py",
    "worker/tools/doctor.py",
}


def test_the_worker_sleeps_in_its_clock_only() -> None:
    sleepers = {
        place(path)
        for path in sources("worker")
        for name in [*(name for name, _ in calls(path)), *(n.split(".")[-1] for n in imports(path))]
        if name == "sleep"
    }
    assert sleepers <= {"worker/clock.py"}


@pytest.mark.parametrize("package", PACKAGES)
def test_our_loggers_are_called_avatar(package: str) -> None:
    """Bare ``__name__`` would be a generic ``worker...``; a foreign logger may be named."""
    generic = [
        f"{place(path)}:{call.lineno}"
        for path in sources(package)
        for name, call in calls(path)
        if name == "getLogger" and not _is_proper(call)
    ]
    assert generic == []


def _is_proper(call: ast.Call) -> bool:
    match call.args:
        case [ast.Constant(value=str(name))]:
            return not within(name, OURS)
        case [ast.Name(id="__name__")]:
            return False
        case _:
            return True


@pytest.mark.parametrize("package", PACKAGES)
def test_only_programs_print(package: str) -> None:
    printing = {
        place(path) for path in sources(package) for name, _ in calls(path) if name == "print"
    }
    assert printing <= PROGRAMS


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_says_what_it_is_about(package: str) -> None:
    silent = [
        place(path)
        for path in sources(package)
        if path.stat().st_size and not ast.get_docstring(tree(path))
    ]
    assert silent == []


def test_every_test_file_says_which_rule_it_holds() -> None:
    """In the first line of its docstring, as a sentence."""
    silent = [
        place(path)
        for path in sources("tests")
        if path.name.startswith("test_")
        and not re.match(r"\S.*[.:]$", (ast.get_docstring(tree(path)) or "").partition("\n")[0])
    ]
    assert silent == []
