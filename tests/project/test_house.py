"""The house's walls: who may import whom, who may sleep, and what loggers are called."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent_side", "avatar_runtime", "worker", "dispatcher", "localroom")
OURS = {*PACKAGES, "avatar_cli", "benchmarks", "deploy", "tests"}

MAY_IMPORT = {
    "agent_side": {"agent_side"},
    "avatar_runtime": {"avatar_runtime", "agent_side.join"},
    "worker": {
        "worker",
        "avatar_runtime",
        "agent_side.wire",
        "agent_side.join",
        "agent_side.sctp",
        "agent_side.pending_sends",
    },
    "dispatcher": {"dispatcher", "avatar_runtime", "agent_side.join"},
    "localroom": {"localroom"},
}
"""What each package may import of ours; a name allows all that it contains."""

LOADED_LATER = {"avatar_runtime.logs", "avatar_runtime.messages", "avatar_runtime.tracing"}

CHOICES = (
    "worker/renderers",
    "worker/meetings",
    "worker/gateways",
    "dispatcher/routes",
    "dispatcher/pools",
)
"""Folders in which each file is a choice of its own."""

PROGRAMS = {
    "dispatcher/__main__.py",
    "worker/__main__.py",
    "worker/tools/speak.py",
    "worker/tools/doctor.py",
}


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module or name that the file imports anywhere, as ``package.module.name``."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def within(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in the file with the last part of the name that is called."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Attribute(attr=name) | ast.Name(id=name):
                    yield name, node


def place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_meet_only_where_they_may(package: str) -> None:
    strangers = [
        f"{place(path)} imports {name}"
        for path in sources(package)
        for name in imports(path)
        if within(name, OURS) and not within(name, MAY_IMPORT[package])
    ]
    assert strangers == []


def test_the_agents_side_needs_nothing_but_httpx() -> None:
    allowed = {*sys.stdlib_module_names, "httpx", "agent_side"}
    strangers = [
        f"{place(path)} imports {name}"
        for path in sources("agent_side")
        for name in imports(path)
        if not within(name, allowed)
    ]
    assert strangers == []


def test_the_command_and_what_starts_programs_need_the_standard_library_alone() -> None:
    """Only what programs load once they run needs more: logs, traces and messages."""
    files = [ROOT / "avatar_cli.py", *sources("avatar_runtime")]
    early = [path for path in files if not within(module_name(path), LOADED_LATER)]
    found = [(place(path), name) for path in early for name in imports(path)]
    allowed = {*sys.stdlib_module_names, "avatar_runtime"}
    assert [each for each in found if not within(each[1], allowed)] == []
    assert [each for each in found if within(each[1], LOADED_LATER)] == []


def test_what_starts_our_programs_imports_nothing_of_ours() -> None:
    """It is run before it is certain whose packages are found."""
    start = ROOT / "avatar_runtime/__main__.py"
    assert [name for name in imports(start) if within(name, OURS)] == []


@pytest.mark.parametrize("folder", CHOICES)
def test_choices_do_not_know_each_other(folder: str) -> None:
    package = folder.replace("/", ".")
    siblings = {module_name(path) for path in sources(folder)} - {package}
    acquainted = [
        f"{place(path)} imports {name}"
        for path in sources(folder)
        for name in imports(path)
        if within(name, siblings - {module_name(path)})
    ]
    assert acquainted == []


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


def test_this_test_sees_imports_of_every_kind() -> None:
    """The rules hold nothing if the reader of imports is blind."""
    assert "agent_side.wire.decode" in set(imports(ROOT / "worker/meetings/memory.py"))
    assert "httpx" in set(imports(ROOT / "agent_side/launch.py"))
    assert all(sources(package) for package in ("agent_side", "worker"))
