"""The threat table of docs/security.md names tests; each of them is there."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "security.md"
NAME = re.compile(r"`((?:interop/stock_peers|\w+/test_\w+)\.py)::(test_\w+)`")
HEADER = ["threat", "control", "status", "test"]


def rows() -> list[list[str]]:
    """The cells of each threat."""
    found: list[list[str]] = []
    inside = False
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line[:1] == "|" else []
        if cells == HEADER:
            inside = True
        elif not cells:
            inside = False
        elif inside and set(cells[0]) != {"-"}:
            found.append(cells)
    return found


def functions(file: str) -> set[str]:
    """The tests in that file."""
    tree = ast.parse((TESTS / file).read_text())
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_the_table_is_read() -> None:
    assert len(rows()) > 30


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:50])
def test_each_threat_has_a_control_and_a_test_that_is_there(row: list[str]) -> None:
    threat, control, status, tests = row
    assert threat
    assert control
    assert status
    named = NAME.findall(tests)
    assert named, "a row without a test"
    assert len(named) == tests.count("::"), "a name that cannot be read"
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (TESTS / file).is_file() or name not in functions(file)
    ]
    assert missing == []
