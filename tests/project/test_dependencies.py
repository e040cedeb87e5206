"""Every package that is imported directly is declared, in the extra that it is imported for."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

SHIPPED = {
    "agent_side": (),
    "avatar_cli.py": (),
    "worker": ("worker", "portrait", "tracing"),
    "dispatcher": ("dispatcher", "tracing"),
    "localroom": ("localroom",),
}
"""What the wheel has, with the extras whose packages each part may import beside the base."""

AROUND = {
    "examples": ("worker",),
    "benchmarks": ("worker", "dispatcher", "localroom", "lipsync", "audit"),
    "art": ("worker", "art"),
    "training": ("worker", "lipsync"),
    "tests": ("worker", "dispatcher", "localroom", "tracing", "dev", "audit"),
}

BY_BLENDER = {"bpy", "mathutils"}
"""What Blender's own Python has, in which art/portrait_photo.py runs."""

LOADED_BY_NAME = {"ai-edge-litert"}
"""Imported with importlib, where the program can do without."""

SHARED = "avatar_runtime"
"""What worker and dispatcher both need; it may import what both of their extras have."""

OURS = {SHARED, *(part.removesuffix(".py") for part in SHIPPED), *AROUND}


def files(part: str) -> list[Path]:
    place = ROOT / part
    return [place] if place.suffix else sorted(place.rglob("*.py"))


def imported(part: str) -> set[str]:
    """The top-level modules of others that the files of `part` import anywhere."""
    found = {name for path in files(part) for name in top_levels(path)}
    return found - sys.stdlib_module_names - OURS - BY_BLENDER - {"__main__"} - scripts(part)


def scripts(part: str) -> set[str]:
    """The modules of our own that tests and benchmarks import without a package."""
    if part in (*SHIPPED, SHARED):
        return set()
    return {path.stem for folder in ("tests", "benchmarks") for path in files(folder)}


def top_levels(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def declared(*extras: str) -> set[str]:
    """The distributions of the base and of `extras`."""
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]
    return {canonicalize_name(Requirement(text).name) for text in texts}


DISTRIBUTIONS = {
    module: {canonicalize_name(name) for name in names}
    for module, names in packages_distributions().items()
}


@pytest.mark.parametrize(("part", "extras"), [*SHIPPED.items(), *AROUND.items()])
def test_every_direct_import_is_declared(part: str, extras: tuple[str, ...]) -> None:
    assert undeclared(part, declared(*extras)) == set()


def test_what_worker_and_dispatcher_share_imports_what_both_have() -> None:
    assert undeclared(SHARED, declared("worker") & declared("dispatcher")) == set()


def undeclared(part: str, allowed: set[str]) -> set[str]:
    return {
        module
        for module in imported(part)
        if not DISTRIBUTIONS.get(module, by_name(module, allowed)) & allowed
    }


def by_name(module: str, names: set[str]) -> set[str]:
    """Of `names`, those that have a module that is not installed here, such as torch or skia."""
    return {name for name in names if re.match(rf"{module}\b", name)}


def test_what_ships_imports_all_that_is_declared_for_it() -> None:
    """A dependency that nothing imports any more is to be taken out."""
    modules = {module for part in (*SHIPPED, SHARED) for module in imported(part)}
    used = {name for module in modules for name in DISTRIBUTIONS.get(module, set())}
    wanted = declared("worker", "dispatcher", "localroom", "portrait", "tracing")
    assert wanted - used - LOADED_BY_NAME == set()


def test_the_base_is_what_an_agent_needs() -> None:
    assert declared() == {"httpx"}


def test_all_has_every_extra_that_a_face_may_use() -> None:
    (text,) = EXTRAS["all"]
    whole = Requirement(text)
    assert whole.name == PROJECT["name"]
    assert whole.extras == {"worker", "dispatcher", "localroom", "portrait", "tracing"}


def test_a_package_that_several_extras_need_is_asked_for_in_one_range() -> None:
    ranges: dict[str, set[str]] = {}
    for text in (text for extra in EXTRAS.values() for text in extra):
        requirement = Requirement(text)
        ranges.setdefault(canonicalize_name(requirement.name), set()).add(
            str(requirement.specifier)
        )
    assert {name: many for name, many in ranges.items() if len(many) > 1} == {}
