"""docs/design.md names files and functions; each of them is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "design.md").read_text("utf-8")
WALK = TEXT[TEXT.index("## Walk it") :].partition("\n## ")[0]


def names(node: ast.AST, inside: str = "") -> Iterator[str]:
    """The functions and classes in `node`, methods as ``Class.method``."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.ClassDef(name=name):
                yield name
                yield from names(child, f"{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield f"{inside}{name}"
                yield from names(child)
            case _:
                yield from names(child, inside)


@pytest.mark.parametrize("stage", sorted(set(re.findall(r"`([\w/]+\.py::[\w.]+)`", TEXT))))
def test_each_stage_of_the_walk_is_there(stage: str) -> None:
    path, _, name = stage.partition("::")
    assert name in set(names(ast.parse((ROOT / path).read_text("utf-8"))))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([a-z_]+/[\w/]*(?:\.\w+)?)`", TEXT))))
def test_each_file_and_folder_that_is_named_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_three_ways_are_walked() -> None:
    assert len(re.findall(r"^\*\*.+\*\*$", WALK, re.MULTILINE)) == 3
